"""BatchNorm's running statistics: the same in every process, and measured anew where TEST.PRECISE_BN asks for it."""

from __future__ import annotations

from typing import Any

import torch
from detectron2.config import CfgNode
from detectron2.engine import HookBase, hooks
from detectron2.utils import comm
from fvcore.nn.precise_bn import get_bn_modules
from torch import distributed, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ..data.training_stream import TrainingOrder
from .repeatable import build_repeatable_loader

__all__ = ["MeasuredStatistics", "SharedStatistics", "measured_statistics"]


class SharedStatistics(HookBase):
    """After each step, running means and variances become their means over the processes.

    Every process normalises its own part of the batch. Left alone, each would average and evaluate statistics that the
    others, and the checkpoint, do not have.
    """

    def __init__(self, model: nn.Module) -> None:
        self._norms = [module for module in model.modules() if isinstance(module, _BatchNorm)]

    def after_step(self) -> None:
        # Asked of the layers each time: fvcore's PreciseBN gives them new tensors.
        statistics = [s for norm in self._norms for s in (norm.running_mean, norm.running_var) if s is not None]
        if comm.get_world_size() == 1 or not statistics:
            return
        together = torch.cat(statistics)
        distributed.all_reduce(together)
        parts = (together / comm.get_world_size()).split([len(statistic) for statistic in statistics])
        for statistic, part in zip(statistics, parts, strict=True):
            statistic.copy_(part)


class MeasuredStatistics(hooks.PreciseBN):
    """TEST.PRECISE_BN: BatchNorm statistics of the weights that are evaluated, measured instead of averaged on the way.

    Before each evaluation and after the last iteration, on the first images of the training order, so that a run
    repeats it; every process measures its own part of them, and the means over the processes are kept.
    """

    def __init__(self, period: int, model: nn.Module, images: Any, num_iter: int, order: TrainingOrder) -> None:
        """
        Args:
            images: loader without workers; its order gets the seed of `order`.
            order: that of the training.
        """
        super().__init__(period, model, images, num_iter)
        self._order = order

    def update_stats(self) -> None:
        self._data_loader.batch_sampler.seed = self._order.seed  # known only once a checkpoint is loaded
        self._data_iter = None
        super().update_stats()
        SharedStatistics(self._model).after_step()


def measured_statistics(cfg: CfgNode, model: nn.Module, order: TrainingOrder) -> MeasuredStatistics | None:
    """The hook above for the evaluated `model`, or None without TEST.PRECISE_BN or trained BatchNorm."""
    if not (cfg.TEST.PRECISE_BN.ENABLED and get_bn_modules(model)):
        return None
    of_images = cfg.clone()
    of_images.DATALOADER.NUM_WORKERS = 0
    images = build_repeatable_loader(of_images)
    return MeasuredStatistics(cfg.TEST.EVAL_PERIOD, model, images, cfg.TEST.PRECISE_BN.NUM_ITER, order)

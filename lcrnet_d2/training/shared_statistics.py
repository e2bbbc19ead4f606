"""BatchNorm under several processes: one model, not one for each."""

from __future__ import annotations

import torch
from detectron2.engine import HookBase
from detectron2.utils import comm
from torch import distributed, nn
from torch.nn.modules.batchnorm import _BatchNorm

__all__ = ["SharedStatistics"]


class SharedStatistics(HookBase):
    """After each step, running means and variances become their means over the processes.

    Every process normalises its own part of the batch. Left alone, each would average and evaluate statistics that the
    others, and the checkpoint, do not have.
    """

    def __init__(self, model: nn.Module) -> None:
        norms = [module for module in model.modules() if isinstance(module, _BatchNorm)]
        statistics = [statistic for norm in norms for statistic in (norm.running_mean, norm.running_var)]
        self._statistics = [statistic for statistic in statistics if statistic is not None]

    def after_step(self) -> None:
        if comm.get_world_size() == 1 or not self._statistics:
            return
        together = torch.cat(self._statistics)
        distributed.all_reduce(together)
        parts = (together / comm.get_world_size()).split([len(statistic) for statistic in self._statistics])
        for statistic, part in zip(self._statistics, parts, strict=True):
            statistic.copy_(part)

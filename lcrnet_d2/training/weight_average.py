"""An exponential average of the weights over the iterations: what is evaluated and saved as the model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from detectron2.engine import HookBase
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

__all__ = ["WeightAverage"]


class WeightAverage(HookBase):
    """Keeps `model`, the average, beside the weights in training.

    A checkpoint's "model" is the average; the weights in training are in this hook's state, so that
    resuming goes on with both.
    """

    def __init__(self, training: nn.Module, decay: float) -> None:
        """
        Args:
            training: the model whose weights the optimizer changes.
            decay: share of the old average kept at each iteration. At iteration n it is at most
                (1 + n) / (10 + n): the first iterations are forgotten quickly.
        """
        if not 0 < decay < 1:
            raise ValueError(f"the decay of the weights' average is {decay}, expected between 0 and 1")
        self.training = training
        #: Both are those of the run that goes on; otherwise what was loaded is in the average alone.
        self.is_resumed = False
        self._average = AveragedModel(training, multi_avg_fn=_averaging(decay), use_buffers=True)

    @property
    def model(self) -> nn.Module:
        """The model with averaged weights."""
        return self._average.module

    def start_from_average(self) -> None:
        """The weights in training become the average: after other weights than a checkpoint's were loaded to it."""
        self.training.load_state_dict(self.model.state_dict())
        self._average.n_averaged.zero_()

    def after_step(self) -> None:
        self._average.update_parameters(self.training)

    def state_dict(self) -> dict[str, Any]:
        return {"training": self.training.state_dict(), "n_averaged": self._average.n_averaged}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.is_resumed = True
        self.training.load_state_dict(state["training"])
        self._average.n_averaged.copy_(state["n_averaged"])


def _averaging(decay: float) -> Any:
    def update(averages: Sequence[Tensor], current: Sequence[Tensor], count: Tensor | int) -> None:
        kept = min(decay, (1 + float(count)) / (10 + float(count)))
        for average, value in zip(averages, current, strict=True):
            if average.is_floating_point():
                average.lerp_(value, 1 - kept)
            else:  # counters
                average.copy_(value)

    return torch.no_grad()(update)

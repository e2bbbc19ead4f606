"""An exponential average of the weights over the iterations: what is evaluated and saved as the model."""

from __future__ import annotations

# torch's types leave out its foreach functions.
# pyright: reportPrivateImportUsage=false
import copy
from typing import Any

import torch
from detectron2.engine import HookBase
from torch import nn

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
        self._decay = decay
        #: The model with averaged weights.
        self.model = copy.deepcopy(training)
        self._count = 0

    def start_from_average(self) -> None:
        """The weights in training become the average: after other weights than a checkpoint's were loaded to it."""
        self.training.load_state_dict(self.model.state_dict())
        self._count = 0

    @torch.no_grad()
    def after_step(self) -> None:
        # Asked of the models each time: fvcore's PreciseBN gives BatchNorm new tensors.
        averages, current = (
            [*model.parameters(), *(b for b in model.buffers() if b.is_floating_point())]
            for model in (self.model, self.training)
        )
        if self._count == 0:
            torch._foreach_copy_(averages, current)
        else:
            kept = min(self._decay, (1 + self._count) / (10 + self._count))
            torch._foreach_lerp_(averages, current, 1 - kept)
        for counter, value in zip(self.model.buffers(), self.training.buffers(), strict=True):
            if not counter.is_floating_point():
                counter.copy_(value)
        self._count += 1

    def state_dict(self) -> dict[str, Any]:
        return {"training": self.training.state_dict(), "n_averaged": torch.tensor(self._count)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.is_resumed = True
        self.training.load_state_dict(state["training"])
        self._count = int(state["n_averaged"])

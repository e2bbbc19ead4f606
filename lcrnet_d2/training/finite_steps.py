"""Stops training before a step that is not finite, and says which images and which person it came from."""

from __future__ import annotations

# torch's types leave out its foreach functions.
# pyright: reportPrivateImportUsage=false
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from detectron2.engine import HookBase
from detectron2.utils import comm
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ..checkpoint import without_wrapper
from ..data.training_stream import SeededDataset

__all__ = ["GradientCheck", "LossCheck", "diagnose_nonfinite_step"]

_FEW = 5


class LossCheck:
    """Forward hooks of a detector: losses in training that are not finite stop it, before they spoil anything.

    Where half precision overflowed, the batch is computed again in single precision and its losses are returned
    instead: that is no reason to stop. Without half precision `GradientCheck` looks at losses and gradients together:
    a GPU is waited for once.
    """

    def __init__(self, model: nn.Module) -> None:
        #: What the detector was last trained on, and the losses.
        self.records: list[dict[str, Any]] = []
        self.losses: Mapping[str, Tensor] = {}
        self._buffers: dict[str, Tensor] = {}
        model.register_forward_pre_hook(self._before)
        model.register_forward_hook(self._after)

    def _before(self, model: nn.Module, inputs: tuple[list[dict[str, Any]]]) -> None:
        if model.training:
            (self.records,) = inputs
            half = torch.is_autocast_enabled(_device(model))
            self._buffers = {name: buffer.clone() for name, buffer in model.named_buffers()} if half else {}

    def _after(self, model: nn.Module, inputs: tuple[list[dict[str, Any]]], output: Any) -> Any:
        """
        Raises:
            FloatingPointError: a loss in half precision is NaN or infinite, and so in single precision; no weight has
                been changed by the batch yet.
        """
        if not model.training or not isinstance(output, Mapping):
            return output
        self.losses = output
        if torch.is_autocast_enabled(_device(model)):
            # Where it overflowed in one process, in single precision in all: SyncBN waits for the others.
            if not all(comm.all_gather(_are_finite(output))):
                self.losses = self._in_single_precision(model)
            self.check()
        return self.losses

    def check(self) -> None:
        """FloatingPointError where the last losses are not finite."""
        if self.losses and not _are_finite(self.losses):
            values = ", ".join(f"{name} {float(value.detach()):g}" for name, value in self.losses.items())
            raise FloatingPointError(f"losses that are not finite: {values}")

    def _in_single_precision(self, model: nn.Module) -> Mapping[str, Tensor]:
        # BatchNorm would keep the infinity in its running statistics for good.
        for name, buffer in model.named_buffers():
            buffer.copy_(self._buffers[name])
        with torch.autocast(_device(model), enabled=False):
            return model.forward(self.records)


class GradientCheck(HookBase):
    """After each backward pass: FloatingPointError for losses or gradients that are not finite, before they reach the
    weights.

    Losses may be finite and their gradients not. Not for AMP, whose scaler looks for overflows by itself.
    """

    def __init__(self, model: nn.Module, losses: LossCheck) -> None:
        self._model = model
        self._losses = losses

    def after_backward(self) -> None:
        gradients = {name: p.grad for name, p in self._model.named_parameters() if p.grad is not None}
        numbers = [loss.detach().float().sum() for loss in self._losses.losses.values()]
        numbers += torch._foreach_norm(list(gradients.values())) if gradients else []
        if numbers and not torch.isfinite(torch.stack(numbers)).all():
            self._losses.check()
            spoilt = [name for name, gradient in gradients.items() if not torch.isfinite(gradient).all()]
            raise FloatingPointError(f"gradients that are not finite, of {_few(spoilt)}")


def diagnose_nonfinite_step(
    model: nn.Module, batch: Sequence[dict[str, Any]], dataset: SeededDataset, iteration: int
) -> str:
    """Names the iteration, the images of the batch, and what of them alone is enough to spoil the losses.

    Args:
        model: as it was before the step.
        batch: what the mapper made of the images.
        dataset: where they come from, to look at their annotations one by one.
    """
    detector = without_wrapper(model)
    lines = [f"at iteration {iteration}, images {[_name(record) for record in batch]}; the weights were not changed"]
    spoilt = [name for name, p in detector.named_parameters() if not torch.isfinite(p).all()]
    if spoilt:
        return f"{lines[0]}; they were not finite before: {_few(spoilt)}"
    if comm.get_world_size() > 1:  # SyncBN in training would wait for processes that look at nothing
        for norm in detector.modules():
            if isinstance(norm, _BatchNorm):
                norm.eval()
    culprits = [record for record in batch if not _is_finite_on(detector, record)]
    for record in culprits:
        annotations = _spoilt_annotations(detector, record, dataset)
        lines.append(f"{_name(record)} alone is enough" + (f": {annotations}" if annotations else ""))
    if not culprits:
        lines.append("each image alone is finite: try a lower SOLVER.BASE_LR or SOLVER.CLIP_GRADIENTS")
    return "; ".join(lines)


def _spoilt_annotations(model: nn.Module, record: dict[str, Any], dataset: SeededDataset) -> str:
    original = next((r for r in dataset.records if _name(r) == _name(record)), None)
    if original is None:
        return ""
    found = []
    alone = getattr(dataset.mapper, "mapper", dataset.mapper)  # of mosaics, that of the image alone
    for number, annotation in enumerate(original["annotations"]):
        mapped = alone(original | {"annotations": [annotation]})
        if mapped is not None and not _is_finite_on(model, mapped):
            found.append(f"annotations[{number}] with bbox {annotation.get('bbox')}")
    return _few(found)


def _is_finite_on(model: nn.Module, record: dict[str, Any]) -> bool:
    try:
        with torch.no_grad():
            return _are_finite(model.forward([record]))
    except FloatingPointError:  # Detectron2's RPN raises it for proposals that are not finite
        return False


def _device(model: nn.Module) -> str:
    return next(model.parameters()).device.type


def _are_finite(losses: Mapping[str, Tensor]) -> bool:
    return bool(torch.isfinite(torch.stack([loss.detach().float().sum() for loss in losses.values()])).all())


def _name(record: Mapping[str, Any]) -> Any:
    return record.get("file_name", record.get("image_id"))


def _few(names: Sequence[str]) -> str:
    more = f" and {len(names) - _FEW} more" if len(names) > _FEW else ""
    return ", ".join(names[:_FEW]) + more

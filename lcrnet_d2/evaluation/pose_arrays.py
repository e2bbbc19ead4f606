"""What the metrics take in and give back: NumPy arrays or torch tensors, the same kind out as in.

Inside, everything is float64 torch on the device of the predictions.
"""

from __future__ import annotations

from typing import TypeVar, cast

import numpy as np
import torch
from torch import Tensor

__all__ = ["Array", "checked_poses", "in_kind_of", "to_float64"]

#: A function generic in `Array` answers in the kind of its first argument.
Array = TypeVar("Array", np.ndarray, Tensor)


def to_float64(values: np.ndarray | Tensor, device: torch.device | None = None) -> Tensor:
    """Values as a float64 tensor. May share memory with the argument: never write into the result."""
    if not isinstance(values, Tensor):  # order: torch knows no negative strides
        values = torch.from_numpy(np.asarray(values, dtype=np.float64, order="C"))
    return values.to(device=device, dtype=torch.float64)


def in_kind_of(example: Array, result: Tensor) -> Array:
    """The result as the kind of array that `example` is."""
    return cast(Array, result if isinstance(example, Tensor) else result.cpu().numpy())


def checked_poses(
    pred: np.ndarray | Tensor, gt: np.ndarray | Tensor, visible: np.ndarray | Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    """(N, J, d) predictions, (N, J, d) ground truth, both float64, and (N, J) bool (all True for None).

    Raises:
        ValueError: the shapes do not fit each other.
    """
    pred64 = to_float64(pred)
    gt64 = to_float64(gt, pred64.device)
    if pred64.ndim != 3 or pred64.shape != gt64.shape:
        shapes = f"{tuple(pred64.shape)} and {tuple(gt64.shape)}"
        raise ValueError(f"predicted and true poses must both be (N, J, d), got {shapes}")
    if visible is None:
        return pred64, gt64, torch.ones(pred64.shape[:2], dtype=torch.bool, device=pred64.device)
    if not isinstance(visible, Tensor):
        visible = torch.from_numpy(np.asarray(visible, order="C"))
    mask = visible.to(pred64.device).bool()
    if mask.shape != pred64.shape[:2]:
        raise ValueError(f"visible must be (N, J) = {tuple(pred64.shape[:2])}, got {tuple(mask.shape)}")
    return pred64, gt64, mask

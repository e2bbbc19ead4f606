"""Batched rigid or similarity alignment of poses ("Align." of Sec. 4.1), and the arrays that metrics take and give.

Shapes: N poses, J joints.
"""

from __future__ import annotations

from typing import Literal, TypeVar, cast

import numpy as np
import torch
from torch import Tensor

__all__ = ["Array", "align_poses", "checked_poses", "in_kind_of", "to_float64"]

#: A function generic in `Array` answers in the kind of its first argument; inside, everything is float64 torch on the
#: device of the predictions.
Array = TypeVar("Array", np.ndarray, Tensor)

# Of the products of coordinates that a rotation is fitted to, this share of the largest singular value is rounding:
# float32 joints on a line leave (1e-7)^2, the thinnest real poses more than 1e-3.
_RANK_TOLERANCE = 1e-9


def align_poses(
    pred: Array,
    gt: np.ndarray | Tensor,
    visible: np.ndarray | Tensor | None = None,
    kind: Literal["rigid", "similarity"] = "rigid",
) -> Array:
    """Predicted poses after the transform that minimises the *squared* error over the visible joints.

    argmin over R, t (and s) of  sum_j visible_j |s R pred_j + t - gt_j|^2,  R a proper rotation (a mirrored
    pose is not turned into its twin), s = 1 for "rigid" and s >= 0 for "similarity"; in closed form (Kabsch, Umeyama).
    The mean *distance* is not minimised and may grow: one joint of many off by 1 m pulls the others away.

    Where the joints do not determine the transform: the optimal rotation of least angle where visible joints lie on
    one line (or are two), R = 1 where one of the poses is a point; s = 1 where the prediction is a point; a pose
    without visible joints stays as it is.

    Args:
        pred: (N, J, 3) metres (any unit shared with `gt`), torch or NumPy.
        gt: (N, J, 3).
        visible: (N, J) bool, the joints to fit on; all if None. The others move along and have no influence.
        kind: "rigid" or "similarity".

    Returns:
        (N, J, 3) float64, of the kind of `pred`. NaN throughout a pose where a visible joint is NaN or infinite.

    Raises:
        ValueError: shapes that do not fit, poses that are not 3D, an unknown `kind`.
    """
    if kind not in ("rigid", "similarity"):
        raise ValueError(f"unknown alignment {kind!r}; known are 'rigid' and 'similarity'")
    pred64, gt64, mask = checked_poses(pred, gt, visible)
    if pred64.shape[-1] != 3:
        raise ValueError(f"alignment is of 3D poses (N, J, 3), got {tuple(pred64.shape)}")
    pred_mean, pred_offsets = _centred(pred64, mask)
    gt_mean, gt_offsets = _centred(gt64, mask)
    products = pred_offsets.transpose(1, 2) @ gt_offsets  # (N, 3, 3), sum of p g^T
    usable = products.isfinite().all(-1).all(-1)
    rotation, gain = _best_rotation(torch.where(usable[:, None, None], products, torch.zeros_like(products)))
    scale = torch.ones_like(gain)
    if kind == "similarity":
        spread = pred_offsets.square().sum((1, 2))
        scale = torch.where(spread > 0, gain / spread, scale)
    aligned = scale[:, None, None] * ((pred64 - pred_mean) @ rotation.transpose(1, 2)) + gt_mean
    aligned = torch.where(usable[:, None, None], aligned, torch.full_like(aligned, torch.nan))
    return in_kind_of(pred, torch.where(mask.any(1)[:, None, None], aligned, pred64))


def _centred(poses: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """(N, 1, 3) mean of the masked joints, and (N, J, 3) offsets from it, zero where not masked."""
    counted = torch.where(mask[..., None], poses, torch.zeros_like(poses))
    mean = counted.sum(1, keepdim=True) / mask.sum(1).clamp(min=1)[:, None, None]
    offsets = torch.where(mask[..., None], poses - mean, torch.zeros_like(poses))
    # Thirteen joints at 0.1 have a mean of 0.1 + 1e-17: what is left of them is no direction.
    is_point = offsets.abs().amax((1, 2)) <= 1e-12 * counted.abs().amax((1, 2))
    return mean, torch.where(is_point[:, None, None], torch.zeros_like(offsets), offsets)


def _best_rotation(products: Tensor) -> tuple[Tensor, Tensor]:
    """(N, 3, 3) rotations R maximising trace(R H) of (N, 3, 3) H = sum p g^T, and (N,) that maximum."""
    u, singular, vt = torch.linalg.svd(products)
    handedness = torch.det(u) * torch.det(vt)  # -1 where the best orthogonal matrix would mirror
    signs = torch.stack([torch.ones_like(handedness), torch.ones_like(handedness), handedness.sign()], -1)
    rotation = (vt.transpose(1, 2) * signs[:, None, :]) @ u.transpose(1, 2)
    on_a_line = singular[:, 1] <= _RANK_TOLERANCE * singular[:, 0]
    least = _least_rotation(u[:, :, 0], vt[:, 0, :])
    rotation = torch.where(on_a_line[:, None, None], least, rotation)
    identity = torch.eye(3, dtype=products.dtype, device=products.device)  # a zero matrix has any singular vectors
    rotation = torch.where((singular[:, 0] == 0)[:, None, None], identity, rotation)
    return rotation, (singular * signs).sum(-1)


def _least_rotation(start: Tensor, end: Tensor) -> Tensor:
    """(N, 3, 3) rotations of least angle that turn unit vectors `start` (N, 3) into `end` (N, 3).

    A half turn about `start`, then one about the bisector: together the turn from one to the other.
    Opposite vectors have no bisector; any perpendicular of `start` does, here one that depends on `start` only.
    """
    identity = torch.eye(3, dtype=start.dtype, device=start.device)
    smallest = identity[start.abs().argmin(-1)]
    perpendicular = torch.linalg.cross(start, smallest)
    bisector = start + end
    opposite = bisector.norm(dim=-1, keepdim=True) < 1e-9
    bisector = torch.where(opposite, perpendicular, bisector)
    bisector = bisector / bisector.norm(dim=-1, keepdim=True)

    def half_turn(axis: Tensor) -> Tensor:
        return 2 * axis[:, :, None] * axis[:, None, :] - identity

    return half_turn(bisector) @ half_turn(start)


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

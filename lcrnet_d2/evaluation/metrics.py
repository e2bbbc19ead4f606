"""Errors of poses: pure, batched, metres in and millimetres out for 3D, pixels for 2D.

Shapes: N poses, J joints, T thresholds. Every function takes NumPy arrays or torch tensors and answers with float64 of
the kind of its first argument. `visible` (N, J) bool names the joints that count: the others influence neither an
alignment nor a mean. A pose without any is NaN. A NaN in a joint that counts is a NaN error and a wrong joint.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from .alignment import Array, align_poses, checked_poses, in_kind_of, to_float64

__all__ = [
    "AUC_THRESHOLDS_MM",
    "Alignment",
    "auc_3d",
    "bootstrap_interval",
    "head_size",
    "mean_2d_error",
    "mpjpe",
    "pck_2d",
    "pck_3d",
    "pckh",
]

Alignment = Literal["none", "rigid", "similarity"]

#: 0, 5, ..., 150 mm.
AUC_THRESHOLDS_MM = tuple(range(0, 151, 5))


def mpjpe(
    pred: Array, gt: np.ndarray | Tensor, visible: np.ndarray | Tensor | None = None, align: Alignment = "none"
) -> Array:
    """Mean per joint position error:  1000 / n * sum_j visible_j |pred_j - gt_j|,  n visible joints, in mm.

    No root is subtracted: poses come relative to the same one, ours the body centre (`structures.centre_poses`).

    Args:
        pred, gt: (N, J, 3) m.
        visible: (N, J) bool, all if None.
        align: "none" (absolute), "rigid" (the paper's "Align.") or "similarity" (scale too), see `align_poses`.

    Returns:
        (N,) mm.

    Raises:
        ValueError: shapes that do not fit, an unknown `align`.
    """
    errors, mask = _joint_errors_mm(pred, gt, visible, align)
    return in_kind_of(pred, _mean_over(errors, mask))


def pck_3d(
    pred: Array,
    gt: np.ndarray | Tensor,
    visible: np.ndarray | Tensor | None = None,
    align: Alignment = "none",
    threshold_mm: float = 150.0,
) -> Array:
    """3DPCK: the share, in [0, 1], of each pose's visible joints with an error *under* the threshold.

    Args as `mpjpe`; `threshold_mm` in mm. Returns (N,).
    """
    errors, mask = _joint_errors_mm(pred, gt, visible, align)
    return in_kind_of(pred, _mean_over((errors < threshold_mm).double(), mask))


def auc_3d(
    pred: Array, gt: np.ndarray | Tensor, visible: np.ndarray | Tensor | None = None, align: Alignment = "none"
) -> Array:
    """Area under the 3DPCK curve: mean of `pck_3d` over the 31 thresholds 0, 5, ..., 150 mm, in [0, 1].

    No error is under 0 mm, so a perfect pose has 30/31 = 0.968, as in the benchmark's own program.
    Args as `mpjpe`. Returns (N,).
    """
    errors, mask = _joint_errors_mm(pred, gt, visible, align)
    shares = [_mean_over((errors < threshold).double(), mask) for threshold in AUC_THRESHOLDS_MM]
    return in_kind_of(pred, torch.stack(shares).mean(0))


def mean_2d_error(
    pred: Array, gt: np.ndarray | Tensor, boxes: np.ndarray | Tensor, visible: np.ndarray | Tensor | None = None
) -> Array:
    """Mean distance of visible joints in units of the person's size:  1/n sum_j |pred_j - gt_j| / sqrt(w h).

    Args:
        pred, gt: (N, J, 2) px.
        boxes: (N, 4) x1, y1, x2, y2 of the person annotated.
        visible: (N, J) bool, all if None.

    Returns:
        (N,), no unit.
    """
    size = to_float64(boxes)[:, 2:] - to_float64(boxes)[:, :2]
    errors, mask = _joint_errors_2d(pred, gt, size.prod(1).sqrt(), visible)
    return in_kind_of(pred, _mean_over(errors, mask))


def pck_2d(
    pred: Array,
    gt: np.ndarray | Tensor,
    reference_size: np.ndarray | Tensor,
    visible: np.ndarray | Tensor | None = None,
    threshold: float = 0.1,
) -> Array:
    """The share of visible joints within `threshold` * `reference_size`, in [0, 1].

    Args:
        pred, gt: (N, J, 2) px.
        reference_size: (N,) px, the size that errors are measured in, e.g. sqrt(box area).
        visible: (N, J) bool, all if None.
        threshold: without unit; a joint exactly at it is correct.

    Returns:
        (N,).
    """
    errors, mask = _joint_errors_2d(pred, gt, reference_size, visible)
    return in_kind_of(pred, _mean_over((errors <= threshold).double(), mask))


def pckh(
    pred: Array,
    gt: np.ndarray | Tensor,
    head_size: np.ndarray | Tensor,
    visible: np.ndarray | Tensor | None = None,
    thresholds: Sequence[float] = (0.5,),
) -> Array:
    """PCKh@delta of MPII (Sec. 4.2): the share of visible joints within delta * head size, in [0, 1].

    MPII leaves pelvis and thorax out of its mean: mask them in `visible` where the skeleton has them.

    Args:
        pred, gt: (N, J, 2) px.
        head_size: (N,) px, see `head_size`.
        visible: (N, J) bool, all if None.
        thresholds: T values of delta.

    Returns:
        (N, T); T may be 0.
    """
    errors, mask = _joint_errors_2d(pred, gt, head_size, visible)
    deltas = errors.new_tensor(thresholds)
    correct = (errors[:, None] <= deltas[:, None]).double()  # (N, T, J)
    return in_kind_of(pred, _mean_over(correct, mask[:, None].expand(correct.shape)))


def head_size(head_boxes: Array) -> Array:
    """(N,) px: 0.6 times the diagonal of MPII's head boxes (N, 4), x1, y1, x2, y2."""
    boxes = to_float64(head_boxes)
    return in_kind_of(head_boxes, 0.6 * (boxes[:, 2:] - boxes[:, :2]).norm(dim=1))


def bootstrap_interval(
    values: np.ndarray | Tensor, level: float = 0.95, resamples: int = 2000, seed: int = 0
) -> tuple[float, float]:
    """Percentile bootstrap interval of a mean: how far it would move with other test people.

    Args:
        values: (N,) one value per person; people of one image are not independent: give means of images there.
        level: the interval holds this share of the means of `resamples` draws.

    Returns:
        (low, high) in the unit of `values`; NaN for no values, or where one is NaN.
    """
    sample = to_float64(values).cpu().numpy()
    if sample.size == 0:
        return float("nan"), float("nan")
    rng = np.random.default_rng(seed)
    means = [sample[rng.integers(sample.size, size=sample.size)].mean() for _ in range(resamples)]
    tail = 50 * (1 - level)
    low, high = np.percentile(means, [tail, 100 - tail]) if np.isfinite(sample).all() else (np.nan, np.nan)
    return float(low), float(high)


def _joint_errors_mm(
    pred: np.ndarray | Tensor, gt: np.ndarray | Tensor, visible: np.ndarray | Tensor | None, align: Alignment
) -> tuple[Tensor, Tensor]:
    """(N, J) mm and (N, J) bool, the joints that count."""
    pred64, gt64, mask = checked_poses(pred, gt, visible)
    if align != "none":
        pred64 = align_poses(pred64, gt64, mask, align)
    return 1000.0 * (pred64 - gt64).norm(dim=-1), mask


def _joint_errors_2d(
    pred: np.ndarray | Tensor,
    gt: np.ndarray | Tensor,
    reference_size: np.ndarray | Tensor,
    visible: np.ndarray | Tensor | None,
) -> tuple[Tensor, Tensor]:
    """(N, J) distances over the reference size and (N, J) bool, the joints that count."""
    pred64, gt64, mask = checked_poses(pred, gt, visible)
    size = to_float64(reference_size, pred64.device)
    if size.shape != pred64.shape[:1]:
        raise ValueError(f"one reference size per pose is needed, {len(pred64)}, got shape {tuple(size.shape)}")
    return (pred64 - gt64).norm(dim=-1) / size[:, None], mask


def _mean_over(values: Tensor, mask: Tensor) -> Tensor:
    """(...) mean of the masked entries of (..., J); NaN where there are none."""
    return torch.where(mask, values, torch.zeros_like(values)).sum(-1) / mask.sum(-1)

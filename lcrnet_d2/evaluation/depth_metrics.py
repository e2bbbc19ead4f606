"""What 3D is worth beyond 2D: depths and lengths of limbs, and which way a body faces. Pure, as metrics.py.

Shapes: N poses, J joints. A limb counts where both its ends are `visible` (N, J) bool.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from ..structures import Skeleton
from ..structures.skeleton import LIMBS
from .alignment import Array, checked_poses, in_kind_of
from .report import markdown_table

__all__ = ["depth_metrics", "depth_table", "heading_error"]


def depth_metrics(
    pred: np.ndarray | Tensor, gt: np.ndarray | Tensor, skeleton: Skeleton, visible: np.ndarray | Tensor | None = None
) -> dict[str, float]:
    """Whether limbs go towards the camera or away as they do in truth, how long they are, and which way people face.

    Args:
        pred, gt: (N, J, 3) m, camera axes.
        skeleton: names the J joints.
        visible: (N, J) bool, all if None.

    Returns:
        for each limb of `LIMBS` that the skeleton has depth_correlation_LIMB, Pearson's r of z from its beginning to
        its end with the truth, and length_ratio_LIMB, the median of predicted over true length; depth_sign, % of all
        these limbs that go towards the camera where they do in truth, away where they do; heading_error_deg, the
        median of `heading_error`, and turned_round, % of people off by more than 90 degrees. NaN without limbs or
        people to count.
    """
    pred64, gt64, mask = checked_poses(pred, gt, visible)
    metrics: dict[str, float] = {}
    right: list[Tensor] = []
    for name, limb in skeleton.limbs.items():
        counts = mask[:, limb[0]] & mask[:, limb[1]]
        found, true = ((poses[:, limb[1]] - poses[:, limb[0]])[counts] for poses in (pred64, gt64))
        metrics[f"depth_correlation_{name}"] = _correlation(found[:, 2], true[:, 2])
        metrics[f"length_ratio_{name}"] = float((found.norm(dim=1) / true.norm(dim=1)).nanmedian())
        right.append(found[:, 2].sign() == true[:, 2].sign())
    signs = torch.cat(right) if right else torch.zeros(0)
    turned = heading_error(pred64, gt64, skeleton, mask)
    turned = turned[~turned.isnan()]
    return {
        "depth_sign": 100 * float(signs.double().mean()),
        **metrics,
        "heading_error_deg": float(turned.nanmedian()),
        "turned_round": 100 * float((turned > 90).double().mean()),
    }


def depth_table(metrics: Mapping[str, Mapping[str, float]]) -> str:
    """Markdown of `depth_metrics`, a row for each name."""
    limbs = [limb for limb in LIMBS if any(f"length_ratio_{limb}" in row for row in metrics.values())]

    def of_limbs(row: Mapping[str, float], metric: str) -> str:
        return ", ".join(f"{row[f'{metric}_{limb}']:.2f}" for limb in limbs)

    names = ", ".join(limb.replace("_", " ") for limb in limbs)
    header = ["", f"r of depth: {names}", "depth sign right (%)", f"length / true: {names}"]
    header += ["heading off (degrees)", "turned round (%)"]
    rows = [
        [
            *(name, of_limbs(row, "depth_correlation"), f"{row['depth_sign']:.1f}", of_limbs(row, "length_ratio")),
            *(f"{row['heading_error_deg']:.1f}", f"{row['turned_round']:.1f}"),
        ]
        for name, row in metrics.items()
    ]
    return markdown_table(header, rows)


def heading_error(
    pred: Array, gt: np.ndarray | Tensor, skeleton: Skeleton, visible: np.ndarray | Tensor | None = None
) -> Array:
    """(N,) degrees between the directions people face, seen from above: square to both shoulders' and both hips' lines.

    NaN where a shoulder or hip does not count, or where one side is straight above the other.

    Args:
        pred, gt: (N, J, 3) m, camera axes.
        skeleton: names the J joints.
        visible: (N, J) bool, all if None.
    """
    pred64, gt64, mask = checked_poses(pred, gt, visible)
    headings = []
    for poses in (pred64, gt64):
        right, left = (poses[:, skeleton.indices([f"{s}_shoulder", f"{s}_hip"])].sum(1) for s in ("right", "left"))
        across = (left - right)[:, [0, 2]]
        headings.append(torch.where(across.norm(dim=1) > 1e-9, torch.atan2(across[:, 1], across[:, 0]), torch.nan))
    apart = (headings[0] - headings[1] + torch.pi).remainder(2 * torch.pi) - torch.pi
    return in_kind_of(pred, torch.where(mask[:, skeleton.torso].all(1), apart.abs().rad2deg(), torch.nan))


def _correlation(found: Tensor, true: Tensor) -> float:
    """Pearson's r of (n,) values, NaN where one of them does not vary."""
    found, true = found - found.mean(), true - true.mean()
    size = found.norm() * true.norm()
    return float((found * true).sum() / size) if size > 0 else float("nan")

"""Pose regression targets (Sec. 3.1, "pose regression target"): encode and decode, inverse of each other.

Shapes: R boxes, J joints.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ..structures import to_box_units

__all__ = ["PoseTransform"]


@dataclass(frozen=True)
class PoseTransform:
    """t = (p~ - a~, P - A): what separates a pose from an anchor pose placed in a box (Eq. 4).

    2D in box units, 3D in metres, both times `scale`. For any boxes and anchor poses
    `apply_deltas(boxes, a2, a3, get_deltas(boxes, a2, a3, p2, p3)) == (p2, p3)`.

    Attributes:
        scale: multiplies every delta; 1 in the paper, 5 in the released models.
    """

    scale: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.scale < math.inf:
            raise ValueError(f"POSE_REG_SCALE is {self.scale}, expected a positive, finite number")

    def get_deltas(
        self, boxes: Tensor, anchors_2d: Tensor, anchors_3d: Tensor, poses_2d: Tensor, poses_3d: Tensor
    ) -> Tensor:
        """(R, J, 5): x, y in box units and X, Y, Z in metres, times `scale`.

        Args:
            boxes: (R, 4) px x1, y1, x2, y2.
            anchors_2d: (R, J, 2) box units; anchors_3d: (R, J, 3) m: the anchor pose of each box.
            poses_2d: (R, J, 2) px; poses_3d: (R, J, 3) m.
        """
        deltas_2d = to_box_units(poses_2d, boxes) - anchors_2d
        return self.scale * torch.cat([deltas_2d, poses_3d - anchors_3d], -1)

    def apply_deltas(
        self, boxes: Tensor, anchors_2d: Tensor, anchors_3d: Tensor, deltas: Tensor
    ) -> tuple[Tensor, Tensor]:
        """(R, J, 2) px and (R, J, 3) m: the anchor poses moved by `deltas` (R, J, 5)."""
        deltas = deltas / self.scale
        size = (boxes[:, 2:] - boxes[:, :2]).clamp(min=1e-6)
        poses_2d = boxes[:, None, :2] + (anchors_2d + deltas[..., :2]) * size[:, None]
        return poses_2d, anchors_3d + deltas[..., 2:]

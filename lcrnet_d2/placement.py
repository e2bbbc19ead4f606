"""Where each person stands before the camera: least squares of the reprojection error (Fig. 7).

Shapes: N people, J joints. Camera axes (x right, y down, z away), metres and px.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["DEFAULT_FOV", "PinholeCamera", "place_people"]

#: Field of view along the longer side, degrees, of a camera nothing is known about: a 28 mm lens on 35 mm film has 65.
DEFAULT_FOV = 60.0


@dataclass(frozen=True)
class PinholeCamera:
    """fx, fy, cx, cy in px."""

    fx: float
    fy: float
    cx: float
    cy: float

    @classmethod
    def from_fov(cls, image_size: tuple[int, int], fov: float = DEFAULT_FOV) -> PinholeCamera:
        """Camera of an (H, W) image with `fov` degrees along its longer side, looking at its middle."""
        height, width = image_size
        focal = 0.5 * max(height, width) / math.tan(math.radians(fov) / 2)
        return cls(focal, focal, width / 2, height / 2)

    def project(self, points: Tensor) -> Tensor:
        """(..., 2) px of (..., 3) m in front of the camera."""
        z = points[..., 2:]
        focal, centre = points.new_tensor([self.fx, self.fy]), points.new_tensor([self.cx, self.cy])
        return points[..., :2] / z * focal + centre


def place_people(poses_2d: Tensor, poses_3d: Tensor, camera: PinholeCamera) -> Tensor:
    """(N, 3) m: the displacement T of each person for which poses_3d + T projects best onto poses_2d.

    A joint (x, y, z) seen at u demands (u - cx) (z + T_z) = fx (x + T_x), and likewise for v: linear in T, hence a
    closed form. What is minimised is the reprojection error times the joint's depth, so near joints count a
    little less than in the plain reprojection error: with 8 px of noise at 3 m the two answers are 5 cm apart.

    Args:
        poses_2d: (N, J, 2) px; joints outside the image count like any other.
        poses_3d: (N, J, 3) m, body-centred.

    Returns:
        NaN for a person whose joints all project to one point, which no distance explains, or are not finite.
    """
    ray = (poses_2d.double() - poses_2d.new_tensor([camera.cx, camera.cy]).double()) / poses_2d.new_tensor(
        [camera.fx, camera.fy]
    ).double()
    pose = poses_3d.double()
    n, j = pose.shape[:2]
    matrix = pose.new_zeros((n, 2, j, 3))
    matrix[:, 0, :, 0] = 1
    matrix[:, 1, :, 1] = 1
    matrix[..., 2] = -ray.transpose(1, 2)
    right = (ray * pose[..., 2:] - pose[..., :2]).transpose(1, 2)  # (N, 2, J)
    matrix, right = matrix.flatten(1, 2), right.flatten(1)
    normal = matrix.transpose(1, 2) @ matrix
    finite = torch.isfinite(normal).all(-1).all(-1) & torch.isfinite(right).all(-1)
    unit = torch.eye(3, dtype=normal.dtype, device=normal.device)
    normal = torch.where(finite[:, None, None], normal, unit)
    solvable = finite & (torch.linalg.matrix_rank(normal, hermitian=True, rtol=1e-9) == 3)
    safe = torch.where(solvable[:, None, None], normal, unit)
    placed = torch.linalg.solve(safe, (matrix.transpose(1, 2) @ right[..., None])[..., 0])
    return torch.where(solvable[:, None], placed, torch.nan).to(poses_3d)

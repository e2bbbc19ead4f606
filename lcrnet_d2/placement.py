"""Where each person stands before the camera: least squares of the reprojection error (Fig. 7).

Shapes: N people, J joints. Camera axes (x right, y down, z away), metres and px.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["DEFAULT_FOV", "Camera", "OrthographicCamera", "PinholeCamera", "place_people"]

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
        """Camera of an (H, W) image with `fov` degrees along its longer side, looking at its middle.

        Raises:
            ValueError: a field of view that is not between 0 and 180.
        """
        if not 0 < fov < 180:
            raise ValueError(f"a field of view of {fov} degrees; expected more than 0 and less than 180")
        height, width = image_size
        focal = 0.5 * max(height, width) / math.tan(math.radians(fov) / 2)
        return cls(focal, focal, width / 2, height / 2)

    def project(self, points: Tensor) -> Tensor:
        """(..., 2) px of (..., 3) m in front of the camera."""
        z = points[..., 2:]
        focal, centre = points.new_tensor([self.fx, self.fy]), points.new_tensor([self.cx, self.cy])
        return points[..., :2] / z * focal + centre


@dataclass(frozen=True)
class OrthographicCamera:
    """px = pixels_per_metre * (x, y) + (cx, cy): sees no depth. What Fig. 7 assumes of an unknown camera."""

    pixels_per_metre: float
    cx: float
    cy: float

    def project(self, points: Tensor) -> Tensor:
        """(..., 2) px of (..., 3) m."""
        return points[..., :2] * self.pixels_per_metre + points.new_tensor([self.cx, self.cy])

    @classmethod
    def fitted(cls, keypoints_2d: Tensor, poses_3d: Tensor, image_size: tuple[int, int]) -> OrthographicCamera:
        """The camera looking at the middle of an (H, W) image that explains best how large everyone appears.

        Least squares over one scale for all people and a displacement of each.

        Args:
            keypoints_2d: (N, J, 2) px. NaN where a joint is not known.
            poses_3d: (N, J, 3) m, likewise.
        """
        height, width = image_size
        known = _known(keypoints_2d, poses_3d)[..., None]
        flat, seen = (torch.where(known, v[..., :2].double(), torch.nan) for v in (poses_3d, keypoints_2d))
        flat, seen = (v - v.nanmean(1, keepdim=True) for v in (flat, seen))
        extent = float(flat.square().nansum())
        scale = float((flat * seen).nansum()) / extent if extent > 0 else 1.0
        return cls(scale if scale > 0 else 1.0, width / 2, height / 2)


Camera = PinholeCamera | OrthographicCamera


def place_people(keypoints_2d: Tensor, poses_3d: Tensor, camera: Camera, weights: Tensor | None = None) -> Tensor:
    """(N, 3) m: the displacement T of each person for which poses_3d + T projects best onto keypoints_2d (Fig. 7).

    Args:
        keypoints_2d: (N, J, 2) px; joints outside the image are welcome. NaN where a joint is not known.
        poses_3d: (N, J, 3) m, body-centred.
        camera: an orthographic one leaves the depth T_z at 0.
        weights: (N, J) how much each joint counts; all the same if None.

    Returns:
        NaN for a person whose joints all project to one point, which no distance explains, are not finite, or fit
        best behind the camera (2D upside down beside 3D).
    """
    known = _known(keypoints_2d, poses_3d)
    weights = known.double() if weights is None else weights.double() * known
    pose, seen = (torch.where(known[..., None], v.double(), 0.0) for v in (poses_3d, keypoints_2d))
    if isinstance(camera, OrthographicCamera):
        return _place_orthographic(seen, pose, camera, weights).to(poses_3d)
    return _place_perspective(seen, pose, camera, weights).to(poses_3d)


def _place_orthographic(seen: Tensor, pose: Tensor, camera: OrthographicCamera, weights: Tensor) -> Tensor:
    """Least squares of a displacement alone: the weighted mean of what each joint asks for."""
    asked = (seen - seen.new_tensor([camera.cx, camera.cy])) / camera.pixels_per_metre - pose[..., :2]
    placed = (asked * weights[..., None]).sum(1) / weights.sum(1)[:, None]  # 0 / 0 = NaN: nobody knows
    return torch.cat([placed, torch.where(placed[:, :1].isnan(), torch.nan, 0.0)], -1)


def _place_perspective(seen: Tensor, pose: Tensor, camera: PinholeCamera, weights: Tensor) -> Tensor:
    """A joint (x, y, z) seen at u demands (u - cx) (z + T_z) = fx (x + T_x), and likewise for v.

    Linear in T, hence a closed form. What is minimised is the reprojection error times the joint's depth, so near
    joints count a little less than in the plain reprojection error: with 8 px of noise at 3 m the two answers are
    5 cm apart.
    """
    ray = (seen - seen.new_tensor([camera.cx, camera.cy])) / seen.new_tensor([camera.fx, camera.fy])
    n, j = pose.shape[:2]
    matrix = pose.new_zeros((n, 2, j, 3))
    matrix[:, 0, :, 0] = 1
    matrix[:, 1, :, 1] = 1
    matrix[..., 2] = -ray.transpose(1, 2)
    right = (ray * pose[..., 2:] - pose[..., :2]).transpose(1, 2)  # (N, 2, J)
    matrix, right = matrix.flatten(1, 2), right.flatten(1)
    weighted = matrix.transpose(1, 2) * weights.repeat(1, 2)[:, None]
    normal = weighted @ matrix
    unit = torch.eye(3, dtype=normal.dtype, device=normal.device)
    solvable = torch.linalg.matrix_rank(normal, hermitian=True, rtol=1e-9) == 3
    safe = torch.where(solvable[:, None, None], normal, unit)
    placed = torch.linalg.solve(safe, (weighted @ right[..., None])[..., 0])
    return torch.where((solvable & (placed[:, 2] > 0))[:, None], placed, torch.nan)


def _known(keypoints_2d: Tensor, poses_3d: Tensor) -> Tensor:
    """(N, J) bool: joints with a place in both."""
    return torch.isfinite(keypoints_2d).all(-1) & torch.isfinite(poses_3d).all(-1)

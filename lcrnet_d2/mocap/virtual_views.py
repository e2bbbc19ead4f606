"""Virtual views: MoCap poses seen orthographically by random cameras (Sec. 4.2).

Shapes: N poses, V views, J joints.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ..structures import BODY13, Skeleton

__all__ = ["ViewBase", "ViewRanges", "random_views", "view_rotations"]


@dataclass(frozen=True)
class ViewRanges:
    """Uniform ranges of the random cameras, in degrees. The paper says "random virtual views", no numbers.

    Attributes:
        azimuth: about the vertical; the full circle.
        elevation: above 0 the camera looks down on the person.
        roll: about the viewing direction.
    """

    azimuth: tuple[float, float] = (0.0, 360.0)
    elevation: tuple[float, float] = (-15.0, 45.0)
    roll: tuple[float, float] = (-10.0, 10.0)

    def __post_init__(self) -> None:
        for name in ("azimuth", "elevation", "roll"):
            low, high = getattr(self, name)
            if not (math.isfinite(low) and math.isfinite(high) and low <= high):
                raise ValueError(f"{name} from {low} to {high} degrees: give a finite range, low before high")


@dataclass(frozen=True)
class ViewBase:
    """V views of N poses, kept as angles: 2D poses and 3D poses are made from them where needed.

    Attributes:
        poses_3d: (N, J, 3) metres, camera axes of the studio, body-centred.
        pose_index: (V,) the pose of each view.
        angles: (V, 3) azimuth, elevation, roll in radians.
        skeleton: names the J joints.
    """

    poses_3d: Tensor
    pose_index: Tensor
    angles: Tensor
    skeleton: Skeleton = BODY13

    def __len__(self) -> int:
        return len(self.pose_index)

    def oriented(self, views: Tensor | slice) -> Tensor:
        """(..., J, 3) metres: the poses of these views in the axes of their cameras, body-centred."""
        poses = self.poses_3d[self.pose_index[views]]
        return poses @ view_rotations(self.angles[views]).to(poses).transpose(-1, -2)

    def poses_2d(self, views: Tensor | slice) -> Tensor:
        """(..., J, 2) metres, x right, y down: the orthographic projections of these views."""
        return self.oriented(views)[..., :2]


def view_rotations(angles: Tensor) -> Tensor:
    """(..., 3, 3) rotations R = Roll(z) Elevation(x) Azimuth(y), p_camera = R p, of (..., 3) angles in radians.

    With the camera raised by the elevation, the head (y < 0) comes nearer to it (z falls).
    """
    (ca, ce, cr), (sa, se, sr) = angles.cos().unbind(-1), angles.sin().unbind(-1)
    zero, one = torch.zeros_like(ca), torch.ones_like(ca)

    def matrix(*entries: Tensor) -> Tensor:
        return torch.stack(entries, -1).unflatten(-1, (3, 3))

    azimuth = matrix(ca, zero, sa, zero, one, zero, -sa, zero, ca)
    elevation = matrix(one, zero, zero, zero, ce, -se, zero, se, ce)
    roll = matrix(cr, -sr, zero, sr, cr, zero, zero, zero, one)
    return roll @ elevation @ azimuth


def random_views(
    poses_3d: Tensor,
    count: int,
    generator: torch.Generator,
    ranges: ViewRanges | None = None,
    skeleton: Skeleton = BODY13,
) -> ViewBase:
    """`count` random views, each pose as often as any other (give or take one), views of one pose side by side.

    Args:
        poses_3d: (N, J, 3) metres, body-centred, the studio's vertical along y.
        count: V.
        generator: a seeded CPU generator: the same seed, poses and count give the same views on any device.
        ranges: of the cameras; `ViewRanges()` if None.
        skeleton: names the joints.

    Raises:
        ValueError: no poses, poses of another skeleton, or a count below 1.
    """
    if poses_3d.shape[1:] != (len(skeleton), 3) or len(poses_3d) == 0 or count < 1:
        shape = tuple(poses_3d.shape)
        raise ValueError(f"{count} views of poses {shape}; expected at least one view of (N, {len(skeleton)}, 3)")
    limits = ranges or ViewRanges()
    low, high = torch.deg2rad(torch.tensor([limits.azimuth, limits.elevation, limits.roll])).unbind(-1)
    angles = low + (high - low) * torch.rand(count, 3, generator=generator)
    whole, rest = divmod(count, len(poses_3d))
    times = torch.full((len(poses_3d),), whole)
    times[torch.randperm(len(poses_3d), generator=generator)[:rest]] += 1
    pose_index = torch.repeat_interleave(torch.arange(len(poses_3d)), times)
    return ViewBase(poses_3d, pose_index.to(poses_3d.device), angles.to(poses_3d.device), skeleton)

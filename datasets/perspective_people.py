"""Random people seen by random perspective cameras, made of motion capture: what a lifter is trained on.

Bodies are random (lengths of limbs, widths of hips and shoulders), limbs of one pose may be replaced by another's,
cameras stand all around, near and far, high, low, rolled and upside down; joints are missing as pictures miss them.

Shapes: N people of a batch, P poses, L lengths of a body, J joints.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from lcrnet_d2.mocap.lifter import is_liftable, joint_trust
from lcrnet_d2.mocap.virtual_views import view_rotations
from lcrnet_d2.structures import Skeleton, centre_poses, mirror_poses_3d
from lcrnet_d2.structures.skeleton import LIMBS

__all__ = ["BODY_LENGTHS", "PerspectivePeople", "SeenPeople", "body_lengths"]

#: What is measured of a body: torso from the middle of the hips to that of the shoulders, widths, head to shoulders.
BODY_LENGTHS = ("torso", "shoulders", "hips", "head", *LIMBS)

_NEAREST = 0.35  # metres from the camera to the nearest joint
_SIDES = ("left", "right")
_PARTS = ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")


class SeenPeople(NamedTuple):
    """A batch of people before cameras.

    Attributes:
        poses_2d: (N, J, 2) px, exact.
        seen_2d: (N, J, 2) px with noise.
        trust: (N, J) of `joint_trust`; 0 where a joint is missing.
        image_sizes: (N, 2) height and width in px, NaN where they are not to be known.
        poses_3d: (N, J, 3) m, camera axes, body-centred.
    """

    poses_2d: Tensor
    seen_2d: Tensor
    trust: Tensor
    image_sizes: Tensor
    poses_3d: Tensor


def body_lengths(poses_3d: Tensor, skeleton: Skeleton) -> Tensor:
    """(P, L) metres of `BODY_LENGTHS`; of limbs the mean of left and right."""
    left, right = ({part: _joint(poses_3d, skeleton, side, part) for part in _PARTS} for side in _SIDES)
    hips, shoulders = ((left[part] + right[part]) / 2 for part in ("hip", "shoulder"))
    head = poses_3d[:, skeleton.index("head")]
    vectors = [shoulders - hips, left["shoulder"] - right["shoulder"], left["hip"] - right["hip"], head - shoulders]
    limbs = [((left[b] - left[a]).norm(dim=-1) + (right[b] - right[a]).norm(dim=-1)) / 2 for a, b in LIMBS.values()]
    return torch.stack([*(vector.norm(dim=-1) for vector in vectors), *limbs], -1)


def _joint(poses: Tensor, skeleton: Skeleton, side: str, part: str) -> Tensor:
    return poses[:, skeleton.index(f"{side}_{part}")]


@dataclass(frozen=True)
class PerspectivePeople:
    """Makes batches of people.

    Attributes:
        poses_3d: (P, J, 3) m, body-centred, the studio's vertical along y.
        weights: (P,) how often each pose is drawn.
        bodies: (B, L) `BODY_LENGTHS` of people whose build half of the batch takes, nothing for poses' own lengths.
        skeleton: names the joints.
        exact: the share of people whose joints are without noise.
    """

    poses_3d: Tensor
    weights: Tensor
    bodies: Tensor
    skeleton: Skeleton
    exact: float = 0.3

    def sample(self, count: int, generator: torch.Generator) -> SeenPeople:
        """`count` people."""
        poses = centre_poses(self._turned(self._posed(count, generator), generator), self.skeleton)
        tangent, place = _lens_and_place(count, generator)
        distance = 0.9 * torch.exp(2.3 * _uniform(count, generator) ** 1.2)
        ray = torch.cat([place * tangent[:, None], torch.ones(count, 1)], 1)
        points = poses + (distance.maximum(_NEAREST - poses[..., 2].amin(1)))[:, None, None] * ray[:, None]
        points[..., 2] = points[..., 2].clamp(min=_NEAREST)
        long_side = 320.0
        sizes = long_side * torch.stack([_uniform(count, generator, 0.6, 1.0), torch.ones(count)], 1)
        sizes = torch.where(_chance(count, 0.5, generator)[:, None], sizes, sizes.flip(1))
        focal = long_side / 2 / tangent
        poses_2d = points[..., :2] / points[..., 2:] * focal[:, None, None] + sizes.flip(1)[:, None] / 2
        annotated = _annotated(poses_2d, self.skeleton, generator)
        seen, trust = self._noisy(poses_2d, annotated, generator)
        sizes = torch.where(_chance(count, 0.15, generator)[:, None], torch.nan, sizes)
        return SeenPeople(poses_2d, seen, trust, sizes, poses)

    def _posed(self, count: int, generator: torch.Generator) -> Tensor:
        """(N, J, 3) poses with mirrored ones, others' limbs and other builds among them."""
        poses = self._drawn(count, generator)
        donors = self._drawn(count, generator)
        poses = _with_limbs_of(poses, donors, self.skeleton, generator)
        own = body_lengths(poses, self.skeleton)
        factors = 1 + 0.08 * torch.randn(own.shape, generator=generator).clamp(-2, 2)
        factors[:, BODY_LENGTHS.index("hips")] *= _uniform(count, generator, 1.0, 1.5)
        factors *= _uniform((count, 1), generator, 0.85, 1.1)
        lengths = own * factors
        if len(self.bodies):
            of = torch.randint(len(self.bodies), (count,), generator=generator)
            spread = 1 + 0.03 * torch.randn(own.shape, generator=generator).clamp(-2, 2)
            build = self.bodies[of] * spread
            lengths = torch.where(_chance(count, 0.7, generator)[:, None], build, lengths)
        return _with_lengths(poses, own, lengths, _uniform((count, 1), generator, 0.75, 1.0), self.skeleton)

    def _drawn(self, count: int, generator: torch.Generator) -> Tensor:
        poses = self.poses_3d[torch.multinomial(self.weights, count, True, generator=generator)]
        mirrored = _chance(count, 0.5, generator)[:, None, None]
        return torch.where(mirrored, mirror_poses_3d(poses, self.skeleton), poses)

    def _turned(self, poses: Tensor, generator: torch.Generator) -> Tensor:
        """(N, J, 3) in camera axes: all headings, mostly level cameras, one in six rolled anyhow."""
        count = len(poses)
        heading = 2 * math.pi * _uniform(count, generator)
        elevation = 4 + 14 * torch.randn(count, generator=generator)
        elevation = torch.where(_chance(count, 0.2, generator), _uniform(count, generator, -40, 65), elevation)
        roll = 6 * torch.randn(count, generator=generator)
        roll = torch.where(_chance(count, 1 / 6, generator), _uniform(count, generator, -180, 180), roll)
        rotations = view_rotations(torch.stack([heading, elevation.deg2rad(), roll.deg2rad()], 1))
        return poses @ rotations.transpose(1, 2)

    def _noisy(self, poses_2d: Tensor, annotated: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Joints with noise, of one level for most of a person's joints, and the trust that says so."""
        count, joints = annotated.shape
        level = (
            0.005 * torch.exp(2.5 * _uniform((count, 1), generator)) * _uniform((count, joints), generator, 0.7, 1.5)
        )
        level = torch.where(_chance(count, self.exact, generator)[:, None], 0.0, level)
        centred = poses_2d - poses_2d.mean(1, keepdim=True)
        extent = centred.square().sum(-1, keepdim=True).mean(1, keepdim=True).sqrt()
        noise = torch.randn(poses_2d.shape, generator=generator) * level[..., None] * extent
        return poses_2d + noise, joint_trust(annotated, level)


def _with_limbs_of(poses: Tensor, donors: Tensor, skeleton: Skeleton, generator: torch.Generator) -> Tensor:
    """Arms or legs of some people replaced by another pose's, held to their own shoulders and hips as there."""
    turn = _torso_axes(poses, skeleton) @ _torso_axes(donors, skeleton).transpose(1, 2)
    turned = donors @ turn.transpose(1, 2)
    out = poses.clone()
    for limb, share in ((("shoulder", "elbow", "wrist"), 0.25), (("hip", "knee", "ankle"), 0.1)):
        taken = _chance(len(poses), share, generator)[:, None]
        for side in _SIDES:
            root, *others = skeleton.indices([f"{side}_{part}" for part in limb])
            for joint in others:
                moved = poses[:, root] + turned[:, joint] - turned[:, root]
                out[:, joint] = torch.where(taken, moved, out[:, joint])
    return out


def _torso_axes(poses: Tensor, skeleton: Skeleton) -> Tensor:
    """(N, 3, 3) rotations whose columns are right to left, down the torso and out of the chest."""
    left, right = ({part: _joint(poses, skeleton, side, part) for part in ("hip", "shoulder")} for side in _SIDES)
    down = left["hip"] + right["hip"] - left["shoulder"] - right["shoulder"]
    across = left["hip"] + left["shoulder"] - right["hip"] - right["shoulder"]
    down = torch.nn.functional.normalize(down, dim=-1)
    across = torch.nn.functional.normalize(across - (across * down).sum(-1, keepdim=True) * down, dim=-1)
    return torch.stack([across, down, torch.linalg.cross(across, down)], -1)


def _with_lengths(poses: Tensor, own: Tensor, lengths: Tensor, inner_hips: Tensor, skeleton: Skeleton) -> Tensor:
    """The poses in bodies of other `lengths` (N, L) than their `own`; directions of limbs stay.

    Hips are where annotators of photos click them, farther apart than the joints that legs hang on, whose distance
    is the share `inner_hips` (N, 1) of theirs.
    """
    ratio = dict(zip(BODY_LENGTHS, (lengths / own.clamp(min=1e-3))[..., None].unbind(1), strict=True))
    size = dict(zip(BODY_LENGTHS, lengths[..., None].unbind(1), strict=True))
    out = poses.clone()
    joint = {(side, part): skeleton.index(f"{side}_{part}") for side in _SIDES for part in _PARTS}
    hips = poses[:, [joint["left", "hip"], joint["right", "hip"]]].mean(1)
    shoulders = poses[:, [joint["left", "shoulder"], joint["right", "shoulder"]]].mean(1)
    raised = hips + (shoulders - hips) * ratio["torso"]
    for index in range(len(skeleton)):  # the head, and whatever else a skeleton has
        out[:, index] = raised + (poses[:, index] - shoulders) * ratio["head"]
    for side in _SIDES:
        outwards = (poses[:, joint[side, "hip"]] - hips) * ratio["hips"]
        out[:, joint[side, "hip"]] = hips + outwards * inner_hips
        out[:, joint[side, "shoulder"]] = raised + (poses[:, joint[side, "shoulder"]] - shoulders) * ratio["shoulders"]
        for limb, (a, b) in LIMBS.items():  # a limb comes after the one it hangs on
            along = torch.nn.functional.normalize(poses[:, joint[side, b]] - poses[:, joint[side, a]], dim=-1)
            out[:, joint[side, b]] = out[:, joint[side, a]] + along * size[limb]
        out[:, joint[side, "hip"]] = hips + outwards
    return out


def _lens_and_place(count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """(N,) tangents of half the field of view along the longer side, 26 to 80 degrees, and (N, 2) where the body
    centre is, from -1 to 1 along the longer side."""
    angle = 26 * torch.exp(_uniform(count, generator) * math.log(80 / 26))
    place = torch.randn(count, 2, generator=generator) * torch.tensor([0.4, 0.2])
    return (angle / 2).deg2rad().tan(), place.clamp(-1.1, 1.1)


def _annotated(poses_2d: Tensor, skeleton: Skeleton, generator: torch.Generator) -> Tensor:
    """(N, J) bool: all joints of two in five, some of others: any, cut off by a border, whole limbs."""
    count, joints = poses_2d.shape[:2]
    kind = torch.rand(count, 1, generator=generator)
    any_joint = torch.rand(count, joints, generator=generator) > 0.5 * torch.rand(count, 1, generator=generator)
    angle = 0.5 * math.pi * torch.randint(4, (count, 1), generator=generator)
    angle = torch.where(_chance(count, 0.6, generator)[:, None], 0.5 * math.pi, angle)  # mostly the lower border
    along = poses_2d[..., 0] * angle.cos() + poses_2d[..., 1] * angle.sin()
    low, high = along.amin(1, keepdim=True), along.amax(1, keepdim=True)
    inside = along <= low + (high - low) * _uniform((count, 1), generator, 0.25, 1.0)
    limbs = torch.ones(count, joints, dtype=torch.bool)
    for parts in (("elbow", "wrist"), ("wrist",), ("knee", "ankle"), ("ankle",)):
        for side in _SIDES:
            missing = _chance(count, 0.2, generator)[:, None]
            limbs[:, skeleton.indices([f"{side}_{part}" for part in parts])] &= ~missing
    out = torch.where(kind < 0.4, True, torch.where(kind < 0.6, any_joint, torch.where(kind < 0.85, inside, limbs)))
    return out | ~is_liftable(out, skeleton)[:, None]


def _uniform(shape: int | tuple[int, ...], generator: torch.Generator, low: float = 0.0, high: float = 1.0) -> Tensor:
    return low + (high - low) * torch.rand(shape, generator=generator)


def _chance(count: int, share: float, generator: torch.Generator) -> Tensor:
    """(N,) bool."""
    return torch.rand(count, generator=generator) < share

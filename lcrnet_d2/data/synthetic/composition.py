"""Who stands where: 1 to 4 people of motion capture on the ground before a camera (J joints of BODY13)."""

from __future__ import annotations

from functools import lru_cache
from math import cos, exp, log, pi, sin
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ...structures import BODY13
from .camera import Camera, aim_camera, sample_height_above_ground
from .figure import JOINT_RADII

__all__ = ["SPLITS", "Composition", "Person", "compose", "poses_of_split"]

#: The position of a split in this tuple is part of the seed of its scenes.
SPLITS = ("train", "val", "test")

_POSES = Path(__file__).with_name("cmu_poses.npz")
_NUM_PEOPLE = ((1, 2, 3, 4), (0.22, 0.34, 0.26, 0.18))
_TRUNCATED = 0.3  # of the people may be cut by the image border
_MIN_SHARE = 0.36  # of the image height, the least stature of a person in the image
_MIN_DEPTH = 0.6  # metres from the camera to the nearest joint
_MIN_GAP = 0.2  # metres between joints of different people
_ATTEMPTS = 20


class Person(NamedTuple):
    """joints: (J, 3) m; size: 1 = an average adult, thicknesses are multiplied by it."""

    joints: np.ndarray
    size: float


class Composition(NamedTuple):
    """A camera, and people in its axes."""

    camera: Camera
    people: list[Person]


@lru_cache
def poses_of_split(split: str) -> np.ndarray:
    """(N, J, 3) m, body-centred, y down: a fifth of the takes is val's, a fifth test's, the others are train's.

    Raises:
        ValueError: no such split.
    """
    if split not in SPLITS:
        raise ValueError(f"no synthetic split {split!r}; there are {SPLITS}")
    with np.load(_POSES, allow_pickle=False) as file:
        assert tuple(file["joint_names"].tolist()) == BODY13.joints
        remainders = {"train": (0, 1, 2), "val": (3,), "test": (4,)}[split]
        return file["poses_3d"].astype(np.float64)[np.isin(file["take_index"] % 5, remainders)]


def compose(rng: np.random.Generator, image_size: tuple[int, int], split: str = "train") -> Composition:
    """Draws a scene of at least one person, nobody inside anybody else.

    Args:
        image_size: (H, W).
        split: whose poses, one of SPLITS.
    """
    truncated, first, attempt = rng.random() < _TRUNCATED, _sample_person(rng, split), 0
    while True:  # in an image too narrow for anybody the last camera drawn stays
        share = exp(rng.uniform(log(0.55), log(1.6 if truncated else 0.97)))
        camera, distance = aim_camera(rng, image_size, sample_height_above_ground(rng), share)
        placed = [_placed(rng, camera, first, distance, [], truncated)]
        attempt += 1
        if attempt == 3 * _ATTEMPTS or _fits(camera, placed[0], [], truncated):
            break
    for _ in range(int(rng.choice(_NUM_PEOPLE[0], p=_NUM_PEOPLE[1])) - 1):
        other, truncated = _sample_person(rng, split), rng.random() < _TRUNCATED
        for _ in range(_ATTEMPTS):
            depth = distance * exp(rng.uniform(log(0.75), log(1.35)))
            person = _placed(rng, camera, other, depth, placed, truncated)
            if _fits(camera, person, placed, truncated):
                placed.append(person)
                break
    return Composition(camera, placed)


def _sample_person(rng: np.random.Generator, split: str) -> Person:
    """A pose, or its mirror image, turned to any side; tall, small, or a child (8 %). The lowest skin is at y = 0."""
    poses = poses_of_split(split)
    pose = poses[rng.integers(len(poses))]
    if rng.random() < 0.5:
        pose = pose[BODY13.flip_indices] * [-1, 1, 1]
    size = rng.uniform(0.65, 0.82) if rng.random() < 0.08 else float(np.clip(rng.normal(1, 0.06), 0.85, 1.15))
    yaw = rng.uniform(0, 2 * pi)
    turned = size * pose @ np.array([[cos(yaw), 0, -sin(yaw)], [0, 1, 0], [sin(yaw), 0, cos(yaw)]])
    turned[:, 1] -= (turned[:, 1] + size * JOINT_RADII).max()
    return Person(turned, size)


def _placed(
    rng: np.random.Generator, camera: Camera, person: Person, depth: float, others: list[Person], truncated: bool
) -> Person:
    """The person standing at a depth, in camera axes: often beside somebody else, so that they hide each other."""
    if others and rng.random() < 0.55:
        other = others[rng.integers(len(others))].joints.mean(0)
        width = 0.45 * camera.fx / other[2]  # px of a person at the other's distance
        column = float(camera.project(other)[0]) + rng.choice([-1, 1]) * rng.uniform(0.35, 1.6) * width
    else:
        margin = -0.04 if truncated else 0.08
        column = camera.width * rng.uniform(margin, 1 - margin)
    ground = np.array([(column - camera.cx) / camera.fx * depth, camera.above_ground, depth])
    return Person((person.joints + ground) @ camera.rotation.T, person.size)


def _fits(camera: Camera, person: Person, others: list[Person], truncated: bool) -> bool:
    """Whether a person (camera axes) may stand there: as large as wanted, cut only if truncated, beside the others."""
    joints = person.joints
    if joints[:, 2].min() < _MIN_DEPTH:
        return False
    if 1.7 * person.size * camera.fy / joints[:, 2].mean() < _MIN_SHARE * camera.height:
        return False
    inside = camera.contains(camera.project(joints)).mean()
    if (inside == 1 if truncated else inside < 1) or inside < 0.35:
        return False
    gaps = [np.linalg.norm(joints[:, None] - other.joints, axis=-1).min() for other in others]
    return min(gaps, default=np.inf) > _MIN_GAP

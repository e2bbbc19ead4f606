"""The floor people stand on, and their places above it: world coordinates of a camera that stands still.

World axes: x right, y up, z towards the camera, right-handed; the origin is on the floor, below the camera; metres.
Shapes: N people of all images, J joints.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ..detected_people import DetectedPeople

__all__ = ["Floor", "find_floor"]

_ANKLE_M = 0.08  # above the floor, of somebody who stands
#: How far feet are off the floor (m), and floors from square to people (a slope, 10 degrees), as standard deviations.
_FEET_M, _SLOPE = 0.1, 0.18
_ROUNDS = 20  # of least squares, in which feet in the air come to count less


class Floor(NamedTuple):
    """
    Attributes:
        rotation: (3, 3) rows are the world's axes in camera axes.
        height: of the camera above the floor, m.
    """

    rotation: np.ndarray
    height: float

    def to_world(self, points: np.ndarray) -> np.ndarray:
        """(..., 3) points of camera space (x right, y down, z away) in world coordinates."""
        return points @ self.rotation.T + [0.0, self.height, 0.0]


def find_floor(everyone: Sequence[DetectedPeople]) -> Floor | None:
    """The plane through the feet of everyone, image by image, who was placed and whose feet are in the image.

    Least squares, in which a foot counts the less the farther it is off the plane, and the plane's slope against how
    people stand costs as well: the feet of one person who stands still say nothing of it. None if no feet are seen.
    """
    found = [_feet(people) for people in everyone if people.translations is not None and len(people)]
    if not sum(len(feet) for feet, _ in found):
        return None
    places, up = (np.concatenate(part) for part in zip(*found, strict=True))
    # Axes in which people stand upright; each plane is y = ax + bz + c in them.
    standing = _axes(up.mean(0))
    x, y, z = (places @ standing.T).T
    terms = np.stack([x, z, np.ones(len(x))], 1)
    cost = np.diag([(_FEET_M / _SLOPE) ** 2] * 2 + [0.0])
    weights = np.ones(len(x))
    slope = np.zeros(3)
    for _ in range(_ROUNDS):
        weighted = terms * weights[:, None]
        slope = np.linalg.solve(weighted.T @ terms + cost, weighted.T @ y)
        weights = 1 / (1 + ((y - terms @ slope) / _FEET_M) ** 2)  # Cauchy's
    normal = np.array([-slope[0], 1.0, -slope[1]]) @ standing
    length = float(np.linalg.norm(normal))
    return Floor(_axes(normal), float(-slope[2] / length) + _ANKLE_M)


def _feet(people: DetectedPeople) -> tuple[np.ndarray, np.ndarray]:
    """(N, 3) lower ankles in camera space of the people placed, and (N, 3) directions from feet to shoulders."""
    poses = people.in_camera().astype(np.float64)
    pairs = [people.skeleton.indices([f"left_{joint}", f"right_{joint}"]) for joint in ("ankle", "shoulder")]
    ankles, shoulders = poses[:, pairs[0]], poses[:, pairs[1]].mean(1)
    up = shoulders - ankles.mean(1)
    along = (ankles * up[:, None]).sum(-1)
    lower = np.take_along_axis(ankles, along.argmin(1)[:, None, None], 1)[:, 0]
    seen = people.in_image[:, pairs[0]].all(1) & np.isfinite(poses[:, pairs[0] + pairs[1]]).all((1, 2))
    return lower[seen], (up / np.linalg.norm(up, axis=1, keepdims=True))[seen]


def _axes(up: np.ndarray) -> np.ndarray:
    """(3, 3) rows x, y, z: y along `up`, z as near as that allows to the way back to the camera."""
    y = up / np.linalg.norm(up)
    back = np.array([0.0, 0.0, -1.0]) if abs(y[2]) < 0.99 else np.array([0.0, -1.0, 0.0])  # a camera that looks down
    z = back - (back @ y) * y
    z /= np.linalg.norm(z)
    return np.stack([np.cross(y, z), y, z])

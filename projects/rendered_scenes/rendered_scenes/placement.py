"""Camera and where people stand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import atan2, cos, exp, log, radians, sin

import numpy as np

from lcrnet_d2.data.synthetic.camera import Camera

from .shots import Framing

__all__ = ["Place", "sample_camera", "sample_image_size", "sample_places"]

_SIZES = ((256, 320), (320, 256), (240, 320), (320, 240), (288, 288))


@dataclass(frozen=True)
class Place:
    """foot: (3,) world metres on the ground (y down); heading: radians about the vertical."""

    foot: np.ndarray
    heading: float

    @property
    def turn(self) -> np.ndarray:
        """(3, 3): `points @ turn` turns what faces the camera to this heading."""
        c, s = np.cos(self.heading), np.sin(self.heading)
        return np.array([[c, 0, -s], [0, 1, 0], [s, 0, c]])


def sample_image_size(rng: np.random.Generator) -> tuple[int, int]:
    """(H, W)."""
    return _SIZES[rng.choice(len(_SIZES), p=[0.32, 0.28, 0.14, 0.12, 0.14])]


def sample_camera(
    rng: np.random.Generator,
    image_size: tuple[int, int],
    framing: Callable[[np.random.Generator], Framing],
    subject_height: float,
) -> tuple[Camera, float]:
    """A camera that shows a subject, `subject_height` metres tall, as `framing` asks.

    Vertical field of view 24 to 68 degrees; looking at the subject, a little off the middle; rolled.

    Returns:
        the camera and the subject's distance along the ground in metres.
    """
    height, width = image_size
    focal = height / (2 * np.tan(radians(exp(rng.uniform(log(24), log(68)))) / 2))
    wanted = framing(rng)
    above = wanted.above
    distance = max(subject_height * focal / (height * wanted.share), wanted.nearest)
    off_middle = rng.uniform(-0.1, 0.1) * height
    pitch = atan2(above - wanted.aim, distance) - atan2(off_middle, focal)
    roll = radians(float(np.clip(rng.normal(0, 3.0), -9, 9)) if rng.random() < 0.9 else rng.uniform(-25, 25))
    cp, sp, cr, sr = cos(pitch), sin(pitch), cos(roll), sin(roll)
    pitched = np.array([[1.0, 0.0, 0.0], [0.0, cp, -sp], [0.0, sp, cp]])
    rolled = np.array([[cr, -sr, 0.0], [sr, cr, 0.0], [0.0, 0.0, 1.0]])
    cx, cy = width * rng.uniform(0.48, 0.52), height * rng.uniform(0.48, 0.52)
    return Camera(focal, focal, cx, cy, height, width, rolled @ pitched, above), distance


def sample_places(
    rng: np.random.Generator, camera: Camera, distance: float, count: int, crowded: bool = False
) -> list[Place]:
    """The subject's place and those of up to count - 1 others, at least 0.45 m from each other.

    The others stand nearer and farther, anywhere; in a crowd beside and behind the subject, where one hides the other.
    """
    column = rng.uniform(0.35, 0.65)
    feet = [_on_ground(camera, column, distance)]
    gap = rng.choice([0.45, 0.6, 0.9])  # crowded or loose
    for _ in range(count - 1):
        for _ in range(12):
            away = distance * exp(rng.normal(0.25, 0.45))
            if away > 25:
                continue
            if crowded:
                away = distance + rng.uniform(-0.5, 1.2)
                foot = _on_ground(camera, column, max(away, 0.9)) + np.array([rng.uniform(-0.9, 0.9), 0.0, 0.0])
            else:
                foot = _on_ground(camera, rng.uniform(-0.02, 1.02), max(away, 0.9))
            if min(float(np.linalg.norm(foot - other)) for other in feet) > (0.4 if crowded else gap):
                feet.append(foot)
                break
    return [Place(foot, rng.uniform(0, 2 * np.pi)) for foot in feet]


def _on_ground(camera: Camera, column: float, distance: float) -> np.ndarray:
    """(3,) on the ground at a distance along the view and a share of the picture's width."""
    x = (column * camera.width - camera.cx) / camera.fx * distance
    return np.array([x, camera.above_ground, distance])

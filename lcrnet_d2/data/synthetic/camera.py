"""A perspective camera above a ground plane, and how one is drawn at random.

World axes: x right, y down, z away, level; the camera is at the origin and the ground at y = `above_ground`.
Camera axes: x right, y down, z along the view. Pixels are continuous: the first pixel covers [0, 1).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import atan2, cos, degrees, exp, log, radians, sin

import numpy as np

__all__ = ["Camera", "aim_camera", "sample_height_above_ground"]


@dataclass(frozen=True)
class Camera:
    """Focal lengths and principal point in pixels, image size, and the pose above the ground.

    Attributes:
        rotation: (3, 3), world axes to camera axes.
        above_ground: metres.
    """

    fx: float
    fy: float
    cx: float
    cy: float
    height: int
    width: int
    rotation: np.ndarray
    above_ground: float

    def project(self, points: np.ndarray) -> np.ndarray:
        """(..., 2) continuous pixels of (..., 3) points in camera axes; z must be positive."""
        x, y, z = np.moveaxis(np.asarray(points), -1, 0)
        return np.stack([self.fx * x / z + self.cx, self.fy * y / z + self.cy], -1)

    def contains(self, pixels: np.ndarray) -> np.ndarray:
        """(...) bool: (..., 2) continuous pixels inside the image."""
        x, y = np.moveaxis(np.asarray(pixels), -1, 0)
        return (x >= 0) & (x < self.width) & (y >= 0) & (y < self.height)

    def columns_rows(self) -> tuple[np.ndarray, np.ndarray]:
        """x / z of every pixel column (W,) and y / z of every row (H,), at pixel centres, float32."""
        x = (np.arange(self.width) + 0.5 - self.cx) / self.fx
        y = (np.arange(self.height) + 0.5 - self.cy) / self.fy
        return x.astype(np.float32), y.astype(np.float32)


def sample_height_above_ground(rng: np.random.Generator) -> float:
    """Metres: mostly hand-held (0.9 to 1.8), sometimes near the ground or up to 4 m."""
    low, high = ((0.9, 1.8), (0.35, 0.9), (1.8, 4.0))[rng.choice(3, p=(0.66, 0.12, 0.22))]
    return rng.uniform(low, high)


def aim_camera(
    rng: np.random.Generator, image_size: tuple[int, int], above_ground: float, subject_share: float
) -> tuple[Camera, float]:
    """A camera that sees an upright adult at about `subject_share` of the image height.

    Vertical field of view 28 to 62 degrees, tilted so that the subject's middle is near the middle of the
    image, rolled by a few degrees.

    Returns:
        the camera, and the subject's distance in metres along the ground.
    """
    height, width = image_size
    focal = height * exp(rng.uniform(log(0.83), log(2.0)))
    distance = max(1.7 * focal / (height * subject_share), 1.7)
    off_middle = rng.uniform(-0.12, 0.12) * height
    pitch = degrees(atan2(above_ground - 0.9, distance)) - degrees(atan2(off_middle, focal))
    roll = float(np.clip(rng.normal(0, 2.5), -7, 7))
    cx, cy = width * rng.uniform(0.48, 0.52), height * rng.uniform(0.48, 0.52)
    return Camera(focal, focal, cx, cy, height, width, _rolled(roll) @ _pitched(pitch), above_ground), distance


def _pitched(angle: float) -> np.ndarray:
    """World to camera axes of a camera that looks `angle` degrees downwards."""
    c, s = cos(radians(angle)), sin(radians(angle))
    return np.array([[1.0, 0.0, 0.0], [0.0, c, -s], [0.0, s, c]])


def _rolled(angle: float) -> np.ndarray:
    """Turns the image clockwise by `angle` degrees."""
    c, s = cos(radians(angle)), sin(radians(angle))
    return np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])

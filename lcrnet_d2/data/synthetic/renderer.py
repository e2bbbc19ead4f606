"""A painter with a depth buffer: round limbs with shading, and flat boards, over a background.

Everything is in camera axes (x right, y down, z away), metres; colours are BGR in [0, 1].
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

from .camera import Camera

__all__ = ["OBJECT_OWNER", "Canvas", "Limb", "draw_board", "draw_limb"]

#: Owner of what is nobody's body; people are 1, 2, ...
OBJECT_OWNER = 255

_NEAR = 0.2  # metres; what reaches nearer to the camera is left out


class Canvas:
    """What is seen at each pixel.

    Attributes:
        image: (H, W, 3) float32, starts as the background.
        depth: (H, W) float32 metres along z, inf on the background.
        owner: (H, W) uint8, 0 on the background.
        light: (3,) unit vector towards the lamp. contrast: 0 to 1, how much darker its far side is.
    """

    def __init__(self, camera: Camera, background: np.ndarray, light: np.ndarray, contrast: float) -> None:
        self.camera, self.image, self.light, self.contrast = camera, background, light, contrast
        self.depth = np.full((camera.height, camera.width), np.inf, np.float32)
        self.owner = np.zeros((camera.height, camera.width), np.uint8)


class Limb(NamedTuple):
    """A round limb from start to end (3,) m, of a radius at each, with stripes across where `second` is a colour."""

    start: np.ndarray
    end: np.ndarray
    radii: tuple[float, float]
    colour: np.ndarray
    second: np.ndarray | None = None


def draw_limb(canvas: Canvas, limb: Limb, owner: int) -> None:
    """Draws a limb where it is nearer than what is there.

    In the image it is the set of discs between those of its two ends; across, its surface bulges towards the camera
    as a ball of that radius does.
    """
    camera = canvas.camera
    ends = np.stack([limb.start, limb.end])
    if ends[:, 2].min() < _NEAR:
        return
    (x0, y0), (x1, y1) = camera.project(ends).tolist()
    r0, r1 = (camera.fy * np.array(limb.radii) / ends[:, 2]).tolist()  # px
    left, right = _span(min(x0 - r0, x1 - r1), max(x0 + r0, x1 + r1), camera.width)
    top, bottom = _span(min(y0 - r0, y1 - r1), max(y0 + r0, y1 + r1), camera.height)
    if left >= right or top >= bottom:
        return
    x = np.arange(left, right, dtype=np.float32) + np.float32(0.5 - x0)
    y = np.arange(top, bottom, dtype=np.float32)[:, None] + np.float32(0.5 - y0)
    length2 = max((x1 - x0) ** 2 + (y1 - y0) ** 2, 1e-6)
    along = np.clip(x * np.float32((x1 - x0) / length2) + y * np.float32((y1 - y0) / length2), 0, 1)
    radius = np.float32(r0) + along * np.float32(r1 - r0)
    across_x = (x - along * np.float32(x1 - x0)) / radius
    across_y = (y - along * np.float32(y1 - y0)) / radius
    bulge = 1 - across_x**2 - across_y**2
    bulge_depth = np.sqrt(np.maximum(bulge, 0))
    near, far = 1 / ends[:, 2]  # 1 / z is linear along the image of a line
    middle = 1 / (np.float32(near) + along * np.float32(far - near))
    depth = middle * (1 - bulge_depth * radius * np.float32(1 / camera.fy))
    window = np.s_[top:bottom, left:right]
    seen = (bulge > 0) & (depth < canvas.depth[window])
    canvas.depth[window][seen] = depth[seen]
    canvas.owner[window][seen] = owner
    normal = np.stack([across_x[seen], across_y[seen], -bulge_depth[seen]], -1)
    canvas.image[window][seen] = _colours(limb, along[seen]) * _brightness(canvas, normal)[:, None]


def draw_board(canvas: Canvas, corners: np.ndarray, depth: float, colour: np.ndarray, owner: int) -> None:
    """Draws a flat convex board that faces the camera: corners (N, 2) px, all at one depth in metres."""
    mask = np.zeros(canvas.owner.shape, np.uint8)
    cv2.fillConvexPoly(mask, np.round(corners).astype(np.int32), 1)
    seen = (mask > 0) & (depth < canvas.depth)
    canvas.depth[seen], canvas.owner[seen] = depth, owner
    canvas.image[seen] = colour * _brightness(canvas, np.array([[0.0, 0.0, -1.0]]))


def _span(low: float, high: float, size: int) -> tuple[int, int]:
    """First and one past the last of `size` pixels that the interval touches."""
    return int(np.clip(np.floor(low), 0, size)), int(np.clip(np.ceil(high), 0, size))


def _colours(limb: Limb, along: np.ndarray) -> np.ndarray:
    """(N, 3) colours at shares (N,) of the way from start to end; four pairs of stripes."""
    if limb.second is None:
        return np.broadcast_to(limb.colour, (len(along), 3))
    return np.where((along * 8 % 2 < 1)[:, None], limb.colour, limb.second)


def _brightness(canvas: Canvas, normal: np.ndarray) -> np.ndarray:
    """(N,) of surfaces with normals (N, 3): from 1 - contrast on the far side to 1 towards the lamp."""
    return (1 - canvas.contrast * (0.5 - 0.5 * (normal @ canvas.light))).astype(np.float32)

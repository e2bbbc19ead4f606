"""What is behind the people: a backdrop, textured ground in perspective, and clutter."""

from __future__ import annotations

import cv2
import numpy as np

from .camera import Camera
from .figure import random_colour

__all__ = ["paint_background", "smooth_noise"]

_TEXTURE = 64  # px


def smooth_noise(rng: np.random.Generator, shape: tuple[int, int], cells: int, channels: int = 1) -> np.ndarray:
    """(H, W, channels) float32 in [-1, 1], smooth over about 1 / cells of the image."""
    coarse = rng.uniform(-1, 1, (cells, cells, channels)).astype(np.float32)
    noise = cv2.resize(coarse, shape[::-1], interpolation=cv2.INTER_LINEAR)
    return noise.reshape(*shape, channels)


def paint_background(rng: np.random.Generator, camera: Camera) -> np.ndarray:
    """(H, W, 3) float32 BGR in [0, 1]."""
    shape = (camera.height, camera.width)
    first, second = random_colour(rng), random_colour(rng)
    image = first + np.linspace(0, 1, shape[0], dtype=np.float32)[:, None, None] * (second - first)
    image = image + smooth_noise(rng, shape, int(rng.integers(3, 9)), 3) * np.float32(rng.uniform(0, 0.2))
    image += smooth_noise(rng, shape, int(rng.integers(15, 70))) * np.float32(rng.uniform(0, 0.2))
    _scatter_shapes(rng, image, int(rng.integers(0, 12)))
    _paint_ground(rng, camera, image)
    _scatter_strokes(rng, image, int(rng.integers(0, 7)))
    return np.clip(image, 0, 1)


def _scatter_shapes(rng: np.random.Generator, image: np.ndarray, count: int) -> None:
    """Rectangles, ellipses and polygons: windows, walls, trees, signs."""
    height, width = image.shape[:2]
    for _ in range(count):
        centre, colour = rng.uniform([0, 0], [width, height]), random_colour(rng).tolist()
        size = np.exp(rng.uniform(np.log(0.02), np.log(0.3), 2)) * height
        kind = rng.integers(3)
        if kind == 0:
            cv2.rectangle(image, (centre - size).astype(int).tolist(), (centre + size).astype(int).tolist(), colour, -1)
        elif kind == 1:
            axes = size.astype(int).tolist()
            cv2.ellipse(image, centre.astype(int).tolist(), axes, rng.uniform(0, 180), 0, 360, colour, -1, cv2.LINE_AA)
        else:
            corners = (centre + rng.normal(0, 1, (int(rng.integers(3, 6)), 2)) * size).astype(np.int32)
            cv2.fillPoly(image, [corners], colour, cv2.LINE_AA)


def _scatter_strokes(rng: np.random.Generator, image: np.ndarray, count: int) -> None:
    """Limb-like strokes, some jointed: what is long and thin is not always a limb."""
    height, width = image.shape[:2]
    for _ in range(count):
        colour, thickness = random_colour(rng).tolist(), int(rng.integers(2, max(3, height // 14)))
        point = rng.uniform([0, 0], [width, height])
        for _ in range(int(rng.integers(1, 4))):
            end = point + rng.normal(0, 0.13 * height, 2)
            cv2.line(image, point.astype(int).tolist(), end.astype(int).tolist(), colour, thickness, cv2.LINE_AA)
            point = end


def _paint_ground(rng: np.random.Generator, camera: Camera, image: np.ndarray) -> None:
    """Paints the textured ground plane below the horizon."""
    texture, scale, turn = _ground_texture(rng), rng.uniform(20, 60), rng.uniform(0, np.pi)  # scale: texels per metre
    x, y = camera.columns_rows()
    r = camera.rotation.astype(np.float32)  # world direction of a ray = r^T (x, y, 1)
    east, down, north = (r[0, k] * x + (r[1, k] * y + r[2, k])[:, None] for k in range(3))
    distance = np.float32(camera.above_ground) / np.maximum(down, np.float32(1e-3))
    # Beyond 60 m the texture is finer than a pixel; more would leave the range of OpenCV's fixed-point coordinates.
    east, north = (np.clip(direction * distance, -60, 60) for direction in (east, north))
    c, s = np.float32(np.cos(turn) * scale), np.float32(np.sin(turn) * scale)
    ground = cv2.remap(texture, east * c + north * s, north * c - east * s, cv2.INTER_LINEAR, None, cv2.BORDER_WRAP)
    fade = np.minimum(distance * np.float32(1 / rng.uniform(8, 40)), 1)[..., None]
    ground += fade * (texture.mean((0, 1)) - ground)
    weight = np.clip(down * np.float32(0.5 * camera.fy), 0, 1)[..., None]
    image += weight * (ground - image)


def _ground_texture(rng: np.random.Generator) -> np.ndarray:
    """(64, 64, 3) float32 that repeats: one colour, planks or checks, with grain."""
    texture = np.tile(random_colour(rng), (_TEXTURE, _TEXTURE, 1))
    second, kind = random_colour(rng), rng.integers(3)
    if kind == 1:
        texture[: rng.integers(2, 32)] = second
    elif kind == 2:
        texture[:32, :32] = texture[32:, 32:] = second
    grain = rng.uniform(-1, 1, (_TEXTURE, _TEXTURE, 1)).astype(np.float32)
    return texture + grain * np.float32(rng.uniform(0, 0.25))

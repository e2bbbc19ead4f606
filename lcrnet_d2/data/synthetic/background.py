"""What is behind the people: backdrop, textured ground in perspective, clutter and shadows."""

from __future__ import annotations

import cv2
import numpy as np

from .camera import Camera
from .paints import random_colour

__all__ = ["paint_background", "smooth_noise"]


def smooth_noise(rng: np.random.Generator, shape: tuple[int, int], cells: int, channels: int = 1) -> np.ndarray:
    """(H, W, channels) float32 in [-1, 1], smooth over about 1 / cells of the image."""
    coarse = rng.uniform(-1, 1, (cells, cells, channels)).astype(np.float32)
    noise = cv2.resize(coarse, shape[::-1], interpolation=cv2.INTER_LINEAR)
    return noise.reshape(*shape, channels)


def paint_background(rng: np.random.Generator, camera: Camera, shadows: np.ndarray | None) -> np.ndarray:
    """(H, W, 3) float32 BGR in [0, 1].

    Args:
        shadows: (H, W) float32 in [0, 1], how much darker the ground is, or None.
    """
    image = _backdrop(rng, (camera.height, camera.width))
    _scatter_shapes(rng, image, int(rng.integers(0, 12)))
    weight = _add_ground(rng, camera, image)
    _scatter_limbs(rng, image, int(rng.integers(0, 7)))
    if shadows is not None:
        image *= (1 - shadows * weight)[..., None]
    return np.clip(image, 0, 1)


def _backdrop(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """A gradient between two colours with coarse and fine noise, drawn at half size."""
    full, shape = shape, (-(-shape[0] // 2), -(-shape[1] // 2))
    first, second = (random_colour(rng).astype(np.float32) for _ in range(2))
    axis = np.linspace(0, 1, shape[0], dtype=np.float32)[:, None, None]
    image = np.broadcast_to(first + axis * (second - first), (*shape, 3)).copy()
    image += smooth_noise(rng, shape, int(rng.integers(3, 9)), 3) * np.float32(rng.uniform(0, 0.2))
    image += smooth_noise(rng, shape, int(rng.integers(15, 70))) * np.float32(rng.uniform(0, 0.2))
    return np.asarray(cv2.resize(image, full[::-1], interpolation=cv2.INTER_LINEAR))


def _colour(rng: np.random.Generator) -> tuple[float, float, float]:
    blue, green, red = random_colour(rng).tolist()
    return blue, green, red


def _scatter_shapes(rng: np.random.Generator, image: np.ndarray, count: int) -> None:
    """Rectangles, ellipses, triangles and stripes: windows, walls, trees, signs."""
    height, width = image.shape[:2]
    for _ in range(count):
        centre = rng.uniform([0, 0], [width, height])
        size = np.exp(rng.uniform(np.log(0.02), np.log(0.3), 2)) * height
        kind = rng.integers(4)
        colour = _colour(rng)
        if kind == 0:
            first, second = (centre - size).astype(int), (centre + size).astype(int)
            cv2.rectangle(image, first.tolist(), second.tolist(), colour, -1)
        elif kind == 1:
            axes = size.astype(int).tolist()
            cv2.ellipse(image, centre.astype(int).tolist(), axes, rng.uniform(0, 180), 0, 360, colour, -1, cv2.LINE_AA)
        elif kind == 2:
            corners = (centre + rng.normal(0, 1, (int(rng.integers(3, 6)), 2)) * size).astype(np.int32)
            cv2.fillPoly(image, [corners], colour, cv2.LINE_AA)
        else:
            step = rng.uniform(4, 25)
            for k in range(int(rng.integers(3, 10))):
                x = int(centre[0] + k * step)
                cv2.line(image, (x, int(centre[1] - size[1])), (x, int(centre[1] + size[1])), colour, 1, cv2.LINE_AA)


def _scatter_limbs(rng: np.random.Generator, image: np.ndarray, count: int) -> None:
    """Limb-like strokes of limb-like colours, some jointed: what is long and thin is not always a limb."""
    height, width = image.shape[:2]
    for _ in range(count):
        colour = _colour(rng)
        thickness = int(rng.integers(2, max(3, height // 14)))
        point = rng.uniform([0, 0], [width, height])
        for _ in range(int(rng.integers(1, 4))):
            end = point + rng.normal(0, 0.13 * height, 2)
            cv2.line(image, point.astype(int).tolist(), end.astype(int).tolist(), colour, thickness, cv2.LINE_AA)
            point = end


def _add_ground(rng: np.random.Generator, camera: Camera, image: np.ndarray) -> np.ndarray:
    """Paints the textured ground plane into the image; (H, W) its weight: 1 on the ground, 0 above the horizon."""
    x, y = camera.columns_rows()
    r = camera.rotation.astype(np.float32)  # world direction of a ray = r^T (x, y, 1)
    weight = np.clip((r[0, 1] * x + (r[1, 1] * y + r[2, 1])[:, None]) * np.float32(0.5 * camera.fy), 0, 1)
    below = np.flatnonzero(weight.any(1))
    texture = _ground_texture(rng)
    turn, scale, far = rng.uniform(0, np.pi), rng.uniform(20, 60), rng.uniform(8, 40)  # scale: texels per metre
    if len(below) == 0:
        return weight
    top = below[0]
    east, down, north = (r[0, k] * x + (r[1, k] * y[top:] + r[2, k])[:, None] for k in range(3))
    distance = np.float32(camera.above_ground) / np.maximum(down, np.float32(1e-3))
    # Beyond 60 m the texture is finer than a pixel; more would leave the range of OpenCV's fixed-point coordinates.
    east, north = (np.clip(direction * distance, -60, 60) for direction in (east, north))
    c, s = np.float32(np.cos(turn) * scale), np.float32(np.sin(turn) * scale)
    maps = (east * c + north * s, north * c - east * s)
    colours = cv2.remap(texture, *maps, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
    fade = np.minimum(distance * np.float32(1 / far), 1)[..., None]
    colours += fade * (texture.mean((0, 1)) - colours)
    image[top:] += weight[top:, :, None] * (colours - image[top:])
    return weight


def _ground_texture(rng: np.random.Generator) -> np.ndarray:
    """(64, 64, 3) float32 that repeats: noise, tiles, planks or checks."""
    size = 64
    texture = np.tile(random_colour(rng).astype(np.float32), (size, size, 1))
    kind = rng.integers(4)
    second = random_colour(rng).astype(np.float32)
    if kind == 1:
        texture[: rng.integers(1, 6)] = second
        texture[:, : rng.integers(1, 6)] = second
    elif kind == 2:
        texture[: rng.integers(2, 32)] = second
    elif kind == 3:
        texture[:32, :32] = texture[32:, 32:] = second
    grain = rng.uniform(-1, 1, (size, size, 1)).astype(np.float32)
    return texture + grain * np.float32(rng.uniform(0, 0.25))

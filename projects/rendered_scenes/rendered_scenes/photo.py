"""From drawn buffers to something that looks photographed: light that fits the background, lens, sensor, JPEG."""

from __future__ import annotations

import cv2
import numpy as np

from .gl_renderer import SUPERSAMPLING, Buffers, Lighting

__all__ = ["composite", "light_of", "photographed"]


def light_of(rng: np.random.Generator, background: np.ndarray) -> Lighting:
    """A light whose colour and strength fit a background (H, W, 3) sRGB in [0, 1]."""
    linear = background**2.2
    rows = len(linear) // 3
    sky, ground = linear[:rows].mean((0, 1)), linear[-rows:].mean((0, 1))
    mean = linear.mean((0, 1))
    level = float(np.clip(mean.mean() ** 0.5 * 1.3, 0.42, 1.0))
    hardness = rng.uniform(0.05, 0.85)
    azimuth, elevation = rng.uniform(0, 2 * np.pi), np.arcsin(rng.uniform(0.3, 1.0))
    towards = np.array([np.cos(azimuth) * np.cos(elevation), -np.sin(elevation), np.sin(azimuth) * np.cos(elevation)])
    tint = _tint(mean, 0.35) * rng.normal(1, 0.03, 3)
    sun = 1.5 * level * hardness * tint * (1 + np.array([0.06, 0.0, -0.08]) * rng.uniform(-0.3, 1.5))
    ambient = level * (1.0 - 0.65 * hardness)
    return Lighting(
        towards,
        sun,
        1.05 * ambient * _tint(sky, 0.4),
        ambient * rng.uniform(0.35, 0.6) * _tint(ground, 0.5),
        float(hardness * rng.uniform(0.55, 0.8)),
    )


def _tint(colour: np.ndarray, share: float) -> np.ndarray:
    """(3,) around 1: a share of the way from white to the hue of a linear colour."""
    hue = (colour + 0.02) / (colour + 0.02).mean()
    return np.clip(1 + share * (hue - 1), 0.5, 1.6)


def composite(buffers: Buffers, background: np.ndarray) -> np.ndarray:
    """(H, W, 3) drawn pixels over the background, averaged down to its size."""
    height, width = background.shape[:2]
    rgba = buffers.colour.astype(np.float32) * np.float32(1 / 255)
    alpha = rgba[..., 3:]
    rgba[..., :3] *= alpha  # before averaging: edges must not take the colour of empty pixels
    assert rgba.shape[:2] == (height * SUPERSAMPLING, width * SUPERSAMPLING)
    small = cv2.resize(rgba, (width, height), interpolation=cv2.INTER_AREA)
    return background * (1 - small[..., 3:]) + small[..., :3]


def photographed(rng: np.random.Generator, image: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8 RGB: exposure, white balance, contrast, blur, motion, noise, vignette and an older JPEG."""
    gain = np.exp(rng.normal(0.04, 0.14)) * np.clip(rng.normal(1, 0.045, 3), 0.85, 1.15)
    image = np.clip(image * gain.astype(np.float32), 0, 1) ** np.float32(np.exp(rng.normal(0, 0.13)))
    image = 0.5 + (image - 0.5) * np.float32(np.clip(rng.normal(1.0, 0.1), 0.75, 1.25))
    grey = image.mean(-1, keepdims=True)
    saturation = 0.0 if rng.random() < 0.04 else np.clip(rng.normal(1.0, 0.18), 0.5, 1.5)
    image = grey + (image - grey) * np.float32(saturation)
    image = cv2.GaussianBlur(image, (0, 0), 0.35 + min(rng.exponential(0.3), 1.6))
    if rng.random() < 0.1:
        image = cv2.filter2D(image, -1, _streak(rng))
    image = image * _vignette(rng, image.shape[:2])[..., None]
    image += rng.standard_normal(image.shape, np.float32) * np.float32(min(rng.exponential(0.012), 0.05))
    pixels = (np.clip(image, 0, 1) * 255 + 0.5).astype(np.uint8)
    if rng.random() < 0.6:
        code = cv2.imencode(".jpg", pixels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(35, 92))])[1]
        pixels = np.asarray(cv2.imdecode(code, cv2.IMREAD_COLOR))[..., ::-1]
    return pixels


def _streak(rng: np.random.Generator) -> np.ndarray:
    """(k, k) kernel of a straight camera movement of 2 to 6 px."""
    size = 9
    length, angle = rng.uniform(1.0, 3.0), rng.uniform(0, np.pi)
    kernel = np.zeros((size, size), np.float32)
    for step in np.linspace(-length, length, 25):
        row, column = size // 2 + step * np.sin(angle), size // 2 + step * np.cos(angle)
        kernel[round(row), round(column)] += 1
    return kernel / kernel.sum()


def _vignette(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    y, x = (np.linspace(-1, 1, n, dtype=np.float32) for n in shape)
    return 1 - np.float32(min(rng.exponential(0.06), 0.3)) * (x[None] ** 2 + y[:, None] ** 2)

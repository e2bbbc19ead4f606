"""Colours and simple textures, BGR in [0, 1], and the paint of a head with a face on its front."""

from __future__ import annotations

import colorsys

import numpy as np

from .renderer import Paint

__all__ = ["fabric", "head_paint", "plain", "random_colour", "skin_colour", "split_along", "with_front"]

_DARK_SKIN, _LIGHT_SKIN = np.array([0.12, 0.17, 0.27]), np.array([0.66, 0.74, 0.93])


def random_colour(rng: np.random.Generator) -> np.ndarray:
    """(3,) any hue; a third are greys, blacks and whites, as clothes are."""
    saturation = rng.uniform(0, 0.15) if rng.random() < 0.35 else rng.uniform(0.2, 0.95)
    return np.array(colorsys.hsv_to_rgb(rng.random(), saturation, rng.uniform(0.12, 0.98))[::-1])


def skin_colour(rng: np.random.Generator) -> np.ndarray:
    tone = _DARK_SKIN + rng.random() * (_LIGHT_SKIN - _DARK_SKIN)
    return np.clip(tone * rng.normal(1.0, 0.05, 3), 0.03, 1.0)


def plain(colour: np.ndarray) -> Paint:
    colour = colour.astype(np.float32)
    return lambda points: np.broadcast_to(colour, points.shape)


def fabric(rng: np.random.Generator, colour: np.ndarray, patterned: float = 0.5) -> Paint:
    """One colour, or with probability `patterned` a second one in stripes, checks or blotches.

    All patterns are sin(k1 p + f1) + c sin(k2 p + f2), thresholded more or less sharply.
    """
    if rng.random() > patterned:
        return plain(colour)
    second = random_colour(rng)
    if rng.random() < 0.4:  # a shade of the same colour
        second = colour * rng.uniform(0.4, 0.8)
    kind = rng.integers(4)
    pitch = 2 * np.pi / rng.uniform(0.03, 0.16)
    waves = pitch * [np.diag([0, 1, 0]), np.diag([1, 0, 0]), np.diag([1, 1, 0]), rng.normal(0, 0.6, (3, 3))][kind]
    waves, phase = waves.astype(np.float32), rng.uniform(0, 6, 3).astype(np.float32)
    present = np.abs(waves).sum(1) > 0
    waves, phase = waves[present], phase[present]
    sharp, bias = np.float32(rng.uniform(0.5, 4.0)), np.float32(rng.uniform(-0.6, 0.6))
    base, step = colour.astype(np.float32), (second - colour).astype(np.float32)

    def paint(points: np.ndarray) -> np.ndarray:
        value = np.sin(points @ waves.T + phase).sum(-1) + bias
        return base + np.clip(0.5 + sharp * value, 0, 1)[:, None] * step

    return paint


def split_along(first: Paint, second: Paint, at: float) -> Paint:
    """`first` up to y = `at` metres along the part, `second` beyond: sleeves, shorts, socks."""

    def paint(points: np.ndarray) -> np.ndarray:
        return np.where(points[:, 1:2] < at, first(points), second(points))

    return paint


def with_front(around: Paint, front: Paint, half_width: float) -> Paint:
    """`front` on a strip down the front: an open jacket, a tie, buttons."""

    def paint(points: np.ndarray) -> np.ndarray:
        on_strip = (points[:, 2:3] > 0) & (np.abs(points[:, :1]) < half_width)
        return np.where(on_strip, front(points), around(points))

    return paint


def head_paint(rng: np.random.Generator, skin: np.ndarray, hair: np.ndarray, half_size: np.ndarray) -> Paint:
    """Face (eyes, brows, mouth, perhaps beard, glasses) on the front of a head with half-sizes (3,), hair elsewhere."""
    bald = rng.random() < 0.1
    top = 2.0 if bald else rng.uniform(0.45, 0.8)
    back, nape = (-2.0, 0.0) if bald else (rng.uniform(-0.15, 0.25), rng.uniform(-0.75, -0.2))
    beard, glasses = rng.random() < 0.15, rng.random() < 0.15
    size = half_size.astype(np.float32)
    skin, hair = skin.astype(np.float32), hair.astype(np.float32)
    lips = skin * np.array([0.55, 0.5, 0.85], np.float32)
    eyes, pupils = np.array([0.85, 0.85, 0.85], np.float32), np.array([0.1, 0.08, 0.06], np.float32)

    def paint(points: np.ndarray) -> np.ndarray:
        x, y, z = (points / size).T
        out = np.where(((y > top) | ((z < back) & (y > nape)))[:, None], hair, skin)
        side, front = np.abs(x), z > 0.2
        if beard:
            out[front & (y < -0.22) & (side < 0.75)] = hair
        out[front & ((x / 0.3) ** 2 + ((y + 0.47) / 0.08) ** 2 < 1)] = lips
        eye = ((side - 0.36) / 0.19) ** 2 + ((y - 0.08) / 0.1) ** 2
        out[front & (eye < 1)] = eyes
        out[front & (eye < 0.35)] = pupils
        out[front & (np.abs(y - 0.29) < 0.05) & (np.abs(side - 0.36) < 0.2)] = hair * np.float32(0.8)
        if glasses:
            out[front & (((side - 0.36) / 0.28) ** 2 + ((y - 0.06) / 0.2) ** 2 < 1)] = pupils
        return out

    return paint

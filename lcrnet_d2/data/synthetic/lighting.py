"""Light on the buffers, shadows on the ground, and what a camera does to a picture."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from .articulation import PosedBody
from .background import smooth_noise
from .camera import Camera
from .renderer import Buffers

__all__ = ["Light", "cast_shadows", "degrade", "sample_light", "shade"]


@dataclass(frozen=True)
class Light:
    """A far lamp or sun and light from all around.

    Attributes:
        towards: (3,) unit vector to the lamp, world axes (y down, so its y is negative).
        colour, ambient: (3,) BGR.
        shadow: 0 to 1, how dark the shadows are.
    """

    towards: np.ndarray
    colour: np.ndarray
    ambient: np.ndarray
    shadow: float


def sample_light(rng: np.random.Generator) -> Light:
    """From 20 degrees above the horizon to the zenith, any side; soft (overcast) to hard."""
    azimuth, height = rng.uniform(0, 2 * np.pi), np.radians(rng.uniform(20, 90))
    towards = np.array([np.cos(azimuth) * np.cos(height), -np.sin(height), np.sin(azimuth) * np.cos(height)])
    hardness = rng.uniform(0.15, 0.75)
    tint = np.clip(rng.normal(1, 0.06, 3), 0.8, 1.2)
    ambient = (1.2 - 0.9 * hardness) * np.clip(rng.normal(1, 0.05, 3), 0.8, 1.2)
    return Light(towards, 1.1 * hardness * tint, ambient, hardness * rng.uniform(0.4, 0.9))


def shade(buffers: Buffers, light: Light, background: np.ndarray) -> np.ndarray:
    """(H, W, 3) float32 BGR: lambert, ambient light stronger from above, edges a little darker, over a background."""
    seen = buffers.owner > 0
    normal, albedo = buffers.normal[seen], buffers.albedo[seen]  # (N, 3)
    normal /= np.sqrt(np.einsum("nk,nk->n", normal, normal))[:, None] + np.float32(1e-9)
    rotation = buffers.camera.rotation
    lamp = np.maximum(normal @ (rotation @ light.towards).astype(np.float32), 0)
    up = 0.75 + 0.25 * (normal @ (-rotation[:, 1]).astype(np.float32))
    rim = 0.65 + 0.35 * np.clip(-normal[:, 2], 0, 1)
    amount = lamp[:, None] * light.colour.astype(np.float32) + (up * rim)[:, None] * light.ambient.astype(np.float32)
    image = background.copy()
    image[seen] = albedo * amount
    return image


_SHADOW_BONES = (
    *(("pelvis", "collar", 0.09), ("right_shoulder", "left_shoulder", 0.04), ("skull", "head", 0.055)),
    *(
        (f"{side}_{start}", f"{side}_{end}", share)
        for side in ("right", "left")
        for start, end, share in (
            *(("shoulder", "elbow", 0.028), ("elbow", "fingers", 0.02)),
            *(("hip", "knee", 0.045), ("knee", "ankle", 0.03), ("heel", "toes", 0.02)),
        )
    ),
)


def cast_shadows(bodies: list[PosedBody], camera: Camera, light: Light) -> np.ndarray:
    """(H, W) float32 in [0, 1]: shadows of bodies (world axes) on the ground, softened."""
    mask = np.zeros((camera.height, camera.width), np.uint8)
    for body in bodies:
        for start, end, share in _SHADOW_BONES:
            ends = np.stack([body.points[start], body.points[end]])
            fall = (camera.above_ground - ends[:, 1:2]) / -light.towards[1]
            on_ground = (ends - fall * light.towards) @ camera.rotation.T
            if on_ground[:, 2].min() < 0.3:
                continue
            pixels = np.clip(camera.project(on_ground), -4000, 4000)
            thickness = 2 * body.shape.thickness(share) * camera.fy / on_ground[:, 2].mean()
            first, second = np.round(pixels * 16).astype(int).tolist()
            cv2.line(mask, first, second, 255, max(int(thickness), 1), cv2.LINE_AA, shift=4)
    return cv2.GaussianBlur(mask, (0, 0), 1.5).astype(np.float32) * np.float32(light.shadow / 255)


def degrade(rng: np.random.Generator, image: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8: uneven light, gamma, contrast, blur, sensor noise and JPEG of random strengths."""
    height, width = image.shape[:2]
    image = image * (1 + smooth_noise(rng, (height, width), 3) * np.float32(rng.uniform(0, 0.15)))
    gain = rng.uniform(0.8, 1.35) * np.clip(rng.normal(1, 0.05, 3), 0.85, 1.15)
    image = image * gain.astype(np.float32)
    if rng.random() < 0.04:
        image = np.repeat(image.mean(-1, keepdims=True), 3, -1)
    # 0.45 px at least: primitives have no smoothed edges of their own.
    image = cv2.GaussianBlur(image, (0, 0), 0.45 + rng.exponential(0.15))
    image += _sensor_noise(rng, (height, width)) * np.float32(min(rng.exponential(0.01), 0.04))
    pixels = np.clip(image * np.float32(255), 0, 255).astype(np.uint8)
    tone_curve = 255 * (np.arange(256) / 255) ** np.exp(rng.normal(0, 0.15))
    pixels = cv2.LUT(pixels, np.round(tone_curve).astype(np.uint8))
    return _compressed(pixels, int(rng.integers(60, 95))) if rng.random() < 0.5 else pixels


def _compressed(pixels: np.ndarray, quality: int) -> np.ndarray:
    """(H, W, 3) uint8 after a JPEG."""
    code = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return np.asarray(cv2.imdecode(code, cv2.IMREAD_COLOR))


def _sensor_noise(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """(H, W, 3) normal noise; the channels are views of one row of numbers, too far apart to look related."""
    pixels, shift = shape[0] * shape[1], 7 * shape[1] + 3
    numbers = rng.standard_normal(pixels + 2 * shift, np.float32)
    return np.stack([numbers[k * shift : k * shift + pixels].reshape(shape) for k in range(3)], -1)

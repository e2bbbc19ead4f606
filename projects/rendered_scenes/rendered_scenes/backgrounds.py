"""What is behind the people: crops of photos, views into panoramas, painted scenes. float32 RGB in [0, 1]."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from lcrnet_d2.data.synthetic.background import paint_background, smooth_noise
from lcrnet_d2.data.synthetic.camera import Camera

__all__ = ["Backgrounds"]

_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp")


class Backgrounds:
    """Pictures without people to draw on.

    Args:
        photos: folders of photos without people.
        panoramas: folders of equirectangular panoramas (twice as wide as high).

    Raises:
        ValueError: a folder without pictures.
    """

    def __init__(self, photos: list[Path], panoramas: list[Path]) -> None:
        self._photos = [path for folder in photos for path in _pictures(folder)]
        self._panoramas = [path for folder in panoramas for path in _pictures(folder)]
        self._read: dict[Path, np.ndarray] = {}

    def sample(self, rng: np.random.Generator, camera: Camera) -> np.ndarray:
        """(H, W, 3): a photo in most pictures where there are photos; panoramas and painted ones otherwise."""
        kinds = {"photo": 0.7 * bool(self._photos), "panorama": 0.25 * bool(self._panoramas), "painted": 0.15}
        weights = np.array(list(kinds.values()))
        kind = rng.choice(list(kinds), p=weights / weights.sum())
        if kind == "photo":
            return self._photo(rng, camera)
        if kind == "panorama":
            return self._panorama(rng, camera)
        return paint_background(rng, camera)[..., ::-1]

    def _photo(self, rng: np.random.Generator, camera: Camera) -> np.ndarray:
        photo = self._load(self._photos[rng.integers(len(self._photos))])
        height, width = photo.shape[:2]
        scale = min(height / camera.height, width / camera.width) * rng.uniform(0.5, 1.0)
        h, w = int(camera.height * scale), int(camera.width * scale)
        top, left = rng.integers(height - h + 1), rng.integers(width - w + 1)
        crop = photo[top : top + h, left : left + w]
        if rng.random() < 0.5:
            crop = crop[:, ::-1]
        kind = cv2.INTER_AREA if scale > 1 else cv2.INTER_CUBIC
        picture = cv2.resize(np.ascontiguousarray(crop), (camera.width, camera.height), interpolation=kind)
        return np.clip(picture.astype(np.float32) / 255, 0, 1)

    def _panorama(self, rng: np.random.Generator, camera: Camera) -> np.ndarray:
        """The view of the camera from the panorama's place, with fine texture that the small panorama lacks."""
        panorama = _without_rings(self._load(self._panoramas[rng.integers(len(self._panoramas))]))
        x, y = camera.columns_rows()
        rays = np.stack(np.broadcast_arrays(x[None, :], y[:, None], np.float32(1)), -1) @ camera.rotation
        rays /= np.linalg.norm(rays, axis=-1, keepdims=True)
        turn = rng.random()
        u = (np.arctan2(rays[..., 0], rays[..., 2]) / (2 * np.pi) + turn) % 1.0
        v = np.arccos(np.clip(-rays[..., 1], -1, 1)) / np.pi
        height, width = panorama.shape[:2]
        columns, rows = (u * width - 0.5).astype(np.float32), (v * height - 0.5).astype(np.float32)
        view = cv2.remap(panorama, columns, rows, cv2.INTER_CUBIC, borderMode=cv2.BORDER_WRAP)
        view = view.astype(np.float32) / 255
        size = camera.height, camera.width
        grain = sum(smooth_noise(rng, size, cells) for cells in (60, 120))
        return np.clip(view * (1 + np.float32(rng.uniform(0.02, 0.12)) * grain), 0, 1)

    def _load(self, path: Path) -> np.ndarray:
        if path not in self._read:
            picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
            if picture is None:
                raise ValueError(f"{path}: not a picture that can be read")
            self._read[path] = picture[..., ::-1].copy()
        return self._read[path]


def _without_rings(panorama: np.ndarray) -> np.ndarray:
    """Panoramas made from HDR pictures may have dark rings, a pixel or two wide, around their lamps."""
    closed = cv2.morphologyEx(panorama, cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8))
    return np.where(closed.min(-1, keepdims=True) > 225, closed, panorama)


def _pictures(folder: Path) -> list[Path]:
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in _SUFFIXES)
    if not found:
        raise ValueError(f"no pictures ({', '.join(_SUFFIXES)}) in {folder}")
    return found

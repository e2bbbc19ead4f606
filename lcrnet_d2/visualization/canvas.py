"""Lines, discs and words on (H, W, 3) uint8 RGB arrays, in place: continuous px, anti-aliased.

Points that are NaN are not drawn; points far outside cost nothing.
"""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

__all__ = ["Colour", "blend", "disc", "line", "ring", "text_size", "write"]

Colour = tuple[int, int, int]

_SHIFT = 4  # OpenCV takes coordinates in 1/16 px
_FARTHEST = 1e6  # px; times 16 still an int32
_DASH, _GAP = 2.2, 2.0  # in line widths


def line(
    picture: np.ndarray, start: np.ndarray, end: np.ndarray, colour: Colour, width: int, *, dashed: bool = False
) -> None:
    """From (2,) to (2,) px."""
    ends = np.stack([start, end]).astype(np.float64)
    if not np.isfinite(ends).all():
        return
    pieces = _dashes(ends, width, picture.shape) if dashed else ends[None]
    cv2.polylines(picture, list(_fixed(pieces)), False, colour, width, cv2.LINE_AA, _SHIFT)


def _dashes(ends: np.ndarray, width: int, shape: tuple[int, ...]) -> np.ndarray:
    """(M, 2, 2) the pieces of a dashed line that may be seen; one ends where the line does."""
    start, end = np.clip(ends, -_FARTHEST, _FARTHEST)
    length = float(np.linalg.norm(end - start))
    if length == 0:
        return ends[:0][None]
    period = (_DASH + _GAP) * width
    begins = np.arange(0, length, period)
    along = np.stack([begins, np.minimum(begins + _DASH * width, length)], -1)
    pieces = start + along[..., None] / length * (end - start)
    seen = ((pieces > -period) & (pieces < [shape[1] + period, shape[0] + period])).all((1, 2))
    return pieces[seen]


def disc(picture: np.ndarray, centre: np.ndarray, radius: float, colour: Colour) -> None:
    """Filled circle around (2,) px."""
    _circle(picture, centre, radius, colour, -1)


def ring(picture: np.ndarray, centre: np.ndarray, radius: float, colour: Colour, width: int) -> None:
    """Hollow circle around (2,) px."""
    _circle(picture, centre, radius, colour, width)


def _circle(picture: np.ndarray, centre: np.ndarray, radius: float, colour: Colour, width: int) -> None:
    if np.isfinite(centre).all() and np.isfinite(radius):
        x, y = _fixed(np.asarray(centre, dtype=np.float64)).tolist()
        fixed_radius = round(min(radius, 4 * max(picture.shape)) * 2**_SHIFT)
        cv2.circle(picture, (x, y), fixed_radius, colour, width, cv2.LINE_AA, _SHIFT)


def _fixed(points: np.ndarray) -> np.ndarray:
    """OpenCV's fixed-point coordinates, whose integers are the middles of pixels."""
    return np.rint((np.clip(points, -_FARTHEST, _FARTHEST) - 0.5) * 2**_SHIFT).astype(np.int32)


def blend(picture: np.ndarray, layer: np.ndarray, opacity: float) -> None:
    """Lays `layer`, a drawn-on copy of the picture, over it."""
    cv2.addWeighted(layer, opacity, picture, 1 - opacity, 0, dst=picture)


def write(picture: np.ndarray, text: str, place: tuple[float, float], size: int, colour: Colour) -> None:
    """One line of `text`, its upper left corner at `place` (x, y) px; what is outside the picture is cut off."""
    mask = _mask(text, size)
    x, y = round(place[0]), round(place[1])
    top, left = max(y, 0), max(x, 0)
    bottom, right = min(y + mask.shape[0], picture.shape[0]), min(x + mask.shape[1], picture.shape[1])
    if top >= bottom or left >= right:
        return
    alpha = mask[top - y : bottom - y, left - x : right - x, None]
    region = picture[top:bottom, left:right]
    region[:] = (region * (1 - alpha) + alpha * np.array(colour, np.float32)).astype(np.uint8)


def text_size(text: str, size: int) -> tuple[int, int]:
    """(width, height) px that `write` fills."""
    height, width = _mask(text, size).shape
    return width, height


@lru_cache(maxsize=512)
def _mask(text: str, size: int) -> np.ndarray:
    """(h, w) float32 in [0, 1]; kept, since 'person 1' comes in every frame."""
    font = ImageFont.load_default(size)
    width = max(1, round(font.getlength(text)) + 1)
    image = Image.new("L", (width, round(1.3 * size)))
    ImageDraw.Draw(image).text((0, 0), text, fill=255, font=font)
    return np.asarray(image, dtype=np.float32) / 255

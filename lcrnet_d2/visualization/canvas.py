"""Lines, discs and words on (H, W, 3) uint8 RGB arrays, in place (continuous px, anti-aliased), and these as files.

Points that are NaN are not drawn; points far outside cost nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ..structures.whole_files import whole_file

__all__ = ["Colour", "blend", "disc", "encoded_jpeg", "line", "text_size", "write", "write_image"]

Colour = tuple[int, int, int]

_SHIFT = 4  # OpenCV takes coordinates in 1/16 px
_FARTHEST = 1e6  # px; times 16 still an int32
_DASH, _GAP = 2.2, 2.0  # in line widths


def line(
    canvas: np.ndarray, start: np.ndarray, end: np.ndarray, colour: Colour, width: int, *, dashed: bool = False
) -> None:
    """From (2,) to (2,) px."""
    ends = np.stack([start, end]).astype(np.float64)
    if not np.isfinite(ends).all():
        return
    pieces = _dashes(ends, width, canvas.shape) if dashed else ends[None]
    cv2.polylines(canvas, list(_fixed(pieces)), False, colour, width, cv2.LINE_AA, _SHIFT)


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


def disc(canvas: np.ndarray, centre: np.ndarray, radius: float, colour: Colour, width: int = -1) -> None:
    """Filled circle around (2,) px; with a width its line alone."""
    if np.isfinite(centre).all() and np.isfinite(radius):
        x, y = _fixed(np.asarray(centre, dtype=np.float64)).tolist()
        fixed_radius = round(min(radius, 4 * max(canvas.shape)) * 2**_SHIFT)
        cv2.circle(canvas, (x, y), fixed_radius, colour, width, cv2.LINE_AA, _SHIFT)


def _fixed(points: np.ndarray) -> np.ndarray:
    """OpenCV's fixed-point coordinates, whose integers are the middles of pixels."""
    return np.rint((np.clip(points, -_FARTHEST, _FARTHEST) - 0.5) * 2**_SHIFT).astype(np.int32)


def blend(canvas: np.ndarray, layer: np.ndarray, opacity: float) -> None:
    """Lays `layer`, a drawn-on copy of the canvas, over it."""
    cv2.addWeighted(layer, opacity, canvas, 1 - opacity, 0, dst=canvas)


def write(canvas: np.ndarray, text: str, place: tuple[float, float], size: int, colour: Colour) -> None:
    """One line of `text`, its upper left corner at `place` (x, y) px; what is outside the canvas is cut off."""
    mask = _mask(text, size)
    x, y = round(place[0]), round(place[1])
    top, left = max(y, 0), max(x, 0)
    bottom, right = min(y + mask.shape[0], canvas.shape[0]), min(x + mask.shape[1], canvas.shape[1])
    if top >= bottom or left >= right:
        return
    alpha = mask[top - y : bottom - y, left - x : right - x, None]
    region = canvas[top:bottom, left:right]
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


def write_image(path: str | Path, image: np.ndarray) -> None:
    """Writes (H, W, 3) uint8 RGB, whole or not at all, as the kind of image the file's name ends in.

    OpenCV's own writer leaves a piece of a file where the disk is full, and only returns False.

    Raises:
        OSError: it cannot be written there; the message names the file.
    """
    try:
        with whole_file(path) as file:
            file.write(_encoded(Path(path).suffix, image))
    except (OSError, cv2.error) as error:  # cv2.error: no kind of image has this ending
        raise OSError(f"could not write the image {path}: {error}") from error


def encoded_jpeg(image: np.ndarray, quality: int) -> bytes:
    """(H, W, 3) uint8 RGB as JPEG; quality from 0 to 100."""
    return _encoded(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])


def _encoded(suffix: str, image: np.ndarray, options: Sequence[int] = ()) -> bytes:
    return cv2.imencode(suffix, image[..., ::-1], options)[1].tobytes()

"""Reads an image as everything else in the package wants it: upright, three channels, 8 bit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from detectron2.data.detection_utils import _apply_exif_orientation, convert_PIL_to_numpy
from PIL import Image, UnidentifiedImageError

__all__ = ["ImageFileError", "read_image"]

_SIXTEEN_BIT = ("I", "I;16", "I;16B", "I;16L", "I;16N")


class ImageFileError(ValueError):
    """An image file that cannot be read; the message names it and the cause."""


def read_image(path: str | Path, image_format: str = "BGR") -> np.ndarray:
    """(H, W, 3) uint8. Grey and palette images are expanded, RGBA is put on white, EXIF rotation is applied.

    16-bit greys are scaled to 8 bits; Detectron2's own reader would saturate them to white.

    Raises:
        FileNotFoundError: no such file.
        ImageFileError: truncated, or no image that Pillow knows.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"no image at {path}")
    try:
        with Image.open(path) as file:
            image = _apply_exif_orientation(file)
            image.load()
            return convert_PIL_to_numpy(_eight_bit_rgb(image), image_format).copy()
    except (UnidentifiedImageError, OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ImageFileError(f"cannot read the image {path}: {error}") from error


def _eight_bit_rgb(image: Image.Image) -> Image.Image:
    if image.mode in _SIXTEEN_BIT:
        values = np.asarray(image, dtype=np.float64)
        return Image.fromarray(np.clip(values / 257, 0, 255).round().astype(np.uint8)).convert("RGB")
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, image).convert("RGB")
    return image.convert("RGB")

"""Reads an image as everything else in the package wants it: upright, three channels, 8 bit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from detectron2.data.detection_utils import _apply_exif_orientation, convert_PIL_to_numpy
from PIL import Image

__all__ = ["ImageFileError", "check_image_size", "read_image"]

_SIXTEEN_BIT = ("I", "I;16", "I;16B", "I;16L", "I;16N")
#: Pillow knows more, among them EPS, for which it starts another program.
_FORMATS = ("BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")
#: 400 MB as RGB; a telephone's 108 megapixels are read, a bomb of a few kB that unpacks to gigabytes is not.
_MAX_PIXELS = 128 * 2**20
#: Resized to a shorter side of some hundred pixels, a longer one would take gigabytes, or the shorter one vanish.
_MAX_ASPECT = 50


class ImageFileError(ValueError):
    """An image file that cannot be read; the message names it and the cause."""


def read_image(path: str | Path, image_format: str = "BGR") -> np.ndarray:
    """(H, W, 3) uint8. Grey and palette images are expanded, RGBA is put on white, EXIF rotation is applied.

    16-bit greys are scaled to 8 bits; Detectron2's own reader would saturate them to white.

    Raises:
        FileNotFoundError: no such file.
        ImageFileError: truncated, no image of a known format, or of a size that `check_image_size` refuses.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"no image at {path}")
    Image.init()  # knows all formats from here on; it does nothing the second time
    try:
        with Image.open(path, formats=_FORMATS) as file:
            check_image_size(file.height, file.width)  # of the header: nothing has been unpacked
            image = _apply_exif_orientation(file)
            image.load()
            return convert_PIL_to_numpy(_eight_bit_rgb(image), image_format).copy()
    except Exception as error:  # Pillow's formats raise whatever they trip over: struct, zlib, type, key errors ...
        raise ImageFileError(f"cannot read the image {path}: {error or type(error).__name__}") from error


def check_image_size(height: int, width: int) -> None:
    """Refuses sizes that no photo has.

    Raises:
        ImageFileError: no pixels, more than 128 Mi of them, or one side more than 50 times as long as the other.
    """
    if min(height, width) < 1:
        raise ImageFileError(f"{width} x {height} px: an image without pixels")
    if height * width > _MAX_PIXELS:
        raise ImageFileError(f"{width} x {height} px: more than {_MAX_PIXELS / 2**20:.0f} Mi pixels")
    if max(height, width) > _MAX_ASPECT * min(height, width):
        raise ImageFileError(f"{width} x {height} px: one side is more than {_MAX_ASPECT} times as long as the other")


def _eight_bit_rgb(image: Image.Image) -> Image.Image:
    if image.mode in _SIXTEEN_BIT:
        values = np.asarray(image, dtype=np.float64)
        return Image.fromarray(np.clip(values / 257, 0, 255).round().astype(np.uint8)).convert("RGB")
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, image).convert("RGB")
    return image.convert("RGB")

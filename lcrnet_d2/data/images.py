"""Reads an image as everything else in the package wants it: upright, three channels, 8 bit."""

from __future__ import annotations

import contextlib
import logging
from pathlib import Path

import numpy as np
from detectron2.data.detection_utils import _apply_exif_orientation
from PIL import Image

from ..structures.bounded_files import instead_of

__all__ = ["IMAGE_SUFFIXES", "ImageFileError", "check_image_size", "pixels_of", "read_image"]

#: Of files taken for images where a folder is asked for.
IMAGE_SUFFIXES = frozenset(
    (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".bmp", ".tif", ".tiff", ".webp", ".gif", ".jp2", ".j2k")
    + (".ppm", ".pgm", ".heic", ".heif", ".avif")
)
_SIXTEEN_BIT = ("I", "I;16", "I;16B", "I;16L", "I;16N")
#: Pillow knows more, among them EPS, for which it starts another program.
_FORMATS = ("AVIF", "BMP", "GIF", "HEIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")
#: Formats whose files may be animations. Those of others hold previews (MPO, HEIC) or pages.
_ANIMATED = ("AVIF", "GIF", "PNG", "WEBP")
#: 400 MB as RGB; a telephone's 108 megapixels are read, a bomb of a few kB that unpacks to gigabytes is not.
_MAX_PIXELS = 128 * 2**20
#: Resized to a shorter side of some hundred pixels, a longer one would take gigabytes, or the shorter one vanish.
_MAX_ASPECT = 50


class ImageFileError(ValueError):
    """An image file that cannot be read; the message names it and the cause."""


def read_image(path: str | Path, image_format: str = "BGR") -> np.ndarray:
    """(H, W, 3) uint8, upright; see `pixels_of`.

    HEIC needs pillow-heif (the extra `heic`).

    Raises:
        FileNotFoundError: no such file.
        ImageFileError: empty, truncated, no image of a known format, an animation, or refused by `pixels_of`.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"no image at {path}")
    Image.init()  # knows all formats from here on; it does nothing the second time
    try:
        with Image.open(path, formats=_known_formats()) as file:
            check_image_size(file.height, file.width)  # of the header: nothing has been unpacked
            count = getattr(file, "n_frames", 1)
            if count > 1 and file.format in _ANIMATED:
                raise ValueError(f"an animation of {count} frames, of which an image would be one")
            if count > 1 and file.format == "TIFF":
                logging.getLogger(__name__).warning("%s has %d pages; the first is read", path, count)
            return pixels_of(file, image_format)
    except Exception as error:  # Pillow's formats raise whatever they trip over: struct, zlib, type, key errors ...
        reason = _why_not(Path(path)) or str(error) or type(error).__name__
        raise ImageFileError(f"cannot read the image {path}: {reason}") from error


def _known_formats() -> list[str]:
    with contextlib.suppress(ImportError):
        import pillow_heif

        if "HEIF" not in Image.OPEN:
            pillow_heif.register_heif_opener()
    return [name for name in _FORMATS if name in Image.OPEN]


def _why_not(path: Path) -> str:
    """Where Pillow, which says that it "cannot identify" the file, leaves its user without a way on."""
    if path.suffix.lower() in (".heic", ".heif") and "HEIF" not in _known_formats():
        return "HEIC needs a library: pip install pillow-heif"
    if path.suffix.lower() == ".avif" and "AVIF" not in Image.OPEN:
        return "this Pillow reads no AVIF: pip install 'pillow>=11.3'"
    return instead_of(path)


def pixels_of(image: Image.Image, image_format: str = "BGR") -> np.ndarray:
    """(H, W, 3) uint8 of an image of Pillow.

    Grey and palette images are expanded, RGBA is put on white, EXIF rotation is applied. 16-bit greys are scaled to 8
    bits (Detectron2's own reader would saturate them to white), so are floats that lie within 0 and 1.

    Raises:
        ImageFileError: of a size that `check_image_size` refuses, or numbers whose white cannot be known.
    """
    check_image_size(image.height, image.width)
    upright = _apply_exif_orientation(image)
    upright.load()
    rgb = np.array(_eight_bit_rgb(upright))
    return rgb if image_format == "RGB" else rgb[..., ::-1].copy()


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
    if image.mode in (*_SIXTEEN_BIT, "F"):
        values = np.asarray(image, dtype=np.float64)
        low, high = values.min(), values.max()
        # White: of floats 1, as most programs have it, or 255; of whole numbers that of 16 bits.
        white = 65535.0 if image.mode != "F" else 1.0 if high <= 1 else 255.0
        if not (low >= 0 and high <= white):  # NaN too
            raise ImageFileError(f"grey values from {low:g} to {high:g}: which of them is white cannot be known")
        return Image.fromarray((values * (255 / white)).round().astype(np.uint8)).convert("RGB")
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, image).convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")

"""RGB pictures as files, whole or not at all."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from ..structures.whole_files import whole_file

__all__ = ["encoded_jpeg", "write_picture"]


def write_picture(path: str | Path, picture: np.ndarray) -> None:
    """Writes (H, W, 3) uint8 RGB as the kind of picture the file's name ends in.

    OpenCV's own writer leaves a piece of a file where the disk is full, and only returns False.

    Raises:
        OSError: it cannot be written there; the message names the file.
    """
    try:
        with whole_file(path) as file:
            file.write(_encoded(Path(path).suffix, picture))
    except (OSError, cv2.error) as error:  # cv2.error: no kind of picture has this ending
        raise OSError(f"could not write the picture {path}: {error}") from error


def encoded_jpeg(picture: np.ndarray, quality: int) -> bytes:
    """(H, W, 3) uint8 RGB as JPEG; quality from 0 to 100."""
    return _encoded(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])


def _encoded(suffix: str, picture: np.ndarray, options: Sequence[int] = ()) -> bytes:
    return cv2.imencode(suffix, picture[..., ::-1], options)[1].tobytes()

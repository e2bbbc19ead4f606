"""Whether a GPU finds on the sample photos what the CPU does, in full and in half precision."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from lcrnet_d2 import DetectedPeople, PosePredictor

from .report import Table
from .timing import Settings

__all__ = ["differences", "measure"]

_SAMPLES = Path(__file__).resolve().parents[2] / "docs" / "samples"
_MODEL = "lcrnet_movenet_free"


def measure(settings: Settings) -> list[Table]:
    """On a CPU the same twice, which shows that the comparison works."""
    photos = sorted(_SAMPLES.glob("*.jpg"))[: 2 if settings.quick else None]
    expected = PosePredictor(_MODEL, device="cpu")(photos)
    rows = []
    for half_precision in (False, True) if settings.device == "cuda" else (False,):
        found = PosePredictor(_MODEL, device=settings.device, half_precision=half_precision)(photos)
        rows.append(("float16" if half_precision else "float32", *differences(expected, found)))
    columns = (
        "on " + settings.device,
        "people on the CPU",
        "found on both",
        "px, median",
        "px, most",
        "mm, median",
        "mm, most",
    )
    return [Table(f"{len(photos)} sample photos, {_MODEL}: CPU against {settings.device}", columns, rows)]


def differences(expected: list[DetectedPeople], found: list[DetectedPeople]) -> tuple[float, ...]:
    """People expected and how many were found nearest to one within a tenth of the image's shorter side; median and
    largest mean distance of joints over these, px and mm.
    """
    pixels, millimetres = [], []
    for image, others in zip(expected, found, strict=True):
        for person in image:
            in_2d = [np.linalg.norm(person.keypoints_2d[0] - other.keypoints_2d[0], axis=1).mean() for other in others]
            if in_2d and min(in_2d) < 0.1 * min(image.image_size):
                nearest = others[int(np.argmin(in_2d))]
                pixels.append(min(in_2d))
                millimetres.append(1e3 * np.linalg.norm(person.poses_3d[0] - nearest.poses_3d[0], axis=1).mean())
    together = sum(map(len, expected)), len(pixels)
    return (*together, *(float(f(values or [np.nan])) for values in (pixels, millimetres) for f in (np.median, np.max)))

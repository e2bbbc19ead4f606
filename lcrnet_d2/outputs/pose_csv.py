"""Detected people as a table: a row for every joint of every person, columns named with unit and axis."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..detected_people import DetectedPeople
from ..placement import Camera, OrthographicCamera
from ..structures import PIXEL_CENTRE
from ..structures.whole_files import write_text
from .pose_file import PosedImage

__all__ = ["COLUMNS", "write_csv"]

#: docs/outputs.md describes each.
COLUMNS = (
    *("file_name", "width_px", "height_px", "camera", "frame", "time_s", "person", "identity", "score", "confidence"),
    *("anchor_class", "joint", "interpolated", "in_image", "x_px", "y_px", "spread_px"),
    *("x_right_m", "y_down_m", "z_away_m", "spread_m", "camera_x_right_m", "camera_y_down_m", "camera_z_away_m"),
)


def write_csv(path: str | Path, images: Sequence[PosedImage]) -> None:
    """Writes `poses.csv`, whole or not at all; what is not known is empty, images without people have no rows."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for image in images:
        if image.people is not None:
            writer.writerows(_rows(image, image.people))
    # A name that is no Unicode (os.fsdecode of b"caf\xe9.jpg") is written with the byte as an escape, as in the JSON.
    write_text(path, text.getvalue().encode(errors="backslashreplace").decode())


def _rows(image: PosedImage, people: DetectedPeople) -> Iterator[dict[str, Any]]:
    height, width = people.image_size
    of_image = {"file_name": image.file_name, "width_px": width, "height_px": height}
    of_image |= {"camera": _camera(people.camera), "frame": image.frame, "time_s": image.time}
    in_camera = np.full_like(people.poses_3d, np.nan) if people.translations is None else people.in_camera()
    for n in range(len(people)):
        identity = None if people.identities is None else people.identities[n]
        of_person = of_image | {"person": n, "identity": identity, "anchor_class": people.anchors[n]}
        of_person |= {"score": f"{people.scores[n]:.6g}", "confidence": f"{people.confidences[n]:.6g}"}
        for j, joint in enumerate(people.skeleton.joints):
            yield of_person | {
                "joint": joint,
                "interpolated": int(joint in people.interpolated),
                "in_image": int(people.in_image[n, j]),
                **_numbers(("x_px", "y_px"), people.keypoints_2d[n, j] - PIXEL_CENTRE, 3),
                **_numbers(("spread_px",), people.spreads_2d[n, j], 3),
                **_numbers(("x_right_m", "y_down_m", "z_away_m"), people.poses_3d[n, j], 5),
                **_numbers(("spread_m",), people.spreads_3d[n, j], 5),
                **_numbers(("camera_x_right_m", "camera_y_down_m", "camera_z_away_m"), in_camera[n, j], 5),
            }


def _numbers(names: tuple[str, ...], values: np.ndarray, digits: int) -> dict[str, str]:
    values = np.atleast_1d(values)
    return {n: f"{v:.{digits}f}" if np.isfinite(v) else "" for n, v in zip(names, values.tolist(), strict=True)}


def _camera(camera: Camera | None) -> str:
    if camera is None:
        return ""
    kind = "orthographic" if isinstance(camera, OrthographicCamera) else "perspective"
    return " ".join([kind, *(f"{name}={value:.6g}" for name, value in vars(camera).items())])

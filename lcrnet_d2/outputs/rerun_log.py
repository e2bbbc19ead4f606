"""Detected people in the viewer rerun: 2D on the image, 3D before the camera, frame by frame.

An extra: `pip install -e '.[rerun]'`. For a file, rerun.io's `rerun poses.rrd` opens it:

    recording = rerun.RecordingStream("lcrnet")
    recording.save("poses.rrd")
    log_people(recording, image, people, frame=0)
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np

from ..detected_people import DetectedPeople
from ..placement import PinholeCamera
from ..structures import bone_colour, person_colour
from ..visualization.certainty import is_inferred, person_numbers

__all__ = ["log_people"]

_OPAQUE, _INFERRED = 255, 90  # alpha


def log_people(recording: Any, image: np.ndarray, people: DetectedPeople, frame: int) -> None:
    """Logs one frame: camera/image with 2D joints and bones, people/<number> with 3D ones and the joints' names.

    Joints and bones that are inferred (`is_inferred`) are see-through; a 3D joint's radius is half its spread, at least
    1.5 cm. Who is gone from the frame is cleared.

    Args:
        recording: a `rerun.RecordingStream`.
        image: (H, W, 3) uint8 RGB.
        people: placed before the default camera if they have not been placed.
        frame: number on the timeline "frame".

    Raises:
        ImportError: rerun is not installed.
    """
    rr: Any = import_module("rerun")  # its .pth file hides it from type checkers

    people = people.placed_by_default()
    recording.set_time("frame", sequence=frame)
    recording.log("/", rr.ViewCoordinates.RDF, static=True)
    for path in ("people", "camera/image"):
        recording.log(path, rr.Clear(recursive=True))
    if isinstance(people.camera, PinholeCamera):
        recording.log("camera", _pinhole(rr, people.camera, people.image_size))
    recording.log("camera/image", rr.Image(image).compress(85))
    placed, inferred, joints = people.in_camera(), is_inferred(people), people.skeleton.joints
    bones, bone_colours = np.array(people.skeleton.bone_indices), [bone_colour(b) for b in people.skeleton.bones]
    for i, number in enumerate(person_numbers(people)):
        joint_rgba = _with_alpha([person_colour(number)] * len(joints), inferred[i])
        bone_rgba = _with_alpha(bone_colours, inferred[i][bones].any(1))
        views = (
            (f"camera/image/{number}", people.keypoints_2d[i], np.full(len(joints), 3.0), rr.Points2D, rr.LineStrips2D),
            (f"people/{number}", placed[i], np.fmax(0.015, people.spreads_3d[i] / 2), rr.Points3D, rr.LineStrips3D),
        )
        for path, points, radii, as_points, as_lines in views:
            known, drawn = np.isfinite(points).all(1), np.isfinite(points[bones]).all((1, 2))
            names = np.array(joints)[known].tolist()
            dots = as_points(
                points[known], radii=radii[known], colors=joint_rgba[known], labels=names, show_labels=False
            )
            recording.log(f"{path}/joints", dots)
            recording.log(f"{path}/bones", as_lines(points[bones][drawn], colors=bone_rgba[drawn]))


def _pinhole(rr: Any, camera: PinholeCamera, image_size: tuple[int, int]) -> Any:
    focal, centre = (camera.fx, camera.fy), (camera.cx, camera.cy)
    return rr.Pinhole(focal_length=focal, principal_point=centre, width=image_size[1], height=image_size[0])


def _with_alpha(colours: list[tuple[int, int, int]], see_through: np.ndarray) -> np.ndarray:
    """(M, 4) uint8 RGBA."""
    alpha = np.where(see_through, _INFERRED, _OPAQUE)
    return np.concatenate([np.array(colours), alpha[:, None]], 1).astype(np.uint8)

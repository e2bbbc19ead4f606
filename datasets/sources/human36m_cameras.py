"""Human3.6M's `metadata.xml` (cameras, names of takes) and the cameras of the layouts that bring their own."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lcrnet_d2.data.datasets.pose_json import PoseFileError

from .human36m import CAMERAS, Camera, TakeName

__all__ = ["Cameras", "Metadata", "cameras_of_mmpose", "read_metadata", "rotation_of"]

#: By (subject, serial number).
Cameras = dict[tuple[str, str], Camera]

_SUBJECTS = 11
_EXTRINSICS, _INTRINSICS = 6, 9
_NUMBERS = len(CAMERAS) * (_SUBJECTS * _EXTRINSICS + _INTRINSICS)


@dataclass(frozen=True)
class Metadata:
    """Attributes:
    cameras: of all 11 subjects.
    takes: (subject, action's name, trial) -> file name of the take.
    """

    cameras: Cameras
    takes: dict[tuple[str, str, int], str]

    def named(self, subject: str, take: str, camera: str) -> TakeName:
        """The name with its trial, of a file's name."""
        trials = [key[2] for key, name in self.takes.items() if key[0] == subject and name == take]
        return TakeName.of_take(subject, take, camera, trials[0] if trials else None)

    def take(self, name: TakeName) -> TakeName:
        """The name with its take, of an action and a trial."""
        if name.trial is None:
            return name
        take = self.takes.get((name.subject, name.action, name.trial))
        return TakeName(name.subject, name.action, name.camera, take, name.trial)


def rotation_of(angles: np.ndarray) -> np.ndarray:
    """(3, 3) world to camera from three angles in radians: turns about z, then y, then x, R = Rx Ry Rz."""
    (cx, cy, cz), (sx, sy, sz) = np.cos(angles), np.sin(angles)
    about_x = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_z = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    return about_x @ about_y @ about_z


def read_metadata(path: Path) -> Metadata:
    """Reads metadata.xml.

    `w0` holds, per camera and per subject, three angles and the position in mm; then per camera
    fx fy cx cy k1 k2 k3 p1 p2. `mapping` is a table: action, trial and, per subject, the name of the take.

    Raises:
        FileNotFoundError: no such file.
        PoseFileError: cut, or without these.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no metadata at {path}")
    try:
        root = ElementTree.parse(path).getroot()
        values = np.array([float(v) for v in (root.findtext("w0") or "").strip().strip("[]").split()])
    except (ElementTree.ParseError, ValueError) as error:
        raise PoseFileError(f"{path} is not a whole metadata.xml: {error}") from error
    if values.shape != (_NUMBERS,) or not np.isfinite(values).all():
        raise PoseFileError(f"{path}: w0 holds {len(values)} numbers, expected {_NUMBERS}")
    return Metadata(_cameras(values), _takes(path, root))


def _cameras(values: np.ndarray) -> Cameras:
    extrinsics = values[: len(CAMERAS) * _SUBJECTS * _EXTRINSICS].reshape(len(CAMERAS), _SUBJECTS, _EXTRINSICS)
    intrinsics = values[extrinsics.size :].reshape(len(CAMERAS), _INTRINSICS)
    cameras: Cameras = {}
    for c, serial in enumerate(CAMERAS):
        focal, centre, radial, tangential = np.split(intrinsics[c], [2, 4, 7])
        for s in range(_SUBJECTS):
            rotation, position = rotation_of(extrinsics[c, s, :3]), extrinsics[c, s, 3:] / 1000
            cameras[f"S{s + 1}", serial] = Camera(focal, centre, radial, tangential, rotation, position)
    return cameras


def _takes(path: Path, root: ElementTree.Element) -> dict[tuple[str, str, int], str]:
    rows = [[cell.text or "" for cell in row] for row in root.findall("mapping/tr")]
    if len(rows) < 2:
        raise PoseFileError(f"{path}: no table of takes (mapping)")
    subjects = rows[0][2:]
    takes = {}
    for action, trial, *names in rows[1:]:
        for subject, name in zip(subjects, names, strict=False):
            if name and trial.isdigit() and action.isdigit():
                takes[subject, TakeName.of_take(subject, name, "").action, int(trial)] = name
    return takes


def cameras_of_mmpose(content: dict[Any, dict[str, Any]]) -> Cameras:
    """Cameras of mmpose's cameras.pkl: (subject, serial) -> R (camera to world), T (position, m), f, c, k, p."""
    cameras: Cameras = {}
    for (subject, serial), entry in content.items():
        missing = {"R", "T", "f", "c", "k", "p"} - set(entry)
        if missing:
            raise PoseFileError(f"cameras.pkl: {subject}, {serial} has no {sorted(missing)}")
        parts = {key: np.asarray(entry[key], dtype=np.float64) for key in "RTfckp"}
        focal, centre, radial, tangential = (parts[key].ravel() for key in "fckp")
        camera = Camera(focal, centre, radial, tangential, rotation=parts["R"].T, position=parts["T"].ravel())
        cameras[subject, serial] = camera
    return cameras

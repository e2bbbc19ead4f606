"""The three files MPII's annotations travel in, each to a list of `Scene`s."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from ....structures import MPII16
from ..pose_json import PoseFileError
from .mpii import Scene, SubjectJoints

__all__ = ["read_hourglass_h5", "read_hrnet_json", "read_mpii", "read_release_mat"]

_J = len(MPII16)


def read_mpii(path: Path) -> list[Scene]:
    """Scenes of a .mat, .json or .h5, by the file's ending.

    Raises:
        FileNotFoundError: no such file.
        PoseFileError: another ending, a cut file, or one of another set.
    """
    readers = {".mat": read_release_mat, ".json": read_hrnet_json, ".h5": read_hourglass_h5}
    if path.suffix not in readers:
        raise PoseFileError(f"{path}: expected one of {sorted(readers)}")
    if not path.is_file():
        raise FileNotFoundError(f"no annotation file at {path}")
    return readers[path.suffix](path)


def read_release_mat(path: Path) -> list[Scene]:
    """The training pictures (img_train = 1) of `mpii_human_pose_v1_u12_1.mat`, those without people too."""
    from scipy.io import loadmat

    try:
        content = loadmat(path, struct_as_record=False, squeeze_me=True)
    except Exception as error:  # scipy raises whatever its parser trips over: struct, zlib, type errors ...
        raise PoseFileError(f"{path} is not a whole Matlab file: {error!r}") from error
    release: Any = content.get("RELEASE")
    missing = [name for name in ("annolist", "img_train") if not hasattr(release, name)]
    if missing:
        raise PoseFileError(f"{path} is not MPII's release: no RELEASE with {missing}")
    entries, is_train = _many(release.annolist), np.atleast_1d(release.img_train)
    if len(entries) != len(is_train):
        raise PoseFileError(f"{path}: {len(entries)} entries in annolist, {len(is_train)} in img_train")
    return [_mat_scene(f"{path}: annolist({i + 1})", entry) for i, entry in enumerate(entries) if is_train[i] == 1]


def _mat_scene(where: str, entry: Any) -> Scene:
    image, video = getattr(entry, "image", None), _mat_number(entry, "vididx")
    name = getattr(image, "name", None)
    if not isinstance(name, str):
        raise PoseFileError(f"{where}: no image name")
    people = [_mat_person(where, rect) for rect in _many(getattr(entry, "annorect", []))]
    return Scene(name, None if video is None else int(video), people)


def _mat_person(where: str, rect: Any) -> SubjectJoints:
    joints = np.zeros((_J, 3))
    for point in _many(getattr(getattr(rect, "annopoints", None), "point", [])):
        number = int(point.id)
        if not 0 <= number < _J:
            raise PoseFileError(f"{where}: joint id {number}, expected 0 to {_J - 1}")
        # is_visible is a number, a text or empty; where it is empty (head) nothing says the joint is hidden.
        hidden = str(getattr(point, "is_visible", "")) == "0"
        joints[number] = (float(point.x), float(point.y), 1 if hidden else 2)
    return SubjectJoints(joints, _mat_place(rect), _mat_number(rect, "scale"), _mat_head_box(rect))


def _mat_place(rect: Any) -> tuple[float, float] | None:
    x, y = (_mat_number(getattr(rect, "objpos", None), name) for name in ("x", "y"))
    return None if x is None or y is None else (x, y)


def _mat_head_box(rect: Any) -> tuple[float, float, float, float] | None:
    x1, y1, x2, y2 = (_mat_number(rect, name) for name in ("x1", "y1", "x2", "y2"))
    return None if x1 is None or y1 is None or x2 is None or y2 is None else (x1, y1, x2, y2)


def _mat_number(struct: Any, name: str) -> float | None:
    value = getattr(struct, name, None)
    return float(value) if value is not None and np.size(value) == 1 else None


def _many(value: Any) -> list[Any]:
    """A struct array that Matlab made a struct, and an empty one, as a list."""
    return np.atleast_1d(np.asarray(value, dtype=object)).ravel().tolist() if np.size(value) else []


def read_hrnet_json(path: Path) -> list[Scene]:
    """`train.json`, `valid.json`: a list of people with image, joints, joints_vis, center and scale.

    joints_vis tells annotated joints from others, not seen from hidden ones: v = 2. Scale and center are as
    MPII's own there (files made for testing, without joints, have no joints to give and are refused).
    """
    try:
        entries = json.loads(path.read_bytes())
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise PoseFileError(f"{path} is not a whole JSON file: {error}") from error
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise PoseFileError(f"{path}: expected a list of people")
    rows = []
    for number, entry in enumerate(entries):
        missing = {"image", "joints", "joints_vis"} - set(entry)
        if missing:
            raise PoseFileError(f"{path}: person {number} has no {sorted(missing)}")
        joints, annotated = np.asarray(entry["joints"], float), np.asarray(entry["joints_vis"], float)
        if joints.shape != (_J, 2) or annotated.shape != (_J,):
            raise PoseFileError(f"{path}: person {number} has joints {joints.shape} and {annotated.shape}")
        visibility = 2 * (annotated > 0)
        rows.append((entry["image"], joints, visibility, entry.get("center"), entry.get("scale")))
    return _scenes(rows)


def read_hourglass_h5(path: Path) -> list[Scene]:
    """`train.h5`, `valid.h5`: arrays imgname, part (N, 16, 2), visible (N, 16), center, scale.

    A joint at (0, 0) is not annotated (3,088 of 47,328 in valid.h5, of which none is called visible). Its center and
    scale are MPII's moved down by 15 px * scale and enlarged by a quarter, which is undone here: all 2,958 objpos
    of valid.h5 become whole numbers by it.
    """
    try:
        import h5py
    except ImportError as error:
        raise ImportError("reading .h5 files needs h5py: pip install h5py") from error
    keys = ("imgname", "part", "visible", "center", "scale")
    try:
        with h5py.File(path) as file:
            missing = [key for key in keys if key not in file]
            if missing:
                raise PoseFileError(f"{path} holds {sorted(file)}, no {missing}")
            names, parts, visible, centers, scales = (np.asarray(file[key]) for key in keys)
    except OSError as error:
        raise PoseFileError(f"{path} is not a whole HDF5 file: {error}") from error
    count = len(names)
    shapes = (parts.shape, visible.shape, centers.shape, scales.shape)
    if shapes != ((count, _J, 2), (count, _J), (count, 2), (count,)):
        raise PoseFileError(f"{path}: {count} names, but part, visible, center, scale are {shapes}")
    scales = scales / 1.25
    centers = centers - np.stack([np.zeros(count), 15 * scales], 1)
    annotated = (parts != 0).any(2)
    visibility = np.where(annotated, 1 + (visible > 0), 0)
    rows = zip(map(_text, names), parts, visibility, centers.tolist(), scales.tolist(), strict=True)
    return _scenes(list(rows))


def _text(name: Any) -> str:
    """bytes, or the characters as numbers, which is how Torch wrote them."""
    return name.decode() if isinstance(name, bytes) else bytes(np.asarray(name, np.uint8)).rstrip(b"\0").decode()


def _scenes(rows: list[tuple[str, np.ndarray, np.ndarray, Any, Any]]) -> list[Scene]:
    """People of the same picture together, in the order of the file."""
    scenes: dict[str, Scene] = {}
    for name, points, visibility, center, scale in rows:
        joints = np.concatenate([points, visibility[:, None]], 1)
        place = None if center is None else (float(center[0]), float(center[1]))
        person = SubjectJoints(joints, place, None if scale is None else float(scale))
        scenes.setdefault(name, Scene(name, None)).people.append(person)
    return list(scenes.values())

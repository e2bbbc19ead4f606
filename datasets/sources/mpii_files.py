"""The three files MPII's annotations travel in, each to a list of `Scene`s.

All three count pixels from 1, as Matlab does, a `Scene` from 0: of 278,866 joints clicked on in 19,919 people (all but
neck and head top, which come from a box) not one has a coordinate of 0, 22 have one of 1. HRNet and mmpose subtract 1
too.

PCKh's head size, 0.6 times the diagonal of the head box, is 25 times MPII's `scale`: for all 2,958 people of the
stacked hourglass' valid.h5 its head size (`normalize`) is that number to the last digit. So the two files without
head boxes have head sizes all the same.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from lcrnet_d2.data.datasets.pose_json import PoseFileError
from lcrnet_d2.structures import MPII16
from lcrnet_d2.structures.bounded_files import read_h5, read_json

from .matlab import read_mat
from .mpii import Scene, SubjectJoints
from .mpii_subsets import Subsets, read_subsets

__all__ = ["read_hourglass_h5", "read_hrnet_json", "read_mpii", "read_release_mat"]

_J = len(MPII16)
_HEAD_SIZE_OF_DIAGONAL = 0.6
_HEAD_SIZE_OF_SCALE = 25.0
_FIRST_PIXEL = 1.0


def read_mpii(path: Path, groups: Path | None = None) -> list[Scene]:
    """Scenes of a .mat, .json or .h5, by the file's ending.

    Args:
        groups: groups_v12.mat, for the .mat alone.

    Raises:
        FileNotFoundError: no such file.
        PoseFileError: another ending, a cut file, or one of another set; groups for a file whose people they do
            not number.
    """
    readers = {".json": read_hrnet_json, ".h5": read_hourglass_h5}
    if path.suffix not in (".mat", *readers):
        raise PoseFileError(f"{path}: expected one of {sorted(('.mat', *readers))}")
    if not path.is_file():
        raise FileNotFoundError(f"no annotation file at {path}")
    if path.suffix != ".mat" and groups is not None:
        raise PoseFileError(f"{groups} numbers the people of MPII's .mat, not those of {path}")
    try:
        return read_release_mat(path, groups) if path.suffix == ".mat" else readers[path.suffix](path)
    except PoseFileError:
        raise
    except (LookupError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise PoseFileError(f"{path}: an entry is not as its makers write it: {error!r}") from error


def read_release_mat(path: Path, groups: Path | None = None, is_train: bool = True) -> list[Scene]:
    """Pictures of `mpii_human_pose_v1_u12_1.mat`, those without people too.

    Args:
        groups: groups_v12.mat of the evaluation toolkit; without it nobody has a group.
        is_train: the training pictures (img_train = 1), or the test pictures: people there have a place, a
            scale, their subset and group, and no joints.
    """
    release: Any = read_mat(path).get("RELEASE")
    missing = [name for name in ("annolist", "img_train") if not hasattr(release, name)]
    if missing:
        raise PoseFileError(f"{path} is not MPII's release: no RELEASE with {missing}")
    entries, img_train = _many(release.annolist), np.atleast_1d(release.img_train)
    if len(entries) != len(img_train):
        raise PoseFileError(f"{path}: {len(entries)} entries in annolist, {len(img_train)} in img_train")
    subsets = read_subsets(path, release, len(entries), groups)
    return [
        _mat_scene(f"{path}: annolist({i + 1})", entries[i], subsets[i])
        for i in range(len(entries))
        if (img_train[i] == 1) == is_train
    ]


def _mat_scene(where: str, entry: Any, subsets: Subsets) -> Scene:
    image, video = getattr(entry, "image", None), _mat_number(entry, "vididx")
    name = getattr(image, "name", None)
    if not isinstance(name, str):
        raise PoseFileError(f"{where}: no image name")
    rects = _many(getattr(entry, "annorect", []))
    people = [_mat_person(where, rect) for rect in rects]
    return Scene(name, None if video is None else int(video), subsets.of_people(where, people))


def _mat_person(where: str, rect: Any) -> SubjectJoints:
    joints = np.zeros((_J, 3))
    for point in _many(getattr(getattr(rect, "annopoints", None), "point", [])):
        number = int(point.id)
        if not 0 <= number < _J:
            raise PoseFileError(f"{where}: joint id {number}, expected 0 to {_J - 1}")
        # is_visible is a number, a text or empty; where it is empty (head) nothing says the joint is hidden.
        hidden = str(getattr(point, "is_visible", "")) in ("0", "0.0")
        joints[number] = (float(point.x) - _FIRST_PIXEL, float(point.y) - _FIRST_PIXEL, 1 if hidden else 2)
    head_box, head_size = _mat_head_box(rect), None
    if head_box is not None:
        head_size = _HEAD_SIZE_OF_DIAGONAL * math.hypot(head_box[2] - head_box[0], head_box[3] - head_box[1])
    return SubjectJoints(joints, _mat_place(rect), _mat_number(rect, "scale"), head_box, head_size)


def _mat_place(rect: Any) -> tuple[float, float] | None:
    x, y = (_mat_number(getattr(rect, "objpos", None), name) for name in ("x", "y"))
    return None if x is None or y is None else (x - _FIRST_PIXEL, y - _FIRST_PIXEL)


def _mat_head_box(rect: Any) -> tuple[float, float, float, float] | None:
    corners = [_mat_number(rect, name) for name in ("x1", "y1", "x2", "y2")]
    x1, y1, x2, y2 = (None if corner is None else corner - _FIRST_PIXEL for corner in corners)
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
        entries = read_json(path)
    except ValueError as error:
        raise PoseFileError(str(error)) from error
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
        file = read_h5(path, ("imgname", "part", "visible", "center", "scale"))
    except ValueError as error:
        raise PoseFileError(str(error)) from error
    names, parts, visible, centers, scales = file.values()
    count = len(names)
    shapes = (parts.shape, visible.shape, centers.shape, scales.shape)
    if shapes != ((count, _J, 2), (count, _J), (count, 2), (count,)):
        raise PoseFileError(f"{path}: {count} names, but part, visible, center, scale are {shapes}")
    scales = scales / 1.25
    centers = centers - np.stack([np.zeros(count), 15 * scales], 1)
    annotated = (parts != 0).any(2)
    visibility = np.where(annotated, 1 + (visible > 0), 0)
    try:
        texts = [_text(name) for name in names]
    except (ValueError, TypeError) as error:
        raise PoseFileError(f"{path}: an image name that is no text: {error}") from error
    rows = zip(texts, parts, visibility, centers.tolist(), scales.tolist(), strict=True)
    return _scenes(list(rows))


def _text(name: Any) -> str:
    """bytes, or the characters as numbers, which is how Torch wrote them."""
    return name.decode() if isinstance(name, bytes) else bytes(np.asarray(name, np.uint8)).rstrip(b"\0").decode()


def _scenes(rows: list[tuple[str, np.ndarray, np.ndarray, Any, Any]]) -> list[Scene]:
    """People of the same picture together, in the order of the file."""
    scenes: dict[str, Scene] = {}
    for name, points, visibility, center, scale in rows:
        joints = np.concatenate([points - _FIRST_PIXEL, visibility[:, None]], 1)
        place = None if center is None else (float(center[0]) - _FIRST_PIXEL, float(center[1]) - _FIRST_PIXEL)
        scale = None if scale is None else float(scale)
        head_size = None if scale is None else _HEAD_SIZE_OF_SCALE * scale
        person = SubjectJoints(joints, place, scale, head_size=head_size)
        scenes.setdefault(name, Scene(name, None)).people.append(person)
    return list(scenes.values())

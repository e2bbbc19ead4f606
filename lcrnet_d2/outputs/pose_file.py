"""Detected people as files: `poses.json` and `poses.npz`, each with joints, units, axes and cameras in it.

docs/outputs.md describes the fields. Shapes: I images, N people of an image, P people of all images, J joints.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..detected_people import DetectedPeople
from ..placement import Camera, OrthographicCamera, PinholeCamera
from ..structures import PIXEL_CENTRE, SKELETONS, Skeleton
from ..structures.bounded_files import read_json, read_npz, refused
from ..structures.whole_files import save_npz, write_text
from .floor import Floor

__all__ = ["FORMAT_VERSION", "PosedImage", "people_to_json", "read_poses", "read_poses_npz", "write_poses"]
__all__ += ["write_poses_npz"]

FORMAT_VERSION = 1

#: A person of 13 joints takes 437 bytes: nine hours of ten people at 30 frames a second.
_MAX_NPZ_BYTES = 4 * 2**30
_ARRAYS = ("scores", "confidences", "boxes", "keypoints_2d", "poses_3d", "in_image", "spreads_2d", "spreads_3d")
_ARRAYS += ("anchors",)
_OPTIONAL_ARRAYS = ("translations", "identities")
_CAMERAS = {"perspective": PinholeCamera, "orthographic": OrthographicCamera}


@dataclass(frozen=True)
class PosedImage:
    """An image or video frame that was asked about, and who is in it.

    Attributes:
        file_name: of the image or the video.
        people: None if the image could not be read.
        error: why not; "" if it could.
        frame: number within the video, from 0; None for an image.
        time: seconds since the start of the video; None for an image.
    """

    file_name: str
    people: DetectedPeople | None
    error: str = ""
    frame: int | None = None
    time: float | None = None


def write_poses(path: str | Path, images: Sequence[PosedImage], skeleton: Skeleton, floor: Floor | None = None) -> None:
    """Writes `poses.json`, whole or not at all, one line per image, also for those without people.

    With a floor it says where that is, and of everyone placed the joints in world coordinates, `pose_world`.
    """
    header = _header(skeleton)
    if floor is not None:
        header["floor"] = {"rotation": floor.rotation.round(6).tolist(), "height": round(floor.height, 4)}
        header["world"] = "x right, y up, z towards the camera; origin on the floor below it; pose_world in m"
    entries = [_image_to_json(image) for image in images]
    for image, entry in zip(images, entries, strict=True):
        if floor is not None and image.people is not None and image.people.translations is not None:
            for person, pose in zip(entry["people"], floor.to_world(image.people.in_camera()), strict=True):
                person["pose_world"] = _rounded(pose, 5)
    head = "".join(f'"{key}": {json.dumps(value)},\n' for key, value in header.items())
    lines = ",\n".join(json.dumps(entry, allow_nan=False) for entry in entries)
    write_text(path, f'{{\n{head}"images": [\n{lines}\n]\n}}\n')


def _header(skeleton: Skeleton) -> dict[str, Any]:
    return {
        "version": FORMAT_VERSION,
        "skeleton": skeleton.name,
        "joint_names": list(skeleton.joints),
        "bones": [list(bone) for bone in skeleton.bones],
        "units": {"keypoints_2d": "px", "pose_3d": "m", "spread_2d": "px", "spread_3d": "m", "translation": "m"},
        "axes": "x right, y down, z away from the camera",
        "origin": "body centre",
        "pixels": "keypoints_2d are COCO indices: the middle of the first pixel is (0, 0); cx, cy of cameras and boxes "
        "are continuous: it is (0.5, 0.5)",
    }


def _image_to_json(image: PosedImage) -> dict[str, Any]:
    people = image.people
    entry: dict[str, Any] = {"file_name": image.file_name, "width": None, "height": None}
    if image.frame is not None:
        entry |= {"frame": image.frame, "time": image.time}
    if people is None:
        return entry | {"people": [], "error": image.error}
    height, width = people.image_size
    entry |= {"width": width, "height": height, "camera": _camera_to_json(people.camera)}
    return entry | {"interpolated": list(people.interpolated), "people": people_to_json(people)}


def people_to_json(people: DetectedPeople) -> list[dict[str, Any]]:
    """One entry per person, the rows of `DetectedPeople`; null for a number that is not known.

    score, confidence; box x1, y1, x2, y2; keypoints_2d (J, 2) COCO pixel indices; pose_3d (J, 3); anchor_class;
    in_image (J,); spread_2d (J,), spread_3d (J,); translation (3,) and identity where there are any.
    """
    entries = []
    for person in people:
        entry = {
            "score": person.score,
            "confidence": person.confidence,
            "box": _rounded(person.box, 2),
            "keypoints_2d": _rounded(person.keypoints_2d - PIXEL_CENTRE, 3),
            "pose_3d": _rounded(person.pose_3d, 5),
            "anchor_class": person.anchor,
            "in_image": person.in_image.tolist(),
            "spread_2d": _rounded(person.spread_2d, 3),
            "spread_3d": _rounded(person.spread_3d, 5),
        }
        if person.translation is not None:
            entry["translation"] = _rounded(person.translation, 5)
        if person.identity is not None:
            entry["identity"] = person.identity
        entries.append(entry)
    return entries


def read_poses(path: str | Path) -> list[PosedImage]:
    """What `write_poses` wrote, to its rounding: 0.0005 px, 0.005 mm, boxes 0.005 px.

    Raises:
        FileNotFoundError: no such file; ValueError: no poses.json, of another version, or beyond 4 GB.
    """
    content = read_json(path)
    with refused(path, "a poses.json"):
        _check_version(content["version"])
        skeleton = _skeleton(content)
        return [_image_from_json(entry, skeleton) for entry in content["images"]]


def _image_from_json(entry: dict[str, Any], skeleton: Skeleton) -> PosedImage:
    frame, time = entry.get("frame"), entry.get("time")
    if "error" in entry:
        return PosedImage(entry["file_name"], None, entry["error"], frame, time)
    rows, j = entry["people"], len(skeleton)

    def column(key: str, tail: tuple[int, ...], dtype: type = np.float32) -> np.ndarray:
        return np.array([row[key] for row in rows], dtype=dtype).reshape(len(rows), *tail)

    placed, tracked = entry["camera"] is not None, all("identity" in row for row in rows) and bool(rows)
    people = DetectedPeople(
        skeleton=skeleton,
        image_size=(entry["height"], entry["width"]),
        scores=column("score", ()),
        confidences=column("confidence", ()),
        boxes=column("box", (4,)),
        keypoints_2d=column("keypoints_2d", (j, 2)) + np.float32(PIXEL_CENTRE),
        poses_3d=column("pose_3d", (j, 3)),
        in_image=column("in_image", (j,), bool),
        spreads_2d=column("spread_2d", (j,)),
        spreads_3d=column("spread_3d", (j,)),
        anchors=column("anchor_class", (), np.int64),
        translations=column("translation", (3,)) if placed else None,
        identities=column("identity", (), np.int64) if tracked else None,
        camera=_camera_from_json(entry["camera"]),
        interpolated=tuple(entry["interpolated"]),
    )
    return PosedImage(entry["file_name"], people, "", frame, time)


def write_poses_npz(path: str | Path, images: Sequence[PosedImage], skeleton: Skeleton) -> None:
    """Writes `poses.npz`, whole or not at all: the arrays of `DetectedPeople`, the people of all images in one.

    (P, ...) arrays named as there, 2D in COCO pixel indices; image (P,) index of each person's image;
    image_info: JSON of the rest, an entry per image; header: JSON of joints, units and axes.
    Both come as text or bytes by `.item()`, which json.loads takes.
    """
    read = [(i, image.people) for i, image in enumerate(images) if image.people is not None]
    none = DetectedPeople.nobody(skeleton, (0, 0))
    people = [none, *(p for _, p in read)]
    arrays = {name: np.concatenate([getattr(p, name) for p in people]) for name in _ARRAYS}
    arrays["keypoints_2d"] = arrays["keypoints_2d"] - np.float32(PIXEL_CENTRE)
    arrays["translations"] = _filled("translations", (3,), np.float32(np.nan), people)
    arrays["identities"] = _filled("identities", (), np.int64(-1), people)
    arrays["image"] = np.repeat(np.array([i for i, _ in read], dtype=np.int64), [len(p) for _, p in read])
    # As bytes: numpy's text of four bytes a letter packs to a ninetieth, and what packs better than to a hundredth
    # (`read_npz`), say hours of frames with nobody in them, is taken for an attack.
    image_info = np.array(json.dumps([_info(image) for image in images]).encode())
    save_npz(path, **arrays, header=json.dumps(_header(skeleton)), image_info=image_info)


def _filled(name: str, tail: tuple[int, ...], missing: np.generic, people: list[DetectedPeople]) -> np.ndarray:
    """(P, *tail) a field that some images may be without, `missing` there."""
    rows = [(len(p), getattr(p, name)) for p in people]
    return np.concatenate([np.full((n, *tail), missing) if v is None else v.astype(missing.dtype) for n, v in rows])


def _info(image: PosedImage) -> dict[str, Any]:
    people = image.people
    entry = _image_to_json(PosedImage(image.file_name, None, image.error, image.frame, image.time))
    if people is None:
        return entry
    del entry["error"]
    height, width = people.image_size
    present = [name for name in _OPTIONAL_ARRAYS if getattr(people, name) is not None]
    entry |= {"width": width, "height": height, "camera": _camera_to_json(people.camera), "present": present}
    return entry | {"interpolated": list(people.interpolated)}


def read_poses_npz(path: str | Path) -> list[PosedImage]:
    """What `write_poses_npz` wrote, to the last bits of float32. Runs nothing that the file may hold.

    Raises:
        FileNotFoundError: no such file; ValueError: no poses.npz, of another version, or beyond 4 GB unpacked.
    """
    arrays = read_npz(path, [*_ARRAYS, *_OPTIONAL_ARRAYS, "image", "image_info", "header"], _MAX_NPZ_BYTES)
    with refused(path, "a poses.npz"):
        header = json.loads(arrays["header"].item())
        _check_version(header["version"])
        arrays["keypoints_2d"] = arrays["keypoints_2d"] + np.float32(PIXEL_CENTRE)
        skeleton = _skeleton(header)
        entries = json.loads(arrays["image_info"].item())
        return [_image_from_arrays(i, entry, arrays, skeleton) for i, entry in enumerate(entries)]


def _image_from_arrays(i: int, entry: dict[str, Any], arrays: dict[str, np.ndarray], skeleton: Skeleton) -> PosedImage:
    frame, time = entry.get("frame"), entry.get("time")
    if "error" in entry:
        return PosedImage(entry["file_name"], None, entry["error"], frame, time)
    rows = slice(*np.searchsorted(arrays["image"], [i, i + 1]).tolist())
    people = DetectedPeople(
        skeleton=skeleton,
        image_size=(entry["height"], entry["width"]),
        **{name: arrays[name][rows] for name in (*_ARRAYS, *entry["present"])},
        camera=_camera_from_json(entry["camera"]),
        interpolated=tuple(entry["interpolated"]),
    )
    return PosedImage(entry["file_name"], people, "", frame, time)


def _check_version(version: int) -> None:
    if version != FORMAT_VERSION:
        raise ValueError(f"version {version}, this program reads {FORMAT_VERSION}")


def _skeleton(header: dict[str, Any]) -> Skeleton:
    """The package's own where it is the same, so that `is` and lookups by name work."""
    bones = tuple((a, b) for a, b in header["bones"])
    read = Skeleton(header["skeleton"], tuple(header["joint_names"]), bones)
    return read if SKELETONS.get(read.name) != read else SKELETONS[read.name]


def _camera_to_json(camera: Camera | None) -> dict[str, Any] | None:
    if camera is None:
        return None
    kind = next(name for name, cls in _CAMERAS.items() if isinstance(camera, cls))
    return {"kind": kind, **vars(camera)}


def _camera_from_json(entry: dict[str, Any] | None) -> Camera | None:
    if entry is None:
        return None
    return _CAMERAS[entry["kind"]](**{key: value for key, value in entry.items() if key != "kind"})


def _rounded(values: np.ndarray, digits: int) -> list[Any]:
    """Nested lists; None for what is not finite, which JSON cannot hold."""
    rounded = np.asarray(values, dtype=np.float64).round(digits)
    known = rounded.astype(object)
    known[~np.isfinite(rounded)] = None
    return known.tolist()

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

from ..detected_people import OPTIONAL_FIELDS, PERSON_FIELDS, DetectedPeople, person_shape
from ..placement import OrthographicCamera, PinholeCamera
from ..structures import PIXEL_CENTRE, SKELETONS, Skeleton
from ..structures.bounded_files import read_json, read_npz, refused
from ..structures.whole_files import save_npz, write_text
from .floor import Floor

__all__ = ["FORMAT_VERSION", "PosedImage", "people_to_json", "read_poses", "read_poses_npz", "write_poses"]
__all__ += ["write_poses_npz"]

FORMAT_VERSION = 1

#: A person of 13 joints takes 437 bytes: nine hours of ten people at 30 frames a second.
_MAX_NPZ_BYTES = 4 * 2**30
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
    entries = []
    for image in images:
        entries.append(_image_info(image) | {"people": [] if image.people is None else people_to_json(image.people)})
        if floor is not None and image.people is not None and image.people.translations is not None:
            world = _rounded(floor.to_world(image.people.in_camera()), 5)
            for person, pose in zip(entries[-1]["people"], world, strict=True):
                person["pose_world"] = pose
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


def _image_info(image: PosedImage) -> dict[str, Any]:
    """What both files say of an image beside its people."""
    entry: dict[str, Any] = {"file_name": image.file_name, "width": None, "height": None}
    if image.frame is not None:
        entry |= {"frame": image.frame, "time": image.time}
    if image.people is None:
        return entry | {"error": image.error}
    (height, width), camera = image.people.image_size, image.people.camera
    kind = next((name for name, cls in _CAMERAS.items() if isinstance(camera, cls)), None)
    entry |= {"width": width, "height": height, "camera": kind and {"kind": kind, **vars(camera)}}
    return entry | {"interpolated": list(image.people.interpolated)}


def people_to_json(people: DetectedPeople) -> list[dict[str, Any]]:
    """An entry per person, with the rows of `DetectedPeople` by the keys of `PERSON_FIELDS`; null for a number that is
    not known, keypoints_2d in COCO pixel indices.
    """
    found = {name: values for name in PERSON_FIELDS if (values := getattr(people, name)) is not None}
    found["keypoints_2d"] = people.keypoints_2d - PIXEL_CENTRE
    columns = [_rounded(values, PERSON_FIELDS[name]["digits"]) for name, values in found.items()]
    keys = [PERSON_FIELDS[name]["key"] for name in found]
    return [dict(zip(keys, row, strict=True)) for row in zip(*columns, strict=True)]


def read_poses(path: str | Path) -> list[PosedImage]:
    """What `write_poses` wrote, to its rounding: 0.0005 px, 0.005 mm, boxes 0.005 px.

    Raises:
        FileNotFoundError: no such file; ValueError: no poses.json, of another version, or beyond 4 GB.
    """
    content = read_json(path)
    with refused(path, "a poses.json"):
        skeleton = _skeleton(content)
        return [_posed_image(entry, _arrays_of_rows(entry, len(skeleton)), skeleton) for entry in content["images"]]


def _arrays_of_rows(entry: dict[str, Any], num_joints: int) -> dict[str, np.ndarray]:
    rows = entry["people"]
    present = {"translations": entry.get("camera"), "identities": rows and all("identity" in row for row in rows)}
    return {
        name: np.array([row[of["key"]] for row in rows], of["dtype"]).reshape(-1, *person_shape(name, num_joints))
        for name, of in PERSON_FIELDS.items()
        if present.get(name, True)
    }


def _posed_image(entry: dict[str, Any], arrays: dict[str, np.ndarray], skeleton: Skeleton) -> PosedImage:
    """Of what either file says of an image and its people, keypoints_2d in COCO pixel indices."""
    people = None
    if "error" not in entry:
        camera = dict(entry["camera"] or {})
        arrays["keypoints_2d"] = arrays["keypoints_2d"] + np.float32(PIXEL_CENTRE)
        people = DetectedPeople(
            skeleton,
            (entry["height"], entry["width"]),
            **arrays,
            camera=_CAMERAS[camera.pop("kind")](**camera) if camera else None,
            interpolated=tuple(entry["interpolated"]),
        )
    return PosedImage(entry["file_name"], people, entry.get("error", ""), entry.get("frame"), entry.get("time"))


def write_poses_npz(path: str | Path, images: Sequence[PosedImage], skeleton: Skeleton) -> None:
    """Writes `poses.npz`, whole or not at all: the arrays of `DetectedPeople`, the people of all images in one.

    (P, ...) arrays named as there, 2D in COCO pixel indices; image (P,) index of each person's image;
    image_info: JSON of the rest, an entry per image; header: JSON of joints, units and axes.
    Both come as text or bytes by `.item()`, which json.loads takes.
    """
    of_image = [DetectedPeople.nobody(skeleton, (0, 0)) if i.people is None else i.people for i in images]
    everyone = [DetectedPeople.nobody(skeleton, (0, 0)), *of_image]
    arrays = {name: np.concatenate([_filled(people, name) for people in everyone]) for name in PERSON_FIELDS}
    arrays["keypoints_2d"] = arrays["keypoints_2d"] - np.float32(PIXEL_CENTRE)
    arrays["image"] = np.repeat(np.arange(len(images)), [len(people) for people in of_image])
    info = [
        _image_info(image) | {"present": [name for name in OPTIONAL_FIELDS if getattr(people, name) is not None]}
        for image, people in zip(images, of_image, strict=True)
    ]
    # As bytes: numpy's text of four bytes a letter packs to a ninetieth, and what packs better than to a hundredth
    # (`read_npz`), say hours of frames with nobody in them, is taken for an attack.
    image_info = np.array(json.dumps(info).encode())
    save_npz(path, **arrays, header=json.dumps(_header(skeleton)), image_info=image_info)


def _filled(people: DetectedPeople, name: str) -> np.ndarray:
    """The array of this name, of people without one NaN or -1."""
    values, dtype = getattr(people, name), PERSON_FIELDS[name]["dtype"]
    missing = np.nan if dtype is np.float32 else -1
    return np.full((len(people), *person_shape(name, 0)), missing, dtype) if values is None else values.astype(dtype)


def read_poses_npz(path: str | Path) -> list[PosedImage]:
    """What `write_poses_npz` wrote, to the last bits of float32. Runs nothing that the file may hold.

    Raises:
        FileNotFoundError: no such file; ValueError: no poses.npz, of another version, or beyond 4 GB unpacked.
    """
    found = read_npz(path, [*PERSON_FIELDS, "image", "image_info", "header"], _MAX_NPZ_BYTES)
    images = []
    with refused(path, "a poses.npz"):
        skeleton = _skeleton(json.loads(found["header"].item()))
        for i, entry in enumerate(json.loads(found["image_info"].item())):
            rows = slice(*np.searchsorted(found["image"], [i, i + 1]).tolist())
            absent = set(OPTIONAL_FIELDS) - set(entry.get("present", ()))
            arrays = {name: found[name][rows] for name in PERSON_FIELDS if name not in absent}
            images.append(_posed_image(entry, arrays, skeleton))
    return images


def _skeleton(header: dict[str, Any]) -> Skeleton:
    """The package's own where it is the same, so that `is` and lookups by name work; ValueError: another version."""
    if header["version"] != FORMAT_VERSION:
        raise ValueError(f"version {header['version']}, this program reads {FORMAT_VERSION}")
    bones = tuple((a, b) for a, b in header["bones"])
    read = Skeleton(header["skeleton"], tuple(header["joint_names"]), bones)
    return read if SKELETONS.get(read.name) != read else SKELETONS[read.name]


def _rounded(values: np.ndarray, digits: int | None) -> list[Any]:
    """Nested lists; None for what is not finite, which JSON cannot hold. Without digits as they are."""
    if digits is None:
        return values.tolist()
    rounded = np.asarray(values, dtype=np.float64).round(digits)
    known = rounded.astype(object)
    known[~np.isfinite(rounded)] = None
    return known.tolist()

"""The one annotation file of this project: COCO keypoints plus a 3D pose per person. In and out.

On disk (a superset of COCO's person keypoints, so pycocotools reads it too):

    info.format "lcrnet_d2 poses", info.version, info.units, info.axes, info.origin
    images[i]:      id, file_name, width, height
                    optional camera {fx, fy, cx, cy} in px, partly_annotated (not everyone is); on Human3.6M
                    subject, action, camera_serial, frame (from 0), trial
    categories[0]:  keypoints = the J joint names, in order
    annotations[i]: image_id, bbox [x, y, w, h], iscrowd, keypoints [x, y, v] * J (COCO pixel indices)
                    optional pose_3d [[x, y, z]] * J in metres, camera axes, relative to the body centre,
                    pose_3d_source "measured" | "pseudo" | "synthetic", pose_3d_error (fraction of the
                    pose's size), pose_3d_std [[x, y, z]] * J (standard deviation of each coordinate of
                    pose_3d in metres; without it 3D counts as exact), root_position [x, y, z] of the body
                    centre in camera space, metres, area (of the segment, px^2, as COCO gives it);
                    objpos [x, y] px, scale (height / 200 px),
                    head_box [x1, y1, x2, y2] px (as MPII gives them: pixel indices), head_size px,
                    group (number of MPII's multi-person group), single_person (false: not in that subset)

In memory: Detectron2's dataset dicts. Pixels are continuous there (index + 0.5, added once here, also
subtracted once here), boxes are x1, y1, x2, y2, `pose_3d` and `pose_3d_std` are (J, 3) float32 arrays.
Visibility v: 2 seen, 1 annotated but hidden, 0 completed (with pose_3d) or not annotated (without).
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from detectron2.structures import BoxMode
from PIL import Image

from ...structures import PIXEL_CENTRE, Skeleton
from ...structures.bounded_files import read_json
from ...structures.whole_files import write_json

__all__ = [
    "POSE_3D_SOURCES",
    "PoseFileError",
    "image_size",
    "load_pose_json",
    "read_annotations",
    "read_pose_info",
    "write_pose_json",
]

FORMAT = "lcrnet_d2 poses"
VERSION = 1
POSE_3D_SOURCES = ("measured", "pseudo", "synthetic")
#: No body is longer; 3D in millimetres by mistake always is.
MAX_BODY_M = 4.0

_IMAGE_EXTRAS = ("camera", "partly_annotated", "subject", "action", "camera_serial", "frame", "trial")
_ANNOTATION_EXTRAS = (
    *("pose_3d_source", "pose_3d_error", "root_position", "area"),
    *("objpos", "scale", "head_box", "head_size", "group", "single_person"),
)

#: Shapes of those that are numbers.
_EXTRA_SHAPES: dict[str, tuple[int, ...]] = {
    **{"pose_3d_error": (), "root_position": (3,), "area": ()},
    **{"objpos": (2,), "scale": (), "head_box": (4,), "head_size": ()},
}
_EXIF_ORIENTATION = 0x0112


class PoseFileError(ValueError):
    """Something is wrong with an annotation file; the message names file, entry and field."""


def load_pose_json(path: str | Path, image_root: str | Path, skeleton: Skeleton) -> list[dict[str, Any]]:
    """Reads a file of poses into fresh Detectron2 dataset dicts, images without people included.

    Args:
        path: the JSON file.
        image_root: folder that `file_name`s are relative to; a name that leads out of it is refused.
        skeleton: what the file's joints must be, in this order.

    Raises:
        FileNotFoundError: no such file.
        PoseFileError: truncated, another format or joints, or numbers that cannot be (see `_person`).
    """
    content = _read(path)
    person = _check_joints(path, content, skeleton).get("id", 1)
    root = Path(image_root).resolve()
    records: dict[Any, dict[str, Any]] = {}
    for number, image in enumerate(_list_of(path, content, "images")):
        where = f"{path}: images[{number}]"
        record = _image(where, image, root)
        if record["image_id"] in records:
            raise PoseFileError(f"{where}: id {record['image_id']!r} occurs twice")
        records[record["image_id"]] = record
    for number, annotation in enumerate(_list_of(path, content, "annotations")):
        where = f"{path}: annotations[{number}] (id {annotation.get('id')!r})"
        of = annotation.get("category_id", person)
        if of != person:
            raise PoseFileError(f"{where}: category_id is {of!r}, that of the person {person!r}")
        image_id = _field(where, annotation, "image_id")
        if not isinstance(image_id, (int, str)) or image_id not in records:
            raise PoseFileError(f"{where}: image_id {image_id!r} is not among the images")
        records[image_id]["annotations"].append(_person(where, annotation, skeleton))
    return list(records.values())


def write_pose_json(
    path: str | Path, dataset_dicts: list[dict[str, Any]], skeleton: Skeleton, info: dict[str, Any] | None = None
) -> None:
    """Writes dataset dicts (as `load_pose_json` returns them, file names relative) whole or not at all."""
    images, annotations = [], []
    for record in dataset_dicts:
        image = {"id": record["image_id"], "file_name": str(record["file_name"])}
        image |= {"width": int(record["width"]), "height": int(record["height"])}
        images.append(image | {key: record[key] for key in _IMAGE_EXTRAS if key in record})
        for person in record["annotations"]:
            annotations.append({"id": len(annotations) + 1, "image_id": record["image_id"]} | _to_json(person))
    category = {"id": 1, "name": "person", "supercategory": "person", "keypoints": list(skeleton.joints)}
    category["skeleton"] = [[a + 1, b + 1] for a, b in skeleton.bone_indices]
    header = {"format": FORMAT, "version": VERSION, "units": {"keypoints": "px", "pose_3d": "m"}}
    header |= {"axes": "x right, y down, z away from the camera", "origin": "body centre"}
    content = {"info": header | (info or {}), "images": images, "annotations": annotations, "categories": [category]}
    write_json(path, content)


def read_pose_info(path: str | Path) -> dict[str, Any]:
    """The file's `info`."""
    return _read(path).get("info", {})


def read_annotations(path: str | Path) -> dict[str, Any]:
    """Reads a JSON file of annotations of any set, whose outermost value is an object.

    Raises:
        FileNotFoundError: no such file.
        PoseFileError: no JSON, too large, or something else than an object.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"no annotation file at {path}")
    try:
        content = read_json(path)
    except ValueError as error:
        raise PoseFileError(str(error)) from error
    if not isinstance(content, dict):
        raise PoseFileError(f"{path}: expected an object with images and annotations")
    return content


def _read(path: str | Path) -> dict[str, Any]:
    content = read_annotations(path)
    version = content.get("info", {}).get("version", VERSION) if _is_ours(content) else VERSION
    if version != VERSION:
        raise PoseFileError(f"{path}: info.version is {version!r}, this program reads {VERSION}")
    return content


def _is_ours(content: dict[str, Any]) -> bool:
    return isinstance(content.get("info"), dict) and content["info"].get("format") == FORMAT


def _list_of(path: str | Path, content: dict[str, Any], key: str) -> list[dict[str, Any]]:
    entries = content.get(key)
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise PoseFileError(f"{path}: {key} must be a list of objects")
    return entries


def _field(where: str, entry: dict[str, Any], key: str) -> Any:
    if key not in entry:
        raise PoseFileError(f"{where}: no {key!r}")
    return entry[key]


def _check_joints(path: str | Path, content: dict[str, Any], skeleton: Skeleton) -> dict[str, Any]:
    """The category of the person."""
    categories = _list_of(path, content, "categories")
    if len(categories) != 1:
        raise PoseFileError(f"{path}: categories has {len(categories)} entries, expected one, the person")
    joints = categories[0].get("keypoints")
    if joints != list(skeleton.joints):
        raise PoseFileError(
            f"{path}: categories[0].keypoints are {joints}, expected those of {skeleton.name}: {list(skeleton.joints)}"
        )
    return categories[0]


def _image(where: str, image: dict[str, Any], root: Path) -> dict[str, Any]:
    name = _field(where, image, "file_name")
    try:
        file = (root / str(name)).resolve()
    except (OSError, ValueError, RuntimeError) as error:  # too long, a zero byte, links in a circle
        raise PoseFileError(f"{where}: file_name {str(name)[:100]!r} is no file name: {error}") from error
    if not file.is_relative_to(root):
        raise PoseFileError(f"{where}: file_name {name!r} leads out of {root}")
    size = {key: _field(where, image, key) for key in ("height", "width")}
    for key, value in size.items():
        if type(value) is not int or value < 1:
            raise PoseFileError(f"{where}: {key} is {value!r}, expected a positive whole number of px")
    extras = {key: image[key] for key in _IMAGE_EXTRAS if key in image}
    if extras.get("partly_annotated", False) not in (True, False):
        raise PoseFileError(f"{where}: partly_annotated is {extras['partly_annotated']!r}, expected true or false")
    if "camera" in extras:
        extras["camera"] = _camera(where, extras["camera"])
    image_id = _field(where, image, "id")
    if not isinstance(image_id, (int, str)):
        raise PoseFileError(f"{where}: id is {image_id!r}, expected a number or a text")
    return {"file_name": str(file), **size, "image_id": image_id, **extras, "annotations": []}


def _camera(where: str, camera: Any) -> dict[str, float]:
    keys = ("fx", "fy", "cx", "cy")
    if not isinstance(camera, dict) or not set(keys) <= set(camera):
        raise PoseFileError(f"{where}: camera is {camera!r}, expected fx, fy, cx, cy in px")
    values = _numbers(where, "camera", [camera[key] for key in keys], (4,))
    return dict(zip(keys, values.tolist(), strict=True))


def _person(where: str, annotation: dict[str, Any], skeleton: Skeleton) -> dict[str, Any]:
    """One person or crowd. Refuses NaN, a wrong joint count, v outside 0..2, bodies larger than 4 m."""
    x, y, w, h = _numbers(where, "bbox", _field(where, annotation, "bbox"), (4,)).tolist()
    if w < 0 or h < 0:
        raise PoseFileError(f"{where}: bbox has a negative size: {[x, y, w, h]}")
    person: dict[str, Any] = {"bbox": [x, y, x + w, y + h], "bbox_mode": BoxMode.XYXY_ABS, "category_id": 0}
    person["iscrowd"] = annotation.get("iscrowd", 0)
    if person["iscrowd"] not in (0, 1):
        raise PoseFileError(f"{where}: iscrowd is {person['iscrowd']!r}, expected 0 or 1")
    if annotation.get("keypoints"):
        keypoints = _numbers(where, "keypoints", annotation["keypoints"], (3 * len(skeleton),)).reshape(-1, 3)
        if not np.isin(keypoints[:, 2], (0, 1, 2)).all():
            raise PoseFileError(f"{where}: keypoints have a visibility that is not 0, 1 or 2")
        keypoints[:, :2] += PIXEL_CENTRE
        person["keypoints"] = keypoints.ravel().tolist()
    if annotation.get("pose_3d") is not None:
        person["pose_3d"] = _pose_3d(where, annotation["pose_3d"], skeleton)
        if "keypoints" not in person:
            raise PoseFileError(f"{where}: a pose_3d without keypoints")
        if np.equal(np.reshape(person["keypoints"], (-1, 3)), [PIXEL_CENTRE, PIXEL_CENTRE, 0]).all(1).any():
            raise PoseFileError(
                f"{where}: keypoints hold 0, 0, 0 beside a pose_3d; its 2D must be complete, "
                "with v = 0 for completed joints"
            )
        source = _field(where, annotation, "pose_3d_source")
        if source not in POSE_3D_SOURCES:
            raise PoseFileError(f"{where}: pose_3d_source is {source!r}, expected one of {POSE_3D_SOURCES}")
    if "pose_3d_std" in annotation:
        std = _numbers(where, "pose_3d_std", annotation["pose_3d_std"], (len(skeleton), 3))
        if "pose_3d" not in person or (std < 0).any():
            raise PoseFileError(f"{where}: pose_3d_std is below 0 or without a pose_3d")
        person["pose_3d_std"] = std.astype(np.float32)
    for key, shape in _EXTRA_SHAPES.items():
        if key in annotation:
            _numbers(where, key, annotation[key], shape)
    return person | {key: annotation[key] for key in _ANNOTATION_EXTRAS if key in annotation}


def _pose_3d(where: str, value: Any, skeleton: Skeleton) -> np.ndarray:
    pose = _numbers(where, "pose_3d", value, (len(skeleton), 3)).astype(np.float32)
    size = np.linalg.norm(np.ptp(pose, axis=0))
    if size > MAX_BODY_M:
        raise PoseFileError(f"{where}: pose_3d spans {size:.1f} m, more than {MAX_BODY_M:.0f} m; is it in mm?")
    off = np.linalg.norm(pose[skeleton.torso].mean(0))
    if off > 0.01:
        raise PoseFileError(
            f"{where}: pose_3d must be relative to the body centre (mean of shoulders and hips), "
            f"which is {off:.2f} m off"
        )
    return pose


def _numbers(where: str, name: str, value: Any, shape: tuple[int, ...]) -> np.ndarray:
    try:
        array = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise PoseFileError(f"{where}: {name} are not numbers: {error}") from error
    if array.shape != shape:
        raise PoseFileError(f"{where}: {name} have shape {array.shape}, expected {shape}")
    if not np.isfinite(array).all():
        raise PoseFileError(f"{where}: {name} hold NaN or infinite numbers")
    return array


def _to_json(person: dict[str, Any]) -> dict[str, Any]:
    x1, y1, x2, y2 = BoxMode.convert(list(map(float, person["bbox"])), person["bbox_mode"], BoxMode.XYXY_ABS)
    out: dict[str, Any] = {"category_id": 1, "bbox": [x1, y1, x2 - x1, y2 - y1]}
    out["iscrowd"] = int(person.get("iscrowd", 0))
    if "keypoints" in person:
        keypoints = np.asarray(person["keypoints"], dtype=np.float64).reshape(-1, 3)
        keypoints = keypoints - [PIXEL_CENTRE, PIXEL_CENTRE, 0.0]
        out["keypoints"] = [round(v, 4) for v in keypoints.ravel().tolist()]
        out["num_keypoints"] = int((keypoints[:, 2] > 0).sum())
    for key in ("pose_3d", "pose_3d_std"):
        if key in person:
            out[key] = np.asarray(person[key], dtype=np.float64).round(6).tolist()
    return out | {key: _plain(person[key]) for key in _ANNOTATION_EXTRAS if key in person}


def _plain(value: Any) -> Any:
    return np.asarray(value).tolist() if not isinstance(value, str) else value


def image_size(path: Path) -> tuple[int, int]:
    """(width, height) px of an image file as it is shown (EXIF rotation applied), from its header alone.

    Raises:
        PoseFileError: no such file, or none that Pillow knows.
    """
    try:
        with Image.open(path) as image:
            width, height = image.size
            turned = image.getexif().get(_EXIF_ORIENTATION, 1) >= 5
    except FileNotFoundError as error:
        raise PoseFileError(f"no image at {path}") from error
    except Exception as error:  # Pillow's formats raise whatever they trip over: struct, zlib, type, key errors ...
        raise PoseFileError(f"cannot read the image {path}: {error}") from error
    return (height, width) if turned else (width, height)


def summary(dataset_dicts: list[dict[str, Any]]) -> str:
    """One line: images, people, people with 3D by source, crowds."""
    people = [person for record in dataset_dicts for person in record["annotations"]]
    sources = Counter(p["pose_3d_source"] for p in people if "pose_3d" in p)
    with_3d = ", ".join(f"{n} {source}" for source, n in sources.items()) or "none"
    crowds = sum(p["iscrowd"] for p in people)
    return f"{len(dataset_dicts)} images, {len(people) - crowds} people (3D: {with_3d}), {crowds} crowds"

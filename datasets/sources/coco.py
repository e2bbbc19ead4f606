"""COCO's `person_keypoints_*.json`: 17 joints to 13, crowds and people without joints included."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from detectron2.structures import BoxMode

from lcrnet_d2.data.datasets.pose_json import PoseFileError
from lcrnet_d2.structures import COCO17
from lcrnet_d2.structures.bounded_files import read_json

from .records import Result, person_from_joints

__all__ = ["read_coco"]


def read_coco(path: Path, images: Path | None = None) -> Iterator[Result]:
    """Every picture of the file, those without people too: they are background.

    Crowds stay crowds (`iscrowd`, to be ignored); people without annotated joints keep their box and get no
    3D, so they are ignored as well; boxes and `area` are COCO's own; v is COCO's, the head's the least of the
    annotated face points'.

    Args:
        path: the JSON.
        images: folder of the pictures: those that are not there are left out. None: all are kept unseen.

    Raises:
        FileNotFoundError: no such file.
        PoseFileError: cut, not of COCO's 17 joints, or with entries that cannot be.
    """
    try:
        records = _records(path, _read(path))
    except PoseFileError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise PoseFileError(f"{path}: an entry is not as COCO writes it: {error!r}") from error
    return (_if_there(record, images) for record in records.values())


def _records(path: Path, content: dict[str, Any]) -> dict[Any, dict[str, Any]]:
    records: dict[Any, dict[str, Any]] = {}
    for image in content["images"]:
        record = _record(f"{path}: images", image)
        if record["image_id"] in records:
            raise PoseFileError(f"{path}: images: id {record['image_id']!r} occurs twice")
        records[record["image_id"]] = record
    for annotation in content["annotations"]:
        where = f"{path}: annotation {annotation.get('id')}"
        if annotation.get("image_id") not in records:
            raise PoseFileError(f"{where}: image_id {annotation.get('image_id')!r} is not among the images")
        records[annotation["image_id"]]["annotations"].append(_person(where, annotation))
    return records


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise FileNotFoundError(f"no annotation file at {path}")
    try:
        content = read_json(path)
    except ValueError as error:
        raise PoseFileError(str(error)) from error
    keys = ("images", "annotations", "categories")
    if not isinstance(content, dict) or not all(isinstance(content.get(key), list) for key in keys):
        raise PoseFileError(f"{path}: expected COCO's lists {keys}")
    joints = [category.get("keypoints") for category in content["categories"]]
    if joints != [list(COCO17.joints)]:
        raise PoseFileError(f"{path}: keypoints per category are {joints}, expected one person of COCO's 17")
    return content


def _record(where: str, image: dict[str, Any]) -> dict[str, Any]:
    missing = {"id", "file_name", "width", "height"} - set(image)
    if missing:
        raise PoseFileError(f"{where}: {image.get('file_name')} has no {sorted(missing)}")
    return {
        "file_name": image["file_name"],
        "image_id": image["id"],
        "width": image["width"],
        "height": image["height"],
        "annotations": [],
    }


def _person(where: str, annotation: dict[str, Any]) -> dict[str, Any]:
    box = np.asarray(annotation.get("bbox", []), dtype=np.float64)
    if box.shape != (4,) or not np.isfinite(box).all() or (box[2:] < 0).any():
        raise PoseFileError(f"{where}: bbox is {annotation.get('bbox')}, expected x, y, width, height")
    own: dict[str, Any] = {"bbox": [box[0], box[1], box[0] + box[2], box[1] + box[3]]}
    own |= {"iscrowd": int(annotation.get("iscrowd", 0)), "category_id": 0, "bbox_mode": BoxMode.XYXY_ABS}
    if "area" in annotation:
        own["area"] = float(annotation["area"])
    keypoints = np.asarray(annotation.get("keypoints") or np.zeros(3 * len(COCO17)), dtype=np.float64)
    if keypoints.shape != (3 * len(COCO17),):
        raise PoseFileError(f"{where}: {keypoints.size} keypoint numbers, expected {3 * len(COCO17)}")
    keypoints = keypoints.reshape(-1, 3)
    if not np.isin(keypoints[:, 2], (0, 1, 2)).all():
        raise PoseFileError(f"{where}: a visibility is not 0, 1 or 2")
    if not (keypoints[:, 2] > 0).any():
        return own
    try:
        return person_from_joints(keypoints[:, :2], keypoints[:, 2], COCO17) | own
    except PoseFileError as error:
        raise PoseFileError(f"{where}: {error}") from error


def _if_there(record: dict[str, Any], images: Path | None) -> Result:
    if images is not None and not (images / record["file_name"]).is_file():
        return PoseFileError(f"no image at {images / record['file_name']}")
    return record

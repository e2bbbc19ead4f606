"""COCO's `person_keypoints_*.json`: 17 joints to 13, crowds and people without joints included."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from detectron2.structures import BoxMode

from lcrnet_d2.data.datasets.pose_json import PoseFileError, read_annotations
from lcrnet_d2.structures import COCO17

from .records import Result, person_from_joints

__all__ = ["read_coco"]


def read_coco(path: Path, images: Path | None = None, category: str | None = None) -> Iterator[Result]:
    """Every picture of the file, those without people too: they are background.

    Crowds stay crowds (`iscrowd`, to be ignored); people without annotated joints keep their box and get no
    3D, so they are ignored as well; boxes and `area` are COCO's own; v is COCO's, the head's the least of the
    annotated face points'. What cannot be meant is left out and logged: annotations of other categories or of one that
    nobody defines, the same annotation a second time, joints marked as annotated at 0, 0.

    Args:
        path: the JSON.
        images: folder of the pictures: those that are not there are left out. None: all are kept unseen.
        category: name of the person's category; None: the one with COCO's 17 joints.

    Raises:
        FileNotFoundError: no such file.
        PoseFileError: cut, no category or several with COCO's 17 joints, or with entries that cannot be.
    """
    try:
        content = _read(path)
        records = _records(path, content, _person_category(path, content["categories"], category))
    except PoseFileError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise PoseFileError(f"{path}: an entry is not as COCO writes it: {error!r}") from error
    return (_if_there(record, images) for record in records.values())


def _records(path: Path, content: dict[str, Any], person: Any) -> dict[Any, dict[str, Any]]:
    records: dict[Any, dict[str, Any]] = {}
    for image in content["images"]:
        record = _record(f"{path}: images", image)
        if record["image_id"] in records:
            raise PoseFileError(f"{path}: images: id {record['image_id']!r} occurs twice")
        records[record["image_id"]] = record
    known, odd = {c.get("id"): c.get("name") for c in content["categories"]}, Oddities()
    seen = set()
    for annotation in content["annotations"]:
        where = f"{path}: annotation {annotation.get('id')}"
        if annotation.get("image_id") not in records:
            raise PoseFileError(f"{where}: image_id {annotation.get('image_id')!r} is not among the images")
        of = annotation.get("category_id", person)
        if of != person:
            odd.add(
                f"annotations of {known[of]!r}" if of in known else f"annotations of the unknown category {of}", where
            )
            continue
        content_of = repr([annotation.get(key) for key in ("image_id", "bbox", "keypoints", "iscrowd")])
        if content_of in seen:
            odd.add("annotations that are there already", where)
            continue
        seen.add(content_of)
        records[annotation["image_id"]]["annotations"].append(_person(where, annotation, odd))
    odd.report()
    return records


class Oddities:
    """Counts what is left out, by kind, and remembers where it was met first."""

    def __init__(self) -> None:
        self._met: dict[str, list[str]] = {}

    def add(self, kind: str, where: str) -> None:
        self._met.setdefault(kind, []).append(where)

    def report(self) -> None:
        for kind, places in self._met.items():
            logging.getLogger(__name__).warning("left out: %d %s, the first at %s", len(places), kind, places[0])


def _person_category(path: Path, categories: list[dict[str, Any]], name: str | None) -> Any:
    """The id of the category that is asked for, or of the only one with COCO's joints."""
    joints = list(COCO17.joints)
    fitting = [c for c in categories if c.get("keypoints") == joints and name in (None, c.get("name"))]
    if len(fitting) != 1:
        there = {c.get("name"): c.get("keypoints") for c in categories}
        asked = "say which is the person: --category NAME" if fitting else f"expected one with {joints}"
        raise PoseFileError(f"{path}: keypoints per category are {there}; {asked}, COCO's 17")
    return fitting[0].get("id")


def _read(path: Path) -> dict[str, Any]:
    content = read_annotations(path)
    keys = ("images", "annotations", "categories")
    if not all(isinstance(content.get(key), list) for key in keys):
        raise PoseFileError(f"{path}: expected COCO's lists {keys}")
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


def _person(where: str, annotation: dict[str, Any], odd: Oddities) -> dict[str, Any]:
    box = np.asarray(annotation.get("bbox", []), dtype=np.float64)
    if box.shape != (4,) or not np.isfinite(box).all() or (box[2:] < 0).any():
        raise PoseFileError(f"{where}: bbox is {annotation.get('bbox')}, expected x, y, width, height")
    own: dict[str, Any] = {"bbox": [box[0], box[1], box[0] + box[2], box[1] + box[3]]}
    own |= {"iscrowd": int(annotation.get("iscrowd", 0)), "category_id": 0, "bbox_mode": BoxMode.XYXY_ABS}
    if "area" in annotation:
        own["area"] = float(annotation["area"])
    keypoints = np.asarray(annotation.get("keypoints") or np.zeros(3 * len(COCO17)), dtype=np.float64)
    if keypoints.shape != (3 * len(COCO17),):
        shape = f"{keypoints.shape[0]} numbers" if keypoints.ndim == 1 else f"lists of the shape {keypoints.shape}"
        raise PoseFileError(f"{where}: keypoints are {shape}, expected one list of {3 * len(COCO17)}: x, y, v, x, ...")
    keypoints = keypoints.reshape(-1, 3)
    if not np.isin(keypoints[:, 2], (0, 1, 2)).all():
        raise PoseFileError(f"{where}: a visibility is not 0, 1 or 2")
    nowhere = (keypoints == 0)[:, :2].all(1) & (keypoints[:, 2] > 0)
    if nowhere.any():  # programs that mark every joint as seen, also those that nobody annotated
        odd.add("people's joints at 0, 0 that are marked as annotated", where)
        keypoints[nowhere, 2] = 0
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

"""Saved predictions of either kind, tied to the images of a data set.

Kinds: what `predictions_json.save_predictions` writes (NMS and PPI), and the poses.json of outputs/pose_file.py
(PPI only); both hold COCO pixel indices. Of other programs, in 2D: COCO's results and OpenPose's folder of JSON.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any

import numpy as np

from ..structures import PIXEL_CENTRE, Skeleton
from ..structures.bounded_files import read_json
from .keypoint_files import read_coco_results, read_openpose
from .people import ImagePredictions, PredictedPeople
from .predictions_json import load_predictions

__all__ = ["read_saved_predictions"]

_POSE_FILE_VERSION = 1
_HEAD_CHARACTERS = 10_000


def read_saved_predictions(
    path: str | Path, skeleton: Skeleton, records: Sequence[Mapping[str, Any]]
) -> list[ImagePredictions]:
    """Predictions with the image_id of the data set's image they belong to.

    An image is known by its image_id and, where the file has none or another, by its file name: the whole of
    it, or as many of its last parts as it takes to tell the data set's images apart.

    Raises:
        FileNotFoundError: no such file.
        ValueError: neither kind of file, another version, other joints, an image that is not in the data set
            or could be several, or is of another size there: predictions of a resized picture.
    """
    if Path(path).is_dir():
        return read_openpose(path, skeleton, records)
    if not Path(path).is_file():
        raise FileNotFoundError(f"no saved predictions at {path}")
    with Path(path).open(errors="replace") as file:
        if file.read(_HEAD_CHARACTERS).lstrip().startswith("["):
            return read_coco_results(path, skeleton, records)
    predictions = _read_pose_file(path, skeleton) if _is_pose_file(path) else load_predictions(path, skeleton)
    ids = {record.get("image_id", record["file_name"]) for record in records}
    by_tail = {} if all(p.image_id in ids for p in predictions) else _by_tail(records)
    identified = [p if p.image_id in ids else _identified(path, p, by_tail) for p in predictions]
    _check_sizes(path, identified, records)
    return identified


def _check_sizes(
    path: str | Path, predictions: Sequence[ImagePredictions], records: Sequence[Mapping[str, Any]]
) -> None:
    """A size of 0 x 0 is not known, as of MPII's test pictures."""
    sizes = {record.get("image_id", record["file_name"]): (record["width"], record["height"]) for record in records}
    others = [p for p in predictions if sizes[p.image_id] not in ((p.width, p.height), (0, 0))]
    if others:
        (width, height), first = sizes[others[0].image_id], others[0]
        raise ValueError(
            f"{path}: {len(others)} of {len(predictions)} images are of another size than in the data set, so their 2D "
            f"poses cannot be compared: {first.file_name} is {first.width} x {first.height} px here and {width} x "
            f"{height} px there; predict on the data set's own files"
        )


def _is_pose_file(path: str | Path) -> bool:
    """Both kinds say their units before the images; only here they are an object. Parsing 100,000 images to see
    that would take 10 s."""
    with Path(path).open(errors="replace") as file:
        head = file.read(_HEAD_CHARACTERS)
    return re.search(r'"units"\s*:\s*\{', head.partition('"images"')[0]) is not None


def _read_pose_file(path: str | Path, skeleton: Skeleton) -> list[ImagePredictions]:
    try:
        content = read_json(path)
        version, joints = content["version"], content["joint_names"]
        if version != _POSE_FILE_VERSION:
            raise ValueError(f"version {version}, this program reads {_POSE_FILE_VERSION}")
        if joints != list(skeleton.joints):
            raise ValueError(f"its joints are {joints}, those of {skeleton.name} are {list(skeleton.joints)}")
        readable = [image for image in content["images"] if "error" not in image]
        return [_image(image, len(skeleton)) for image in readable]
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise ValueError(f"{path} is not a poses.json: {error!r}") from error


def _image(image: Mapping[str, Any], num_joints: int) -> ImagePredictions:
    people = image["people"]
    poses_2d = np.array([person["keypoints_2d"] for person in people], dtype=np.float64)
    poses_3d = np.array([person["pose_3d"] for person in people], dtype=np.float64)
    nobody = PredictedPeople.without_seeds(np.zeros(0), np.zeros((0, num_joints, 2)), np.zeros((0, num_joints, 3)))
    return ImagePredictions(
        image_id=image["file_name"],
        file_name=image["file_name"],
        width=image["width"],
        height=image["height"],
        ppi=PredictedPeople.without_seeds(
            np.array([person["score"] for person in people], dtype=np.float64),
            poses_2d.reshape(len(people), num_joints, 2) + PIXEL_CENTRE,
            poses_3d.reshape(len(people), num_joints, 3),
        ),
        nms=nobody,
    )


def _by_tail(records: Sequence[Mapping[str, Any]]) -> dict[tuple[str, ...], list[int | str]]:
    """Every tail of every file name to the ids of the images that have it."""
    by_tail: dict[tuple[str, ...], list[int | str]] = {}
    for record in records:
        parts = PurePath(record["file_name"]).parts
        for start in range(len(parts)):
            by_tail.setdefault(parts[start:], []).append(record.get("image_id", record["file_name"]))
    return by_tail


def _identified(
    path: str | Path, prediction: ImagePredictions, by_tail: Mapping[tuple[str, ...], list[int | str]]
) -> ImagePredictions:
    parts = PurePath(prediction.file_name).parts
    candidates = next((by_tail[parts[i:]] for i in range(len(parts)) if parts[i:] in by_tail), [])
    if len(candidates) != 1:
        found = "no image" if not candidates else f"{len(candidates)} images"
        raise ValueError(f"{path}: {prediction.file_name!r} is {found} of the data set")
    return dataclasses.replace(prediction, image_id=candidates[0])

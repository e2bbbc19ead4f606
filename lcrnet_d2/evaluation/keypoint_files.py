"""Predictions of other programs, 2D alone: COCO's results (a list), OpenPose's folder of JSON per image.

Shapes: N people, J joints of the evaluated skeleton.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..structures import COCO17, OPENPOSE25, PIXEL_CENTRE, Skeleton
from ..structures.bounded_files import read_json, refused
from .people import ImagePredictions, PredictedPeople

__all__ = ["read_coco_results", "read_openpose"]

_ENDING = "_keypoints"
Records = Sequence[Mapping[str, Any]]


def read_coco_results(path: str | Path, skeleton: Skeleton, records: Records) -> list[ImagePredictions]:
    """Predictions of the images that a list of COCO's results is about; image_id is the data set's, or a file's number.

    Raises:
        ValueError: no such list, or an image that is not in the data set.
    """
    by_id = {_number(record["file_name"]): record for record in records}
    by_id |= {record.get("image_id", record["file_name"]): record for record in records}
    found: dict[Any, list[dict[str, Any]]] = {}
    with refused(path, "a list of COCO's results"):
        for entry in read_json(path):
            if entry["image_id"] not in by_id:
                raise ValueError(f"its image_id {entry['image_id']!r} is not in the data set")
            found.setdefault(entry["image_id"], []).append(entry)
        predictions = []
        for image_id, entries in found.items():
            people = np.array([entry["keypoints"] for entry in entries], dtype=np.float64)
            scores = np.array([entry["score"] for entry in entries], dtype=np.float64)
            people = people.reshape(len(entries), len(COCO17), 3)
            predictions.append(_predictions(by_id[image_id], people, scores, COCO17, skeleton))
        return predictions


def read_openpose(folder: str | Path, skeleton: Skeleton, records: Records) -> list[ImagePredictions]:
    """Predictions of the images that a folder has a NAME_keypoints.json of (BODY_25); scores are means over joints.

    Raises:
        ValueError: none of an image of the data set, or a file that is not OpenPose's.
    """
    by_name = {Path(record["file_name"]).stem: record for record in records}
    predictions = []
    for file in sorted(Path(folder).glob(f"*{_ENDING}.json")):
        record = by_name.get(file.stem.removesuffix(_ENDING))
        if record is None:
            continue
        content = read_json(file)
        with refused(file, "OpenPose's JSON"):
            rows = [person["pose_keypoints_2d"] for person in content["people"]]
            people = np.array(rows, dtype=np.float64).reshape(len(rows), len(OPENPOSE25), 3)
            predictions.append(_predictions(record, people, people[..., 2].mean(1), OPENPOSE25, skeleton))
    if not predictions:
        raise ValueError(f"{folder}: no NAME{_ENDING}.json of an image of the data set")
    return predictions


def _number(file_name: str) -> Any:
    stem = Path(file_name).stem
    return int(stem) if stem.isdecimal() else file_name


def _predictions(
    record: Mapping[str, Any], given: np.ndarray, scores: np.ndarray, source: Skeleton, skeleton: Skeleton
) -> ImagePredictions:
    """Of (N, J', 3) x, y, and 0 where a joint was not found. That is put where the others are on average: it counts,
    and is wrong."""
    found = torch.from_numpy((given[..., 2] > 0).astype(np.int64))
    poses, known = skeleton.convert_from(source, torch.from_numpy(given[..., :2]), found)
    weights = (known > 0).double()[..., None]
    middle = (poses * weights).sum(1, keepdim=True) / weights.sum(1, keepdim=True).clamp(min=1)
    poses_2d = torch.where(weights > 0, poses, middle).numpy() + PIXEL_CENTRE
    nothing = np.full((*poses.shape[:2], 3), np.nan)
    nobody = PredictedPeople.without_seeds(np.zeros(0), poses_2d[:0], nothing[:0])
    people = PredictedPeople.without_seeds(scores, poses_2d, nothing)
    image_id, size = record.get("image_id", record["file_name"]), (record["width"], record["height"])
    return ImagePredictions(image_id, str(record["file_name"]), *size, ppi=people, nms=nobody)

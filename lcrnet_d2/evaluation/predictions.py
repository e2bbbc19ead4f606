"""Saved predictions of a whole data set, so that they can be evaluated again without the network.

Read are what `save_predictions` writes (NMS, PPI, refined), the poses.json of outputs/pose_file.py (PPI only) and, of
other programs, in 2D alone, COCO's results (a list) and OpenPose's folder of JSON per image. All hold COCO pixel
indices. Shapes: N people, J joints of the evaluated skeleton.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any

import numpy as np
import torch

from ..structures import COCO17, OPENPOSE25, PIXEL_CENTRE, Skeleton
from ..structures.bounded_files import read_json, refused
from ..structures.whole_files import write_json
from .people import ImagePredictions, PredictedPeople

__all__ = ["load_predictions", "read_coco_results", "read_openpose", "read_saved_predictions", "save_predictions"]

_VERSION = 1
_PX_DECIMALS, _M_DECIMALS = 3, 5  # a thousandth of a pixel, a hundredth of a millimetre
_HEAD_CHARACTERS = 10_000
_OPENPOSE_ENDING = "_keypoints"
Records = Sequence[Mapping[str, Any]]


def save_predictions(path: str | Path, predictions: Sequence[ImagePredictions], skeleton: Skeleton) -> None:
    """Writes predictions; per image `people` are those of PPI, `people_nms` of NMS, `people_refined` of heat maps.

    A person has `score`, `keypoints_2d` (J, 2) px, `pose_3d` (J, 3) m; of NMS also `anchor_class` and `box`.
    """
    content = {
        "version": _VERSION,
        "joint_names": list(skeleton.joints),
        "units": "keypoints_2d, box: COCO pixel indices of the original image; pose_3d: m",
        "axes": "x right, y down, z away from the camera",
        "origin": "body centre, the mean of both shoulders and both hips",
        "images": [
            {
                "image_id": p.image_id,
                "file_name": p.file_name,
                "width": p.width,
                "height": p.height,
                "people": _people_to_json(p.ppi),
                "people_nms": _people_to_json(p.nms),
            }
            | ({} if p.refined is None else {"people_refined": _people_to_json(p.refined)})
            for p in predictions
        ],
    }
    write_json(path, content)


def load_predictions(path: str | Path, skeleton: Skeleton) -> list[ImagePredictions]:
    """Reads what `save_predictions` wrote, or a poses.json; without `people_nms` nobody is found by NMS.

    An image without `image_id` has its file name for one; images that could not be read are left out.

    Raises:
        FileNotFoundError: no such file.
        ValueError: no such JSON, another version, other joints.
    """
    with refused(path, "a file of predictions"):
        content = read_json(path)
        version, joints = content["version"], content["joint_names"]
        if version != _VERSION:
            raise ValueError(f"version {version}, this program reads {_VERSION}")
        if joints != list(skeleton.joints):
            raise ValueError(f"its joints are {joints}, those of {skeleton.name} are {list(skeleton.joints)}")
        return [_image_from_json(image, len(skeleton)) for image in content["images"] if "error" not in image]


def read_saved_predictions(path: str | Path, skeleton: Skeleton, records: Records) -> list[ImagePredictions]:
    """Predictions of any of the four kinds, with the image_id of the data set's image they belong to.

    An image is known by its image_id and, where the file has none or another, by its file name: the whole of
    it, or as many of its last parts as it takes to tell the data set's images apart.

    Raises:
        FileNotFoundError: no such file.
        ValueError: no such file, another version, other joints, an image that is not in the data set
            or could be several, or is of another size there: predictions of a resized picture.
    """
    if Path(path).is_dir():
        return read_openpose(path, skeleton, records)
    if not Path(path).is_file():
        raise FileNotFoundError(f"no saved predictions at {path}")
    with Path(path).open(errors="replace") as file:
        if file.read(_HEAD_CHARACTERS).lstrip().startswith("["):
            return read_coco_results(path, skeleton, records)
    predictions = load_predictions(path, skeleton)
    sizes = {_image_id(record): (record["width"], record["height"]) for record in records}
    if any(p.image_id not in sizes for p in predictions):
        by_tail = _by_tail(records)
        predictions = [p if p.image_id in sizes else _identified(path, p, by_tail) for p in predictions]
    # MPII's test pictures have 0 x 0: not known
    others = [p for p in predictions if sizes[p.image_id] not in ((p.width, p.height), (0, 0))]
    if others:
        (width, height), first = sizes[others[0].image_id], others[0]
        raise ValueError(
            f"{path}: {len(others)} of {len(predictions)} images are of another size than in the data set, so their 2D "
            f"poses cannot be compared: {first.file_name} is {first.width} x {first.height} px here and {width} x "
            f"{height} px there; predict on the data set's own files"
        )
    return predictions


def read_coco_results(path: str | Path, skeleton: Skeleton, records: Records) -> list[ImagePredictions]:
    """Predictions of the images that a list of COCO's results is about; image_id is the data set's, or a file's number.

    Raises:
        ValueError: no such list, or an image that is not in the data set.
    """
    by_id: dict[Any, Mapping[str, Any]] = {}
    for record in records:
        stem = Path(record["file_name"]).stem
        by_id[int(stem) if stem.isdecimal() else record["file_name"]] = record
    by_id |= {_image_id(record): record for record in records}
    found: dict[Any, list[dict[str, Any]]] = {}
    with refused(path, "a list of COCO's results"):
        for entry in read_json(path):
            if entry["image_id"] not in by_id:
                raise ValueError(f"its image_id {entry['image_id']!r} is not in the data set")
            found.setdefault(entry["image_id"], []).append(entry)
        return [
            _from_2d(
                by_id[image_id],
                _stacked([entry["keypoints"] for entry in entries], len(COCO17), 3),
                _stacked([entry["score"] for entry in entries]),
                *(COCO17, skeleton),
            )
            for image_id, entries in found.items()
        ]


def read_openpose(folder: str | Path, skeleton: Skeleton, records: Records) -> list[ImagePredictions]:
    """Predictions of the images that a folder has a NAME_keypoints.json of (BODY_25); scores are means over joints.

    Raises:
        ValueError: none of an image of the data set, or a file that is not OpenPose's.
    """
    by_name = {Path(record["file_name"]).stem: record for record in records}
    predictions = []
    for file in sorted(Path(folder).glob(f"*{_OPENPOSE_ENDING}.json")):
        record = by_name.get(file.stem.removesuffix(_OPENPOSE_ENDING))
        if record is None:
            continue
        content = read_json(file)
        with refused(file, "OpenPose's JSON"):
            rows = [person["pose_keypoints_2d"] for person in content["people"]]
            people = _stacked(rows, len(OPENPOSE25), 3)
            predictions.append(_from_2d(record, people, people[..., 2].mean(1), OPENPOSE25, skeleton))
    if not predictions:
        raise ValueError(f"{folder}: no NAME{_OPENPOSE_ENDING}.json of an image of the data set")
    return predictions


def _people_to_json(people: PredictedPeople) -> list[dict[str, Any]]:
    poses_2d = np.round(people.poses_2d.astype(np.float64) - PIXEL_CENTRE, _PX_DECIMALS).tolist()
    poses_3d = np.round(people.poses_3d.astype(np.float64), _M_DECIMALS).tolist()
    boxes = np.round(people.boxes.astype(np.float64) - PIXEL_CENTRE, _PX_DECIMALS).tolist()
    return [
        {"score": float(score), "keypoints_2d": pose_2d, "pose_3d": pose_3d}
        | ({"box": box, "anchor_class": int(anchor_class)} if anchor_class >= 0 else {})
        for score, pose_2d, pose_3d, box, anchor_class in zip(
            people.scores, poses_2d, poses_3d, boxes, people.classes, strict=True
        )
    ]


def _image_from_json(image: dict[str, Any], num_joints: int) -> ImagePredictions:
    return ImagePredictions(
        image_id=image.get("image_id", image["file_name"]),
        file_name=image["file_name"],
        width=image["width"],
        height=image["height"],
        ppi=_people_from_json(image["people"], num_joints),
        nms=_people_from_json(image.get("people_nms", []), num_joints),
        refined=_people_from_json(image["people_refined"], num_joints) if "people_refined" in image else None,
    )


def _people_from_json(rows: list[dict[str, Any]], num_joints: int) -> PredictedPeople:
    return PredictedPeople(
        scores=_stacked([row["score"] for row in rows]),
        poses_2d=_stacked([row["keypoints_2d"] for row in rows], num_joints, 2) + PIXEL_CENTRE,
        poses_3d=_stacked([row["pose_3d"] for row in rows], num_joints, 3),
        boxes=_stacked([row.get("box", [np.nan] * 4) for row in rows], 4) + PIXEL_CENTRE,
        classes=np.array([row.get("anchor_class", -1) for row in rows], dtype=np.int64),
    )


def _stacked(values: list[Any], *shape: int) -> np.ndarray:
    """(N, *shape) float64."""
    return np.array(values, dtype=np.float64).reshape(len(values), *shape)


def _image_id(record: Mapping[str, Any]) -> Any:
    return record.get("image_id", record["file_name"])


def _by_tail(records: Records) -> dict[tuple[str, ...], list[int | str]]:
    """Every tail of every file name to the ids of the images that have it."""
    by_tail: dict[tuple[str, ...], list[int | str]] = {}
    for record in records:
        parts = PurePath(record["file_name"]).parts
        for start in range(len(parts)):
            by_tail.setdefault(parts[start:], []).append(_image_id(record))
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


def _from_2d(
    record: Mapping[str, Any], given: np.ndarray, scores: np.ndarray, source: Skeleton, skeleton: Skeleton
) -> ImagePredictions:
    """Of (N, J', 3) x, y, and 0 where a joint was not found. That is put where the others are on average: it counts,
    and is wrong."""
    found = torch.from_numpy((given[..., 2] > 0).astype(np.int64))
    poses, known = skeleton.convert_from(source, torch.from_numpy(given[..., :2]), found)
    weights = (known > 0).double()[..., None]
    middle = (poses * weights).sum(1, keepdim=True) / weights.sum(1, keepdim=True).clamp(min=1)
    poses_2d = torch.where(weights > 0, poses, middle).numpy() + PIXEL_CENTRE
    people = PredictedPeople.without_seeds(scores, poses_2d, np.full((*poses.shape[:2], 3), np.nan))
    size = (record["width"], record["height"])
    nobody = PredictedPeople.nobody(len(skeleton))
    return ImagePredictions(_image_id(record), str(record["file_name"]), *size, ppi=people, nms=nobody)

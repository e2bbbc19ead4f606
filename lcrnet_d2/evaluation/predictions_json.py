"""Predictions of a whole data set as one JSON file, so that they can be judged again without the network."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..structures import PIXEL_CENTRE, Skeleton
from ..structures.bounded_files import read_json
from ..structures.whole_files import write_json
from .people import ImagePredictions, PredictedPeople

__all__ = ["load_predictions", "save_predictions"]

_VERSION = 1
_PX_DECIMALS, _M_DECIMALS = 3, 5  # a thousandth of a pixel, a hundredth of a millimetre


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
    """Reads what `save_predictions` wrote; without `people_nms` nobody is found by NMS.

    An image without `image_id` has its file name for one.

    Raises:
        ValueError: no such JSON, another version, other joints.
    """
    try:
        content = read_json(path)
        version, joints = content["version"], content["joint_names"]
        if version != _VERSION:
            raise ValueError(f"version {version}, this program reads {_VERSION}")
        if joints != list(skeleton.joints):
            raise ValueError(f"its joints are {joints}, those of {skeleton.name} are {list(skeleton.joints)}")
        return [_image_from_json(image, len(skeleton)) for image in content["images"]]
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise ValueError(f"{path} is not a file of predictions: {error!r}") from error


def _people_to_json(people: PredictedPeople) -> list[dict[str, Any]]:
    poses_2d = np.round(people.poses_2d.astype(np.float64) - PIXEL_CENTRE, _PX_DECIMALS).tolist()
    poses_3d = np.round(people.poses_3d.astype(np.float64), _M_DECIMALS).tolist()
    rows: list[dict[str, Any]] = [
        {"score": float(score), "keypoints_2d": pose_2d, "pose_3d": pose_3d}
        for score, pose_2d, pose_3d in zip(people.scores, poses_2d, poses_3d, strict=True)
    ]
    for row, box, anchor_class in zip(rows, people.boxes, people.classes, strict=True):
        if anchor_class >= 0:
            row.update(
                box=np.round(box.astype(np.float64) - PIXEL_CENTRE, _PX_DECIMALS).tolist(),
                anchor_class=int(anchor_class),
            )
    return rows


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
    def stacked(values: list[Any], *shape: int) -> np.ndarray:
        return np.array(values, dtype=np.float32).reshape(len(rows), *shape)

    return PredictedPeople(
        scores=np.array([row["score"] for row in rows], dtype=np.float64),
        poses_2d=stacked([row["keypoints_2d"] for row in rows], num_joints, 2) + np.float32(PIXEL_CENTRE),
        poses_3d=stacked([row["pose_3d"] for row in rows], num_joints, 3),
        boxes=stacked([row.get("box", [np.nan] * 4) for row in rows], 4) + np.float32(PIXEL_CENTRE),
        classes=np.array([row.get("anchor_class", -1) for row in rows], dtype=np.int64),
    )

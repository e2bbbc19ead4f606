"""Detected people as a file: `poses.json`, with joints, units and axes named in it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from detectron2.structures import Instances

from .structures import Skeleton

__all__ = ["FORMAT_VERSION", "people_to_json", "write_poses"]

FORMAT_VERSION = 1


def write_poses(path: str | Path, images: list[dict[str, Any]], skeleton: Skeleton) -> None:
    """Writes detections whole or not at all.

    Args:
        images: per input image file_name, width, height and people (`people_to_json`), also without people.
    """
    content = {
        "version": FORMAT_VERSION,
        "joint_names": list(skeleton.joints),
        "units": {"keypoints_2d": "px", "pose_3d": "m"},
        "axes": "x right, y down, z away from the camera",
        "origin": "body centre",
        "images": images,
    }
    partial = Path(f"{path}.part")
    partial.write_text(json.dumps(content, indent=1))
    partial.replace(path)


def people_to_json(instances: Instances) -> list[dict[str, Any]]:
    """One entry per person, best score first.

    score: S of Eq. 7 (a sum, may exceed 1); confidence in [0, 1]; box: x1, y1, x2, y2 around the 2D joints;
    keypoints_2d (J, 2): COCO pixel indices; pose_3d (J, 3); anchor_class: of the best-scored proposal;
    in_image (J,): false where the joint is inferred outside the picture.
    """
    height, width = instances.image_size
    people = []
    for i in range(len(instances)):
        points = instances.pred_keypoints[i, :, :2].cpu().double().numpy()
        inside = (points >= 0).all(1) & (points < [width, height]).all(1)
        people.append(
            {
                "score": float(instances.scores[i]),
                "confidence": float(instances.pred_confidences[i]),
                "box": _rounded(instances.pred_boxes.tensor[i].cpu().numpy(), 2),
                "keypoints_2d": _rounded(points - 0.5, 3),
                "pose_3d": _rounded(instances.pred_poses_3d[i].cpu().numpy(), 5),
                "anchor_class": int(instances.pred_anchors[i]),
                "in_image": inside.tolist(),
            }
        )
    return people


def _rounded(values: np.ndarray, digits: int) -> list[Any]:
    return np.asarray(values, dtype=np.float64).round(digits).tolist()

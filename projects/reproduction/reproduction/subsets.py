"""Kinds of people of the synthetic set, and the marks that MPII's protocol needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lcrnet_d2.evaluation import ImageTruth
from lcrnet_d2.evaluation.mpii import PX_PER_SCALE
from lcrnet_d2.structures import Skeleton

from .people_errors import people_to_find

__all__ = ["by_facing", "by_joints_inside", "with_mpii_marks"]

#: m; MPII's head size is 0.6 times the diagonal of a head box, here of one of 20 x 27 cm.
_HEAD_M = 0.2


def by_facing(truths: Sequence[ImageTruth], skeleton: Skeleton) -> dict[str, np.ndarray]:
    """(N,) bool of each of four quarters: which way people face, by the line through their shoulders."""
    people = people_to_find(truths)
    poses = np.array([truths[image].poses_3d[row] for image, row in people]).reshape(len(people), len(skeleton), 3)
    to_left = poses[:, skeleton.index("left_shoulder")] - poses[:, skeleton.index("right_shoulder")]
    # Who faces the camera has the left shoulder at larger x; who faces the picture's right has it farther away.
    angle = np.degrees(np.arctan2(to_left[:, 2], to_left[:, 0])) % 360
    quarters = {"facing the camera": 0, "facing the picture's right": 90, "facing away": 180}
    quarters["facing the picture's left"] = 270
    return {name: np.abs((angle - middle + 180) % 360 - 180) <= 45 for name, middle in quarters.items()}


def by_joints_inside(truths: Sequence[ImageTruth]) -> dict[str, np.ndarray]:
    """(N,) bool of each of three kinds: by how many joints lie outside the picture."""
    people = people_to_find(truths)
    outside = np.array([(~truths[image].annotated_2d[row]).sum() for image, row in people], dtype=int)
    return {
        "all joints in the picture": outside == 0,
        "1 to 3 joints outside": (outside > 0) & (outside <= 3),
        "4 joints or more outside": outside > 3,
    }


def with_mpii_marks(records: Sequence[Mapping[str, Any]], truths: Sequence[ImageTruth]) -> list[dict[str, Any]]:
    """Dataset dicts with objpos, scale and head_size for those who are to be found, as MPII's protocol wants them."""
    find = set(people_to_find(truths))
    return [
        {
            **record,
            "annotations": [
                _marked(annotation, record["camera"]) if (image, row) in find else annotation
                for row, annotation in enumerate(record["annotations"])
            ],
        }
        for image, record in enumerate(records)
    ]


def _marked(annotation: Mapping[str, Any], camera: Mapping[str, float]) -> dict[str, Any]:
    points = np.reshape(annotation["keypoints"], (-1, 3))[:, :2]
    low, high = points.min(0), points.max(0)
    depth = float(np.asarray(annotation["root_position"])[2])
    return {
        **annotation,
        "objpos": ((low + high) / 2).tolist(),
        "scale": float((high - low).max()) / PX_PER_SCALE,
        "head_size": _HEAD_M * camera["fx"] / depth,
    }


def cut_off(image: np.ndarray, record: dict[str, Any], skeleton: Skeleton) -> tuple[np.ndarray, dict[str, Any]]:
    """The picture down to the thighs of its largest person, and its dataset dict; joints below stay annotated.

    Args:
        image: (H, W, 3).
        record: dataset dict of the picture; it is left as it is.

    Returns:
        (h, W, 3) and a dict of height h. An image without people stays as it is.
    """
    height = record["height"]
    poses = [np.reshape(a["keypoints"], (-1, 3)) for a in record["annotations"] if "keypoints" in a]
    if poses:
        largest = max(poses, key=lambda pose: float(np.prod(np.ptp(pose[:, :2], axis=0))))
        hips, knees = skeleton.indices(("right_hip", "left_hip")), skeleton.indices(("right_knee", "left_knee"))
        thighs = float(largest[[*hips, *knees], 1].mean())
        height = int(np.clip(round(thighs), height // 3, height))
    return image[:height], record | {"height": height}


def by_pose(truths: Sequence[ImageTruth], skeleton: Skeleton) -> dict[str, np.ndarray]:
    """(N,) bool of kinds of pose, each person in one of the first four, by the angles of trunk and thighs.

    The camera's vertical stands for the world's: cameras are rolled by a few degrees and look a little down.
    """
    people = people_to_find(truths)
    poses = np.array([truths[image].poses_3d[row] for image, row in people]).reshape(len(people), len(skeleton), 3)

    def middle(joint: str) -> np.ndarray:
        return poses[:, skeleton.indices((f"right_{joint}", f"left_{joint}"))].mean(1)

    def upright(above: np.ndarray, below: np.ndarray) -> np.ndarray:
        limb = below - above
        return limb[..., 1] / np.linalg.norm(limb, axis=-1).clip(1e-6)

    trunk = upright(middle("shoulder"), middle("hip"))
    thighs = np.stack(
        [
            upright(poses[:, skeleton.index(f"{s}_hip")], poses[:, skeleton.index(f"{s}_knee")])
            for s in ("left", "right")
        ]
    )
    wrists = poses[:, skeleton.indices(("left_wrist", "right_wrist")), 1]
    stands, raised = trunk >= 0.6, (thighs < 0.5).sum(0)
    return {
        "standing or walking: trunk and thighs upright": stands & (raised == 0),
        "one thigh raised: stepping, kicking, kneeling": stands & (raised == 1),
        "both thighs raised: sitting, squatting": stands & (raised == 2),
        "trunk bent by more than 53 degrees: lying, crawling, bending, gymnastics": ~stands,
        "a hand above the head": wrists.min(1) < poses[:, skeleton.index("head"), 1],
    }

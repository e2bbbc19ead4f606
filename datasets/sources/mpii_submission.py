"""Predictions on MPII's test set as `mpii_export` writes them: who is who by objpos and scale, as in the evaluation.

The test set's own annotations hold no joints. A dataset dict of a test image has an annotation for each of its
annorect, in their order and none left out, with those of

    objpos, scale   as in `lcrnet_d2.evaluation.mpii`; missing where MPII gives none
    single_person   True for the people of the single-person test set
    group           number of the multi-person group in the image (see `lcrnet_d2.evaluation.mpii`)

Shapes: J joints of the model. 2D in continuous px.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lcrnet_d2.evaluation.mpii import has_groups, members_of_groups, people_in_region, select_poses
from lcrnet_d2.evaluation.people import PredictedPeople
from lcrnet_d2.structures import MPII16, Skeleton

from .mpii_export import to_mpii16

__all__ = ["group_predictions", "single_person_predictions"]


def single_person_predictions(
    records: Sequence[Mapping[str, Any]], detected: Sequence[PredictedPeople], skeleton: Skeleton
) -> list[list[np.ndarray | None]]:
    """For `export_single_person`: the detection that corresponds to each person of the single-person test set.

    Args:
        records: dataset dicts of all test images, in MPII's order.
        detected: the detections of one method in the same images, in the same order.
        skeleton: names the J joints.

    Returns:
        Per image and annorect (16, 2) px, NaN where nobody was found or MPII gives no place, None for people of
        other subsets.

    Raises:
        ValueError: nobody is in the single-person test set.
    """
    images = [_single_people(record, people, skeleton) for record, people in zip(records, detected, strict=True)]
    if not any(pose is not None for poses in images for pose in poses):
        raise ValueError("nobody is marked as single_person; is this MPII's test set?")
    return images


def _single_people(record: Mapping[str, Any], people: PredictedPeople, skeleton: Skeleton) -> list[np.ndarray | None]:
    annotations = record["annotations"]
    nobody = np.full((len(MPII16), 2), np.nan)
    poses = [nobody if a.get("single_person") else None for a in annotations]
    rows = [i for i, a in enumerate(annotations) if a.get("single_person") and "objpos" in a and "scale" in a]
    objpos = np.array([annotations[i]["objpos"] for i in rows], dtype=np.float64)
    chosen = select_poses(objpos, np.array([annotations[i]["scale"] for i in rows]), people)
    found = chosen >= 0
    converted = to_mpii16(people.poses_2d[chosen[found]], skeleton)
    for row, pose in zip(np.array(rows, dtype=int)[found].tolist(), converted, strict=True):
        poses[row] = pose
    return poses


def group_predictions(
    records: Sequence[Mapping[str, Any]], detected: Sequence[PredictedPeople], skeleton: Skeleton
) -> list[tuple[np.ndarray, np.ndarray]]:
    """For `export_multi_person`: the detections in the region of each group, with their scores.

    Args as `single_person_predictions`.

    Returns:
        For each group, image by image, (N, 16, 2) px and (N,) scores; nobody where no member has a place.

    Raises:
        ValueError: no groups in the data set.
    """
    if not has_groups(records):
        raise ValueError("nobody is in a group: groups_v12.mat of MPII's toolkit says who is")
    groups = []
    for record, people in zip(records, detected, strict=True):
        for members in members_of_groups(record).values():
            placed = [a for a in members if "objpos" in a and "scale" in a]
            inside = people_in_region(placed, people) if placed else people[np.zeros(len(people), dtype=bool)]
            groups.append((to_mpii16(inside.poses_2d, skeleton), inside.scores))
    return groups

"""How wrong one method is about each person of a data set: arrays that runs can be compared by, person by person.

Shapes: N people to be found in the data set, J joints.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from lcrnet_d2.evaluation import ImageTruth, PredictedPeople, mpjpe, pck_3d
from lcrnet_d2.evaluation.matching import find_people
from lcrnet_d2.structures import AnchorPoses, Skeleton, centre_poses, pose_distance

__all__ = ["PeopleErrors", "people_errors", "people_to_find", "rarities"]


@dataclass(frozen=True)
class PeopleErrors:
    """Of N people with a 3D pose, in the order of the data set.

    Attributes:
        found: (N,) bool.
        mpjpe_mm, rigid_mm: (N,) before and after rigid alignment; NaN for those not found.
        anchor_mm: (N,) MPJPE of the class's anchor pose, unregressed; NaN where unknown (PPI, not found).
        pck_3d: (N,) % of the joints under 150 mm, 0 for those not found.
        fp_per_image: false positives per image.
    """

    found: np.ndarray
    mpjpe_mm: np.ndarray
    rigid_mm: np.ndarray
    anchor_mm: np.ndarray
    pck_3d: np.ndarray
    fp_per_image: float


def people_errors(
    truths: Sequence[ImageTruth],
    detected: Sequence[PredictedPeople],
    skeleton: Skeleton,
    anchors: AnchorPoses | None = None,
) -> PeopleErrors:
    """Matches detections to people in 2D, one-to-one (`evaluation.matching`), and measures them in 3D.

    Args:
        truths: the data set.
        detected: one method's detections in the same images, in the same order.
        anchors: the model's, for `anchor_mm`.
    """
    place_of = {key: place for place, key in enumerate(people_to_find(truths))}
    matched = find_people(truths, detected)
    matched = matched.rows(np.flatnonzero([tuple(key) in place_of for key in matched.keys.tolist()]))
    places = np.array([place_of[tuple(key)] for key in matched.keys.tolist()], dtype=int)
    pred, true = (
        centre_poses(torch.from_numpy(poses.astype(np.float64)), skeleton)
        for poses in (matched.detected.poses_3d, matched.true_3d)
    )
    measured = torch.from_numpy(matched.measured_3d)
    classes = matched.detected.classes
    unregressed = np.full(len(places), np.nan)
    if anchors is not None and (classes >= 0).any():
        known = np.flatnonzero(classes >= 0)
        rows = torch.from_numpy(known)
        poses = anchors.poses_3d[torch.from_numpy(classes[known]).long()].double()
        unregressed[known] = mpjpe(poses, true[rows], measured[rows]).numpy()

    def spread(values: np.ndarray, otherwise: float = np.nan) -> np.ndarray:
        of_all = np.full(len(place_of), otherwise)
        of_all[places] = values
        return of_all

    return PeopleErrors(
        found=spread(np.ones(len(places)), 0.0).astype(bool),
        mpjpe_mm=spread(mpjpe(pred, true, measured).numpy()),
        rigid_mm=spread(mpjpe(pred, true, measured, align="rigid").numpy()),
        anchor_mm=spread(unregressed),
        pck_3d=spread(100 * pck_3d(pred, true, measured).numpy(), 0.0),
        fp_per_image=matched.num_false_positives / max(len(truths), 1),
    )


def rarities(truths: Sequence[ImageTruth], anchors: AnchorPoses) -> np.ndarray:
    """(N,) m: D of each person's true pose to the nearest full-body anchor pose (Figure 6 right)."""
    keys = people_to_find(truths)
    poses = np.array([truths[image].poses_3d[row] for image, row in keys]).reshape(len(keys), -1, 3)
    centred = centre_poses(torch.from_numpy(poses), anchors.skeleton)
    return pose_distance(centred, anchors.poses_3d[: anchors.num_full_body].double()).amin(1).numpy()


def people_to_find(truths: Sequence[ImageTruth]) -> list[tuple[int, int]]:
    """Image and row of everyone counted who has a 3D pose."""
    return [
        (image, int(row))
        for image, truth in enumerate(truths)
        for row in np.flatnonzero(truth.is_counted & truth.measured_3d.any(1))
    ]

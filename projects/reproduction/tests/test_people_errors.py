from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from lcrnet_d2.evaluation import PredictedPeople, truth_from_dict
from lcrnet_d2.structures import BODY13, AnchorPoses
from reproduction.people_errors import people_errors, rarities
from tests_support import person, standing_pose

POSE = standing_pose()
SEEN = 100 * POSE[:, :2] + torch.tensor([100.0, 150.0])


def truths():
    """Two images: in the first two people 200 px apart, in the second one without a 3D pose."""
    without = person(POSE, SEEN)
    del without["pose_3d"]
    people = [[person(POSE, SEEN), person(POSE, SEEN + torch.tensor([200.0, 0.0]))], [without]]
    records = [
        {"file_name": f"{i}.jpg", "image_id": i, "height": 300, "width": 400, "annotations": a}
        for i, a in enumerate(people)
    ]
    return [truth_from_dict(record, 13) for record in records]


def detected(offset_px: float, offset_m: float, anchor: int = 0) -> PredictedPeople:
    """One detection; in 3D its right wrist is `offset_m` off."""
    pose = POSE.clone()
    pose[BODY13.index("right_wrist"), 0] -= offset_m
    one = PredictedPeople.without_seeds(
        np.ones(1), (SEEN + torch.tensor([offset_px, 0.0])).numpy()[None], pose.numpy()[None]
    )
    return replace(one, classes=np.array([anchor]))


def test_each_person_keeps_a_place_found_or_not() -> None:
    nobody = detected(0, 0)[np.zeros(1, dtype=bool)]
    errors = people_errors(truths(), [detected(200, 0.13), nobody], BODY13)
    assert errors.found.tolist() == [False, True]  # the person without 3D has no place
    assert np.isnan(errors.mpjpe_mm[0]) and errors.mpjpe_mm[1] == pytest.approx(130 / 13)
    assert errors.pck_3d.tolist() == [0, 100] and np.isnan(errors.anchor_mm).all()
    assert errors.fp_per_image == 0


def test_detections_of_nobody_are_false_positives_and_alignment_helps() -> None:
    stray = detected(0, 0.26)
    both = PredictedPeople(
        *(np.concatenate([getattr(d, f) for d in (stray, detected(100, 0))]) for f in PredictedPeople.__annotations__)
    )
    errors = people_errors(truths(), [both, detected(0, 0)], BODY13)
    assert errors.found.tolist() == [True, False] and errors.fp_per_image == 0.5
    assert errors.pck_3d[0] == pytest.approx(100 * 12 / 13)  # 260 mm are over 150
    assert errors.rigid_mm[0] != errors.mpjpe_mm[0]


def test_classification_alone_is_the_anchor_pose_of_the_class(full_body_anchors: AnchorPoses) -> None:
    errors = people_errors(truths(), [detected(0, 0.5, anchor=2), detected(0, 0)], BODY13, full_body_anchors)
    by_hand = 1000 * (full_body_anchors.poses_3d[2] - POSE).norm(dim=-1).mean()
    assert errors.anchor_mm[0] == pytest.approx(float(by_hand), rel=1e-5)


def test_rarity_is_the_distance_to_the_nearest_anchor_pose(full_body_anchors: AnchorPoses) -> None:
    by_hand = min(float((anchor - POSE).norm(dim=-1).mean()) for anchor in full_body_anchors.poses_3d)
    assert rarities(truths(), full_body_anchors) == pytest.approx([by_hand, by_hand], rel=1e-5)

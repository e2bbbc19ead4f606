import os
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lcrnet_d2.evaluation.mpii import SinglePersonErrors, pckh_curve, rarity_curve, select_poses, single_person_errors
from lcrnet_d2.evaluation.mpii_report import report_mpii_single
from lcrnet_d2.evaluation.people import ImagePredictions, PredictedPeople
from lcrnet_d2.structures import BODY13, MPII16, AnchorPoses

J = len(BODY13)


@pytest.fixture
def scene(drawn):
    """One person, 150 px high in a picture, whose head box has a diagonal of 50 px: the head size is 30 px."""

    def make(centre=(100.0, 100.0), **extra):
        middle = drawn.pose_2d(centre)
        objpos = ((middle.min(0) + middle.max(0)) / 2).tolist()
        marks = {"objpos": objpos, "scale": 0.75, "head_box": [0.0, 0.0, 30.0, 40.0]}
        return drawn.person(centre, **{**marks, **extra})

    return make


def people(poses_2d, scores=None) -> PredictedPeople:
    poses = np.reshape(np.array(poses_2d, dtype=float), (len(poses_2d), J, 2))
    scores = np.ones(len(poses)) if scores is None else np.array(scores, dtype=float)
    return PredictedPeople.without_seeds(scores, poses, np.zeros((len(poses), J, 3)))


def test_pckh_by_hand(scene, drawn):
    """The right ankle is 15 px off: half a head size, correct at 0.5; the left one 16 px."""
    pose = drawn.pose_2d((100, 100))
    pose[0, 0] += 15
    pose[1, 0] += 16
    curve = pckh_curve(single_person_errors([drawn.record([scene()])], [people([pose])], BODY13), (0.0, 0.5, 1.0))
    assert curve.mean == pytest.approx([100 * 11 / 13, 100 * 12 / 13, 100])
    assert curve.per_joint[1, :3].tolist() == [100, 0, 100]


def test_a_person_not_found_is_wrong_in_every_joint(scene, drawn):
    record = drawn.record([scene((100, 100)), scene((300, 150))])
    single = single_person_errors([record], [people([drawn.pose_2d((100, 100))])], BODY13)
    assert single.is_found.tolist() == [True, False]
    assert pckh_curve(single, (1.0,)).mean == pytest.approx([50])


def test_joints_without_annotation_do_not_count(scene, drawn):
    pose = drawn.pose_2d((100, 100))
    pose[0] += 40
    v = np.full(J, 2)
    v[0] = 0
    single = single_person_errors([drawn.record([scene(v=v)])], [people([pose])], BODY13)
    curve = pckh_curve(single, (0.5,))
    assert curve.mean == pytest.approx([100]) and np.isnan(curve.per_joint[0, 0])


def test_mean_is_over_joints_annotated_and_joint_mean_over_joints(scene, drawn):
    """Two people; only one has the head annotated, and it is wrong: 25 of 26 - 1, and (12 x 100 + 0) / 13."""
    v = np.full(J, 2)
    v[12] = 0
    wrong_head = drawn.pose_2d((100, 100))
    wrong_head[12, 1] -= 31
    record = drawn.record([scene((100, 100)), scene((300, 150), v=v)])
    single = single_person_errors([record], [people([wrong_head, drawn.pose_2d((300, 150))])], BODY13)
    curve = pckh_curve(single, (1.0,))
    assert curve.mean == pytest.approx([100 * 24 / 25])
    assert curve.joint_mean == pytest.approx([100 * 12 / 13])


def test_selection_looks_at_place_and_size_only(drawn):
    """A tiny person at the very place is not taken, a lower-scored one of the right size is."""
    tiny, right = drawn.pose_2d((100, 100), 20.0), drawn.pose_2d((110, 100))
    objpos = np.array([[100.0, 125.0]])
    assert select_poses(objpos, np.array([0.75]), people([tiny, right], [0.9, 0.1])).tolist() == [1]
    assert select_poses(objpos, np.array([0.75]), people([tiny])).tolist() == [-1]
    assert select_poses(objpos, np.array([0.75]), people([drawn.pose_2d((200, 100))])).tolist() == [-1]
    assert select_poses(objpos, np.array([0.75]), people([])).tolist() == [-1]


def test_selection_is_one_to_one_and_leaves_nobody_out_who_could_have_one(drawn):
    """A is near both detections, B only near the one that is nearest to A."""
    objpos = np.array([[100.0, 125.0], [160.0, 125.0]])
    detections = people([drawn.pose_2d((110, 100)), drawn.pose_2d((40, 100))])
    assert select_poses(objpos, np.array([0.75, 0.75]), detections).tolist() == [1, 0]


def test_of_two_detections_at_the_same_place_the_better_scored_is_taken(drawn):
    twice = people([drawn.pose_2d((100, 100))] * 2, [0.2, 0.8])
    assert select_poses(np.array([[100.0, 125.0]]), np.array([0.75]), twice).tolist() == [1]


def test_single_person_false_and_people_without_marks_are_left_out(scene, drawn):
    record = drawn.record([scene(single_person=False), drawn.person((200, 100)), scene((300, 150))])
    assert len(single_person_errors([record], [people([])], BODY13).is_found) == 1
    with pytest.raises(ValueError, match="is this an MPII data set"):
        single_person_errors([drawn.record([drawn.person()])], [people([])], BODY13)


def test_rarity_by_hand(scene, drawn):
    """The nearest of two anchors: the standing pose itself, and one with a metre added to all but the torso."""
    far = drawn.standing()
    far[[j for j in range(J) if j not in BODY13.torso], 2] += 1.3
    poses = torch.tensor(np.stack([drawn.standing()] * 2)).float()
    anchors = AnchorPoses(torch.zeros(2, J, 2), poses, BODY13, 2, torch.ones(2), torch.zeros(2))
    record = drawn.record([scene(pose_3d=far), scene((300, 150))])
    single = single_person_errors([record], [people([drawn.pose_2d((300, 150))])], BODY13)
    curve = rarity_curve(single, anchors, window=1)
    assert curve.rarity_m == pytest.approx([0, 0.9], abs=1e-6)  # 9 of 13 joints are 1.3 m off
    assert curve.pckh.tolist() == [100, 0] and curve.smoothed.tolist() == [100, 0]


@settings(max_examples=30)
@given(st.permutations(range(4)), st.integers(0, 2**32 - 1))
def test_permuting_detections_changes_nothing(order, seed):
    rng = np.random.default_rng(seed)
    detections = people(rng.uniform(0, 300, (4, J, 2)), rng.random(4))
    objpos, scale = rng.uniform(0, 300, (3, 2)), rng.uniform(0.5, 3, 3)
    straight = select_poses(objpos, scale, detections)
    permuted = select_poses(objpos, scale, detections[np.array(order)])
    assert [order[i] if i >= 0 else -1 for i in permuted] == straight.tolist()


def test_the_report_says_which_joints_are_in_the_mean(scene, drawn):
    record = drawn.record([scene()])
    detected = people([drawn.pose_2d((100, 100))])
    report = report_mpii_single([record], [ImagePredictions(1, "1.jpg", 400, 300, detected, detected)], BODY13)
    assert report.metrics["mpii_single_ppi"]["pckh_0.5"] == 100
    assert "13 joints are in the mean" in report.markdown and "upper neck and head top" in report.markdown


@pytest.mark.skipif("LCRNET_REAL_DATA" not in os.environ, reason="LCRNET_REAL_DATA names no folder of real data")
def test_objpos_and_scale_select_the_right_one_of_several_real_people():
    """MPII's validation people: those of an image in place of detections, each is to be given back to itself."""
    h5py = pytest.importorskip("h5py")
    with h5py.File(Path(os.environ["LCRNET_REAL_DATA"]) / "mpii" / "valid.h5") as file:
        part, centre, scale, names = (file[key][:] for key in ("part", "center", "scale", "imgname"))
    scale = scale / 1.25  # the file's are enlarged by a quarter, and moved down by 15 px * scale
    objpos = centre - np.stack([np.zeros_like(scale), 15 * scale], 1)
    joints = [MPII16.index(j) for j in BODY13.joints if j != "head"] + [MPII16.index("head_top")]
    pose = part[:, joints]
    whole = (pose > 0).all((1, 2))
    right = total = 0
    for name in np.unique(names):
        rows = np.flatnonzero((names == name) & whole)
        if len(rows) > 1:
            right += (select_poses(objpos[rows], scale[rows], people(pose[rows])) == np.arange(len(rows))).sum()
            total += len(rows)
    assert total > 100 and right == total


def test_pckh_of_nobody_is_no_number():
    nothing = np.zeros((1, 13))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        curve = pckh_curve(SinglePersonErrors(nothing, nothing > 0, np.zeros(1, bool), np.zeros((1, 13, 3))), (0.5,))
    assert np.isnan([*curve.mean, *curve.joint_mean, *curve.per_joint[0]]).all()

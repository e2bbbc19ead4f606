import os
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lcrnet_d2.evaluation.mpii import (
    Group,
    SinglePersonErrors,
    average_precisions,
    group_labels,
    groups_of,
    joint_average_precisions,
    mean_precision_interval,
    pckh_curve,
    rarity_curve,
    report_mpii_multi,
    report_mpii_single,
    select_poses,
    single_person_errors,
)
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


A = np.array([[0.0, 0.0], [10.0, 0.0], [20.0, 0.0]])
B = A + [0, 100]


def group(pred, scores, true=(A, B), annotated=None) -> Group:
    annotated = np.ones((len(true), 3), dtype=bool) if annotated is None else np.array(annotated, dtype=bool)
    pred = np.reshape(np.array(pred, dtype=float), (len(pred), 3, 2))
    return Group(np.array(true), annotated, np.full(len(true), 10.0), pred, np.array(scores, dtype=float))


def slow_labels(g: Group, threshold: float) -> list[list[bool]]:
    """The rule as it is told, in loops."""
    share = {}
    for p, pose in enumerate(g.pred_2d):
        for t, truth in enumerate(g.true_2d):
            hits = [
                g.annotated[t, j] and np.hypot(*(pose[j] - truth[j])) <= threshold * g.head_sizes[t] for j in range(3)
            ]
            share[p, t] = (sum(hits) / max(sum(g.annotated[t]), 1), hits)
    goes_to = {p: max(range(len(g.true_2d)), key=lambda t, p=p: (share[p, t][0], -t)) for p in range(len(g.pred_2d))}
    labels = [[False] * 3 for _ in g.pred_2d]
    for t in range(len(g.true_2d)):
        rivals = [p for p in goes_to if goes_to[p] == t and share[p, t][0] > 0]
        if rivals:
            best = max(rivals, key=lambda p: (share[p, t][0], -p))
            labels[best] = [bool(hit) for hit in share[best, t][1]]
    return labels


@settings(max_examples=100)
@given(st.integers(0, 2**32 - 1), st.integers(0, 20), st.integers(0, 5))
def test_ap_is_that_of_the_slow_twin(seed, n, missed):
    labels = np.random.default_rng(seed).random(n) < 0.5
    positives = int(labels.sum()) + missed
    (found,) = average_precisions(labels, np.ones((1, n), dtype=int), np.array([positives]))
    assert found == pytest.approx(slow_average_precision(labels, positives), nan_ok=True)


def slow_average_precision(labels, num_positives) -> float:
    """PASCAL VOC's curve between recall 0 and 1, point by point, its precision lifted to the best that follows."""
    points, correct, area = [(0.0, 0.0)], 0, 0.0
    for seen, label in enumerate(labels, start=1):
        correct += bool(label)
        points.append((correct / max(num_positives, 1), correct / seen))
    for k in range(1, len(points)):
        area += (points[k][0] - points[k - 1][0]) * max(precision for _, precision in points[k:])
    return area if num_positives else np.nan


@settings(max_examples=100)
@given(st.integers(0, 2**32 - 1), st.integers(0, 4), st.integers(1, 3))
def test_labels_are_those_of_the_slow_twin(seed, n, m):
    rng = np.random.default_rng(seed)
    true = rng.uniform(0, 25, (m, 3, 2))
    g = Group(true, rng.random((m, 3)) < 0.8, rng.uniform(5, 15, m), rng.uniform(0, 25, (n, 3, 2)), rng.random(n))
    assert group_labels(g, 0.5).tolist() == slow_labels(g, 0.5)


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1))
def test_the_interval_is_that_of_data_sets_with_groups_repeated_and_left_out(seed):
    rng = np.random.default_rng(seed)
    groups = [
        Group(rng.uniform(0, 25, (2, 3, 2)), np.ones((2, 3), bool), np.full(2, 9.0), p, rng.random(3))
        for p in rng.uniform(0, 25, (4, 3, 3, 2))
    ]
    rows = np.random.default_rng(7).integers(4, size=(20, 4))
    slow = [np.mean(joint_average_precisions([groups[i] for i in of_set], 0.5)) for of_set in rows]
    interval = mean_precision_interval(groups, 0.5, resamples=20, seed=7)
    assert interval == pytest.approx(np.percentile(slow, [2.5, 97.5]))


@pytest.fixture
def picture(drawn):
    """Two groups in one picture, 150 px people; head size 30 px."""

    def member(centre, number):
        middle = (np.array(centre) + [0, 25]).tolist()
        return drawn.person(centre, objpos=middle, scale=0.75, head_size=30.0, group=number)

    return drawn.record([member((60, 100), 1), member((120, 100), 1), member((320, 100), 2)])


def test_groups_of_a_picture_take_the_detections_in_their_region(picture, drawn):
    detected = people([drawn.pose_2d(c) for c in ((60, 100), (320, 100), (215, 100))], [0.9, 0.8, 0.7])
    groups = groups_of([picture], [detected], BODY13)
    assert [len(g.true_2d) for g in groups] == [2, 1]
    assert [g.scores.tolist() for g in groups] == [[0.9], [0.8]]  # the third lies between the groups
    with pytest.raises(ValueError, match="no annotation has a 'group'"):
        groups_of([drawn.record([drawn.person()])], [detected], BODY13)


def test_people_without_joints_widen_the_region_and_are_not_to_be_found(picture, drawn):
    picture["annotations"].append({"objpos": [200.0, 125.0], "scale": 0.75, "group": 1})
    groups = groups_of([picture], [people([drawn.pose_2d((215, 100))], [0.7])], BODY13)
    assert len(groups[0].true_2d) == 2 and len(groups[0].pred_2d) == 1
    del picture["annotations"][0]["head_size"]
    with pytest.raises(ValueError, match="head_box"):
        groups_of([picture], [people([], [])], BODY13)


def test_a_perfect_prediction_scores_100(picture, drawn):
    detected = people([drawn.pose_2d(c) for c in ((60, 100), (120, 100), (320, 100))], [0.9, 0.8, 0.7])
    report = report_mpii_multi([picture], [ImagePredictions(1, "1.jpg", 400, 300, detected, detected)], BODY13)
    assert report.metrics["mpii_multi_nms"]["map_0.5"] == 100
    assert (
        "2 groups" in report.markdown
        and "100.0 [100.0, 100.0]" in report.markdown
        and "13 joints are in the mean" in report.markdown
    )


def test_nobody_annotated_is_no_number(drawn):
    """As in MPII's test set, whose people have a place and a group alone."""
    record = drawn.record([{"objpos": [100.0, 125.0], "scale": 0.75, "group": 1}])
    detected = people([drawn.pose_2d((100, 100))], [0.9])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        report = report_mpii_multi([record], [ImagePredictions(1, "1.jpg", 400, 300, detected, detected)], BODY13)
    assert np.isnan(report.metrics["mpii_multi_ppi"]["map_0.5"]) and "nan [nan, nan]" in report.markdown

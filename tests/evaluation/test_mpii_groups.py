import warnings

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

from lcrnet_d2.evaluation.mpii_groups import (
    Group,
    average_precision,
    group_labels,
    groups_of,
    joint_average_precisions,
    mean_precision_interval,
)
from lcrnet_d2.evaluation.mpii_report import report_mpii_multi
from lcrnet_d2.evaluation.people import ImagePredictions, PredictedPeople
from lcrnet_d2.structures import BODY13

J = 3
A = np.array([[0.0, 0.0], [10.0, 0.0], [20.0, 0.0]])
B = A + [0, 100]


def group(pred, scores, true=(A, B), annotated=None) -> Group:
    annotated = np.ones((len(true), J), dtype=bool) if annotated is None else np.array(annotated, dtype=bool)
    pred = np.reshape(np.array(pred, dtype=float), (len(pred), J, 2))
    return Group(np.array(true), annotated, np.full(len(true), 10.0), pred, np.array(scores, dtype=float))


def slow_labels(g: Group, threshold: float) -> list[list[bool]]:
    """The rule as it is told, in loops."""
    share = {}
    for p, pose in enumerate(g.pred_2d):
        for t, truth in enumerate(g.true_2d):
            hits = [
                g.annotated[t, j] and np.hypot(*(pose[j] - truth[j])) <= threshold * g.head_sizes[t] for j in range(J)
            ]
            share[p, t] = (sum(hits) / max(sum(g.annotated[t]), 1), hits)
    goes_to = {p: max(range(len(g.true_2d)), key=lambda t, p=p: (share[p, t][0], -t)) for p in range(len(g.pred_2d))}
    labels = [[False] * J for _ in g.pred_2d]
    for t in range(len(g.true_2d)):
        rivals = [p for p in goes_to if goes_to[p] == t and share[p, t][0] > 0]
        if rivals:
            best = max(rivals, key=lambda p: (share[p, t][0], -p))
            labels[best] = [bool(hit) for hit in share[best, t][1]]
    return labels


def test_the_best_prediction_of_a_person_is_kept_and_the_other_is_false():
    close, exact = A + [[3, 0], [3, 0], [6, 0]], A
    assert group_labels(group([close, exact], [0.9, 0.1]), 0.5).tolist() == [[False] * 3, [True] * 3]
    assert group_labels(group([close], [0.9]), 0.5).tolist() == [[True, True, False]]
    assert group_labels(group([close], [0.9]), 1.0).tolist() == [[True, True, True]]


def test_a_joint_predicted_where_none_is_annotated_is_false():
    g = group([A, B], [0.9, 0.8], annotated=[[1, 1, 0], [1, 1, 1]])
    assert group_labels(g, 0.5).tolist() == [[True, True, False], [True, True, True]]
    assert joint_average_precisions([g], 0.5) == pytest.approx([1, 1, 0.5])


def test_ap_by_hand():
    """Correct, wrong, correct of three: precision 1 up to recall 1/3, then 2/3 up to 2/3."""
    assert average_precision(np.array([0.9, 0.8, 0.7]), np.array([1, 0, 1]), 3) == pytest.approx(1 / 3 + 2 / 9)
    # wrong, correct, correct: all recall is reached at precision 2/3
    assert average_precision(np.array([0.9, 0.8, 0.7]), np.array([0, 1, 1]), 2) == pytest.approx(2 / 3)
    assert average_precision(np.zeros(0), np.zeros(0, dtype=bool), 4) == 0
    assert np.isnan(average_precision(np.zeros(0), np.zeros(0, dtype=bool), 0))


@settings(max_examples=50)
@given(st.integers(1, 8), st.integers(0, 8))
def test_ap_is_scikit_learns_where_precision_falls_monotonically(correct, wrong):
    labels = np.array([True] * correct + [False] * wrong)
    scores = np.linspace(1, 0.1, len(labels))
    assert average_precision(scores, labels, correct) == pytest.approx(average_precision_score(labels, scores))


def slow_average_precision(scores, labels, num_positives) -> float:
    """PASCAL VOC's curve between recall 0 and 1, point by point, its precision lifted to the best that follows."""
    points, correct = [(0.0, 0.0)], 0
    for seen, i in enumerate(sorted(range(len(scores)), key=lambda i: -scores[i]), start=1):
        correct += bool(labels[i])
        points.append((correct / num_positives, correct / seen))
    points.append((1.0, 0.0))
    area = 0.0
    for k in range(1, len(points)):
        area += (points[k][0] - points[k - 1][0]) * max(precision for _, precision in points[k:])
    return area


@settings(max_examples=100)
@given(st.integers(0, 2**32 - 1), st.integers(0, 20), st.integers(0, 5))
def test_ap_is_that_of_the_slow_twin(seed, n, missed):
    rng = np.random.default_rng(seed)
    scores, labels = rng.random(n), rng.random(n) < 0.5
    positives = int(labels.sum()) + missed
    if positives:
        assert average_precision(scores, labels, positives) == pytest.approx(
            slow_average_precision(scores, labels, positives)
        )


@settings(max_examples=50)
@given(st.lists(st.booleans(), min_size=1, max_size=20).filter(any))
def test_ap_is_never_under_scikit_learns_unsmoothed_one(labels):
    scores = np.linspace(1, 0.1, len(labels))
    ours = average_precision(scores, np.array(labels), sum(labels))
    assert average_precision_score(labels, scores) - 1e-12 <= ours <= 1


@settings(max_examples=100)
@given(st.integers(0, 2**32 - 1), st.integers(0, 4), st.integers(1, 3))
def test_labels_are_those_of_the_slow_twin(seed, n, m):
    rng = np.random.default_rng(seed)
    true = rng.uniform(0, 25, (m, J, 2))
    g = Group(true, rng.random((m, J)) < 0.8, rng.uniform(5, 15, m), rng.uniform(0, 25, (n, J, 2)), rng.random(n))
    assert group_labels(g, 0.5).tolist() == slow_labels(g, 0.5)


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1), st.permutations(range(3)))
def test_permuting_people_and_groups_changes_nothing(seed, order):
    rng = np.random.default_rng(seed)
    order = list(order)
    groups = [
        Group(rng.uniform(0, 25, (3, J, 2)), rng.random((3, J)) < 0.8, np.full(3, 9.0), p, rng.random(3))
        for p in rng.uniform(0, 25, (3, 3, J, 2))
    ]
    # equal shares go to the first person, which is where the order would matter
    shares = [
        ((np.linalg.norm(g.pred_2d[:, None] - g.true_2d, axis=-1) <= 4.5) & g.annotated).sum(-1)
        / np.maximum(g.annotated.sum(-1), 1)
        for g in groups
    ]
    assume(all(len({*row[row > 0].tolist()}) == (row > 0).sum() for s in shares for row in (*s, *s.T)))
    permuted = [
        Group(g.true_2d[order], g.annotated[order], g.head_sizes[order], g.pred_2d[order], g.scores[order])
        for g in (groups[i] for i in order)
    ]
    assert joint_average_precisions(permuted, 0.5) == pytest.approx(joint_average_precisions(groups, 0.5), nan_ok=True)


def test_scores_and_joints_may_be_missing_or_per_joint():
    pred = np.array([A, B])
    pred[0, 2] = np.nan
    g = group(pred, np.ones((2, J)))
    assert joint_average_precisions([g], 0.5) == pytest.approx([1, 1, 0.5])
    assert joint_average_precisions([group([], [])], 0.5).tolist() == [0, 0, 0]


def test_the_interval_is_that_of_the_groups():
    """Of 40 groups of one person a quarter is found, without a false positive: AP is the share found."""
    nobody, found = group([], [], true=[A]), group([A], [0.9], true=[A])
    assert mean_precision_interval([found] * 4, 0.5) == (1, 1)
    low, high = mean_precision_interval([found] * 10 + [nobody] * 30, 0.5)
    # binomial: 0.25 +- 1.96 * sqrt(0.25 * 0.75 / 40) = 0.116 ... 0.384
    assert low == pytest.approx(0.116, abs=0.05) and high == pytest.approx(0.384, abs=0.05)


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1))
def test_the_interval_is_that_of_data_sets_with_groups_repeated_and_left_out(seed):
    rng = np.random.default_rng(seed)
    groups = [
        Group(rng.uniform(0, 25, (2, J, 2)), np.ones((2, J), bool), np.full(2, 9.0), p, rng.random(3))
        for p in rng.uniform(0, 25, (4, 3, J, 2))
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


def people(poses_2d, scores):
    n = len(poses_2d)
    return PredictedPeople.without_seeds(np.array(scores), np.array(poses_2d).reshape(n, 13, 2), np.zeros((n, 13, 3)))


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

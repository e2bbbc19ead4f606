import itertools

import numpy as np
import pytest

from lcrnet_d2.evaluation import PredictedPeople, choose_score_threshold, truth_from_dict
from lcrnet_d2.evaluation.matching import assign, match_people

LEFT, RIGHT = (100.0, 130.0), (250.0, 130.0)
SIZE = np.sqrt(60.0 * 150.0)  # of the person drawn


@pytest.fixture
def match(drawn):
    def match(people, poses_2d, **extra):
        poses_2d = np.reshape(poses_2d, (len(poses_2d), 13, 2)).astype(np.float64)
        return match_people(truth_from_dict(drawn.record(people, **extra), 13), poses_2d)

    return match


def test_found_under_three_tenths_of_the_size(drawn, match):
    for error, is_found in ((0.299, True), (0.301, False)):
        result = match([drawn.person(LEFT)], [drawn.pose_2d(LEFT) + [error * SIZE, 0]])
        assert (len(result.people) == 1) is is_found
        assert result.is_false_positive.tolist() == [not is_found]


def test_a_second_detection_of_a_person_is_wrong(drawn, match):
    result = match([drawn.person(LEFT)], [drawn.pose_2d(LEFT) + 5, drawn.pose_2d(LEFT) + 1])
    assert result.detections.tolist() == [1]
    assert result.is_false_positive.tolist() == [True, False]


def test_only_annotated_joints_inside_the_image_decide(drawn, match):
    """The lower the person stands, the fewer joints count: here neither knees nor ankles."""
    low = (100.0, 245.0)
    pose = drawn.pose_2d(low)
    pose[:4] += 500  # ankles and knees
    assert len(match([drawn.person(low)], [pose]).people) == 1
    assert len(match([drawn.person(LEFT)], [pose - np.array([0, 115])]).people) == 0


def test_ignored_people_and_crowds_cost_nothing(drawn, match):
    at_left, at_right = drawn.pose_2d(LEFT), drawn.pose_2d(RIGHT)
    hardly_seen = drawn.person(LEFT, v=[2] * 3 + [0] * 10)
    assert match([hardly_seen], [at_left, at_left + 4, at_right]).is_false_positive.tolist() == [False, False, True]
    crowd = drawn.person(LEFT, crowd=1, bbox=[0, 0, 175, 300])
    assert match([crowd], [at_left, at_right]).is_false_positive.tolist() == [False, True]
    half_in = drawn.person(LEFT, crowd=1, bbox=[0, 0, 101, 300])  # the person spans x = 70 ... 130
    assert match([half_in], [at_left, at_left + [3, 0]]).is_false_positive.tolist() == [False, True]
    within = drawn.person(LEFT, crowd=1, bbox=[70, 55, 97, 205])  # IoU 0.35 would do for a person
    assert match([within], [at_left]).is_false_positive.tolist() == [True]


def test_the_box_on_an_ignored_person_is_clipped_to_the_image(drawn, match):
    """Their legs are outside: completed in the prediction, and left out of an annotated box."""
    low = (100.0, 310.0)  # 40 of 150 px are inside: an IoU of 0.27 without clipping
    hardly_seen = drawn.person(low, v=[0] * 10 + [2] * 3, bbox=[70, 260, 130, 300])
    assert match([hardly_seen], [drawn.pose_2d(low)]).is_false_positive.tolist() == [False]


def test_in_partly_annotated_images_strangers_are_nobodys_fault(drawn, match):
    poses = [drawn.pose_2d(LEFT), drawn.pose_2d(LEFT) + 6, drawn.pose_2d(RIGHT)]
    assert match([drawn.person(LEFT)], poses).is_false_positive.tolist() == [False, True, True]
    partly = match([drawn.person(LEFT)], poses, partly_annotated=True)
    assert partly.is_false_positive.tolist() == [False, True, False]


def test_a_person_out_of_reach_spoils_nobody_elses_match():
    # The least plain sum is 0.29 + 0.35, against 0.1 + 5.
    people, detections = assign(np.array([[0.1, 0.29], [0.35, 5.0]]))
    assert (people.tolist(), detections.tolist()) == ([0], [0])


def test_equals_trying_every_assignment():
    rng = np.random.default_rng(0)
    for _ in range(100):
        errors = rng.random((3, 3)) * 0.5
        people, detections = assign(errors)
        cost = errors[people, detections].sum() + 0.3 * (3 - len(people))
        every = (np.minimum(errors[range(3), order], 0.3).sum() for order in itertools.permutations(range(3)))
        np.testing.assert_allclose(cost, min(every))
        assert (errors[people, detections] < 0.3).all()


def detections(scores, poses_2d):
    poses_2d = np.reshape(poses_2d, (len(scores), 13, 2)).astype(np.float64)
    return PredictedPeople.without_seeds(np.array(scores, float), poses_2d, np.zeros((len(scores), 13, 3)))


def count(truths, detected, threshold):
    """Recall and false positives per image of one threshold, the slow and obvious way."""
    matches = [match_people(t, d.poses_2d[d.scores >= threshold]) for t, d in zip(truths, detected, strict=True)]
    people = sum(t.is_counted.sum() for t in truths)
    found = sum(len(m.people) for m in matches)
    return found / people, sum(m.is_false_positive.sum() for m in matches) / len(truths)


def random_images(drawn, seed, images=30):
    """Two people and a crowd per image; detections near them and elsewhere, few distinct scores."""
    rng = np.random.default_rng(seed)
    truths, detected = [], []
    for i in range(images):
        centres = rng.uniform([60, 80], [340, 220], size=(2, 2))
        crowd = drawn.person((330, 150), crowd=1)
        truths.append(truth_from_dict(drawn.record([*map(drawn.person, centres), crowd], i), 13))
        n = rng.integers(0, 7)
        near = [drawn.pose_2d(c) for c in centres[rng.integers(0, 2, n)] + rng.normal(0, 30, (n, 2))]
        detected.append(detections(rng.integers(1, 12, n) / 10, near))
    return truths, detected


@pytest.mark.parametrize("limit", [0.0, 0.2, 0.5, 10.0])
def test_equals_trying_every_score(drawn, limit):
    truths, detected = random_images(drawn, seed=int(10 * limit))
    chosen = choose_score_threshold(truths, detected, limit)
    scores = sorted({s for d in detected for s in d.scores} | {np.inf}, reverse=True)
    tried = [(*count(truths, detected, s), s) for s in scores]
    recall, threshold = max((r, s) for r, fp, s in tried if fp <= limit)
    assert (chosen.score, chosen.recall) == (threshold, recall)
    assert (chosen.recall, chosen.fp_per_image) == count(truths, detected, chosen.score)


def test_equal_scores_come_in_together(drawn):
    truth = truth_from_dict(drawn.record([drawn.person((100, 120))]), 13)
    detected = detections([0.5, 0.5], [drawn.pose_2d((100, 120)), drawn.pose_2d((300, 120))])
    assert choose_score_threshold([truth], [detected], 0.2) == (np.inf, 0.0, 0.0)
    assert choose_score_threshold([truth], [detected], 1.0) == (0.5, 1.0, 1.0)


def test_wants_detections_for_every_image(drawn):
    with pytest.raises(ValueError, match="1 annotated images, but detections for 0"):
        choose_score_threshold([truth_from_dict(drawn.record([]), 13)], [])

import numpy as np
import pytest

from lcrnet_d2.evaluation import PredictedPeople, choose_score_threshold, truth_from_dict
from lcrnet_d2.evaluation.matching import match_people


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


def test_two_people_and_a_ghost(drawn):
    left, right, ghost = (100, 120), (300, 120), drawn.pose_2d((200, 150))
    truth = truth_from_dict(drawn.record([drawn.person(left), drawn.person(right)]), 13)
    detected = detections([1.7, 0.5, 0.9], [drawn.pose_2d(left), drawn.pose_2d(right), ghost])
    # In one of five images: the ghost is 0.2 per image, and the second person comes after it.
    truths, images = [truth] * 5, [detected] + [detected[np.zeros(0, int)]] * 4
    assert choose_score_threshold(truths, images, 0.2) == (0.5, 0.2, 0.2)
    assert choose_score_threshold(truths, images, 0.1) == (1.7, 0.1, 0.0)  # not 0.95, though as good


def test_equal_scores_come_in_together(drawn):
    truth = truth_from_dict(drawn.record([drawn.person((100, 120))]), 13)
    detected = detections([0.5, 0.5], [drawn.pose_2d((100, 120)), drawn.pose_2d((300, 120))])
    assert choose_score_threshold([truth], [detected], 0.2) == (np.inf, 0.0, 0.0)
    assert choose_score_threshold([truth], [detected], 1.0) == (0.5, 1.0, 1.0)


def test_nobody_there(drawn):
    nobody = truth_from_dict(drawn.record([]), 13)
    chosen = choose_score_threshold([nobody], [detections([0.4], drawn.pose_2d((100, 120)))], 0.2)
    assert chosen.score == np.inf and np.isnan(chosen.recall)
    assert choose_score_threshold([nobody], [detections([], np.zeros((0, 13, 2)))], 0.2).fp_per_image == 0.0


def test_wants_detections_for_every_image(drawn):
    with pytest.raises(ValueError, match="1 annotated images, but detections for 0"):
        choose_score_threshold([truth_from_dict(drawn.record([]), 13)], [])

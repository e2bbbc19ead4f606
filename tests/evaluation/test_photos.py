import numpy as np
import pytest

from lcrnet_d2.evaluation import ImagePredictions, PredictedPeople, truth_from_dict
from lcrnet_d2.evaluation.photos import count_people, person_scores, report_photos
from lcrnet_d2.structures import BODY13

CENTRE = (100.0, 130.0)
SIZE = np.sqrt(60.0 * 150.0)  # of the person drawn
LEGS = BODY13.lower_limbs


def _detected(*poses_2d: np.ndarray) -> PredictedPeople:
    poses = np.reshape(poses_2d, (len(poses_2d), 13, 2))
    return PredictedPeople.without_seeds(np.ones(len(poses)), poses, np.zeros((len(poses), 13, 3)))


def _scores(record: dict, *poses_2d: np.ndarray):
    return person_scores([count_people(truth_from_dict(record, 13), BODY13)], [_detected(*poses_2d)], BODY13)


def test_joints_within_a_tenth_of_the_size_count(drawn) -> None:
    pose = drawn.pose_2d(CENTRE)
    pose[LEGS] += [0.2 * SIZE, 0]  # 4 of 12 limb joints
    pose[BODY13.index("head")] += 1000  # not a limb joint
    scores = _scores(drawn.record([drawn.person(CENTRE)]), pose)
    assert scores.is_found.tolist() == [True]
    assert scores.pck[0] == pytest.approx(8 / 12)
    assert scores.error[0] == pytest.approx(0.2 * 4 / 12)


def test_people_not_found_count_with_nothing(drawn) -> None:
    scores = _scores(drawn.record([drawn.person(CENTRE)]), drawn.pose_2d(CENTRE) + [0.31 * SIZE, 0])
    assert (scores.is_found.tolist(), scores.pck.tolist(), scores.num_unmatched) == ([False], [0.0], 1)


def test_left_taken_for_right(drawn) -> None:
    """Left and right ankles, knees and hips are 20 px apart, shoulders 40 px: 0.26 of the size on average."""
    pose = drawn.pose_2d(CENTRE)
    record = drawn.record([drawn.person(CENTRE, v=[2] * 6 + [0] * 4 + [2] * 3), drawn.person((300.0, 130.0))])
    scores = _scores(record, pose[BODY13.flip_indices], drawn.pose_2d((300.0, 130.0)))
    assert scores.is_found.all()
    assert scores.is_confused.tolist() == [True, False]


def test_few_joints_or_small_people_are_ignored(drawn) -> None:
    few = drawn.person(CENTRE, v=[2] * 7 + [0] * 6)
    small = drawn.person((300.0, 130.0), bbox=[270, 80, 330, 175.9])
    scores = _scores(drawn.record([few, small]), drawn.pose_2d(CENTRE))
    assert (len(scores.is_found), scores.num_unmatched) == (0, 0)


def test_legs_not_annotated(drawn) -> None:
    v = np.where(np.isin(np.arange(13), LEGS), 0, 2)
    record = drawn.record([drawn.person(CENTRE, v=v), drawn.person((300.0, 130.0))])
    assert _scores(record, drawn.pose_2d(CENTRE)).lacks_legs.tolist() == [True, False]


def test_report_of_nobody_and_of_somebody(drawn) -> None:
    record = drawn.record([drawn.person(CENTRE)])
    for people, found in ((_detected(), 0.0), (_detected(drawn.pose_2d(CENTRE)), 100.0)):
        predictions = [ImagePredictions(1, "1.jpg", 400, 300, people, _detected())]
        report = report_photos([record], predictions, BODY13)
        assert report.metrics["photos_ppi"]["found"] == found
        assert report.metrics["photos_ppi"]["pck_all"] == found
        assert "| PPI |" in report.markdown

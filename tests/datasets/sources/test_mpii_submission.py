import numpy as np
import pytest

from lcrnet_d2.evaluation.people import PredictedPeople
from lcrnet_d2.structures import BODY13, MPII16
from sources.mpii_submission import group_predictions, single_person_predictions


def place(x: float, **extra) -> dict:
    """Of the person drawn about (x, 100), 150 px high: that of the box around the joints is (x, 125)."""
    return {"objpos": [x, 125.0], "scale": 0.75, **extra}


@pytest.fixture
def people(drawn) -> PredictedPeople:
    """Three drawn people, about x = 60, 120 and 320."""
    poses = np.stack([drawn.pose_2d((x, 100)) for x in (60, 120, 320)])
    return PredictedPeople.without_seeds(np.array([0.9, 0.8, 0.7]), poses, np.zeros((3, 13, 3)))


def ankles(pose: np.ndarray) -> float:
    return float(pose[MPII16.indices(["right_ankle", "left_ankle"]), 0].mean())


def test_everyone_of_annorect_keeps_their_place(people):
    """In a group; alone and found; alone where nobody is; alone without a place."""
    annotations = [
        place(60, single_person=False, group=1),
        place(322, single_person=True),
        place(215, single_person=True),
        {"single_person": True},
    ]
    nobody = people[np.zeros(3, dtype=bool)]
    images = [{"annotations": annotations}, {"annotations": []}, {"annotations": [place(60, single_person=True)]}]
    first, second, third = single_person_predictions(images, [people, people, nobody], BODY13)
    assert first[0] is None and ankles(first[1]) == pytest.approx(320)
    assert np.isnan(first[2]).all() and np.isnan(first[3]).all() and first[2].shape == (16, 2)
    assert second == [] and np.isnan(third[0]).all()
    with pytest.raises(ValueError, match="nobody is marked as single_person"):
        single_person_predictions(images[1:2], [people], BODY13)


def test_groups_come_image_by_image_in_the_order_of_their_numbers(people):
    first = {"annotations": [place(320, group=3), place(60, group=2), place(120, group=2), place(200)]}
    second = {"annotations": [{"group": 1}, place(215, group=4)]}  # of group 1 MPII gives no place
    groups = group_predictions([first, second], [people, people], BODY13)
    assert [scores.tolist() for _, scores in groups] == [[0.9, 0.8], [0.7], [], []]
    assert [ankles(pose) for pose in groups[0][0]] == pytest.approx([60, 120])
    assert all(poses.shape[1:] == (16, 2) for poses, _ in groups)
    with pytest.raises(ValueError, match="nobody is in a group"):
        group_predictions([{"annotations": [place(60)]}], [people], BODY13)

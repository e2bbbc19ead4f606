from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from detectron2.structures import Boxes, Instances

from lcrnet_d2.detected_people import DetectedPeople
from lcrnet_d2.placement import OrthographicCamera, PinholeCamera
from lcrnet_d2.structures import BODY13, COCO17
from people_support import standing_people


def instances(people: DetectedPeople) -> Instances:
    """A model's output that gives these people."""
    height, width = people.image_size
    out = Instances(people.image_size)
    out.pred_boxes = Boxes(torch.from_numpy(people.boxes))
    out.scores = torch.from_numpy(people.scores)
    out.pred_confidences = torch.from_numpy(people.confidences)
    out.pred_anchors = torch.from_numpy(people.anchors)
    points = torch.from_numpy(people.keypoints_2d)
    out.pred_keypoints = torch.cat([points, torch.ones_like(points[..., :1])], -1)
    out.pred_poses_3d = torch.from_numpy(people.poses_3d)
    # 3 px along x and 4 px along y: 5 px
    out.pred_spreads_2d = torch.tensor([3 / width, 4 / height]).expand(points.shape)
    out.pred_spreads_3d = torch.from_numpy(people.spreads_3d)
    return out


@pytest.mark.parametrize("count", [0, 1, 3])
def test_from_a_models_output(count: int) -> None:
    expected = standing_people(count)
    people = DetectedPeople.from_instances(instances(expected), BODY13)
    assert len(people) == count == len(list(people))
    for name in ("scores", "confidences", "boxes", "keypoints_2d", "poses_3d", "in_image", "spreads_3d", "anchors"):
        np.testing.assert_array_equal(getattr(people, name), getattr(expected, name))
    np.testing.assert_allclose(people.spreads_2d, np.full((count, 13), 5), rtol=1e-6)


def test_the_arrays_are_copies() -> None:
    output = instances(standing_people(1))
    people = DetectedPeople.from_instances(output, BODY13)
    output.pred_keypoints -= 0.5  # as COCOEvaluator does
    np.testing.assert_array_equal(people.keypoints_2d, standing_people(1).keypoints_2d)


def test_what_a_model_must_give_is_named() -> None:
    output = instances(standing_people(1))
    output.remove("pred_spreads_3d")
    with pytest.raises(ValueError, match="pred_spreads_3d"):
        DetectedPeople.from_instances(output, BODY13)


def test_shapes_that_do_not_fit_are_named() -> None:
    people = standing_people(2)
    with pytest.raises(ValueError, match=r"spreads_2d of 2 people with 13 joints has shape \(2, 12\)"):
        replace(people, spreads_2d=np.zeros((2, 12)))
    with pytest.raises(ValueError, match="keypoints_2d"):
        replace(people, skeleton=COCO17)


def test_one_person_and_some() -> None:
    people = replace(standing_people(3), identities=np.array([7, 5, 9]))
    person = people[1]
    assert len(person) == 1 and person.identities.tolist() == [5] and person.scores[0] == people.scores[1]
    assert np.shares_memory(person.keypoints_2d, people.keypoints_2d)  # a view
    assert [p.identities.item() for p in people[[2, 0]]] == [9, 7] and people[-1].identities.tolist() == [9]
    assert people[people.scores < 2.5].identities.tolist() == [5, 9]
    assert people[1:].identities is not None and len(people[:0]) == 0
    with pytest.raises(IndexError):
        people[3]


def test_joints_outside_the_picture() -> None:
    """60 px apart from x = 160 in 320 px: of the third, whose left arm reaches 30 px to the right of 280, ..."""
    people = standing_people(4)
    assert people.in_image[:2].all() and not people.in_image[3].all()
    outside = {BODY13.joints[j] for j in np.flatnonzero(~people.in_image[3])}
    assert "left_wrist" in outside and "right_wrist" not in outside


def test_placed_where_a_camera_saw_them() -> None:
    """100 px per metre through a focal length of 500 px: 5 m away, but for the depth within the body."""
    people = standing_people(2)
    placed = people.placed(PinholeCamera(500, 500, 160, 120))
    assert placed.translations is not None
    np.testing.assert_allclose(placed.translations, [[0, 0, 5], [0.6, 0, 5]], atol=0.05)
    np.testing.assert_allclose(placed.in_camera(), placed.poses_3d + placed.translations[:, None])
    assert people.translations is None
    with pytest.raises(ValueError, match="placed"):
        people.in_camera()


def test_placed_by_an_orthographic_camera() -> None:
    placed = standing_people(2).placed(OrthographicCamera(100, 160, 120))
    np.testing.assert_allclose(placed.translations, [[0, 0, 0], [0.6, 0, 0]], atol=1e-5)


def test_guesses_outside_the_picture_move_nobody_far() -> None:
    """Knees and ankles below the picture, guessed half a metre too low, make somebody 1.5 m nearer if they count like
    the joints seen."""
    camera = PinholeCamera(500, 500, 160, 60)
    people = standing_people(1, image_size=(180, 320))
    legs = [j for j in range(13) if not people.in_image[0, j]]
    assert [BODY13.joints[j] for j in legs] == ["right_ankle", "left_ankle", "right_knee", "left_knee"]
    true = people.placed(camera).translations
    wrong = people.keypoints_2d.copy()
    wrong[0, legs, 1] += 50
    guessed = replace(people, keypoints_2d=wrong)
    error = np.linalg.norm(guessed.placed(camera).translations - true)
    careless = replace(guessed, in_image=np.ones_like(people.in_image)).placed(camera)
    assert error < 0.3 * np.linalg.norm(careless.translations - true)


def test_nobody() -> None:
    nobody = DetectedPeople.nobody(COCO17, (10, 20))
    assert len(nobody) == 0 and nobody.poses_3d.shape == (0, 17, 3) and list(nobody) == []
    assert nobody.placed(PinholeCamera.from_fov((10, 20))).in_camera().shape == (0, 17, 3)

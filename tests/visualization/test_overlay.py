from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from detectron2.data import Metadata
from detectron2.structures import Boxes, Instances
from detectron2.utils.visualizer import Visualizer

from lcrnet_d2.structures import BODY13, SIDE_COLOURS, bone_colour, person_colour, pose_metadata
from lcrnet_d2.visualization import LARGE_SPREAD_M, draw_people_2d, is_inferred, person_numbers
from people_support import standing_people

GREY = np.full((240, 320, 3), 90, np.uint8)
KNEE = BODY13.index("right_knee")  # of the standing person at (160, 120): (150, 185) px


def pixel(picture: np.ndarray, x: float, y: float) -> list[int]:
    return picture[int(y), int(x)].tolist()


def near(colour: list[int], other: tuple[int, int, int]) -> bool:
    return max(abs(a - b) for a, b in zip(colour, other, strict=True)) < 12


def test_nobody_leaves_the_image_as_it_was() -> None:
    picture = draw_people_2d(GREY, standing_people(0))
    assert (picture == 90).all() and picture is not GREY


def test_joints_in_the_persons_colour_bones_in_their_sides() -> None:
    people = standing_people()
    picture = draw_people_2d(GREY, people)
    assert near(pixel(picture, *people.keypoints_2d[0, KNEE]), person_colour(1))
    assert near(pixel(picture, 150, 165), SIDE_COLOURS["right"])  # half way up the right thigh
    assert near(pixel(picture, 170, 165), SIDE_COLOURS["left"])
    assert (GREY == 90).all()  # drawn on a copy


def test_an_inferred_joint_is_hollow_and_its_bones_are_dashed() -> None:
    spreads = np.zeros((1, 13), np.float32)
    spreads[0, KNEE] = LARGE_SPREAD_M + 0.01
    people = replace(standing_people(spreads_3d=spreads), spreads_2d=np.zeros((1, 13), np.float32))
    picture = draw_people_2d(GREY, people)
    assert near(pixel(picture, *people.keypoints_2d[0, KNEE]), (255, 255, 255))
    thigh = [near(pixel(picture, 150, y), SIDE_COLOURS["right"]) for y in range(152, 180)]
    assert 0.2 < np.mean(thigh) < 0.8  # red and gaps
    other = [near(pixel(picture, 170, y), SIDE_COLOURS["left"]) for y in range(152, 180)]
    assert np.mean(other) == 1


def test_spread_is_a_circle_of_its_radius_in_px() -> None:
    """20 cm at 100 px/m: tinted 17 px beside the wrist, untouched at 23 px."""
    spreads, wrist = np.zeros((1, 13), np.float32), BODY13.index("right_wrist")
    spreads[0, wrist] = 0.2
    people = standing_people(spreads_3d=spreads)
    picture = draw_people_2d(GREY, people)
    x, y = people.keypoints_2d[0, wrist]
    assert pixel(picture, x - 23, y) == [90, 90, 90]
    assert pixel(picture, x - 17, y) == [round(0.7 * 90 + 0.3 * c) for c in person_colour(1)]


def test_joints_outside_the_image_are_drawn_on_the_margin() -> None:
    """At x = 5 the right wrist is at -25 px; the margin of 0.25 * 320 = 80 px shows it at 55 px, hollow."""
    people, wrist = standing_people(x=5.0), BODY13.index("right_wrist")
    assert is_inferred(people)[0, wrist] and not is_inferred(people)[0, BODY13.index("left_wrist")]
    picture = draw_people_2d(GREY, people, margin=0.25)
    assert picture.shape == (400, 480, 3)
    x, y = people.keypoints_2d[0, wrist] + 80
    assert near(pixel(picture, x, y), (255, 255, 255))
    around = picture[int(y) - 6 : int(y) + 7, int(x)]
    assert any(near(colour, person_colour(1)) for colour in around.tolist())


@pytest.mark.parametrize("place", [np.nan, 1e9, -1e30])
def test_a_joint_nowhere_or_far_away_hurts_nothing(place: float) -> None:
    people = standing_people(2)
    points = people.keypoints_2d.copy()
    points[0, KNEE] = place
    picture = draw_people_2d(GREY, replace(people, keypoints_2d=points))
    assert near(pixel(picture, *people.keypoints_2d[1, KNEE]), person_colour(2))


def test_identities_name_and_colour_people_in_a_video() -> None:
    assert person_numbers(standing_people(3)) == [1, 2, 3]
    assert person_numbers(replace(standing_people(2), identities=np.array([7, 4]))) == [7, 4]


def test_a_picture_may_be_scaled() -> None:
    assert draw_people_2d(GREY, standing_people(), scale=2).shape == (480, 640, 3)
    assert draw_people_2d(GREY, standing_people(), scale=0.1).shape == (24, 32, 3)


def test_sides_have_colours_of_their_own() -> None:
    right, left = bone_colour(("right_knee", "right_hip")), bone_colour(("left_knee", "left_hip"))
    assert right != left and bone_colour(("right_hip", "left_hip")) not in (right, left)
    assert bone_colour(("left_shoulder", "head")) == left


def test_detectron2s_visualizer_draws_our_instances_too() -> None:
    people = standing_people()
    instances = Instances((240, 320))
    instances.pred_boxes = Boxes(torch.from_numpy(people.boxes))
    instances.scores, instances.pred_classes = torch.ones(1), torch.zeros(1, dtype=torch.long)
    instances.pred_keypoints = torch.cat([torch.from_numpy(people.keypoints_2d), torch.ones(1, 13, 1)], -1)
    metadata = Metadata(name="of BODY13").set(**pose_metadata(BODY13))
    picture = Visualizer(GREY, metadata).draw_instance_predictions(instances).get_image()
    assert near(pixel(picture, 150, 165), SIDE_COLOURS["right"])

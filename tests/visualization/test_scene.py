from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from lcrnet_d2.placement import OrthographicCamera, PinholeCamera
from lcrnet_d2.structures import BODY13, person_colour
from lcrnet_d2.visualization import (
    FROM_CAMERA,
    FROM_SIDE,
    Scene,
    View,
    common_bounds,
    draw_people,
    draw_scene_3d,
    draw_view,
    scene_of,
)
from lcrnet_d2.visualization.scene import _Projection
from people_support import standing_people

CAMERA = PinholeCamera(400.0, 400.0, 160.0, 120.0)  # 100 px per metre at 4 m


def coloured(picture: np.ndarray, number: int) -> np.ndarray:
    """(M, 2) rows and columns of the pixels in a person's own colour."""
    return np.argwhere((picture == person_colour(number)).all(-1))


def test_views_turn_about_the_vertical() -> None:
    """From the camera x goes right; from its right, what is away goes right and x comes nearer."""
    front, right = View("", 0, 0).rotation(), View("", 90, 0).rotation()
    np.testing.assert_allclose(front, np.eye(3), atol=1e-12)
    np.testing.assert_allclose(right @ [0, 0, 1], [1, 0, 0], atol=1e-12)
    np.testing.assert_allclose(right @ [1, 0, 0], [0, 0, -1], atol=1e-12)
    above = View("", 0, 30).rotation()  # what is farther appears higher
    assert (above @ [0, 0, 1])[1] == pytest.approx(-0.5)


@pytest.mark.parametrize("view", [FROM_CAMERA, FROM_SIDE, View("top", 20, 90)])
def test_the_block_fits_the_picture(view: View) -> None:
    bounds = np.array([[-3.0, -1, 2], [1, 1, 9]])
    corners, per_metre = _Projection.fitting(view, bounds, (300, 400))(
        np.array(np.meshgrid(*bounds.T)).reshape(3, -1).T
    )
    assert (corners >= 0).all() and (corners <= [400, 300]).all() and (per_metre > 0).all()


def test_two_people_stand_where_they_are() -> None:
    """Number 2 is 0.6 m to the right and 1 m farther away than number 1."""
    people = replace(standing_people(2), translations=np.float32([[0, 0, 4], [0.6, 0, 5]]), camera=CAMERA)
    scene = scene_of(people)
    np.testing.assert_array_equal(scene.joints, people.in_camera())
    for view in (FROM_CAMERA, FROM_SIDE):
        picture = draw_view(scene, view, (400, 400))
        first, second = coloured(picture, 1), coloured(picture, 2)
        assert len(first) > 20 and len(second) > 20 and second[:, 1].mean() > first[:, 1].mean() + 20


def test_people_without_a_place_are_left_out_and_all_get_one_from_the_default_camera() -> None:
    people = standing_people(2)
    nowhere = replace(people, translations=np.float32([[np.nan] * 3, [0, 0, 4]]), camera=CAMERA)
    assert scene_of(nowhere).numbers == [2] and scene_of(people).numbers == [1, 2]
    assert not scene_of(people.placed(OrthographicCamera(100.0, 160.0, 120.0))).has_depth


def test_bounds_lie_on_half_metres_above_the_lowest_joint() -> None:
    people = replace(standing_people(), translations=np.float32([[0, 0, 4]]), camera=CAMERA)
    low, high = scene_of(people).bounds()
    assert (2 * low == np.round(2 * low)).all() and (2 * high[[0, 2]] == np.round(2 * high[[0, 2]])).all()
    assert high[1] == people.in_camera()[..., 1].max()
    joints = people.in_camera()[0]
    assert (low < joints).all() and (high >= joints).all()


@pytest.mark.parametrize("count", [0, 1, 3])
def test_the_whole_picture_has_one_size_for_any_number_of_people(count: int) -> None:
    image = np.full((240, 320, 3), 90, np.uint8)
    picture = draw_people(image, standing_people(count))
    assert picture.shape == draw_people(image, standing_people(2)).shape and picture.dtype == np.uint8
    assert picture.shape[1] > 2.5 * picture.shape[0]
    assert all((len(coloured(picture, number)) > 0) == (number <= count) for number in (1, 3))


def test_joints_that_are_not_known_leave_the_order_of_depth_alone() -> None:
    """Of people who overlap the nearer hides the farther, in whatever order they come and whatever joints they lack."""
    joints = np.repeat(np.random.default_rng(0).uniform(-0.5, 0.5, (1, 13, 3)), 4, 0)
    joints += [[[0, 0, z]] for z in (3.0, 3.3, 3.6, 3.9)]
    joints[:, [0, 5, 9]] = np.nan

    def drawn(order: list[int]) -> np.ndarray:
        none = np.zeros((4, 13))
        return draw_view(Scene(BODY13, joints[order], none > 0, none, order), FROM_CAMERA, (300, 300), bounds)

    bounds = np.array([[-1.0, -1, 2], [1, 1, 5]])
    first = drawn([0, 1, 2, 3])
    for order in ([3, 2, 1, 0], [2, 0, 3, 1]):
        differing = (drawn(order) != first).any(-1).mean()
        assert differing < 0.002  # the numbers, which lie above all; NaN among the depths makes it 0.0026


def test_one_block_holds_all_frames_but_for_a_few() -> None:
    """Fifty frames share the block around all of them; of 101, the two in which somebody is 40 m away do not count."""
    near = replace(standing_people(), translations=np.float32([[0, 0, 4]]), camera=CAMERA)
    right = replace(near, translations=np.float32([[2, 0, 5]]))
    far = replace(near, translations=np.float32([[0, 0, 40]]))
    nobody = near[:0]
    together = common_bounds(map(scene_of, [near] * 49 + [nobody, right]))
    low, high = (np.stack([scene_of(p).bounds() for p in (near, right)])[:, i] for i in (0, 1))
    np.testing.assert_array_equal(together, [low.min(0), high.max(0)])
    without = common_bounds(map(scene_of, [near] * 99 + [far] * 2))
    np.testing.assert_array_equal(without, scene_of(near).bounds())
    assert common_bounds([scene_of(nobody)]) is None and common_bounds([]) is None


def test_unplaceable_joints_and_bare_poses() -> None:
    poses = np.full((1, 13, 3), np.nan)
    assert draw_scene_3d(poses, BODY13, 200).shape[0] == 200
    assert (draw_scene_3d(np.zeros((0, 13, 3)), BODY13, 200) != 250).any()  # ground and titles

from __future__ import annotations

import numpy as np
import pytest
import torch
from detectron2.data import transforms as T
from hypothesis import given
from hypothesis import strategies as st

from lcrnet_d2.data.person_zoom import PersonZoom
from lcrnet_d2.data.pose_transforms import transformation_3d

WHITE_SQUARE = np.array([[100.0, 60, 120, 80]])  # 20 px, in a picture of 200 x 150


@pytest.fixture
def picture() -> np.ndarray:
    out = np.zeros((150, 200, 3), np.uint8)
    out[60:80, 100:120] = 255
    return out


@pytest.mark.parametrize("seed", range(5))
def test_the_person_takes_the_share_asked_for_and_boxes_follow_the_pixels(picture: np.ndarray, seed: int) -> None:
    np.random.seed(seed)
    zoom = PersonZoom(64, (0.5, 0.5)).get_transform(picture, WHITE_SQUARE)
    out = zoom.apply_image(picture.copy())
    assert out.shape == (64, 64, 3)
    (x1, y1, x2, y2), (rows, columns) = zoom.apply_box(WHITE_SQUARE)[0], np.nonzero(out[..., 0] > 127)
    assert (x2 - x1, y2 - y1) == pytest.approx((32, 32), abs=1.5)
    assert (columns.min(), columns.max() + 1) == pytest.approx((x1, x2), abs=1)
    assert (rows.min(), rows.max() + 1) == pytest.approx((y1, y2), abs=1)


def test_a_picture_that_is_large_enough_is_not_padded(picture: np.ndarray) -> None:
    picture += 1  # grey is 128, the background now 1
    corner = np.array([[0.0, 0, 20, 20]])
    out = PersonZoom(64, (0.5, 0.5)).get_transform(picture, corner).apply_image(picture)
    assert (out <= 1).all()


def test_a_small_picture_is_shown_whole_and_padded_with_grey() -> None:
    picture = np.zeros((40, 20, 3), np.uint8)
    out = PersonZoom(80, (0.5, 0.5)).get_transform(picture, np.array([[0.0, 0, 20, 40]])).apply_image(picture)
    assert (out == 0).all(-1).sum() == 20 * 40 and (out == 128).all(-1).sum() == 80 * 80 - 20 * 40


def test_without_people_places_of_a_quarter_to_all_of_the_picture_are_looked_at(picture: np.ndarray) -> None:
    np.random.seed(0)
    zooms = [PersonZoom(100, (1.0, 1.0)).get_transform(picture, np.zeros((0, 4))) for _ in range(300)]
    unit = np.array([[100.0, 70, 101, 71]])
    sides = [100 / np.diff(zoom.apply_box(unit)[0, [0, 2]])[0] for zoom in zooms]
    assert (min(sides), max(sides)) == pytest.approx((50, 200), rel=0.05)
    assert np.median(sides) == pytest.approx(100, rel=0.15)  # log-uniform: as many below a half as above


def test_tiny_people_are_enlarged_four_times_at_most(picture: np.ndarray) -> None:
    zoom = PersonZoom(64, (1.0, 1.0)).get_transform(picture, np.array([[100.0, 60, 102, 62]]))
    x1, _, x2, _ = zoom.apply_box(WHITE_SQUARE)[0]
    assert x2 - x1 == pytest.approx(4 * 20, rel=0.07)


def test_cut_people_reach_beyond_the_canvas_and_a_fourth_to_four_fifths_of_them_are_left() -> None:
    standing = np.array([[400.0, 100, 500, 500]])  # 100 x 400 px, far from the edges of 1000 x 1000
    for seed in range(20):
        np.random.seed(seed)
        zoom = PersonZoom(100, (0.5, 1.0), cut=1.0).get_transform(np.zeros((1000, 1000, 3), np.uint8), standing)
        _, top, _, bottom = zoom.apply_box(standing)[0]
        left = (min(bottom, 100) - max(top, 0)) / (bottom - top)
        assert bottom > 101 or top < -1
        assert 0.24 / 1.3 - 0.02 < left < 0.83 + 0.02  # what is left may exceed the canvas by 1.3


def test_the_head_stays_of_most_standing_people_and_half_of_the_lying() -> None:
    picture = np.zeros((1000, 1000, 3), np.uint8)
    zoom = PersonZoom(100, (0.5, 1.0), cut=1.0)
    standing, lying = np.array([[400.0, 100, 500, 500]]), np.array([[100.0, 400, 500, 500]])
    at_the_feet = [zoom.get_transform(picture, standing).apply_box(standing)[0, 3] > 101 for _ in range(300)]
    at_the_right = [zoom.get_transform(picture, lying).apply_box(lying)[0, 2] > 101 for _ in range(300)]
    assert np.mean(at_the_feet) > 0.75
    assert 0.35 < np.mean(at_the_right) < 0.75  # who exceeds the canvas is counted too


def test_the_cut_square_ends_at_the_pictures_edge() -> None:
    np.random.seed(0)
    picture = np.ones((400, 400, 3), np.uint8)
    person = np.array([[150.0, 2, 250, 398]])  # nothing above the head
    for _ in range(20):
        out = PersonZoom(64, (0.5, 1.0), cut=1.0).get_transform(picture, person).apply_image(picture)
        assert (out == 128).mean() < 0.05  # no grey, but for rounding


@given(
    cut=st.sampled_from([0.0, 1.0]),
    size=st.one_of(
        st.tuples(st.integers(1, 300), st.integers(1, 300)),
        st.tuples(st.integers(1, 40), st.integers(500, 2000)),
    ),
    box=st.none() | st.tuples(*[st.floats(-50, 350)] * 2, *[st.floats(0, 400)] * 2),
    share=st.floats(0.1, 2),
    seed=st.integers(0, 99),
)
def test_the_result_is_a_canvas_whatever_the_picture_and_the_person(
    cut: float, size: tuple[int, int], box: tuple[float, ...] | None, share: float, seed: int
) -> None:
    np.random.seed(seed)
    corners = np.zeros((0, 4)) if box is None else np.array([[*box[:2], box[0] + box[2], box[1] + box[3]]])
    picture = np.zeros((*size, 3), np.uint8)
    zoom = PersonZoom(64, (share, share), cut).get_transform(picture, corners)
    assert zoom.apply_image(picture).shape == (64, 64, 3)
    torch.testing.assert_close(
        transformation_3d(T.TransformList([zoom])), torch.eye(3)
    )  # no squeeze that 3D cannot follow


def test_sizes_that_make_no_range_are_refused() -> None:
    with pytest.raises(ValueError, match="PERSON_SIZE"):
        PersonZoom(64, (0.8, 0.5))
    with pytest.raises(ValueError, match="CUT_PEOPLE is 1.5"):
        PersonZoom(64, (0.5, 0.8), cut=1.5)

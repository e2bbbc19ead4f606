from __future__ import annotations

import numpy as np
import pytest
import torch
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


@given(
    size=st.one_of(
        st.tuples(st.integers(1, 300), st.integers(1, 300)),
        st.tuples(st.integers(1, 40), st.integers(500, 2000)),
    ),
    box=st.none() | st.tuples(*[st.floats(-50, 350)] * 2, *[st.floats(0, 400)] * 2),
    share=st.floats(0.1, 2),
    seed=st.integers(0, 99),
)
def test_the_result_is_a_canvas_whatever_the_picture_and_the_person(
    size: tuple[int, int], box: tuple[float, ...] | None, share: float, seed: int
) -> None:
    np.random.seed(seed)
    corners = np.zeros((0, 4)) if box is None else np.array([[*box[:2], box[0] + box[2], box[1] + box[3]]])
    picture = np.zeros((*size, 3), np.uint8)
    zoom = PersonZoom(64, (share, share)).get_transform(picture, corners)
    assert zoom.apply_image(picture).shape == (64, 64, 3)
    torch.testing.assert_close(transformation_3d(zoom), torch.eye(3))  # no squeeze that 3D cannot follow


def test_sizes_that_make_no_range_are_refused() -> None:
    with pytest.raises(ValueError, match="PERSON_SIZE"):
        PersonZoom(64, (0.8, 0.5))

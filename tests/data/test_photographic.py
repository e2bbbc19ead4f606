from __future__ import annotations

import numpy as np
import pytest

from lcrnet_d2.data.photographic import Degradation


@pytest.fixture
def picture() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)


def test_probability_zero_changes_nothing(picture: np.ndarray) -> None:
    np.testing.assert_array_equal(Degradation(0.0).get_transform(picture).apply_image(picture), picture)


def test_a_degraded_picture_keeps_size_and_type_but_not_its_pixels(picture: np.ndarray) -> None:
    np.random.seed(1)
    out = Degradation(1.0).get_transform(picture).apply_image(picture.copy())
    assert out.shape == picture.shape and out.dtype == np.uint8
    assert (out != picture).mean() > 0.5
    assert (out == out[..., :1]).all()  # all five: the last takes the colour


def test_positions_stay(picture: np.ndarray) -> None:
    points = np.array([[3.0, 4.0], [-5.0, 70.0]])
    np.testing.assert_array_equal(Degradation(1.0).get_transform(picture).apply_coords(points.copy()), points)


def test_a_share_of_pictures_is_left_alone(picture: np.ndarray) -> None:
    np.random.seed(2)
    augmentation = Degradation(0.1)
    same = [np.array_equal(augmentation.get_transform(picture).apply_image(picture), picture) for _ in range(300)]
    assert abs(np.mean(same) - 0.9**5) < 0.09  # standard deviation 0.028


@pytest.mark.parametrize("probability", [-0.1, 1.5])
def test_a_probability_out_of_range_is_refused(probability: float) -> None:
    with pytest.raises(ValueError, match="expected 0 to 1"):
        Degradation(probability)

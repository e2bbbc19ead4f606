from __future__ import annotations

import numpy as np
import pytest
from detectron2.data import transforms as T

from lcrnet_d2.data import photographic
from lcrnet_d2.data.photographic import ColorJitter, Degradation


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


@pytest.mark.parametrize("strength", [0.6, 0.9, 1.0, 1.3])
def test_colours_are_detectron2s(picture: np.ndarray, strength: float) -> None:
    """Which rounds the last step down, ours to the nearest, from weights in steps of 1/1024."""
    expected = picture
    for augmentation in (T.RandomBrightness, T.RandomContrast, T.RandomSaturation):
        expected = augmentation(strength, strength).get_transform(expected).apply_image(expected)
    out = ColorJitter(strength, strength).get_transform(picture).apply_image(picture)
    difference = out.astype(float) - expected
    assert np.abs(difference).max() <= 2 and difference.mean() <= 0.55


def test_colour_strengths_are_uniform_and_independent() -> None:
    """Of a grey ramp between black and white, brightness moves the mean and contrast the spread."""
    np.random.seed(0)
    ramp = np.repeat(np.arange(60, 120, dtype=np.uint8)[:, None, None], 3, -1)
    out = [ColorJitter(0.7, 1.3).get_transform(ramp).apply_image(ramp) for _ in range(2000)]
    brightness = np.array([o.mean() for o in out]) / ramp.mean()
    contrast = np.array([o.std() for o in out]) / ramp.std() / brightness
    for strengths in (brightness, contrast):
        assert np.quantile(strengths, [0, 0.25, 0.5, 0.75, 1]) == pytest.approx([0.7, 0.85, 1, 1.15, 1.3], abs=0.04)
    assert abs(np.corrcoef(brightness, contrast)[0, 1]) < 0.1  # standard deviation 0.022


def test_noise_and_colour_casts_have_the_strengths_promised(monkeypatch: pytest.MonkeyPatch) -> None:
    np.random.seed(0)
    grey = np.full((64, 64, 3), 128, np.uint8)

    def degraded(defect: str) -> np.ndarray:
        monkeypatch.setattr(photographic, "_DEFECTS", (getattr(photographic, defect),))
        return np.array([Degradation(1.0).get_transform(grey).apply_image(grey) for _ in range(300)], float) - 128

    noise, cast = degraded("_noise"), degraded("_cast").mean((1, 2)) / 128
    assert np.quantile(noise.std((1, 2, 3)), [0, 0.5, 1]) == pytest.approx([1, 6.5, 12], abs=0.8)
    assert abs(noise.mean()) < 0.1 and abs((noise[:, 1:] * noise[:, :-1]).mean()) < 0.5
    assert np.ptp(noise.std((0, 1, 2))) < 0.1
    assert np.quantile(cast, [0, 0.5, 1]) == pytest.approx([-0.25, 0, 0.25], abs=0.03)
    assert abs(np.corrcoef(cast.T)[0, 1]) < 0.25  # channels by themselves: standard deviation 0.06


def test_noise_follows_from_numpys_generator(picture: np.ndarray) -> None:
    def drawn(seed: int) -> np.ndarray:
        np.random.seed(seed)
        return photographic._noise(picture)

    np.testing.assert_array_equal(drawn(1), drawn(1))
    assert (drawn(1) != drawn(2)).mean() > 0.5

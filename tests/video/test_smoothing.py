from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lcrnet_d2.structures import BODY13
from lcrnet_d2.video.smoothing import OneEuroFilter, PoseSmoother
from people_support import standing_people

FPS = 30


def noisy_sine(seconds: float = 10, noise: float = 0.03) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """times, a swing of 0.3 m at 0.5 Hz, and the same with noise."""
    times = np.arange(round(seconds * FPS)) / FPS
    true = 0.3 * np.sin(2 * np.pi * 0.5 * times)
    return times, true, true + noise * np.random.default_rng(0).normal(size=len(times))


def filtered(values: np.ndarray, times: np.ndarray, min_cutoff: float = 2.0, beta: float = 5.0) -> np.ndarray:
    smooth = OneEuroFilter(min_cutoff, beta)
    return np.array([smooth(value, time) for value, time in zip(values, times.tolist(), strict=True)])


def lag_frames(values: np.ndarray, true: np.ndarray) -> int:
    """The delay at which the true signal fits best."""

    def misfit(shift: int) -> float:
        return float(np.mean((values[shift:] - true[: len(true) - shift]) ** 2))

    return min(range(30), key=misfit)


def test_by_hand() -> None:
    """One step of 1/30 s with f = 1 Hz: r = 2 pi / 30 = 0.2094, a = r / (1 + r) = 0.1732."""
    smooth = OneEuroFilter(min_cutoff=1.0, beta=0.0)
    assert smooth(np.array([0.0, 2.0]), 0.0).tolist() == [0.0, 2.0]
    assert smooth(np.array([1.0, 2.0]), 1 / 30) == pytest.approx([0.17318, 2.0], abs=1e-5)


def test_the_cut_off_follows_the_speed_by_hand() -> None:
    """A jump of 1 in 1/30 s: 30 a second, low-passed by a(1 Hz) to 5.195; f = 1 + 2 * 5.195 = 11.39 Hz, a = 0.7046."""
    smooth = OneEuroFilter(min_cutoff=1.0, beta=2.0)
    smooth(np.array(0.0), 0.0)
    assert smooth(np.array(1.0), 1 / 30) == pytest.approx(0.70463, abs=1e-4)


def test_a_noisy_swing_comes_out_truer_with_a_bounded_lag() -> None:
    times, true, noisy = noisy_sine()
    smooth = filtered(noisy, times)
    error, before = (np.sqrt(np.mean((values - true) ** 2)) for values in (smooth, noisy))
    assert error < 0.85 * before
    # Jitter, the change from frame to frame that does not belong to the swing, is what is seen.
    jitter, before = (np.std(np.diff(values - true)) for values in (smooth, noisy))
    assert jitter < 0.55 * before
    assert lag_frames(smooth, true) <= 2 < lag_frames(filtered(noisy, times, min_cutoff=1, beta=0), true)


def test_still_joints_are_held_still() -> None:
    times, _, _ = noisy_sine()
    noise = 0.03 * np.random.default_rng(1).normal(size=(len(times), 13, 3))
    assert filtered(noise, times).std(0).mean() < 0.55 * noise.std(0).mean()


def test_a_constant_stays_and_a_higher_cut_off_lags_less() -> None:
    times, true, _ = noisy_sine()
    assert filtered(np.full(len(times), 3.0), times) == pytest.approx(np.full(len(times), 3.0))
    errors = [np.abs(filtered(true, times, min_cutoff=f, beta=0) - true).mean() for f in (0.5, 1, 2, 4)]
    assert errors == sorted(errors, reverse=True)


def test_signals_of_an_array_do_not_see_each_other() -> None:
    times, true, noisy = noisy_sine(2)
    both = filtered(np.stack([noisy, 5 - true], -1), times)
    np.testing.assert_allclose(both[:, 0], filtered(noisy, times))
    np.testing.assert_allclose(both[:, 1], filtered(5 - true, times))


def test_gaps_in_time_and_unknown_values() -> None:
    smooth = OneEuroFilter(1.0, 0.0)
    smooth(np.zeros(1), 0.0)
    # After a second r = 2 pi, a = 0.863: what is old counts little.
    assert smooth(np.ones(1), 1.0) == pytest.approx([2 * math.pi / (1 + 2 * math.pi)])
    assert np.isnan(smooth(np.full(1, np.nan), 1.1)).all()
    assert smooth(np.full(1, 7.0), 1.2) == pytest.approx([7.0])  # anew
    assert smooth(np.full(1, 7.0), 1.3) == pytest.approx([7.0])
    with pytest.raises(ValueError, match="1.3 s"):
        smooth(np.ones(1), 1.3)
    for bad in ((0, 1), (1, -1), (math.nan, 1)):
        with pytest.raises(ValueError, match="min_cutoff"):
            OneEuroFilter(*bad)


def moved(identity: int, frame: int, rng: np.random.Generator):
    """A standing person with 2 cm and 2 px of noise."""
    people = replace(standing_people(1), identities=np.array([identity]))
    poses = people.poses_3d + 0.02 * rng.normal(size=people.poses_3d.shape).astype(np.float32)
    poses -= poses[:, BODY13.torso].mean(1, keepdims=True)
    points = people.keypoints_2d + 2 * rng.normal(size=people.keypoints_2d.shape).astype(np.float32)
    return replace(people, poses_3d=poses, keypoints_2d=points)


def test_people_jitter_less_in_2d_and_3d() -> None:
    rng, smoother = np.random.default_rng(0), PoseSmoother()
    raw = [moved(0, t, rng) for t in range(60)]
    smooth = [smoother.update(people, t / FPS) for t, people in enumerate(raw)]
    for name in ("poses_3d", "keypoints_2d"):
        before, after = (np.stack([getattr(p, name) for p in people[5:]]).std(0).mean() for people in (raw, smooth))
        assert after < 0.55 * before, name
    last = smooth[-1]
    np.testing.assert_allclose(last.poses_3d[:, BODY13.torso].mean(1), 0, atol=1e-6)
    np.testing.assert_allclose(last.boxes[0, :2], last.keypoints_2d[0].min(0), atol=1e-4)
    assert last.poses_3d.dtype == last.keypoints_2d.dtype == np.float32


def test_everybody_is_filtered_apart_and_anew_after_a_long_gap() -> None:
    rng, smoother = np.random.default_rng(0), PoseSmoother(patience=0.5)
    first = moved(3, 0, rng)
    smoother.update(first, 0.0)
    other, again, late = moved(4, 1, rng), moved(3, 1, rng), moved(3, 2, rng)
    np.testing.assert_allclose(smoother.update(other, 0.1).keypoints_2d, other.keypoints_2d)
    assert not np.allclose(smoother.update(again, 0.2).keypoints_2d, again.keypoints_2d)
    np.testing.assert_allclose(smoother.update(late, 0.8).keypoints_2d, late.keypoints_2d)
    with pytest.raises(ValueError, match="PoseTracker"):
        smoother.update(standing_people(1), 1.0)


def test_nobody() -> None:
    nobody = replace(standing_people(0), identities=np.zeros(0, dtype=np.int64))
    assert len(PoseSmoother().update(nobody, 0.0)) == 0


_SIGNAL = st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=20)


@settings(max_examples=50)
@given(values=_SIGNAL, min_cutoff=st.floats(0.01, 100), beta=st.floats(0, 100))
def test_every_value_lies_between_the_last_one_and_the_sample(
    values: list[float], min_cutoff: float, beta: float
) -> None:
    samples, times = np.array(values), np.arange(len(values)) / FPS
    smooth = filtered(samples, times, min_cutoff, beta)
    low, high = np.minimum(smooth[:-1], samples[1:]), np.maximum(smooth[:-1], samples[1:])
    rounding = 1e-9 * (1 + np.abs(samples).max())
    assert ((smooth[1:] >= low - rounding) & (smooth[1:] <= high + rounding)).all()


@settings(max_examples=50)
@given(values=_SIGNAL, move=st.floats(-1e6, 1e6), grow=st.sampled_from([-4.0, 0.5, 8.0]))
def test_a_signal_moved_and_grown_is_smoothed_alike(values: list[float], move: float, grow: float) -> None:
    """beta is per unit of the signal: divided by the factor, the cut-off is the same. Times count from anywhere."""
    samples, times = np.array(values), np.arange(len(values)) / FPS
    smooth = filtered(samples, times)
    other = filtered(grow * samples + move, times + 17.0, beta=5.0 / abs(grow))
    np.testing.assert_allclose(other, grow * smooth + move, atol=1e-6 * (1 + np.abs(samples).max() + abs(move)))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_number_that_is_none_stays_in_its_signal_and_is_forgotten(bad: float) -> None:
    times = np.arange(6) / FPS
    samples = np.stack([times, np.ones(6)], -1)
    spoilt = samples.copy()
    spoilt[2, 1] = bad
    with np.errstate(invalid="ignore", over="ignore"):
        smooth, clean = filtered(spoilt, times), filtered(samples, times)
    np.testing.assert_array_equal(smooth[:, 0], clean[:, 0])
    assert smooth[3:, 1] == pytest.approx(1)
    assert OneEuroFilter(1.0, 0.0)(np.zeros((0, 13, 2)), 0.0).shape == (0, 13, 2)


def test_the_callers_memory_is_its_own() -> None:
    """One buffer for every sample, and results written into: the same as with fresh arrays."""
    reused, fresh, buffer = OneEuroFilter(2.0, 5.0), OneEuroFilter(2.0, 5.0), np.zeros(1)
    for time in range(3):
        buffer[:] = time
        out, expected = reused(buffer, time / FPS), fresh(np.array([float(time)]), time / FPS)
        assert out == expected and (time == 0 or out < time)
        out[:] = 100.0


def test_a_jump_beyond_all_numbers_is_followed() -> None:
    smooth = OneEuroFilter(2.0, 5.0)
    smooth(np.zeros(1), 0.0)
    assert smooth(np.full(1, 1e308), 1 / FPS)[0] == pytest.approx(1e308)

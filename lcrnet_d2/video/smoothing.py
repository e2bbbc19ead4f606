"""One-Euro filter (Casiez, Roussel, Vogel, CHI 2012): steady when still, quick when moving.

y_t = a x_t + (1 - a) y_{t-1},  a = r / (r + 1),  r = 2 pi f dt,  with the cut-off frequency  f = f_min + beta |v|,
where v is the speed of the signal, itself low-passed at 1 Hz.

Shapes: N people, J joints.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from ..detected_people import DetectedPeople, points_in_image
from .tracking import pose_sizes

__all__ = ["OneEuroFilter", "PoseSmoother"]

_SPEED_CUTOFF = 1.0  # Hz, the paper's


class OneEuroFilter:
    """Filters an array of signals of any shape, each on its own; the times between samples may differ."""

    def __init__(self, min_cutoff: float, beta: float) -> None:
        """
        Args:
            min_cutoff: f_min in Hz; lower is steadier, and lags more.
            beta: growth of the cut-off with the speed, per unit of the signal; higher lags less.

        Raises:
            ValueError: min_cutoff not above 0, or beta below 0.
        """
        if not min_cutoff > 0 or not beta >= 0:
            raise ValueError(f"min_cutoff is {min_cutoff} and beta {beta}; expected above 0, and 0 or more")
        self.min_cutoff = min_cutoff
        self.beta = beta
        self._time: float | None = None
        self._value = self._speed = np.zeros(0)

    def __call__(self, values: np.ndarray, time: float) -> np.ndarray:
        """The filtered values at `time`, s. The first call returns its values; NaN stays and starts anew afterwards.

        Raises:
            ValueError: a time not after the last one.
        """
        values = np.array(values, dtype=np.float64)  # a copy: the caller may write its next sample into the same memory
        if self._time is None:
            self._time, self._value, self._speed = time, values, np.zeros_like(values)
            return values.copy()
        dt = time - self._time
        if not dt > 0:
            raise ValueError(f"a sample at {time} s after one at {self._time} s")
        speed = (values - self._value) / dt
        gain = _gain(_SPEED_CUTOFF, dt)
        speed = np.nan_to_num(gain * speed + (1 - gain) * self._speed)
        gain = _gain(self.min_cutoff + self.beta * np.abs(speed), dt)
        smoothed = gain * values + (1 - gain) * self._value
        known = np.isfinite(self._value)
        self._time, self._speed = time, np.where(known, speed, 0.0)
        self._value = np.where(known, smoothed, values)
        return self._value.copy()


def _gain(cutoff: float | np.ndarray, dt: float) -> np.ndarray:
    r = 2 * math.pi * dt * np.asarray(cutoff)
    return 1 - 1 / (1 + r)  # r / (r + 1) would be NaN for an infinite r


@dataclass
class _PersonFilters:
    image: OneEuroFilter  # px
    body: OneEuroFilter  # m
    seen: float  # s, when last


class PoseSmoother:
    """Smooths 2D and 3D poses of people with identities, frame by frame, without looking ahead.

    beta is per size of the person in 2D, so that near and far people are smoothed alike.
    """

    def __init__(self, min_cutoff: float = 2.0, beta: float = 5.0, patience: float = 0.5) -> None:
        """
        Args:
            min_cutoff, beta: of `OneEuroFilter`; a speed is in m (3D) or in sizes of the person (2D) per second.
                At 30 frames a second and 3 cm of noise the defaults leave 53 % of the error of joints that are
                still and 83 % where they swing by 0.3 m once in 2 s. Faster ones come out worse than they went in:
                from 1 swing a second (1.9 m/s) on the lag of a frame costs more than the noise
                (dev/benchmark_smoothing.py).
            patience: seconds after which somebody who comes back is filtered anew.
        """
        self.min_cutoff = min_cutoff
        self.beta = beta
        self.patience = patience
        self._filters: dict[int, _PersonFilters] = {}

    def update(self, people: DetectedPeople, time: float) -> DetectedPeople:
        """The people of the next frame, at `time` s, smoothed; boxes and `in_image` follow their joints.

        Raises:
            ValueError: people without identities, or a time not after the last.
        """
        if people.identities is None:
            raise ValueError("people need identities to be smoothed: pass them through a PoseTracker first")
        self._filters = {i: f for i, f in self._filters.items() if time - f.seen <= self.patience}
        points, poses = people.keypoints_2d.copy(), people.poses_3d.copy()
        for row, identity in enumerate(people.identities.tolist()):
            if identity not in self._filters:
                self._filters[identity] = self._filters_for(points[row], time)
            filters = self._filters[identity]
            filters.seen = time
            points[row] = filters.image(points[row], time)
            poses[row] = filters.body(poses[row], time)
        # Every coordinate has a gain of its own, so the mean of the torso wanders by some mm.
        poses -= poses[:, people.skeleton.torso].mean(1, keepdims=True)
        return replace(
            people,
            keypoints_2d=points,
            poses_3d=poses,
            boxes=_boxes(points, people.image_size),
            in_image=points_in_image(points, people.image_size),
        )

    def _filters_for(self, points: np.ndarray, time: float) -> _PersonFilters:
        size = max(float(pose_sizes(points)), 1.0)
        image = OneEuroFilter(self.min_cutoff, self.beta / size)
        return _PersonFilters(image, self.body_filter(), time)

    def body_filter(self) -> OneEuroFilter:
        """The filter, fresh, that a person's 3D joints pass through."""
        return OneEuroFilter(self.min_cutoff, self.beta)


def _boxes(points: np.ndarray, image_size: tuple[int, int]) -> np.ndarray:
    """(N, 4) px around (N, J, 2) joints, clipped to the (H, W) image."""
    known = np.isfinite(points)
    low, high = np.where(known, points, np.inf).min(1), np.where(known, points, -np.inf).max(1)
    height, width = image_size
    return np.concatenate([low, high], 1).clip(0, [width, height, width, height]).astype(points.dtype)

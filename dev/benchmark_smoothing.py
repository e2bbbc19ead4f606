#!/usr/bin/env python3
"""What smoothing (`--smooth`, a One-Euro filter) makes of joints that swing: the error and jitter that are left.

Made up: joints that swing by 0.3 m to both sides, 0 to 3 times a second, 30 frames a second, 10 s, 3 cm of noise. The
error is the distance from the true swing, the jitter that of successive frames; both are shares of the unfiltered ones.

example:
  dev/benchmark_smoothing.py
"""

from __future__ import annotations

import argparse
from typing import NamedTuple

import numpy as np

from lcrnet_d2.video.smoothing import PoseSmoother

FPS, SECONDS, SWING, NOISE = 30, 10, 0.3, 0.03  # frames per second, s, m, m
FREQUENCIES = (0.0, 0.25, 0.5, 1.0, 1.25, 1.5, 2.0, 3.0)  # Hz


class Shares(NamedTuple):
    """What is left of error and jitter, 1 where nothing changed; lag in frames."""

    error: float
    jitter: float
    lag: int


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--joints", type=int, default=300, help="that the shares are means over (default 300)")
    args = parser.parse_args(argv)
    print("swings a second   fastest (m/s)   error   jitter   lag (frames)")
    for frequency in FREQUENCIES:
        shares = measure(frequency, args.joints)
        speed = 2 * np.pi * frequency * SWING
        print(f"{frequency:15g} {speed:15.1f} {shares.error:7.2f} {shares.jitter:8.2f} {shares.lag:14d}")


def measure(frequency: float, joints: int) -> Shares:
    """Of the default filter; `joints` with noise of their own swing alike."""
    times = np.arange(SECONDS * FPS) / FPS
    true = SWING * np.sin(2 * np.pi * frequency * times)[:, None]
    noisy = true + NOISE * np.random.default_rng(0).normal(size=(len(times), joints))
    smoother = PoseSmoother().body_filter()
    smooth = np.stack([smoother(values, time) for values, time in zip(noisy, times.tolist(), strict=True)])
    error, jitter = (
        rms(smooth - true) / rms(noisy - true),
        rms(np.diff(smooth - true, axis=0)) / rms(np.diff(noisy - true, axis=0)),
    )
    return Shares(error, jitter, lag_frames(smooth, true) if frequency else 0)


def rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(values**2)))


def lag_frames(values: np.ndarray, true: np.ndarray) -> int:
    """The delay at which the true signal fits best, up to a quarter of a second."""
    return min(range(FPS // 4), key=lambda shift: rms(values[shift:] - true[: len(true) - shift]))


if __name__ == "__main__":
    main()

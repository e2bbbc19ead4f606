#!/usr/bin/env python3
"""How often people swap identities: people who walk past each other before a standing camera, some frames missed.

Made up: four walkers 3 to 6 m away, arms and legs swinging, 4 px of noise, 5 % of detections missing, and whoever is
behind somebody else by more than 70 % of the box not detected. Beside lcrnet_d2.video.tracking, ByteTrack and OC-SORT
of the library trackers (pip install trackers), which see boxes, where it is installed.

example:
  dev/benchmark_tracking.py
"""

from __future__ import annotations

import argparse
import importlib.util
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from lcrnet_d2.detected_people import DetectedPeople
from lcrnet_d2.structures import BODY13
from lcrnet_d2.video.tracking import PoseTracker

IMAGE_SIZE = (480, 640)
FOCAL, FPS, FRAMES, WALKERS = 500.0, 25, 150, 4
HALF_WAY = 3.0  # m to the right and left, where walkers turn up again as somebody new
#: (N, 13, 2) px of a frame -> N identities, negative where there is none yet.
Step = Callable[[np.ndarray], list[int]]

_SIDE = {"ankle": (0.1, 0.8), "knee": (0.1, 0.4), "hip": (0.1, 0.0)}
_SIDE |= {"wrist": (0.25, 0.0), "elbow": (0.25, -0.25), "shoulder": (0.2, -0.5)}
_SWING = {"ankle": 0.5, "knee": 0.25, "wrist": -0.35}


class Frame(NamedTuple):
    """points: (N, 13, 2) px; names: who they are."""

    points: np.ndarray
    names: list[tuple[int, int]]


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=20)
    args = parser.parse_args(argv)
    clips = [make_clip(np.random.default_rng(seed)) for seed in range(args.clips)]
    makers: dict[str, Callable[[], Step]] = {"lcrnet_d2": pose_tracker}
    if importlib.util.find_spec("trackers"):
        makers |= {name: lambda name=name: library_tracker(name) for name in ("ByteTrackTracker", "OCSORTTracker")}
    for name, make in makers.items():
        swaps, detections = np.sum([count_swaps(clip, make()) for clip in clips], axis=0)
        print(f"{name:18} {swaps:4d} swaps in {detections} detections with an identity")


def make_clip(rng: np.random.Generator) -> list[Frame]:
    depth, start = rng.uniform(3, 6, WALKERS), rng.uniform(-2.5, 2.5, WALKERS)
    speed = rng.choice([-1, 1], WALKERS) * rng.uniform(0.3, 1.2, WALKERS)
    phase = rng.uniform(0, 6, WALKERS)
    frames = []
    for t in range(FRAMES):
        way = start + speed * t / FPS + HALF_WAY
        places = way % (2 * HALF_WAY) - HALF_WAY
        swing = np.sin(2 * np.pi * 0.9 * t / FPS + phase)
        bodies = np.stack([walker(*values) for values in zip(places, depth, swing, np.sign(speed), strict=True)])
        points = FOCAL * bodies[..., :2] / bodies[..., 2:] + [IMAGE_SIZE[1] / 2, IMAGE_SIZE[0] / 2]
        points += 4 * rng.normal(size=points.shape)
        seen = ~is_hidden(points, depth) & (rng.random(WALKERS) > 0.05) & (np.abs(places) < 2.9)
        names = list(zip(range(WALKERS), (way // (2 * HALF_WAY)).astype(int).tolist(), strict=True))
        frames.append(Frame(points[seen], [name for name, there in zip(names, seen, strict=True) if there]))
    return frames


def walker(x: float, depth: float, swing: float, heading: float) -> np.ndarray:
    """(13, 3) m, camera axes, walking to the right (heading 1) or left (-1)."""
    body = np.zeros((len(BODY13), 3))
    for row, joint in zip(body, BODY13.joints, strict=True):
        side, _, name = joint.rpartition("_")
        sign = {"left": 1, "right": -1, "": 0}[side]
        out, down = _SIDE.get(name, (0.0, -0.75))
        row[:] = sign * _SWING.get(name, 0.0) * swing, down, heading * sign * out
    return body + [x, 0, depth]


def is_hidden(points: np.ndarray, depth: np.ndarray) -> np.ndarray:
    """(N,) bool: more than 70 % of the width is behind somebody nearer."""
    low, high = points[..., 0].min(1), points[..., 0].max(1)
    shared = np.minimum(high[:, None], high) - np.maximum(low[:, None], low)
    behind = depth[:, None] > depth
    return (behind & (shared > 0.7 * (high - low)[:, None])).any(1)


def count_swaps(clip: list[Frame], step: Step) -> tuple[int, int]:
    """How often somebody has another identity than when last seen, and the detections that have one."""
    last: dict[tuple[int, int], int] = {}
    swaps = detections = 0
    for frame in clip:
        for name, identity in zip(frame.names, step(frame.points), strict=True):
            if identity >= 0:
                detections += 1
                swaps += last.get(name, identity) != identity
                last[name] = identity
    return swaps, detections


def pose_tracker() -> Step:
    tracker = PoseTracker()

    def step(points: np.ndarray) -> list[int]:
        n, j = points.shape[:2]
        rows = {"scores": np.ones(n), "confidences": np.ones(n), "boxes": np.zeros((n, 4)), "anchors": np.zeros(n)}
        rows |= {"poses_3d": np.zeros((n, j, 3)), "in_image": np.ones((n, j), dtype=bool)}
        rows |= {"spreads_2d": np.zeros((n, j)), "spreads_3d": np.zeros((n, j)), "keypoints_2d": points}
        people = tracker.update(replace(DetectedPeople.nobody(BODY13, IMAGE_SIZE), **rows))
        assert people is not None and people.identities is not None
        return people.identities.tolist()

    return step


def library_tracker(name: str) -> Step:
    import supervision
    import trackers

    tracker = getattr(trackers, name)()

    def step(points: np.ndarray) -> list[int]:
        boxes, n = np.concatenate([points.min(1), points.max(1)], 1), len(points)
        rows = {"row": np.arange(n)}
        found = supervision.Detections(boxes, confidence=np.full(n, 0.9), class_id=np.zeros(n, dtype=int), data=rows)
        tracked = tracker.update(found)
        identities = [-1] * n
        for row, identity in zip(tracked.data.get("row", []), tracked.tracker_id, strict=True):
            identities[int(row)] = int(identity)
        return identities

    return step


if __name__ == "__main__":
    main()

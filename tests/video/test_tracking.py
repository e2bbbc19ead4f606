from __future__ import annotations

from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lcrnet_d2.detected_people import DetectedPeople
from lcrnet_d2.video.tracking import PoseTracker, pose_distances_2d
from people_support import standing_people


def people_at(
    *places: tuple[float, float], noise: float = 0.0, rng: np.random.Generator | None = None
) -> DetectedPeople:
    """Standing people, 155 px tall and 60 px wide, their body centres at the places (x, y) px."""
    people = standing_people(len(places), x=0)
    centres = np.array(places, dtype=np.float32).reshape(-1, 1, 2)
    points = people.keypoints_2d - people.keypoints_2d[:, people.skeleton.torso].mean(1, keepdims=True) + centres
    if rng is not None:
        points = points + noise * rng.normal(size=points.shape).astype(np.float32)
    return replace(people, keypoints_2d=points, image_size=(480, 640))


def identities(tracker: PoseTracker, people: DetectedPeople) -> list[int]:
    tracked = tracker.update(people)
    assert tracked is not None and tracked.identities is not None
    return tracked.identities.tolist()


def test_people_keep_their_numbers_whatever_their_order() -> None:
    tracker = PoseTracker()
    assert identities(tracker, people_at((100, 200), (300, 200), (500, 200))) == [0, 1, 2]
    assert identities(tracker, people_at((505, 200), (104, 200), (298, 201))) == [2, 0, 1]


def test_people_who_cross_are_told_apart_by_their_speed() -> None:
    """Two walk through each other at 6 px a frame, one 20 px higher: in the middle their boxes are nearly one."""
    tracker, rng = PoseTracker(), np.random.default_rng(0)
    seen = [identities(tracker, people_at((200 + 6 * t, 200), (440 - 6 * t, 220), noise=2, rng=rng)) for t in range(40)]
    assert all(pair == [0, 1] for pair in seen)


def test_somebody_hidden_for_a_while_comes_back_as_before() -> None:
    tracker = PoseTracker(patience=5)
    for t in range(10):
        assert identities(tracker, people_at((100 + 5 * t, 200), (500, 200))) == [0, 1]
    for _ in range(5):
        assert identities(tracker, people_at((500, 200))) == [1]
    # 15 frames on from x = 145 at 5 px a frame
    assert identities(tracker, people_at((175, 200), (500, 200))) == [0, 1]


def test_who_is_away_for_longer_comes_back_as_somebody_else() -> None:
    tracker = PoseTracker(patience=5)
    assert identities(tracker, people_at((100, 200))) == [0]
    for _ in range(6):
        assert identities(tracker, people_at()) == []
    assert identities(tracker, people_at((100, 200))) == [1]


def test_a_frame_that_cannot_be_read_counts_as_time() -> None:
    tracker = PoseTracker(patience=1)
    assert identities(tracker, people_at((100, 200))) == [0]
    assert tracker.update(None) is None
    assert identities(tracker, people_at((100, 200))) == [0]
    assert tracker.update(None) is tracker.update(None) is None
    assert identities(tracker, people_at((100, 200))) == [1]


def test_nobody_jumps_across_the_picture() -> None:
    """Beyond 0.6 of a person's size: with a box of 155 x 60 px and a size of 96 px, 58 px."""
    tracker = PoseTracker()
    assert identities(tracker, people_at((100, 200))) == [0]
    assert identities(tracker, people_at((150, 200))) == [0]
    tracker = PoseTracker()
    assert identities(tracker, people_at((100, 200))) == [0]
    assert identities(tracker, people_at((170, 200))) == [1]


def test_a_hopeless_pair_does_not_push_a_good_one_apart() -> None:
    """0 goes 50 px right to where it is 30 px from 1's place; 1 is gone. The sum over both pairs must not matter."""
    tracker = PoseTracker()
    identities(tracker, people_at((100, 200), (160, 200)))
    assert identities(tracker, people_at((165, 200), (600, 200))) == [1, 2]


def test_distances_by_hand() -> None:
    """A square of 10 px against itself moved by (3, 4): 5 px, half its size. Unknown joints do not count."""
    square = np.array([[[0, 0], [10, 0], [10, 10], [0, 10.0]]])
    assert pose_distances_2d(square, square + [3, 4]) == pytest.approx(np.array([[0.5]]))
    partly = square.copy()
    partly[0, 1:3] = np.nan
    assert pose_distances_2d(partly, square + [3, 4]) == pytest.approx(np.array([[0.5]]))
    assert np.isinf(pose_distances_2d(np.full((1, 4, 2), np.nan), square)).all()
    assert pose_distances_2d(square[:0], square).shape == (0, 1)


@settings(max_examples=25)
@given(seed=st.integers(0, 10_000), count=st.integers(1, 4))
def test_pairs_are_the_best_of_all_there_could_be(seed: int, count: int) -> None:
    """Against trying every order."""
    rng = np.random.default_rng(seed)
    before = people_at(*rng.uniform(0, 60, (count, 2)).tolist())
    after = people_at(*rng.uniform(0, 60, (count, 2)).tolist())
    tracker = PoseTracker(max_distance=100.0)
    identities(tracker, before)
    distances = pose_distances_2d(before.keypoints_2d.astype(float), after.keypoints_2d.astype(float))
    best = min(permutations(range(count)), key=lambda order: sum(distances[t, n] for n, t in enumerate(order)))
    assert identities(tracker, after) == list(best)


def test_no_people_and_odd_settings() -> None:
    assert identities(PoseTracker(), people_at()) == []
    with pytest.raises(ValueError, match="negative"):
        PoseTracker(patience=-1)

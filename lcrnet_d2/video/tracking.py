"""Who is who across the frames of a video: one-to-one assignment of 2D poses.

Own tracker: norfair 2.3, the one library that tracks keypoints, needs NumPy below 2, and motpy is of 2021. Trackers of
boxes mix up people who walk past each other: in 20 made-up clips of four such walkers (dev/benchmark_tracking.py)
this tracker swaps 38 identities, of trackers 2.6.1 (eight packages) ByteTrack 435 and OC-SORT 162.

Shapes: T tracks, N people, J joints.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import linear_sum_assignment

from ..detected_people import DetectedPeople

__all__ = ["PoseTracker", "pose_distances_2d", "pose_sizes"]

#: Share of a frame's change of velocity that a track believes.
_VELOCITY_GAIN = 0.5


@dataclass
class _Track:
    identity: int
    points: np.ndarray  # (J, 2) px where the person was last seen
    velocity: np.ndarray  # (2,) px per frame, of the whole body
    frame: int  # when that was

    def predicted(self, frame: int) -> np.ndarray:
        """(J, 2) px: the last pose, moved on."""
        return self.points + self.velocity * (frame - self.frame)


class PoseTracker:
    """Gives each person the number it had in earlier frames, or the next free one.

    A track predicts its pose (the last one, carried on at the body's speed); tracks and people are paired so that the
    distances add up to the least. Nothing of the picture is used: who leaves for longer than `patience`
    comes back as somebody else.
    """

    def __init__(self, max_distance: float = 0.6, patience: int = 15) -> None:
        """
        Args:
            max_distance: pairs farther apart are none; in units of the person's size (`pose_distances_2d`).
            patience: frames a track waits for its person.

        Raises:
            ValueError: a negative number.
        """
        if max_distance < 0 or patience < 0:
            raise ValueError(f"max_distance {max_distance} and patience {patience} must not be negative")
        self.max_distance = max_distance
        self.patience = patience
        self._tracks: list[_Track] = []
        self._next_identity = 0
        self._frame = -1

    def update(self, people: DetectedPeople | None) -> DetectedPeople | None:
        """The people of the next frame, with identities; None for a frame that could not be read."""
        self._frame += 1
        self._tracks = [t for t in self._tracks if self._frame - t.frame <= self.patience + 1]
        if people is None:
            return None
        points = np.asarray(people.keypoints_2d, dtype=np.float64)
        identities = np.full(len(people), -1, dtype=np.int64)
        for track, row in self._pairs(points):
            identities[row] = track.identity
            self._follow(track, points[row])
        for row in np.flatnonzero(identities < 0):
            identities[row] = self._next_identity
            self._tracks.append(_Track(self._next_identity, points[row], np.zeros(2), self._frame))
            self._next_identity += 1
        return replace(people, identities=identities)

    def _pairs(self, points: np.ndarray) -> list[tuple[_Track, int]]:
        """Tracks with the rows of the people they go on with."""
        if not self._tracks or not len(points):
            return []
        predicted = np.stack([track.predicted(self._frame) for track in self._tracks])
        distances = pose_distances_2d(predicted, points)
        # Capped: a hopeless pair must not push a good one apart to lower the sum.
        rows, columns = linear_sum_assignment(np.minimum(distances, 2 * self.max_distance + 1e-9))
        near = distances[rows, columns] <= self.max_distance
        return [(self._tracks[t], int(n)) for t, n in zip(rows[near], columns[near], strict=True)]

    def _follow(self, track: _Track, points: np.ndarray) -> None:
        shift = np.nanmedian(points - track.points, axis=0) / (self._frame - track.frame)
        track.velocity = track.velocity + _VELOCITY_GAIN * (shift - track.velocity)
        track.points, track.frame = points, self._frame


def pose_distances_2d(poses: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Mean distance of the joints of 2D poses, in units of the larger pose's size: the root of its box's area.

    Args:
        poses: (T, J, 2) px; NaN where a joint is not known.
        others: (N, J, 2) px.

    Returns:
        (T, N); infinite where no joint is known of both.
    """
    gaps = np.linalg.norm(poses[:, None] - others[None], axis=-1)  # (T, N, J)
    known = np.isfinite(gaps)
    mean = np.where(known, gaps, 0).sum(-1) / np.maximum(known.sum(-1), 1)
    size = np.maximum(pose_sizes(poses)[:, None], pose_sizes(others)[None])
    return np.where(known.any(-1), mean / np.maximum(size, 1e-6), np.inf)


def pose_sizes(poses: np.ndarray) -> np.ndarray:
    """(...) px: side of the square as large as the box around each (..., J, 2) pose."""
    known = np.isfinite(poses)
    low = np.where(known, poses, np.inf).min(-2)
    high = np.where(known, poses, -np.inf).max(-2)
    extent = np.maximum(high - low, 0)
    # A person seen from the side, or lying, has a thin box: its longer side counts for half at least.
    return np.maximum(np.sqrt(extent[..., 0] * extent[..., 1]), extent.max(-1) / 2)

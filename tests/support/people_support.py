"""Detected people made up for tests: the standing person of tests_support, seen by a camera of 100 px per metre."""

from __future__ import annotations

import numpy as np

from lcrnet_d2.detected_people import DetectedPeople, points_in_image
from lcrnet_d2.structures import BODY13, Skeleton
from tests_support import standing_pose


def standing_people(
    count: int = 1,
    *,
    x: float = 160.0,
    image_size: tuple[int, int] = (240, 320),
    spreads_3d: np.ndarray | None = None,
    noise: float = 0.0,
    seed: int = 0,
    skeleton: Skeleton = BODY13,
) -> DetectedPeople:
    """`count` people, 60 px (0.6 m) apart from `x` on, their body centres at y = 120; not placed.

    Args:
        spreads_3d: (count, J) m, in px a hundred times as much; 0 if None.
        noise: m, standard deviation of every joint's place.
    """
    poses = np.repeat(standing_pose(skeleton).numpy()[None], count, 0)
    poses = (poses + noise * np.random.default_rng(seed).normal(size=poses.shape)).astype(np.float32)
    places = np.stack([x + 60 * np.arange(count), np.full(count, 120.0)], -1).astype(np.float32)
    points = 100 * poses[..., :2] + places[:, None]
    spreads = np.zeros(poses.shape[:2], np.float32) if spreads_3d is None else spreads_3d
    return DetectedPeople(
        skeleton=skeleton,
        image_size=image_size,
        scores=np.linspace(3, 1, count, dtype=np.float32),
        confidences=np.linspace(0.9, 0.5, count, dtype=np.float32),
        boxes=np.concatenate([points.min(1), points.max(1)], -1),
        keypoints_2d=points,
        poses_3d=poses,
        in_image=points_in_image(points, image_size),
        spreads_2d=100 * spreads,
        spreads_3d=spreads,
        anchors=np.arange(count),
    )

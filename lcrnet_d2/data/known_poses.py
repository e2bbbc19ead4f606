"""From a training set to its anchor poses: everyone whose 3D pose is known, and their mirror images, clustered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..structures import AnchorPoses, Skeleton
from ..structures.anchor_clustering import cluster_poses, with_mirrored

__all__ = ["MAX_POSES", "cluster_known_poses", "known_poses"]

#: "a subset of the training set, i.e. 300,000 images" (Sec. 4.1).
MAX_POSES = 300_000


def cluster_known_poses(
    records: Sequence[Mapping[str, Any]],
    skeleton: Skeleton,
    num_anchor_poses: int,
    upper_body: bool,
    seed: int = 0,
    max_poses: int = MAX_POSES,
) -> AnchorPoses:
    """The anchor poses of a training set (Sec. 4.1 and 4.2).

    Args:
        records: dataset dicts.
        num_anchor_poses: K.
        upper_body: adds K classes for upper-body boxes.
        seed: of the random subset and of K-means.
        max_poses: of more, a random subset is clustered.

    Raises:
        ValueError: nobody with a 3D pose, or fewer different poses than K.
    """
    poses_2d, poses_3d = known_poses(records, skeleton, seed, max_poses)
    if not len(poses_3d):
        raise ValueError("no person with a 3D pose to make anchor poses of")
    poses_2d, poses_3d = with_mirrored(poses_2d, poses_3d, skeleton)
    return cluster_poses(poses_2d, poses_3d, skeleton, num_anchor_poses, upper_body, seed)


def known_poses(
    records: Sequence[Mapping[str, Any]], skeleton: Skeleton, seed: int = 0, max_poses: int = MAX_POSES
) -> tuple[Tensor, Tensor]:
    """(N, J, 2) px and (N, J, 3) m of everyone whose 3D pose is known; of more than `max_poses`, a random subset."""
    people = [p for record in records for p in record["annotations"] if "pose_3d" in p]
    j = len(skeleton)
    keypoints = torch.tensor([p["keypoints"] for p in people], dtype=torch.float32).view(-1, j, 3)
    poses_3d = torch.from_numpy(np.array([p["pose_3d"] for p in people], dtype=np.float32)).view(-1, j, 3)
    if len(poses_3d) > max_poses:
        chosen = np.random.default_rng(seed).permutation(len(poses_3d))[:max_poses]
        keypoints, poses_3d = keypoints[chosen], poses_3d[chosen]
    return keypoints[..., :2], poses_3d

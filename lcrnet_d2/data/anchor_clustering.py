"""Anchor poses from data: K-means on 3D poses (Sec. 4.1 and 4.2, "Anchor-poses"), of all known ones of a set.

Shapes: N poses, K anchor poses, J joints.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..structures import AnchorPoses, Skeleton, centre_poses, margin_box, mirror_poses_3d, to_box_units

__all__ = ["MAX_POSES", "cluster_known_poses", "cluster_poses", "known_poses", "mirror_poses_2d", "with_mirrored"]

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


def cluster_poses(
    poses_2d: Tensor, poses_3d: Tensor, skeleton: Skeleton, num_anchor_poses: int, upper_body: bool, seed: int
) -> AnchorPoses:
    """K-means of oriented, body-centred poses; an anchor pose is the mean of its cluster.

    Args:
        poses_2d: (N, J, 2) px, y down, every joint known.
        poses_3d: (N, J, 3) m, camera axes.
        num_anchor_poses: K.
        upper_body: adds K classes whose 2D is relative to the box around the upper body.
        seed: of the K-means initialisation.

    Raises:
        ValueError: fewer different poses than K, or poses that are not finite.
    """
    from sklearn.cluster import KMeans  # 1 s to import; only anchor building needs it

    if not (torch.isfinite(poses_2d).all() and torch.isfinite(poses_3d).all()):
        raise ValueError("cannot cluster poses with NaN or infinite coordinates")
    poses_3d = centre_poses(poses_3d, skeleton)
    different = len(torch.unique(poses_3d.flatten(1), dim=0)) if len(poses_3d) else 0
    if different < num_anchor_poses:
        raise ValueError(f"{num_anchor_poses} anchor poses asked of {different} different poses")
    kmeans = KMeans(num_anchor_poses, n_init=3, random_state=seed)  # pyright: ignore[reportArgumentType]  stub says str
    kmeans.fit(poses_3d.flatten(1).double().numpy())
    labels = torch.from_numpy(kmeans.labels_).long()
    sizes = torch.bincount(labels, minlength=num_anchor_poses)

    def mean_of_cluster(values: Tensor) -> Tensor:
        sums = torch.zeros(num_anchor_poses, *values.shape[1:], dtype=torch.float64).index_add_(
            0, labels, values.double()
        )
        return (sums / sizes.view(-1, *[1] * (values.dim() - 1))).float()

    anchors_3d = mean_of_cluster(poses_3d)
    anchors_2d = [mean_of_cluster(to_box_units(poses_2d, margin_box(poses_2d)))]
    if upper_body:
        upper_boxes = margin_box(poses_2d[:, skeleton.upper_body])
        anchors_2d.append(mean_of_cluster(to_box_units(poses_2d, upper_boxes)))
    distances = torch.linalg.vector_norm(poses_3d - anchors_3d[labels], dim=-1).mean(1)
    return AnchorPoses(
        poses_2d=torch.cat(anchors_2d),
        poses_3d=torch.cat([anchors_3d] * len(anchors_2d)),
        skeleton=skeleton,
        num_full_body=num_anchor_poses,
        cluster_sizes=sizes,
        mean_distances=mean_of_cluster(distances),
    )


def mirror_poses_2d(poses_2d: Tensor, skeleton: Skeleton) -> Tensor:
    """(N, J, 2) mirrored at x = 0, left and right joints swapped: goes with `mirror_poses_3d`."""
    return poses_2d[:, skeleton.flip_indices] * poses_2d.new_tensor([-1.0, 1.0])


def with_mirrored(poses_2d: Tensor, poses_3d: Tensor, skeleton: Skeleton) -> tuple[Tensor, Tensor]:
    """(2N, ...) poses and their mirror images, as the paper's training sets hold them (Sec. 4.2)."""
    return (
        torch.cat([poses_2d, mirror_poses_2d(poses_2d, skeleton)]),
        torch.cat([poses_3d, mirror_poses_3d(poses_3d, skeleton)]),
    )

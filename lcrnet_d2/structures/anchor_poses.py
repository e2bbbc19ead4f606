"""Anchor poses (a_k, A_k), k = 1..K: the hypotheses that classification chooses from and regression refines (Sec. 3).

Shapes: C classes, K full-body anchor poses, J joints, N poses, R boxes. C = K, or C = 2K where
upper-body classes are in use (Sec. 4.2, "Dealing with truncation"): class K + k is the 3D pose of
class k, placed in a box around the upper body only.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .bounded_files import read_npz
from .pose_geometry import pose_distance
from .skeleton import SKELETONS, Skeleton
from .whole_files import save_npz

__all__ = ["AnchorPoses"]

_FORMAT_VERSION = 1
_POSES_AT_ONCE = 8192  # K distances each: 300,000 poses to 500 anchor poses would be 600 MB
_MAX_BYTES = 100_000 * 64 * 5 * 4  # as many classes, of 64 joints
_ARRAYS = ("joint_names", "skeleton", "num_full_body")
_ARRAYS += ("poses_2d", "poses_3d", "cluster_sizes", "mean_distances")


@dataclass(frozen=True)
class AnchorPoses:
    """The C anchor poses, and what is known of the clusters they come from.

    Attributes:
        poses_2d: (C, J, 2) a_k in box units: the margin box is [0, 1]^2, x right, y down.
        poses_3d: (C, J, 3) A_k in metres, camera axes, relative to the body centre.
        skeleton: names the J joints.
        num_full_body: K.
        cluster_sizes: (K,) poses in each cluster.
        mean_distances: (K,) metres, mean D of the cluster's poses to its anchor pose.
        provenance: what was clustered, and how well the anchor poses cover it; JSON values.

    Raises:
        ValueError: shapes that do not fit each other, numbers that are not finite, or upper-body
            classes whose 3D differs from their full-body twin's.
    """

    poses_2d: Tensor
    poses_3d: Tensor
    skeleton: Skeleton
    num_full_body: int
    cluster_sizes: Tensor
    mean_distances: Tensor
    provenance: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        c, k, j = len(self.poses_3d), self.num_full_body, len(self.skeleton)
        expected = {"poses_2d": (c, j, 2), "poses_3d": (c, j, 3), "cluster_sizes": (k,), "mean_distances": (k,)}
        for name, shape in expected.items():
            if tuple(getattr(self, name).shape) != shape:
                got = tuple(getattr(self, name).shape)
                raise ValueError(f"anchor poses: {name} has shape {got}, expected {shape} ({self.skeleton.name})")
        if k < 1 or c not in (k, 2 * k):
            raise ValueError(f"anchor poses: {c} classes for {k} full-body anchor poses; expected {k} or {2 * k}")
        if not (torch.isfinite(self.poses_2d).all() and torch.isfinite(self.poses_3d).all()):
            raise ValueError("anchor poses: NaN or infinite coordinates")
        if c == 2 * k and not torch.equal(self.poses_3d[:k], self.poses_3d[k:]):
            raise ValueError("anchor poses: class K + k must share the 3D pose of class k")

    def __len__(self) -> int:
        return len(self.poses_3d)

    @property
    def has_upper_body(self) -> bool:
        return len(self) > self.num_full_body

    @property
    def is_upper_body(self) -> Tensor:
        """(C,) bool."""
        return torch.arange(len(self)) >= self.num_full_body

    def nearest(self, poses_3d: Tensor, upper_body: Tensor | None = None) -> Tensor:
        """Label of a pose: argmin_k D(A_k, P) (Sec. 3.1).

        Args:
            poses_3d: (N, J, 3) metres, body-centred.
            upper_body: (N,) bool, True where the box is one of the upper body.

        Returns:
            (N,) class; upper-body rows get K + k.
        """
        classes = pose_distance(poses_3d, self.poses_3d[: self.num_full_body].to(poses_3d)).argmin(1)
        if upper_body is None:
            return classes
        if bool(upper_body.any()) and not self.has_upper_body:
            raise ValueError("upper-body rows, but these anchor poses have no upper-body classes")
        return classes + self.num_full_body * upper_body.long()

    def distance_to_nearest(self, poses_3d: Tensor) -> Tensor:
        """(N,) metres: D of poses (N, J, 3), body-centred, to their nearest anchor pose; "rarity" in Figure 6."""
        anchors = self.poses_3d[: self.num_full_body].to(poses_3d)
        parts = [pose_distance(part, anchors).amin(1) for part in poses_3d.split(_POSES_AT_ONCE)]
        return torch.cat(parts)

    def place(self, boxes: Tensor) -> Tensor:
        """(R, C, J, 2) px: every anchor pose put into every box (R, 4), the pose proposals of Sec. 3.1."""
        size = boxes[:, None, None, 2:] - boxes[:, None, None, :2]
        return boxes[:, None, None, :2] + self.poses_2d.to(boxes) * size

    def save(self, path: str | Path) -> None:
        """Writes, whole or not at all, an .npz with joint names and units; no pickles in it."""
        save_npz(
            path,
            version=_FORMAT_VERSION,
            joint_names=np.array(self.skeleton.joints),
            skeleton=self.skeleton.name,
            units="poses_2d: box units (margin box = [0,1]^2); poses_3d: m, x right, y down, z away, body-centred",
            num_full_body=self.num_full_body,
            poses_2d=self.poses_2d.cpu().numpy().astype(np.float32),
            poses_3d=self.poses_3d.cpu().numpy().astype(np.float32),
            cluster_sizes=self.cluster_sizes.cpu().numpy(),
            mean_distances=self.mean_distances.cpu().numpy().astype(np.float32),
            provenance=json.dumps(self.provenance),
        )

    @classmethod
    def load(cls, path: str | Path) -> AnchorPoses:
        """Reads what `save` wrote.

        Raises:
            FileNotFoundError: no such file.
            ValueError: not such a file, another version, joints of no known skeleton, bad numbers.
        """
        if not Path(path).is_file():
            raise FileNotFoundError(f"no anchor poses at {path}; make them with tools/build_anchor_poses.py")
        try:
            version = int(read_npz(path, ("version",), _MAX_BYTES)["version"])
            if version != _FORMAT_VERSION:
                raise ValueError(f"version {version}, this program reads {_FORMAT_VERSION}")
            file = read_npz(path, _ARRAYS, _MAX_BYTES, ("provenance",))
            return cls(
                poses_2d=torch.from_numpy(file["poses_2d"]).float(),
                poses_3d=torch.from_numpy(file["poses_3d"]).float(),
                skeleton=_skeleton_named(str(file["skeleton"]), [str(j) for j in file["joint_names"]]),
                num_full_body=int(file["num_full_body"]),
                cluster_sizes=torch.from_numpy(file["cluster_sizes"]).long(),
                mean_distances=torch.from_numpy(file["mean_distances"]).float(),
                provenance=json.loads(str(file["provenance"])) if "provenance" in file else {},
            )
        except (ValueError, TypeError, OverflowError, RecursionError) as error:
            raise ValueError(f"{path} is not a file of anchor poses: {error}") from error


def _skeleton_named(name: str, joints: list[str]) -> Skeleton:
    skeleton = SKELETONS.get(name)
    if skeleton is None or list(skeleton.joints) != joints:
        raise ValueError(f"its joints {joints} are not those of a known skeleton ({name!r} of {sorted(SKELETONS)})")
    return skeleton

"""The MoCap pose base: poses of many takes, near-duplicates dropped, with where each comes from.

Shapes: N poses, J joints of BODY13, T takes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..structures import BODY13, pose_distance
from ..structures.bounded_files import read_npz
from ..structures.pose_geometry import without_heading
from ..structures.whole_files import save_npz

__all__ = ["PoseBase", "distinct_poses", "even_weights"]

_FORMAT_VERSION = 1
_MAX_BYTES = 16 * 2**30
_ARRAYS = ("poses_3d", "take_index", "frames", "sources", "subjects", "fps")
_BLOCK = 512
_AXES = "m, x right, y down, z away, body-centred (mean of shoulders and hips), heading as recorded"


@dataclass(frozen=True)
class PoseBase:
    """Poses and their origin.

    Attributes:
        poses_3d: (N, J, 3) float32 metres, camera axes, body-centred.
        take_index: (N,) which take a pose is from.
        frames: (N,) frame of that take, as its file counts.
        sources: T files.
        subjects: T names of who was recorded.
        fps: (T,) of the recordings.
    """

    poses_3d: Tensor
    take_index: Tensor
    frames: Tensor
    sources: tuple[str, ...]
    subjects: tuple[str, ...]
    fps: tuple[float, ...]

    def __post_init__(self) -> None:
        n, t = len(self.poses_3d), len(self.sources)
        if self.poses_3d.shape != (n, len(BODY13), 3) or len(self.take_index) != n or len(self.frames) != n:
            raise ValueError(f"pose base: {tuple(self.poses_3d.shape)} poses, {len(self.take_index)} of known origin")
        known = (self.take_index >= 0) & (self.take_index < t)
        if len(self.subjects) != t or len(self.fps) != t or not known.all():
            raise ValueError(f"pose base: {t} takes, {len(self.subjects)} subjects, {len(self.fps)} rates")
        if not torch.isfinite(self.poses_3d).all():
            raise ValueError("pose base: NaN or infinite coordinates")

    def __len__(self) -> int:
        return len(self.poses_3d)

    def select(self, kept: Tensor) -> PoseBase:
        """The poses at the given indices (or where a mask is True); all takes stay listed."""
        return PoseBase(
            self.poses_3d[kept], self.take_index[kept], self.frames[kept], self.sources, self.subjects, self.fps
        )

    def of_subjects(self, subjects: set[str]) -> Tensor:
        """(N,) bool: poses of these people."""
        per_take = torch.tensor([subject in subjects for subject in self.subjects], dtype=torch.bool)
        return per_take[self.take_index]

    def without_idle_takes(self) -> PoseBase:
        """Lists only the takes that a pose is from."""
        used, take_index = self.take_index.unique(return_inverse=True)
        takes = used.tolist()
        return PoseBase(
            poses_3d=self.poses_3d,
            take_index=take_index,
            frames=self.frames,
            sources=tuple(self.sources[i] for i in takes),
            subjects=tuple(self.subjects[i] for i in takes),
            fps=tuple(self.fps[i] for i in takes),
        )

    def save(self, path: str | Path, precision: type[np.floating] = np.float32) -> None:
        """Writes, whole or not at all, an .npz with joint names, units and provenance; no pickles in it.

        Args:
            precision: of the coordinates; np.float16 rounds those of a person to at most half a millimetre.
        """
        save_npz(
            path,
            version=_FORMAT_VERSION,
            joint_names=np.array(BODY13.joints),
            units=_AXES,
            poses_3d=self.poses_3d.numpy().astype(precision),
            take_index=self.take_index.numpy().astype(np.int32),
            frames=self.frames.numpy().astype(np.int32),
            sources=np.array(self.sources, dtype=np.str_),
            subjects=np.array(self.subjects, dtype=np.str_),
            fps=np.array(self.fps, dtype=np.float64),
        )

    @classmethod
    def load(cls, path: str | Path) -> PoseBase:
        """Reads what `save` wrote.

        Raises:
            FileNotFoundError: no such file.
            ValueError: not such a file, another version, other joints, bad numbers.
        """
        if not Path(path).is_file():
            raise FileNotFoundError(f"no MoCap poses at {path}; make them with datasets/prepare_mocap.py")
        try:
            head = read_npz(path, ("version", "joint_names"), _MAX_BYTES)
            if int(head["version"]) != _FORMAT_VERSION:
                raise ValueError(f"version {head['version']}, this program reads {_FORMAT_VERSION}")
            if tuple(head["joint_names"].tolist()) != BODY13.joints:
                raise ValueError(f"its joints are {head['joint_names'].tolist()}, not {list(BODY13.joints)}")
            file = read_npz(path, _ARRAYS, _MAX_BYTES)
            return cls(
                poses_3d=torch.from_numpy(file["poses_3d"]).float(),
                take_index=torch.from_numpy(file["take_index"]).long(),
                frames=torch.from_numpy(file["frames"]).long(),
                sources=tuple(file["sources"].tolist()),
                subjects=tuple(file["subjects"].tolist()),
                fps=tuple(file["fps"].tolist()),
            )
        except (ValueError, TypeError, OverflowError, RuntimeError) as error:
            raise ValueError(f"{path} is not a file of MoCap poses: {error}") from error


def distinct_poses(
    poses_3d: Tensor, min_distance: float, on_progress: Callable[[int], object] = lambda count: None
) -> Tensor:
    """Indices of the poses to keep, in order: each one that is at least `min_distance` from all kept before it.

    The distance is D (mean joint distance of body-centred poses) after the heading is removed: the virtual views
    look from all sides, so that two poses that differ by a turn about the vertical give the same views. The
    heading of someone lying on the side is ill-defined; such poses are at worst kept though a turn of
    them was there, never dropped wrongly, as D after any turn is no less than D after the best one.

    Args:
        poses_3d: (N, J, 3) metres, camera axes, body-centred.
        min_distance: metres; 0 keeps all.
        on_progress: is told the number of poses done after each block.
    """
    if min_distance <= 0:
        return torch.arange(len(poses_3d))
    poses = without_heading(poses_3d, BODY13)
    kept = poses.new_empty(poses.shape)
    indices: list[int] = []
    for start in range(0, len(poses), _BLOCK):
        block = poses[start : start + _BLOCK]
        new = torch.ones(len(block), dtype=torch.bool)
        for first in range(0, len(indices), 8 * _BLOCK):
            candidates = new.nonzero()[:, 0]
            near = pose_distance(block[candidates], kept[first : min(first + 8 * _BLOCK, len(indices))])
            new[candidates[(near < min_distance).any(1)]] = False
        among = pose_distance(block, block) < min_distance
        for i in new.nonzero()[:, 0].tolist():
            if new[i]:
                new[i + 1 :] &= ~among[i, i + 1 :]
        kept[len(indices) : len(indices) + int(new.sum())] = block[new]
        indices += (start + new.nonzero()[:, 0]).tolist()
        on_progress(start + len(block))
    return torch.tensor(indices, dtype=torch.long)


def even_weights(poses_3d: Tensor, clusters: int = 96, seed: int = 0) -> Tensor:
    """(N,) probabilities that make rare kinds of poses as frequent as common ones, half-way.

    K-means over poses (N, J, 3) turned to one heading; a cluster's share is the root of its size.
    """
    from sklearn.cluster import MiniBatchKMeans

    level = without_heading(poses_3d, BODY13).flatten(1).numpy()
    count = min(clusters, len(level))
    labels = MiniBatchKMeans(count, random_state=seed, n_init="auto").fit_predict(level)
    weights = 1 / np.sqrt(np.bincount(labels, minlength=count)[labels])
    return torch.from_numpy(weights / weights.sum())

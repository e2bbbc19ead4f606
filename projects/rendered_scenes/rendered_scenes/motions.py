"""The poses that people take: turns of limbs from motion capture, split by who was recorded.

Shapes: N poses, T parts (see `PARTS`), J joints of BODY13.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from lcrnet_d2.structures import BODY13
from lcrnet_d2.structures.bounded_files import read_npz
from lcrnet_d2.structures.whole_files import save_npz

from .limb_parts import PARTS

__all__ = ["TEST_SUBJECTS", "VAL_TAKES_EVERY", "Motions", "split_of"]

#: People whose motions are in the test split and nowhere else: no anchor pose, view or scene of training shows them.
TEST_SUBJECTS = frozenset({"CMU_16", "CMU_55", "CMU_127", "HDM05_tr"})
#: One in so many takes of the other people is in val alone (chosen by the take's name).
VAL_TAKES_EVERY = 12

_FORMAT = 1
_MAX_BYTES = 4 * 2**30  # 500 bytes a pose
_SITTING_LIMBS = [
    (f"{side}_{start}", f"{side}_{end}")
    for start, end in (("shoulder", "hip"), ("hip", "knee"), ("knee", "ankle"))
    for side in ("left", "right")
]
_ARRAYS = ("turns", "lift", "poses_3d", "weights")


def split_of(subject: str, source: str) -> str:
    """ "train", "val" or "test", of a take named `source` (a path, or archive:path; only the file's name counts)."""
    if subject in TEST_SUBJECTS:
        return "test"
    name = re.split(r"[/\\:]", source)[-1]
    return "val" if sum(name.encode()) % VAL_TAKES_EVERY == 0 else "train"


@dataclass(frozen=True)
class Motions:
    """Poses of one split.

    Attributes:
        turns: (N, T, 4) float32 quaternions x y z w of `PARTS`, body axes (y up), as recorded about the vertical.
        lift: (N,) metres above the ground.
        poses_3d: (N, J, 3) of the recorded people: metres, x right, y down, z away, body-centred; to check against.
        weights: (N,) probabilities with which poses are drawn.
    """

    turns: np.ndarray
    lift: np.ndarray
    poses_3d: np.ndarray
    weights: np.ndarray

    def __post_init__(self) -> None:
        n = len(self.turns)
        shapes = (self.turns.shape, self.lift.shape, self.poses_3d.shape, self.weights.shape)
        if n == 0 or shapes != ((n, len(PARTS), 4), (n,), (n, len(BODY13), 3), (n,)):
            raise ValueError(f"motions: turns, lift, poses and weights have shapes {shapes}")

    def __len__(self) -> int:
        return len(self.turns)

    def matrices(self, index: int) -> np.ndarray:
        """(T, 3, 3) turns of one pose."""
        return Rotation.from_quat(self.turns[index]).as_matrix()

    def seated(self) -> np.ndarray:
        """(N,) bool: trunk upright, both thighs nearly level, shanks downwards, as on a chair."""
        down = np.stack([_down(self.poses_3d, *ends) for ends in _SITTING_LIMBS])
        trunk, thighs, shanks = down[:2], down[2:4], down[4:]
        return (trunk > 0.8).all(0) & (np.abs(thighs) < 0.6).all(0) & (shanks > 0.4).all(0)

    def save(self, path: str | Path) -> None:
        """Writes an .npz, whole or not at all."""
        save_npz(path, format=_FORMAT, parts=np.array(PARTS), **vars(self))

    @classmethod
    def load(cls, path: str | Path) -> Motions:
        """Reads what `save` wrote.

        Raises:
            FileNotFoundError: no such file.
            ValueError: damaged, of another kind or of another version.
        """
        head = read_npz(path, ("format", "parts"), _MAX_BYTES)
        if head["format"].tolist() != _FORMAT or tuple(head["parts"].tolist()) != PARTS:
            raise ValueError(f"{path} holds motions of another version; delete it, it is made again")
        file = read_npz(path, _ARRAYS, _MAX_BYTES)
        return cls(*(file[name] for name in _ARRAYS))


def _down(poses_3d: np.ndarray, start: str, end: str) -> np.ndarray:
    """(N,) cosine between the vertical and a limb: 1 hangs down, 0 is level."""
    limb = poses_3d[:, BODY13.index(end)] - poses_3d[:, BODY13.index(start)]
    return limb[:, 1] / np.linalg.norm(limb, axis=1).clip(1e-6)

"""How each limb of an ASF/AMC take is turned in space, in a form that any body can be posed with.

Skeletons differ in their rest poses (CMU's thighs are spread by 20 degrees). Here every turn starts from the
canonical pose of limb_parts.py instead. Shapes: F frames, T turning parts, J joints of BODY13.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sources.mocap.asf_amc import DEFAULT_FPS, AsfSkeleton, parse_amc_rotations, parse_asf
from sources.mocap.rigs import NodeTree, find_rig
from sources.mocap.take import BrokenTakeError, body_take, to_camera_axes
from sources.mocap.takes import TakeFile, find_takes, subject_of

from .limb_parts import PARTS, turn_between

__all__ = ["CANONICAL_DIRECTIONS", "TurnTake", "read_turns"]

_LIMBS = {"femur": "tibia", "tibia": "foot", "foot": "toes", "humerus": "radius", "radius": "wrist", "wrist": "hand"}

_ABOVE = {"tibia": "femur", "foot": "tibia", "radius": "humerus", "wrist": "radius"}


def _canonical_directions() -> dict[str, np.ndarray]:
    directions = {}
    for side, outwards in (("l", 1.0), ("r", -1.0)):
        for part in ("femur", "tibia"):
            directions[side + part] = np.array([0.0, -1.0, 0.0])
        directions[f"{side}foot"] = np.array([0.0, 0.0, 1.0])
        for part in ("humerus", "radius", "wrist"):
            directions[side + part] = np.array([outwards, 0.0, 0.0])
    return directions


_TORSO = ("lowerback", "upperback", "thorax", "lclavicle", "rclavicle")

#: Direction (3,) of each limb in the canonical pose, y up; other parts have their rest orientation.
CANONICAL_DIRECTIONS: dict[str, np.ndarray] = _canonical_directions()


@dataclass(frozen=True)
class TurnTake:
    """One recording.

    Attributes:
        turns: (F, T, 3, 3) rotations of `PARTS` from the canonical pose into the studio's axes (y up).
        poses_3d: (F, J, 3) metres, camera axes, as `Take.poses_3d`.
        lift: (F,) metres of the lowest node of the skeleton above the lowest of the whole take.
        subject: who was recorded, as `subject_of` says.
        source: the file.
    """

    turns: np.ndarray
    poses_3d: np.ndarray
    lift: np.ndarray
    subject: str
    source: str


def read_turns(roots: Sequence[str | Path], fps: float) -> Iterator[TurnTake | BrokenTakeError]:
    """All ASF/AMC takes of folders and archives, about `fps` poses a second; other formats are passed over."""
    for root in roots:
        for file in find_takes(root):
            if isinstance(file, BrokenTakeError):
                yield file
            elif file.source.lower().endswith(".amc"):
                yield _read(file, fps)


def _read(file: TakeFile, fps: float) -> TurnTake | BrokenTakeError:
    if file.skeleton is None:
        return BrokenTakeError(file.source, None, "no .asf in its folder has a name that this one begins with")
    try:
        skeleton = parse_asf(file.skeleton[1], file.skeleton[0])
        rig, names = find_rig(skeleton.tree, skeleton.source)
        frames, rotations, root_positions = parse_amc_rotations(file.data, file.source, skeleton)
        turns = _canonical_turns(skeleton, rotations, len(frames))
        positions = skeleton.tree.positions(rotations, root_positions) * skeleton.metres_per_unit
        joints = to_camera_axes(rig.joints_of(names, positions), "y")
        take = body_take(joints, frames, DEFAULT_FPS, file.source)
    except BrokenTakeError as error:
        return error
    lowest = positions[..., 1].min(1)
    kept = np.arange(0, len(frames), max(round(DEFAULT_FPS / fps), 1))
    return TurnTake(
        turns[kept], take.poses_3d[kept], (lowest - lowest.min())[kept], subject_of(file.source), file.source
    )


def _canonical_turns(skeleton: AsfSkeleton, rotations: dict[str, np.ndarray], num_frames: int) -> np.ndarray:
    tree = skeleton.tree
    missing = sorted(set(PARTS) - set(tree.names))
    if missing:
        raise BrokenTakeError(skeleton.source, None, f"the skeleton lacks the bones {missing}")
    turned = _turned(tree, rotations, num_frames)
    from_canonical = _from_canonical(tree)
    return np.stack([turned[tree.names.index(part)] @ from_canonical.get(part, np.eye(3)) for part in PARTS], 1)


def _from_canonical(tree: NodeTree) -> dict[str, np.ndarray]:
    """(3, 3) rotation of each limb from the canonical pose to the skeleton's rest pose.

    The torso stands straight in the canonical pose; CMU's, measured from hips to shoulders, leans back by 9 degrees
    at rest, and takes bend the spine forward to make up for it. A limb first follows the one it hangs on, then bends
    the shortest way: a foot of a spread leg is rolled with it.
    """
    hips, shoulders = (_middle(tree, bone) for bone in ("femur", "humerus"))
    upright = turn_between(np.array([0.0, 1.0, 0.0]), shoulders - hips)
    turns: dict[str, np.ndarray] = {part: upright for part in _TORSO}
    for part, canonical in CANONICAL_DIRECTIONS.items():
        above = turns.get(part[0] + _ABOVE.get(part[1:], ""), np.eye(3))
        rest = tree.offsets[tree.names.index(part[0] + _LIMBS[part[1:]])]
        turns[part] = turn_between(above @ canonical, rest) @ above
    return turns


def _middle(tree: NodeTree, bone: str) -> np.ndarray:
    """(3,) middle of the left and right node at rest."""
    rest = tree.rest_positions()
    return (rest[tree.names.index("l" + bone)] + rest[tree.names.index("r" + bone)]) / 2


def _turned(tree: NodeTree, rotations: dict[str, np.ndarray], num_frames: int) -> list[np.ndarray]:
    """(F, 3, 3) rotation from the rest pose into the studio's axes of every node: G_b = G_parent L_b."""
    turned: list[np.ndarray] = []
    for name, parent in zip(tree.names, tree.parents, strict=True):
        above = turned[parent] if parent >= 0 else np.broadcast_to(np.eye(3), (num_frames, 3, 3))
        local = rotations.get(name)
        turned.append(above if local is None else above @ local)
    return turned

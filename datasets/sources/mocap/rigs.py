"""Rigs: a tree of nodes, its forward kinematics, and which nodes are the 13 joints: one table per naming scheme.

Nodes are where a bone starts ("LeftKnee" of a BVH is the knee); the end of a last bone (a BVH's End Site) is
"<bone> end". What differs between programs alone is ignored: prefixes ("mixamorig:Hips", "Bip01 L Thigh"), blanks,
underscores, upper and lower case. A table of one's own is a JSON file (`read_rig`).

Shapes: F frames, B nodes, J joints of BODY13. Nodes are in the file's own axes and unit.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

import numpy as np
from scipy.spatial.transform import Rotation

from lcrnet_d2.structures import BODY13
from lcrnet_d2.structures.bounded_files import read_json, refused
from lcrnet_d2.structures.pose_geometry import UP_TO_CAMERA

from .take import BrokenTakeError

__all__ = ["RIGS", "NodeTree", "Rig", "end_of", "euler_rotations", "find_rig", "read_rig"]

_LIMBS = ("ankle", "knee", "hip", "wrist", "elbow", "shoulder")
_UPPER = ("shoulder", "elbow", "wrist", "head")


def end_of(bone: str) -> str:
    """Name of the node at the end of a last bone."""
    return f"{bone} end"


@dataclass(frozen=True)
class NodeTree:
    """Named nodes; every parent comes before its children.

    Attributes:
        names: B names.
        parents: B indices, -1 for the root (which comes first).
        offsets: (B, 3) place of each node seen from its parent, in the parent's axes.
    """

    names: tuple[str, ...]
    parents: tuple[int, ...]
    offsets: np.ndarray

    def positions(
        self,
        rotations: dict[str, np.ndarray],
        root_positions: np.ndarray,
        moved: Mapping[int, np.ndarray] = MappingProxyType({}),
    ) -> np.ndarray:
        """Places of all nodes: p_b = p_parent + G_parent o_b with G_b = G_parent L_b.

        Args:
            rotations: name -> (F, 3, 3) local rotation L; nodes without one do not turn.
            root_positions: (F, 3).
            moved: node -> (F, 3) offsets in place of its own.

        Returns:
            (F, B, 3).
        """
        positions = np.empty((len(root_positions), len(self.names), 3))
        turned: list[np.ndarray] = []
        for b, (name, parent) in enumerate(zip(self.names, self.parents, strict=True)):
            local = rotations.get(name)
            if parent < 0:
                positions[:, b] = root_positions
                turned.append(np.broadcast_to(np.eye(3), (len(root_positions), 3, 3)) if local is None else local)
                continue
            offset = moved[b][..., None] if b in moved else self.offsets[b][:, None]
            positions[:, b] = positions[:, parent] + (turned[parent] @ offset)[..., 0]
            turned.append(turned[parent] if local is None else turned[parent] @ local)
        return positions

    def rest_positions(self) -> np.ndarray:
        """(B, 3) with every local rotation the identity and the root at 0."""
        return self.positions({}, np.zeros((1, 3)))[0]


def euler_rotations(degrees: np.ndarray, order: str) -> np.ndarray:
    """(..., 3, 3) rotations of (..., 3) angles.

    `order` in upper case turns about the moving axes ("ZYX": Rz Ry Rx, BVH's channels as listed), in lower
    case about the fixed ones ("xyz": first x, so again Rz Ry Rx, ASF's `axis XYZ`).
    """
    flat = Rotation.from_euler(order, degrees.reshape(-1, 3), degrees=True).as_matrix()
    return flat.reshape(*degrees.shape[:-1], 3, 3)


@dataclass(frozen=True)
class Rig:
    """A naming scheme.

    Attributes:
        name: shown in messages.
        nodes: joint of BODY13 -> weights of the nodes whose sum it is; the weights add up to 1.
            The head is the middle of the head: the midpoint of the head bone, where the rig has one.
        up: axis that points up, where all files with these names agree.
        joined: pairs of nodes that lie in one place at rest, if the table is for such rigs only.

    Raises:
        ValueError: a joint of BODY13 is missing, or weights that do not add up to 1.
    """

    name: str
    nodes: dict[str, dict[str, float]]
    up: str | None = None
    joined: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        if set(self.nodes) != set(BODY13.joints) or any(abs(sum(w.values()) - 1) > 1e-9 for w in self.nodes.values()):
            raise ValueError(f"rig {self.name!r}: each of {list(BODY13.joints)} needs weights that add up to 1")

    @property
    def needed(self) -> set[str]:
        """Names of the nodes the table uses."""
        pairs = {node for pair in self.joined for node in pair}
        return {node for weights in self.nodes.values() for node in weights} | pairs

    def missing(self, names: Sequence[str]) -> list[str]:
        """Nodes of the table that are not among the plain names."""
        return sorted(node for node in self.needed if _plain(node) not in names)

    def joints_of(self, names: list[str], positions: np.ndarray) -> np.ndarray:
        """(..., J, 3) joints from the (..., B, 3) positions of the nodes with these plain names."""
        weights = np.zeros((len(BODY13), len(names)))
        for row, joint in zip(weights, BODY13.joints, strict=True):
            for node, weight in self.nodes[joint].items():
                row[names.index(_plain(node))] = weight
        return weights @ positions

    def fits(self, names: list[str], rest: np.ndarray) -> bool:
        """Whether all nodes are there, and joined ones are joined in the rest pose (B, 3)."""
        if self.missing(names):
            return False
        pairs = ((names.index(_plain(a)), names.index(_plain(b))) for a, b in self.joined)
        return all(np.allclose(rest[a], rest[b]) for a, b in pairs)


def _plain(name: str) -> str:
    name = re.sub(r"^(mixamorig|bip|biped)\d*[_ ]", "", name.rpartition(":")[2], flags=re.IGNORECASE)
    return re.sub(r"[\s_]", "", name).lower()


#: The middle of the head, by what a rig has: the first is half way along the head bone, the third as far above its
#: start as the neck is long. Without a neck it is the start itself, some 10 cm too low.
_HEADS = ({"Head": 0.5, "Head end": 0.5}, {"Head": 0.5, "HeadTop_End": 0.5}, {"Head": 2.0, "Neck": -1.0}, {"Head": 1.0})


def _rig(name: str, left: str, right: str, limbs: str, head: dict[str, float] = _HEADS[0]) -> Rig:
    """`limbs`: patterns for ankle, knee, hip, wrist, elbow, shoulder, with {} where the side is written."""
    nodes = {
        f"{side}_{joint}": {pattern.format(written): 1.0}
        for side, written in (("left", left), ("right", right))
        for joint, pattern in zip(_LIMBS, limbs.split(), strict=True)
    }
    return Rig(name, {**nodes, "head": head})


def _with_any_head(rig: Rig) -> Iterator[Rig]:
    for head in _HEADS:
        yield replace(rig, nodes=rig.nodes | {"head": head})


def _without_thorax(rig: Rig, spine: tuple[str, str], neck: str) -> Rig:
    """The same naming scheme in the usual BVH conversions of CMU, which leave out two bones of the ASF.

    Without the thorax bone all above it sinks by 117 mm (02_01): it is as long as, and within a few degrees in
    line with, the bone below (from the first to the second node of `spine`), which is added once more. Without
    the wrist bone, half as long as the radius and in line with it, the forearm ends after two thirds. A conversion
    that lost them starts its neck where the spine ends.
    """
    nodes = {joint: dict(weights) for joint, weights in rig.nodes.items()}
    for side in ("left", "right"):
        (wrist,), (elbow,) = nodes[f"{side}_wrist"], nodes[f"{side}_elbow"]
        nodes[f"{side}_wrist"] = {wrist: 1.5, elbow: -0.5}
    for joint in nodes:
        if joint.endswith(_UPPER):
            nodes[joint] |= {spine[1]: 1.0, spine[0]: -1.0}
    return replace(rig, name=f"{rig.name} (CMU, no thorax bone)", nodes=nodes, joined=((spine[1], neck),))


_ASF = _rig(
    "CMU and HDM05 (ASF)",
    *("l", "r"),
    # The wrist is where `lwrist` ends, not where it starts: the markers on the wrist bar lie 58 mm from the end and
    # 94 mm from the start (HDM_dg_06-03_03), and elbow to end is as long as elbow marker to wrist markers.
    "{}foot {}tibia {}femur {}hand {}radius {}humerus",
)
_MOTION_BUILDER = _rig("MotionBuilder, Mixamo", "Left", "Right", "{}Foot {}Leg {}UpLeg {}Hand {}ForeArm {}Arm")
_3DS_MAX = _rig("3dsMax, Xsens", "Left", "Right", "{}Ankle {}Knee {}Hip {}Wrist {}Elbow {}Shoulder")
_MAKE_HUMAN = replace(
    _rig(
        "MakeHuman",
        *("L", "R"),
        "foot.{} lowerleg01.{} upperleg01.{} wrist.{} lowerarm01.{} upperarm01.{}",
        {"head": 0.5, "oculi01.L": 0.25, "oculi01.R": 0.25},  # between the skull's base and the eyes; no head bone
    ),
    up="z",
)
_SUITS_AND_PROGRAMS = (
    _rig("SMPL", "L", "R", "{}_Ankle {}_Knee {}_Hip {}_Wrist {}_Elbow {}_Shoulder"),
    _rig("Rokoko", "Left", "Right", "{}Foot {}Shin {}Thigh {}Hand {}ForeArm {}Arm"),
    _rig("OptiTrack", "L", "R", "{}Foot {}Shin {}Thigh {}Hand {}FArm {}UArm"),
    _rig("3dsMax Biped", "L", "R", "{}Foot {}Calf {}Thigh {}Hand {}Forearm {}UpperArm"),
    _rig("Unity", "Left", "Right", "{}Foot {}LowerLeg {}UpperLeg {}Hand {}LowerArm {}UpperArm"),
    _rig("Unreal", "l", "r", "foot_{} calf_{} thigh_{} hand_{} lowerarm_{} upperarm_{}"),
    _rig("Blender (Rigify)", "L", "R", "foot.{} shin.{} thigh.{} hand.{} forearm.{} upper_arm.{}"),
)

#: Tried in this order; the first that fits is used.
RIGS: tuple[Rig, ...] = (
    _ASF,
    _without_thorax(_MOTION_BUILDER, ("Spine", "Spine1"), "Neck"),
    *_with_any_head(_MOTION_BUILDER),
    _without_thorax(_3DS_MAX, ("Chest", "Chest2"), "lowerneck"),
    *_with_any_head(_3DS_MAX),
    _MAKE_HUMAN,
    *(variant for rig in _SUITS_AND_PROGRAMS for variant in _with_any_head(rig)),
)


def read_rig(path: str | Path) -> Rig:
    """A table from a JSON file: {"up": "z", "joints": {"left_knee": "LShin", "head": {"Head": 0.5, "Head end": 0.5}}}.

    `joints` names a node for each joint of BODY13, or several with weights that add up to 1; `up` may be left out.

    Raises:
        FileNotFoundError: no such file; ValueError: no such table.
    """
    content = read_json(path)
    with refused(path, "a table of a rig"):
        nodes = {joint: {of: 1.0} if isinstance(of, str) else dict(of) for joint, of in content["joints"].items()}
        if content.get("up") not in (None, *UP_TO_CAMERA):
            raise ValueError(f"up is {content['up']!r}, expected one of {sorted(UP_TO_CAMERA)}")
        return Rig(Path(path).name, nodes, content.get("up"))


def find_rig(tree: NodeTree, source: str, rigs: Sequence[Rig] = RIGS) -> tuple[Rig, list[str]]:
    """The table that fits, and the nodes' plain names.

    Raises:
        BrokenTakeError: no table fits, or a needed node is named twice; lists the joints there are, and gives the
            nearest table to fill in.
    """
    names = [_plain(name) for name in tree.names]
    rest = tree.rest_positions()
    fitting = [rig for rig in rigs if rig.fits(names, rest)]
    if not fitting:
        nearest = min(rigs, key=lambda rig: len(rig.missing(names)))
        reason = (
            f"unknown rig. Its joints: {', '.join(tree.names[:200])}. The nearest table, {nearest.name!r}, needs also "
            f"{nearest.missing(names)}. Fill in the nodes of this table, save it as table.json and say "
            f"--rig table.json: {_to_fill_in(nearest, dict(zip(names, tree.names, strict=True)))}"
        )
        raise BrokenTakeError(source, None, reason)
    twice = sorted(node for node in fitting[0].needed if names.count(_plain(node)) > 1)
    if twice:
        raise BrokenTakeError(source, None, f"joints named twice: {twice}")
    return fitting[0], names


def _to_fill_in(rig: Rig, written: dict[str, str]) -> str:
    """The table with the nodes that there are, as the file writes them, and ? for the others."""
    rows = {joint: {written.get(_plain(n), "?"): w for n, w in nodes.items()} for joint, nodes in rig.nodes.items()}
    return json.dumps({"joints": {joint: next(iter(row)) if len(row) == 1 else row for joint, row in rows.items()}})

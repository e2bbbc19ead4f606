"""Which nodes of a rig are the 13 joints: one table per naming scheme.

To add a rig, append a `Rig` to `RIGS`. Nodes are where a bone starts ("LeftKnee" of a BVH is the knee); the
end of a last bone (a BVH's End Site) is "<bone> end". Prefixes up to a colon ("mixamorig:Hips") are ignored.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ..structures import BODY13
from .kinematics import NodeTree
from .take import BrokenTakeError

__all__ = ["RIGS", "Rig", "find_rig"]

_LIMBS = ("ankle", "knee", "hip", "wrist", "elbow", "shoulder")
_UPPER = ("shoulder", "elbow", "wrist", "head")


@dataclass(frozen=True)
class Rig:
    """A naming scheme.

    Attributes:
        name: shown in messages.
        nodes: joint of BODY13 -> weights of the nodes whose sum it is; the weights add up to 1.
            The head is the middle of the head: the midpoint of the head bone, where the rig has one.
        up: axis that points up, "y" or "z".
        joined: pairs of nodes that lie in one place at rest, if the table is for such rigs only.

    Raises:
        ValueError: a joint of BODY13 is missing, or weights that do not add up to 1.
    """

    name: str
    nodes: dict[str, dict[str, float]]
    up: str = "y"
    joined: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        if set(self.nodes) != set(BODY13.joints) or any(abs(sum(w.values()) - 1) > 1e-9 for w in self.nodes.values()):
            raise ValueError(f"rig {self.name!r}: each of {list(BODY13.joints)} needs weights that add up to 1")

    @property
    def needed(self) -> set[str]:
        """Names of the nodes the table uses."""
        pairs = {node for pair in self.joined for node in pair}
        return {node for weights in self.nodes.values() for node in weights} | pairs

    def joints_of(self, names: list[str], positions: np.ndarray) -> np.ndarray:
        """(..., J, 3) joints from the (..., B, 3) positions of the named nodes."""
        weights = np.zeros((len(BODY13), len(names)))
        for row, joint in zip(weights, BODY13.joints, strict=True):
            for node, weight in self.nodes[joint].items():
                row[names.index(node)] = weight
        return weights @ positions

    def fits(self, names: list[str], rest: np.ndarray) -> bool:
        """Whether all nodes are there, and joined ones are joined in the rest pose (B, 3)."""
        if not self.needed <= set(names):
            return False
        return all(np.allclose(rest[names.index(a)], rest[names.index(b)]) for a, b in self.joined)


def _rig(name: str, left: str, right: str, limbs: tuple[str, ...], head: dict[str, float], up: str = "y") -> Rig:
    """`limbs`: patterns for ankle, knee, hip, wrist, elbow, shoulder, with {} where the side is written."""
    nodes = {
        f"{side}_{joint}": {pattern.format(written): 1.0}
        for side, written in (("left", left), ("right", right))
        for joint, pattern in zip(_LIMBS, limbs, strict=True)
    }
    return Rig(name, {**nodes, "head": head}, up)


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


_HEAD_BONE = {"Head": 0.5, "Head end": 0.5}
_ASF = _rig(
    "CMU and HDM05 (ASF)",
    *("l", "r"),
    # The wrist is where `lwrist` ends, not where it starts: the markers on the wrist bar lie 58 mm from the end and
    # 94 mm from the start (HDM_dg_06-03_03), and elbow to end is as long as elbow marker to wrist markers.
    ("{}foot", "{}tibia", "{}femur", "{}hand", "{}radius", "{}humerus"),
    {"head": 0.5, "head end": 0.5},
)
_MOTION_BUILDER = _rig(
    "MotionBuilder",
    *("Left", "Right"),
    ("{}Foot", "{}Leg", "{}UpLeg", "{}Hand", "{}ForeArm", "{}Arm"),
    _HEAD_BONE,
)
_3DS_MAX = _rig(
    "3dsMax",
    *("Left", "Right"),
    ("{}Ankle", "{}Knee", "{}Hip", "{}Wrist", "{}Elbow", "{}Shoulder"),
    _HEAD_BONE,
)
_MAKE_HUMAN = _rig(
    "MakeHuman",
    *("L", "R"),
    ("foot.{}", "lowerleg01.{}", "upperleg01.{}", "wrist.{}", "lowerarm01.{}", "upperarm01.{}"),
    {"head": 0.5, "oculi01.L": 0.25, "oculi01.R": 0.25},  # between the skull's base and the eyes; no head bone
    "z",
)

#: Tried in this order; the first that fits is used.
RIGS: tuple[Rig, ...] = (
    _ASF,
    _without_thorax(_MOTION_BUILDER, ("Spine", "Spine1"), "Neck"),
    _MOTION_BUILDER,
    _without_thorax(_3DS_MAX, ("Chest", "Chest2"), "lowerneck"),
    _3DS_MAX,
    _MAKE_HUMAN,
)


def find_rig(tree: NodeTree, source: str) -> tuple[Rig, list[str]]:
    """The table that fits, and the nodes' names without prefixes.

    Raises:
        BrokenTakeError: no table fits, or a needed node is named twice; lists the joints there are, what the
            nearest table lacks, and how to add one.
    """
    names = [name.rsplit(":", 1)[-1] for name in tree.names]
    rest = tree.rest_positions()
    fitting = [rig for rig in RIGS if rig.fits(names, rest)]
    if not fitting:
        nearest = min(RIGS, key=lambda rig: len(rig.needed - set(names)))
        raise BrokenTakeError(
            source,
            None,
            f"unknown rig. Its joints: {', '.join(names[:200])}. The nearest table, {nearest.name!r}, needs also "
            f"{sorted(nearest.needed - set(names))}. For a new naming scheme add a Rig to RIGS in "
            f"lcrnet_d2/mocap/rigs.py that gives nodes for {list(BODY13.joints)}",
        )
    twice = sorted(node for node in fitting[0].needed if names.count(node) > 1)
    if twice:
        raise BrokenTakeError(source, None, f"joints named twice: {twice}")
    return fitting[0], names

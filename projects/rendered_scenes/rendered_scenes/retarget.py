"""Motion capture onto a body: turns of limbs become turns of the rig's bones.

Directions of limbs are kept, lengths are the body's own; twists along the limbs are spread over two bones, so that
the skin is not wrung out. All axes are body axes (y up). Shapes: T parts, B bones.
"""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation, Slerp

from .body_model import BodyModel, RestBody
from .limb_parts import PARTS, turn_between

__all__ = ["bone_turns"]

_TRUNK = {
    **{"root": "root", "spine05": "lowerback", "spine04": "lowerback", "spine03": "upperback", "spine02": "thorax"},
    **{"spine01": "thorax", "neck01": "lowerneck", "neck02": "upperneck", "neck03": "upperneck", "head": "head"},
}
_SIDE = {
    **{"pelvis": "root", "clavicle": "clavicle", "upperleg02": "femur", "lowerleg01": "tibia", "lowerleg02": "tibia"},
    **{"foot": "foot", "upperarm02": "humerus", "lowerarm01": "radius", "wrist": "wrist"},
}
#: How far the collar bone follows the upper arm: a raised arm lifts the shoulder.
_SHOULDER_FOLLOWS = 0.25


def bone_turns(model: BodyModel, rest: RestBody, turns: np.ndarray) -> np.ndarray:
    """(B, 3, 3) rotation of each bone from the body's rest pose, from turns (T, 3, 3) of `PARTS`."""
    of = dict(zip(PARTS, turns, strict=True))
    found = {bone: of[part] for bone, part in _TRUNK.items()}
    for side in "lr":
        found |= _side_turns(model, rest, of, side)
    result = np.empty((len(model.bones), 3, 3))
    for index, (bone, parent) in enumerate(zip(model.bones, model.parents, strict=True)):
        result[index] = found[bone] if bone in found else result[parent]  # fingers follow the hand
    return result


def _side_turns(model: BodyModel, rest: RestBody, of: dict[str, np.ndarray], side: str) -> dict[str, np.ndarray]:
    directions = _rest_directions(model, rest, side.upper())
    to_canonical = _to_canonical(directions, 1.0 if side == "l" else -1.0)
    turn = {part: of[side + part] @ to_canonical[part] for part in to_canonical}
    turn |= {"root": of["root"], "clavicle": of[side + "clavicle"]}
    found = {bone: turn[part] for bone, part in _SIDE.items()}
    found["upperleg01"] = turn["femur"] @ _twist(turn["root"], turn["femur"], directions["femur"], -0.5)
    found["upperarm01"] = turn["humerus"] @ _twist(turn["clavicle"], turn["humerus"], directions["humerus"], -0.5)
    found["lowerarm02"] = turn["radius"] @ _twist(turn["radius"], turn["wrist"], directions["radius"], 0.5)
    ends = Rotation.from_matrix(np.stack([turn["clavicle"], found["upperarm01"]]))
    found["shoulder01"] = Slerp([0.0, 1.0], ends)(_SHOULDER_FOLLOWS).as_matrix()
    return {f"{bone}.{side.upper()}": matrix for bone, matrix in found.items()}


def _rest_directions(model: BodyModel, rest: RestBody, side: str) -> dict[str, np.ndarray]:
    """(3,) direction of each limb at rest, not of unit length."""

    def between(start: str, end: str) -> np.ndarray:
        first, last = (rest.bone_heads[model.bone(f"{bone}.{side}")] for bone in (start, end))
        return last - first

    return {
        "femur": between("upperleg01", "lowerleg01"),
        "tibia": between("lowerleg01", "foot"),
        "foot": model.ball_of_foot(rest, side) - rest.bone_heads[model.bone(f"foot.{side}")],
        "humerus": between("upperarm01", "lowerarm01"),
        "radius": between("lowerarm01", "wrist"),
        "wrist": between("wrist", "finger3-1"),
    }


def _to_canonical(directions: dict[str, np.ndarray], outwards: float) -> dict[str, np.ndarray]:
    """(3, 3) turn of each limb from rest to the canonical pose: along with the limb it hangs on, then straightened."""
    down, forward, out = np.array([0.0, -1.0, 0.0]), np.array([0.0, 0.0, 1.0]), np.array([outwards, 0.0, 0.0])
    turns: dict[str, np.ndarray] = {}
    for chain in (
        (("femur", down), ("tibia", down), ("foot", forward)),
        (*(("humerus", out), ("radius", out), ("wrist", out)),),
    ):
        above = np.eye(3)
        for part, canonical in chain:
            above = turn_between(above @ directions[part], canonical) @ above
            turns[part] = above
    return turns


def _twist(above: np.ndarray, turn: np.ndarray, axis: np.ndarray, share: float) -> np.ndarray:
    """(3, 3) a share of the twist about the limb's rest axis that `turn` has against `above`."""
    axis = axis / np.linalg.norm(axis)
    x, y, z, w = Rotation.from_matrix(above.T @ turn).as_quat()
    angle = 2 * np.arctan2(np.array([x, y, z]) @ axis, w)
    angle = (angle + np.pi) % (2 * np.pi) - np.pi
    return Rotation.from_rotvec(share * angle * axis).as_matrix()

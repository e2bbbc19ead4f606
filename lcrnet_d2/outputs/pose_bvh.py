"""A person's motion as BVH, for Blender and other animation software: y up, centimetres, one file per person.

Joints become rotations: bones keep the directions of the poses and get the median of their lengths, left and right
alike. How a limb turns about its own axis cannot be seen in joints; bones turn as little as possible
against their parents. Shapes: F frames, J = 13 joints of BODY13.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from ..detected_people import DetectedPeople
from ..structures import BODY13
from ..structures.pose_geometry import UP_TO_CAMERA
from ..structures.whole_files import write_text
from .pose_file import PosedImage

__all__ = ["NODES", "BodyMotion", "Motion", "body_motion", "motions_by_identity", "write_bvh"]

_CM = 100.0


class _Node(NamedTuple):
    """A joint of the file, at the point `at` of the body; it turns so that `rest` points from there to `towards`."""

    name: str
    parent: str
    at: str
    towards: str
    rest: tuple[int, int, int]


_UP, _DOWN, _LEFT, _RIGHT = (0, 1, 0), (0, -1, 0), (1, 0, 0), (-1, 0, 0)  # of the person, at rest, facing +z
#: "neck" and "pelvis" are the middles of shoulders and hips, so one line holds both shoulders, and both hips.
NODES = (
    _Node("Hips", "", "pelvis", "left_hip", _LEFT),
    _Node("Spine", "Hips", "pelvis", "neck", _UP),
    _Node("Chest", "Spine", "neck", "left_shoulder", _LEFT),
    _Node("Neck", "Chest", "neck", "head", _UP),
    _Node("Head", "Neck", "skull", "", _UP),
    _Node("LeftArm", "Chest", "left_shoulder", "left_elbow", _LEFT),
    _Node("LeftForeArm", "LeftArm", "left_elbow", "left_wrist", _LEFT),
    _Node("LeftHand", "LeftForeArm", "left_wrist", "", _LEFT),
    _Node("RightArm", "Chest", "right_shoulder", "right_elbow", _RIGHT),
    _Node("RightForeArm", "RightArm", "right_elbow", "right_wrist", _RIGHT),
    _Node("RightHand", "RightForeArm", "right_wrist", "", _RIGHT),
    _Node("LeftUpLeg", "Hips", "left_hip", "left_knee", _DOWN),
    _Node("LeftLeg", "LeftUpLeg", "left_knee", "left_ankle", _DOWN),
    _Node("LeftFoot", "LeftLeg", "left_ankle", "", (0, 0, 1)),
    _Node("RightUpLeg", "Hips", "right_hip", "right_knee", _DOWN),
    _Node("RightLeg", "RightUpLeg", "right_knee", "right_ankle", _DOWN),
    _Node("RightFoot", "RightLeg", "right_ankle", "", (0, 0, 1)),
)
#: Where between neck and head (the middle of the head) the head bone starts; it ends as far behind the head.
_SKULL = 0.6
_TIP_M = 0.1  # hands and feet, of which nothing is known, end 10 cm on: zero-length bones vanish in Blender
_ROTATION_ORDER = "ZXY"


class Motion(NamedTuple):
    """
    Attributes:
        poses_3d: (F, J, 3) m, camera axes; in the camera's space if people were placed, else body-centred.
        frames: (F,) numbers of frames at a steady rate, without gaps: frame k is at k / fps.
        is_filled: (F,) bool: the person was not found within half a frame of it; joints are interpolated.
    """

    poses_3d: np.ndarray
    frames: np.ndarray
    is_filled: np.ndarray


def motions_by_identity(images: Sequence[PosedImage], fps: float) -> dict[int, Motion]:
    """Everyone's motion through the frames of a video, at a steady rate, whatever the video's own.

    Raises:
        ValueError: images that are no frames, or people without identities.
    """
    found: dict[int, list[tuple[float, np.ndarray]]] = {}
    for image in images:
        if image.people is None or not len(image.people):
            continue
        if image.time is None or image.people.identities is None:
            raise ValueError(f"{image.file_name}: a motion needs the frames of a video and people with identities")
        poses = _scene_poses(image.people)
        for identity, pose in zip(image.people.identities.tolist(), poses, strict=True):
            found.setdefault(identity, []).append((image.time * fps, pose))
    return {identity: _at_whole_frames(*zip(*rows, strict=True)) for identity, rows in sorted(found.items())}


def _scene_poses(people: DetectedPeople) -> np.ndarray:
    """(N, J, 3) m in BODY13; NaN for people without a place before the camera."""
    poses = people.poses_3d if people.translations is None else people.in_camera()
    return BODY13.convert_from(people.skeleton, torch.from_numpy(poses).double())[0].numpy()


def _at_whole_frames(times: tuple[float, ...], poses: tuple[np.ndarray, ...]) -> Motion:
    """`times` in frames."""
    known = np.array([np.isfinite(pose).all() for pose in poses])
    at = np.array(times)[known]
    if not len(at):
        return Motion(np.zeros((0, len(BODY13), 3)), np.zeros(0, dtype=int), np.zeros(0, dtype=bool))
    frames = np.arange(round(times[0]), round(times[-1]) + 1)
    is_filled = ~np.isin(frames, np.round(at))
    flat = np.stack(poses)[known].reshape(len(at), -1)
    filled = np.stack([np.interp(frames, at, column) for column in flat.T], 1)
    return Motion(filled.reshape(len(frames), len(BODY13), 3), frames, is_filled)


class BodyMotion(NamedTuple):
    """A motion as a tree of `NODES` that turn; y up, metres.

    Attributes:
        offsets: name of a node -> (3,) from its parent at rest; "<name> end" for the tips.
        rotations: name -> (F, 3, 3) against its parent.
        places: (F, 3) of the hips.
    """

    offsets: dict[str, np.ndarray]
    rotations: dict[str, np.ndarray]
    places: np.ndarray


def body_motion(poses_3d: np.ndarray) -> BodyMotion:
    """Of (F, J, 3) m, camera axes, joints of BODY13.

    Raises:
        ValueError: no frames, another shape, or numbers that are not finite.
    """
    if poses_3d.ndim != 3 or poses_3d.shape[1:] != (len(BODY13), 3) or not len(poses_3d):
        raise ValueError(f"a motion has shape (F, {len(BODY13)}, 3) with F > 0, not {poses_3d.shape}")
    if not np.isfinite(poses_3d).all():
        raise ValueError("a motion needs finite joints")
    points = _points(poses_3d @ UP_TO_CAMERA["y"])  # the turn is its own inverse
    return BodyMotion(_offsets(points), _rotations(points), points["pelvis"])


def write_bvh(path: str | Path, poses_3d: np.ndarray, fps: float) -> None:
    """Writes a motion, whole or not at all.

    Args:
        poses_3d: (F, J, 3) m, camera axes, joints of BODY13.
        fps: frames per second.

    Raises:
        ValueError: no frames, another shape, or numbers that are not finite.
    """
    if not fps > 0:
        raise ValueError(f"{path}: a motion needs fps above 0 ({fps})")
    body = body_motion(poses_3d)
    rows = np.concatenate([body.places * _CM, *(_angles(body.rotations[node.name]) for node in NODES)], 1)
    motion = ["MOTION", f"Frames: {len(rows)}", f"Frame Time: {1 / fps:.8f}"]
    lines = [
        "HIERARCHY",
        *_hierarchy("Hips", body.offsets),
        *motion,
        *(" ".join(f"{v:.5f}" for v in row) for row in rows),
    ]
    write_text(path, "\n".join(lines) + "\n")


def _points(poses: np.ndarray) -> dict[str, np.ndarray]:
    """Name -> (F, 3): the joints, and the points between them that the tree needs."""
    points = {joint: poses[:, i] for i, joint in enumerate(BODY13.joints)}
    points["pelvis"] = (points["left_hip"] + points["right_hip"]) / 2
    points["neck"] = (points["left_shoulder"] + points["right_shoulder"]) / 2
    points["skull"] = points["neck"] + _SKULL * (points["head"] - points["neck"])
    return points


def _offsets(points: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Name of a node -> (3,) m from its parent at rest; "<name> end" for the tips."""
    places = {node.name: node for node in NODES}
    offsets: dict[str, np.ndarray] = {"Hips": np.zeros(3)}
    for node in NODES[1:]:
        parent = places[node.parent]
        ways = [(parent.at, node.at), (_other_side(parent.at), _other_side(node.at))]
        length = float(np.median([np.linalg.norm(points[b] - points[a], axis=1) for a, b in ways]))
        side = -1 if parent.rest == _LEFT and node.at.startswith("right") else 1
        offsets[node.name] = side * length * np.array(parent.rest)
        if not node.towards:
            offsets[f"{node.name} end"] = _TIP_M * np.array(node.rest)
    offsets["Head end"] = offsets["Head"] * 2 * (1 - _SKULL) / _SKULL
    return offsets


def _other_side(point: str) -> str:
    side, _, joint = point.partition("_")
    return f"{ {'left': 'right', 'right': 'left'}[side] }_{joint}" if joint else point


def _rotations(points: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Name of a node -> (F, 3, 3) against its parent."""
    turned = {"": np.broadcast_to(np.eye(3), (len(points["pelvis"]), 3, 3)), "Hips": _pelvis_axes(points)}
    for node in NODES:
        if node.name not in turned:
            parent = turned[node.parent]
            turned[node.name] = parent
            if node.towards:
                seen = points[node.towards] - points[node.at]
                turned[node.name] = _swing(parent @ np.array(node.rest, dtype=float), seen) @ parent
    return {node.name: turned[node.parent].transpose(0, 2, 1) @ turned[node.name] for node in NODES}


def _angles(rotations: np.ndarray) -> np.ndarray:
    """(F, 3) degrees of (F, 3, 3), about moving axes in `_ROTATION_ORDER`."""
    return np.unwrap(Rotation.from_matrix(rotations).as_euler(_ROTATION_ORDER, degrees=True), period=360, axis=0)


def _pelvis_axes(points: dict[str, np.ndarray]) -> np.ndarray:
    """(F, 3, 3) columns: x to the left hip, y towards the neck as far as x allows, z to the front."""
    x = _unit(points["left_hip"] - points["pelvis"])
    z = _unit(np.cross(x, points["neck"] - points["pelvis"]))
    return np.stack([x, np.cross(z, x), z], -1)


def _swing(start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """(F, 3, 3) least rotations that turn (F, 3) start into the direction of end; none where end is 0."""
    a, b = _unit(start), _unit(end)
    axis = np.cross(a, b)
    across = np.cross(a, np.where(np.abs(a[:, :1]) < 0.9, [[1.0, 0.0, 0.0]], [[0.0, 1.0, 0.0]]))
    opposite = (a * b).sum(1) < -1 + 1e-9  # half a turn, about any axis across
    axis = np.where(opposite[:, None], across, axis)
    angle = np.arctan2(np.linalg.norm(axis, axis=1), (a * b).sum(1))
    angle = np.where(opposite, np.pi, angle)
    return Rotation.from_rotvec(_unit(axis) * angle[:, None]).as_matrix()


def _unit(vectors: np.ndarray) -> np.ndarray:
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.divide(vectors, length, out=np.zeros_like(vectors), where=length > 1e-9)


def _hierarchy(name: str, offsets: dict[str, np.ndarray], depth: int = 0) -> list[str]:
    """The lines of a node and all below it."""
    indent, inner = "\t" * depth, "\t" * (depth + 1)
    turning = " ".join(f"{axis}rotation" for axis in _ROTATION_ORDER)
    channels = f"CHANNELS 3 {turning}" if depth else f"CHANNELS 6 Xposition Yposition Zposition {turning}"
    lines = [f"{indent}{'JOINT' if depth else 'ROOT'} {name}", f"{indent}{{"]
    lines += [f"{inner}{_offset_line(offsets[name])}", f"{inner}{channels}"]
    for node in NODES:
        if node.parent == name:
            lines += _hierarchy(node.name, offsets, depth + 1)
    if f"{name} end" in offsets:
        tip = _offset_line(offsets[f"{name} end"])
        lines += [f"{inner}End Site", f"{inner}{{", f"{inner}\t{tip}", f"{inner}}}"]
    return [*lines, f"{indent}}}"]


def _offset_line(offset: np.ndarray) -> str:
    return "OFFSET " + " ".join(f"{_CM * value:.5f}" for value in offset)

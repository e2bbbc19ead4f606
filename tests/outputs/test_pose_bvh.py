from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lcrnet_d2.outputs.pose_bvh import write_bvh
from lcrnet_d2.structures import BODY13
from sources.mocap.bvh import parse_bvh, parse_bvh_nodes, read_bvh
from tests_support import random_poses, standing_pose

LIMBS = [
    (f"{side}_{a}", f"{side}_{b}")
    for side in ("left", "right")
    for a, b in (("hip", "knee"), ("knee", "ankle"), ("shoulder", "elbow"), ("elbow", "wrist"))
]
#: Bones whose directions the file keeps.
KEPT = [*LIMBS, ("right_hip", "left_hip"), ("right_shoulder", "left_shoulder")]


def directions(poses: np.ndarray) -> np.ndarray:
    ends = np.array([BODY13.indices(bone) for bone in KEPT])
    bones = poses[..., ends[:, 1], :] - poses[..., ends[:, 0], :]
    return bones / np.linalg.norm(bones, axis=-1, keepdims=True)


def degrees_between(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.degrees(np.arctan2(np.linalg.norm(np.cross(a, b), axis=-1), (a * b).sum(-1)))


@settings(max_examples=15)
@given(seed=st.integers(0, 1000), frames=st.integers(1, 6))
def test_the_projects_own_reader_finds_every_bone_direction_again(
    tmp_path_factory: pytest.TempPathFactory, seed: int, frames: int
) -> None:
    poses = random_poses(frames, seed).double().numpy() + [0.3, -0.1, 4.0]
    path = tmp_path_factory.mktemp("bvh") / "p.bvh"
    write_bvh(path, poses, fps=30)
    read = parse_bvh(path.read_bytes(), "p.bvh", metres_per_unit=0.01)
    assert len(read) == frames and read.fps == pytest.approx(30, rel=1e-6)
    assert degrees_between(directions(poses), directions(read.poses_3d)).max() < 0.01
    # Spine and neck too: middles of hips, of shoulders, and the head.
    for pose in (poses, read.poses_3d):
        assert pose.shape == (frames, 13, 3)
    spine, spine_read = (
        p[:, BODY13.indices(["left_shoulder", "right_shoulder"])].mean(1)
        - p[:, BODY13.indices(["left_hip", "right_hip"])].mean(1)
        for p in (poses, read.poses_3d)
    )
    assert degrees_between(spine, spine_read).max() < 0.01


def test_a_body_whose_bones_stay_as_long_as_they_are_comes_back_to_the_millimetre(tmp_path: Path) -> None:
    """Turning as a whole, walking away: also the place before the camera, and the head in the middle of its bone."""
    standing, angles = standing_pose().double().numpy(), np.linspace(0, 7, 40)  # more than once around
    turns = np.array([[[np.cos(a), 0, np.sin(a)], [0, 1, 0], [-np.sin(a), 0, np.cos(a)]] for a in angles])
    poses = standing @ turns.transpose(0, 2, 1) + np.linspace([0, 0, 3], [1, 0.2, 6], 40)[:, None]
    write_bvh(tmp_path / "p.bvh", poses, fps=25)
    read = read_bvh(tmp_path / "p.bvh")  # centimetres are recognised
    assert np.abs(read.poses_3d - poses).max() < 1e-3


def test_a_standing_person_by_hand(tmp_path: Path) -> None:
    """Facing the camera: hips 20 cm wide, thigh and shin 40 cm each, upright with arms hanging."""
    write_bvh(tmp_path / "p.bvh", standing_pose().double().numpy()[None], fps=25)
    motion = parse_bvh_nodes((tmp_path / "p.bvh").read_bytes(), "p.bvh")
    tree, places = motion.tree, dict(zip(motion.tree.names, motion.positions[0], strict=True))
    assert tree.offsets[tree.names.index("LeftUpLeg")] == pytest.approx([10, 0, 0], abs=1e-3)
    assert tree.offsets[tree.names.index("RightUpLeg")] == pytest.approx([-10, 0, 0], abs=1e-3)
    assert tree.offsets[tree.names.index("LeftLeg")] == pytest.approx([0, -40, 0], abs=1e-3)
    assert places["LeftFoot"] == pytest.approx([10, -105, 0], abs=1e-3)  # y up; the body centre is 25 cm above the hips
    assert places["LeftFoot end"][2] > places["LeftFoot"][2]  # toes towards the camera, which is at +z


def test_bone_lengths_are_medians_of_all_frames_and_both_sides(tmp_path: Path) -> None:
    poses = np.repeat(standing_pose().double().numpy()[None], 5, 0)
    poses[4, BODY13.index("left_ankle"), 1] += 0.3  # one bad frame
    write_bvh(tmp_path / "p.bvh", poses, fps=25)
    tree = parse_bvh_nodes((tmp_path / "p.bvh").read_bytes(), "p.bvh").tree
    for side in ("Left", "Right"):
        assert tree.offsets[tree.names.index(f"{side}Foot")] == pytest.approx([0, -40, 0], abs=1e-3)


def test_bones_straight_against_their_rest_direction(tmp_path: Path) -> None:
    """Standing on the hands: every leg bone turns by exactly half a turn."""
    poses = standing_pose().double().numpy()[None].copy()
    for joint in ("knee", "ankle"):
        for side in ("left", "right"):
            hip = poses[0, BODY13.index(f"{side}_hip"), 1]
            poses[0, BODY13.index(f"{side}_{joint}"), 1] = hip - (0.4 if joint == "knee" else 0.8)
    write_bvh(tmp_path / "p.bvh", poses, fps=25)
    read = read_bvh(tmp_path / "p.bvh")
    assert np.abs(read.poses_3d - poses).max() < 1e-3


def test_what_is_no_motion_is_refused(tmp_path: Path) -> None:
    for poses in (np.zeros((0, 13, 3)), np.zeros((2, 14, 3)), np.full((1, 13, 3), np.nan)):
        with pytest.raises(ValueError, match="motion"):
            write_bvh(tmp_path / "p.bvh", poses, fps=25)
    assert not list(tmp_path.iterdir())

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lcrnet_d2.data.synthetic.articulation import (
    LIMITS,
    BodyShape,
    JointAngles,
    forward_kinematics,
    limb_spheres,
    mirror_angles,
    sample_shape,
    self_penetration,
    sole_heights,
    stand_on_ground,
)
from lcrnet_d2.structures import BODY13

SHAPE = BodyShape(
    stature=1.7, girth=1.0, upper_arm=0.3, forearm=0.25, hand=0.16, thigh=0.4, shin=0.4, foot=0.25,
    shoulder_half=0.2, hip_half=0.1, trunk=0.5, head=0.12,
)  # fmt: skip
RIGHT, LEFT = 0, 1


def upright(**changes: object) -> JointAngles:
    """Arms and legs straight down; changes are {part: (side, angles)} or whole arrays."""
    zero = {name: np.zeros(3) for name in ("pelvis", "spine", "neck")}
    zero |= {name: np.zeros((2, 3)) for name in ("hip", "shoulder")}
    zero |= {name: np.zeros(2) for name in ("knee", "ankle", "elbow", "wrist")}
    return replace(JointAngles(**zero, flat=np.array([False, False])), **changes)


def random_angles(seed: int) -> JointAngles:
    rng = np.random.default_rng(seed)
    drawn = {name: rng.uniform(-160, 160, getattr(upright(), name).shape) for name in LIMITS}
    return replace(upright(), pelvis=rng.uniform(-180, 180, 3), flat=rng.random(2) < 0.5, **drawn)


def test_upright_body_has_its_joints_straight_above_each_other():
    points = forward_kinematics(SHAPE, upright()).points
    assert points["left_hip"] == pytest.approx([0.1, 0, 0])  # x is the person's left
    assert points["left_knee"] == pytest.approx([0.1, -0.4, 0])
    assert points["left_ankle"] == pytest.approx([0.1, -0.8, 0])
    assert points["right_shoulder"] == pytest.approx([-0.2, 0.5, 0])
    assert points["right_toes"][2] > points["right_heel"][2]  # toes to the front
    assert points["head"][2] > 0  # and the head a little


@pytest.mark.parametrize(
    ("part", "angles", "point", "start", "direction"),
    [
        ("hip", [90, 0, 0], "knee", "hip", [0, 0, 1]),  # thigh to the front
        ("shoulder", [90, 0, 0], "elbow", "shoulder", [0, 0, 1]),
        ("shoulder", [0, 90, 0], "elbow", "shoulder", [1, 0, 0]),  # left arm to the left
        ("knee", 90, "ankle", "knee", [0, 0, -1]),  # the shin goes backwards
        ("elbow", 90, "wrist", "elbow", [0, 0, 1]),  # the forearm to the front
    ],
)
def test_single_angles_turn_limbs_as_they_are_named(part, angles, point, start, direction):
    both = np.array([angles, angles], float)
    points = forward_kinematics(SHAPE, upright(**{part: both})).points
    for side, sign in (("left", 1), ("right", -1)):
        bone = points[f"{side}_{point}"] - points[f"{side}_{start}"]
        # 2 degrees: an elbow is never quite straight; 0.06: a raised shoulder moves.
        assert bone / np.linalg.norm(bone) == pytest.approx(np.array(direction) * [sign, 1, 1], abs=0.06)


def test_leaning_to_the_front_takes_the_head_to_the_front_and_left_to_the_left():
    front = forward_kinematics(SHAPE, upright(pelvis=np.array([90.0, 0, 0]))).points
    assert front["collar"] == pytest.approx([0, 0, 0.5], abs=1e-9)
    left = forward_kinematics(SHAPE, upright(pelvis=np.array([0, 90.0, 0]))).points
    assert left["collar"] == pytest.approx([0.5, 0, 0], abs=1e-9)


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=40)
def test_no_pose_changes_a_bone_length_or_bends_a_hinge_the_wrong_way(seed):
    body = forward_kinematics(SHAPE, random_angles(seed))
    p = body.points
    for side in ("right", "left"):
        assert np.linalg.norm(p[f"{side}_knee"] - p[f"{side}_hip"]) == pytest.approx(0.4)
        assert np.linalg.norm(p[f"{side}_wrist"] - p[f"{side}_elbow"]) == pytest.approx(0.25)
        shin_to_front = (p[f"{side}_ankle"] - p[f"{side}_knee"]) @ body.frames[f"{side}_thigh"][:, 2]
        forearm_to_front = (p[f"{side}_wrist"] - p[f"{side}_elbow"]) @ body.frames[f"{side}_upper_arm"][:, 2]
        assert shin_to_front <= 1e-9 and forearm_to_front >= -1e-9
    for frame in body.frames.values():
        assert frame @ frame.T == pytest.approx(np.eye(3), abs=1e-9)
        assert np.linalg.det(frame) == pytest.approx(1)


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=40)
def test_mirrored_angles_give_the_mirrored_body(seed):
    angles = random_angles(seed)
    joints = forward_kinematics(SHAPE, angles).joints()
    mirrored = forward_kinematics(SHAPE, mirror_angles(angles)).joints()
    assert mirrored == pytest.approx(joints[BODY13.flip_indices] * [-1, 1, 1], abs=1e-9)


def test_flat_feet_are_level_where_the_ankle_allows():
    hip, knee = np.array([[30.0, 0, 0]] * 2), np.array([40.0, 40.0])  # the shin leans 10 degrees
    body = forward_kinematics(SHAPE, upright(hip=hip, knee=knee, flat=np.array([True, False])))
    assert body.frames["right_foot"][1, 2] == pytest.approx(0, abs=1e-9)
    assert body.frames["left_foot"][1, 2] == pytest.approx(-np.sin(np.radians(10)), abs=1e-9)


def test_only_impossible_poses_penetrate():
    arms_off_the_hips = upright(shoulder=np.array([[0, 15.0, 0]] * 2))
    assert self_penetration(forward_kinematics(SHAPE, arms_off_the_hips)) == 0
    crossed = upright(shoulder=np.array([[0, 0, 80.0]] * 2), elbow=np.array([90.0, 90.0]))  # forearms into the belly
    assert self_penetration(forward_kinematics(SHAPE, crossed)) > 0.05


def test_standing_puts_the_lowest_sphere_on_the_ground():
    body = stand_on_ground(forward_kinematics(SHAPE, upright()), lift=0.2)
    centres, radii = limb_spheres(body)
    assert (centres[:, 1] - radii).min() == pytest.approx(0.2, abs=0.03)


def test_shapes_are_people():
    rng = np.random.default_rng(0)
    shapes = [sample_shape(rng) for _ in range(300)]
    statures = np.array([shape.stature for shape in shapes])
    assert 1.1 <= statures.min() < 1.4 and 1.85 < statures.max() <= 2.0  # children and tall adults occur
    for shape in shapes:
        # What remains over legs, trunk and two heads' halves is neck and feet: 2 to 13 % of the stature.
        rest = 1 - (shape.thigh + shape.shin + shape.trunk + 2 * shape.head) / shape.stature
        assert -0.02 < rest < 0.2


def test_sole_heights_are_those_of_the_whole_body():
    angles = random_angles(3)
    points = forward_kinematics(SHAPE, angles).points
    expected = [min(points[f"{side}_heel"][1], points[f"{side}_toes"][1]) for side in ("right", "left")]
    assert sole_heights(SHAPE, angles) == pytest.approx(expected)

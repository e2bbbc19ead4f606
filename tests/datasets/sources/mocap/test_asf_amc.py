import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lcrnet_d2.structures import BODY13
from mocap_support import amc, asf, joint, real_file
from sources.mocap.asf_amc import parse_amc, parse_asf
from sources.mocap.take import BrokenTakeError, Take
from sources.mocap.takes import read_take
from tests_support import needs_real_data


def read(motion: bytes, skeleton: bytes | None = None) -> Take:
    return parse_amc(motion, "a.amc", parse_asf(asf() if skeleton is None else skeleton, "a.asf"))


def test_rest_pose_by_hand() -> None:
    pose = read(amc([{}])).poses_3d[0]
    assert joint(pose, "left_ankle") == [0.1, 0.8, 0.0]  # y down: 0.8 m below the root
    assert joint(pose, "left_wrist") == [0.75, -0.5, 0.0]  # 0.2 + 0.3 + 0.25 to the left, seen from the front: right
    assert joint(pose, "head") == [0.0, -0.6, 0.0]  # middle of the head bone from 0.5 to 0.7
    assert joint(pose, "right_shoulder") == [-0.2, -0.5, 0.0]


def test_lifting_the_left_leg_brings_the_knee_towards_the_camera() -> None:
    pose = read(amc([{"lfemur": (-90, 0, 0), "ltibia": (90,)}])).poses_3d[0]
    assert joint(pose, "left_knee") == [0.1, 0.0, -0.4]
    assert joint(pose, "left_ankle") == [0.1, 0.4, -0.4]
    assert joint(pose, "right_knee") == [-0.1, 0.4, 0.0]


def test_a_bone_turns_about_its_own_axes() -> None:
    """Axes turned by 90 degrees about z: the bone's x is the studio's y, so rx spins the leg about itself."""
    turned = asf(axis={"lfemur": (0.0, 0.0, 90.0)})
    pose = read(amc([{"lfemur": (90, 0, 0)}]), turned).poses_3d[0]
    assert joint(pose, "left_knee") == [0.1, 0.4, 0.0]
    pose = read(amc([{"lfemur": (0, 90, 0)}]), turned).poses_3d[0]  # its y is the studio's -x: the leg lifts
    assert joint(pose, "left_knee") == [0.1, 0.0, -0.4]


def test_the_root_moves_and_turns() -> None:
    pose = read(amc([{"root": (1.0, 2.0, 3.0, 0.0, 90.0, 0.0)}])).poses_3d[0]
    assert joint(pose, "left_hip") == [1.0, -2.0, -2.9]  # left (+x) turned about y to -z of the studio


def test_units() -> None:
    """CMU's unit: value * 0.0254 / 0.45 metres."""
    small, large = read(amc([{}]), asf(length_unit=0.45)), read(amc([{}]))
    assert np.allclose(small.poses_3d, large.poses_3d)


@given(st.integers(0, len(amc([{}, {}, {}])) - 1))
@settings(max_examples=60)
def test_a_cut_motion_is_refused_unless_cut_between_frames(size: int) -> None:
    whole = amc([{}, {}, {}])
    try:
        take = read(whole[:size])
    except BrokenTakeError as error:
        assert str(error).startswith("a.amc")
    else:
        assert whole[size:].split(b"\n")[0] in (b"2", b"3") and len(take) in (1, 2)


@given(st.integers(0, len(asf()) - 2))
@settings(max_examples=60)
def test_a_cut_skeleton_is_refused_unless_only_its_last_end_is_missing(size: int) -> None:
    try:
        read(amc([{}]), asf()[:size])
    except BrokenTakeError as error:
        assert "a.asf" in str(error)
    else:
        assert asf()[size:].strip() == b"end"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (b"\n3\n", b"\n4\n", "a.amc:16: frame 4 follows frame 2"),
        (b"ltibia 0.0", b"ltibia x", "a.amc:4: 'x' is not a number"),
        (b"ltibia 0.0", b"ltibia nan", "a.amc:4: a number of this frame is not finite"),
        (b"ltibia 0.0", b"ltibia 0.0 1.0", "a.amc:8: 2 values for 'ltibia', which has 1"),
        (b"ltibia 0.0", b"tail 0.0", "a.amc:8: bone 'tail' does not move"),
        (b":DEGREES", b":RADIANS", "a.amc:3: :RADIANS, but a.asf says otherwise"),
        (b"\n1\n", b"\n", "before the first frame number"),
    ],
)
def test_damage_is_named_with_its_line(old: bytes, new: bytes, message: str) -> None:
    with pytest.raises(BrokenTakeError, match=message):
        read(amc([{}, {}, {}]).replace(old, new, 1))


@pytest.mark.parametrize("line", [b"  length 0.0254\n", b"  angle deg\n", b":units\n"])
def test_a_skeleton_without_units_is_refused(line: bytes) -> None:
    """CMU's unit, 0.45, taken for 1 would shrink a person of 1.6 m to 0.7 m, whose legs still pass for legs."""
    assert line in asf()
    with pytest.raises(BrokenTakeError, match=r"a.asf.*:units"):
        read(amc([{}]), asf().replace(line, b""))


def test_an_unknown_rig_lists_its_joints_and_says_how_to_add_one() -> None:
    renamed = asf().replace(b"lfemur", b"leg_upper_l")
    told = r"unknown rig.*leg_upper_l.*needs also \[.lfemur.\].*--rig table.json: .*left_hip.: .\?"
    with pytest.raises(BrokenTakeError, match=told):
        read(amc([{}]), renamed)


def test_no_frames() -> None:
    with pytest.raises(BrokenTakeError, match="no frames"):
        read(amc([]))


@needs_real_data
def test_cmu_02_01() -> None:
    """A walk: bones keep their lengths; standing, the skeleton spans about 1.56 m from ankles to top of the head."""
    file = real_file("cmu_asfamc.tar.xz", "/02_01.amc")
    take = read_take(file)
    assert len(take) == 343
    for a, b in BODY13.bone_indices:
        if BODY13.index("head") in (a, b) or a in BODY13.torso and b in BODY13.torso:
            continue  # neck and spine bend between these
        length = np.linalg.norm(take.poses_3d[:, a] - take.poses_3d[:, b], axis=-1)
        assert np.ptp(length) < 1e-9
    assert file.skeleton is not None
    skeleton = parse_asf(file.skeleton[1], file.skeleton[0])
    names, rest = skeleton.tree.names, skeleton.tree.rest_positions() * skeleton.metres_per_unit
    hip, knee, ankle, top = (rest[names.index(node)] for node in ("lfemur", "ltibia", "lfoot", "head end"))
    leg = np.linalg.norm(hip - knee) + np.linalg.norm(knee - ankle)  # at rest the legs stand apart by 20 degrees
    assert top[1] - hip[1] + leg == pytest.approx(1.56, abs=0.01)

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lcrnet_d2.structures import BODY13, centre_poses
from mocap_support import joint, real_file
from sources.mocap.bvh import parse_bvh, parse_bvh_nodes
from sources.mocap.take import BrokenTakeError
from sources.mocap.takes import read_take
from tests_support import needs_real_data

# joint: (parent, offset in cm). y is up, the person faces +z, left is +x.
BONES: dict[str, tuple[str, tuple[float, float, float]]] = {
    "Hips": ("", (0, 90, 0)),
    "Spine": ("Hips", (0, 50, 0)),
    "Head": ("Spine", (0, 5, 0)),
    "LeftArm": ("Spine", (20, 0, 0)),
    "LeftForeArm": ("LeftArm", (30, 0, 0)),
    "LeftHand": ("LeftForeArm", (25, 0, 0)),
    "RightArm": ("Spine", (-20, 0, 0)),
    "RightForeArm": ("RightArm", (-30, 0, 0)),
    "RightHand": ("RightForeArm", (-25, 0, 0)),
    "LeftUpLeg": ("Hips", (10, 0, 0)),
    "LeftLeg": ("LeftUpLeg", (0, -40, 0)),
    "LeftFoot": ("LeftLeg", (0, -40, 0)),
    "RightUpLeg": ("Hips", (-10, 0, 0)),
    "RightLeg": ("RightUpLeg", (0, -40, 0)),
    "RightFoot": ("RightLeg", (0, -40, 0)),
}
MOVING = "Xposition Yposition Zposition "
TURNING = "Zrotation Yrotation Xrotation"


def hierarchy(scale: float = 1.0, moving_joints: tuple[str, ...] = (), bone: str = "Hips") -> list[str]:
    parent, offset = BONES[bone]
    word = "JOINT" if parent else "ROOT"
    channels = MOVING + TURNING if bone in ("Hips", *moving_joints) else TURNING
    lines = [f"{word} {bone}", "{", "OFFSET " + " ".join(str(v * scale) for v in offset)]
    lines.append(f"CHANNELS {len(channels.split())} {channels}")
    children = [name for name, (its_parent, _) in BONES.items() if its_parent == bone]
    for child in children:
        lines += hierarchy(scale, moving_joints, child)
    if not children:
        lines += ["End Site", "{", f"OFFSET 0 {20 * scale} 0", "}"]
    return [*lines, "}"]


def bvh(frames: list[dict[str, tuple[float, ...]]], scale: float = 1.0, moving_joints: tuple[str, ...] = ()) -> bytes:
    """A motion: joint -> channel values, 0 where left out."""
    head = hierarchy(scale, moving_joints)
    order = [line.split()[1] for line in head if line.startswith(("ROOT", "JOINT"))]
    rows = []
    for frame in frames:
        widths = {name: 6 if name in ("Hips", *moving_joints) else 3 for name in order}
        rows.append(" ".join(str(v) for name in order for v in frame.get(name, (0.0,) * widths[name])))
    motion = ["MOTION", f"Frames: {len(frames)}", "Frame Time: 0.025", *rows]
    return ("\n".join(["HIERARCHY", *head, *motion]) + "\n").encode()


def test_rest_pose_by_hand() -> None:
    take = parse_bvh(bvh([{}, {}]), "a.bvh")
    assert len(take) == 2 and take.fps == pytest.approx(40.0)
    pose = take.poses_3d[0]
    assert joint(pose, "left_ankle") == [0.1, 0.8, 0.0]
    assert joint(pose, "left_wrist") == [0.75, -0.5, 0.0]
    assert joint(pose, "head") == [0.0, -0.65, 0.0]  # from 0.55 to 0.75


def test_channels_turn_in_the_order_listed() -> None:
    """Z by 90 then, about the turned axes, X by 90: the forearm (+x) points up, whatever the second turn."""
    pose = parse_bvh(bvh([{"LeftArm": (90.0, 0.0, 90.0)}]), "a.bvh").poses_3d[0]
    assert joint(pose, "left_elbow") == [0.2, -0.8, 0.0]


@pytest.mark.parametrize(
    ("scale", "unit"), [(1.0, 0.01), (0.01, 1.0), (10.0, 0.001), (0.01 * 0.45 / 0.0254, 0.0254 / 0.45)]
)
def test_the_unit_is_told_by_the_legs(scale: float, unit: float) -> None:
    known, told = parse_bvh(bvh([{}], scale), "a.bvh", unit), parse_bvh(bvh([{}], scale), "a.bvh")
    assert np.allclose(known.poses_3d, told.poses_3d) and joint(told.poses_3d[0], "left_ankle")[1] == 0.8


def test_a_unit_that_cannot_be_told_is_asked_for() -> None:
    with pytest.raises(BrokenTakeError, match="thigh and shin are 0.08 units long.*give the unit"):
        parse_bvh(bvh([{}], 0.001), "a.bvh")  # 0.08 m, or less


@pytest.mark.parametrize("moves", [(0.0, 0.0, 0.0), (0.0, -40.0, 0.0)])
def test_joints_that_repeat_their_offset_or_stay_at_zero(moves: tuple[float, ...]) -> None:
    """Both ways exporters fill the position channels of inner joints; neither moves the joint."""
    take = parse_bvh(bvh([{"LeftLeg": (*moves, 0.0, 0.0, 0.0)}], moving_joints=("LeftLeg",)), "a.bvh")
    assert joint(take.poses_3d[0], "left_knee") == [0.1, 0.4, 0.0]


@pytest.mark.parametrize("stretched", [-41.0, -1.0])
def test_bones_may_stretch_a_little(stretched: float) -> None:
    """By 1 cm of 40: -41 in the place of the offset, or -1 added to it."""
    frames = [{"LeftLeg": (0.0, stretched, 0.0, 0.0, 0.0, 0.0)}]
    take = parse_bvh(bvh(frames, moving_joints=("LeftLeg",)), "a.bvh")
    assert joint(take.poses_3d[0], "left_knee") == [0.1, 0.41, 0.0]


def test_hips_may_walk_below_a_node_that_stands_still() -> None:
    """Blender's armature: its offset is 0, so position channels can be read in one way."""
    text = bvh([{"Hips": (300.0, 90.0, 0.0, 0.0, 0.0, 0.0)}]).decode().replace("OFFSET 0.0 90.0 0.0", "OFFSET 0 0 0")
    text = text.replace("ROOT Hips", "ROOT Armature\n{\nOFFSET 0 0 0\nCHANNELS 0\nJOINT Hips").replace(
        "MOTION", "}\nMOTION"
    )
    assert joint(parse_bvh(text.encode(), "a.bvh").poses_3d[0], "left_hip") == [3.1, -0.9, 0.0]


def test_bones_that_stretch_are_refused() -> None:
    with pytest.raises(BrokenTakeError, match="'LeftLeg' moves against its parent"):
        parse_bvh(bvh([{"LeftLeg": (0.0, -45.0, 0.0, 0.0, 0.0, 0.0)}], moving_joints=("LeftLeg",)), "a.bvh")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (b"Frames: 2", b"Frames: 3", "2 frames follow, 'Frames:' says 3"),
        (b"Frames: 2", b"Frames: 1", "2 frames follow, 'Frames:' says 1"),
        (b"Frames: 2", b"Frames: x", "'x' is not a number"),
        (b"0.025", b"0", "0 s"),
        (b"\n0.0 0.0", b"\n0.0", "values; the joints have 48 channels"),
        (b"\n0.0 0.0", b"\n0.0 inf", "'inf' is not a finite number"),
        (b"CHANNELS 3", b"CHANNELS 4", "expected a count"),
        (b"}\nMOTION", b"MOTION", "MOTION while 1 of"),
        (b"OFFSET 20 0 0", b"OFFSET 20 0", "no OFFSET of three values|OFFSET"),
        (b"LeftHand", b"Paw", "unknown rig"),
    ],
)
def test_damage_is_named(old: bytes, new: bytes, message: str) -> None:
    whole = bvh([{}, {}]).replace(b"20.0 0.0 0.0", b"20 0 0")
    assert old in whole
    with pytest.raises(BrokenTakeError, match=message):
        parse_bvh(whole.replace(old, new, 1), "a.bvh")


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data.replace(b"\n{", b" {"),
        lambda data: data.replace(b"\n{\n", b" { ").replace(b"\n}", b" }").replace(b"OFFSET", b"\nOFFSET"),
        lambda data: b"\xef\xbb\xbf" + data,
        lambda data: data.replace(b"\n", b"\r\n"),
        lambda data: data.replace(b"Frames: 2", b"Frames:2").replace(b"Frame Time: ", b"FRAME TIME:\t"),
        lambda data: data.lower(),
        lambda data: data.upper(),
        lambda data: data[:-1],
    ],
    ids=["brace on the line", "braces anywhere", "BOM", "CRLF", "Frames:2", "lower", "upper", "no last line end"],
)
def test_what_other_programs_write(change) -> None:
    whole = bvh([{}, {"LeftArm": (90.0, 0.0, 90.0)}])
    np.testing.assert_array_equal(parse_bvh(change(whole), "a.bvh").poses_3d, parse_bvh(whole, "a.bvh").poses_3d)


def test_a_last_number_that_may_be_cut_is_not_read() -> None:
    """Without a last line end -10.2 may be the half of -10.2227: unless all numbers have as many decimals."""
    whole = bvh([{}, {"RightFoot": (0.0, 0.0, 12.25)}])[:-1]
    assert len(parse_bvh(whole, "a.bvh")) == 1
    with pytest.raises(BrokenTakeError, match="its one frame may be cut: if the file is whole, add a line end"):
        parse_bvh(bvh([{"RightFoot": (0.0, 0.0, 12.25)}])[:-1], "a.bvh")


def test_z_up_is_asked_about_and_read_if_told() -> None:
    turned = [{"Hips": (0.0, 0.0, 90.0, 0.0, 0.0, 90.0)}]  # about x by 90 degrees: y becomes z
    with pytest.raises(BrokenTakeError, match="--up=z"):
        parse_bvh(bvh(turned), "a.bvh")
    pose = parse_bvh(bvh(turned), "a.bvh", up="z").poses_3d[0]
    assert joint(pose, "head")[1] == -1.55 and joint(pose, "left_ankle")[1] == -0.1


@given(st.integers(0, len(bvh([{}, {}])) - 2))
@settings(max_examples=60)
def test_a_cut_motion_is_refused_or_read_without_its_last_frame(size: int) -> None:
    whole = bvh([{}, {}])
    if whole[:size].count(b" ") == whole.count(b" "):  # within the last number
        assert len(parse_bvh(whole[:size], "a.bvh")) == 1
        return
    with pytest.raises(BrokenTakeError, match="a.bvh"):
        parse_bvh(whole[:size], "a.bvh")


def test_agrees_with_pybvh(tmp_path) -> None:
    """A library's forward kinematics, written independently."""
    pybvh = pytest.importorskip("pybvh")
    rng = np.random.default_rng(0)
    frames = [{name: tuple(rng.uniform(-180, 180, 3).round(3)) for name in BONES if name != "Hips"} for _ in range(5)]
    (tmp_path / "a.bvh").write_bytes(bvh(frames))
    ours = parse_bvh_nodes(bvh(frames), "a.bvh").positions
    theirs = pybvh.read_bvh_file(tmp_path / "a.bvh").node_positions()
    assert np.abs(ours - theirs).max() < 1e-9


@needs_real_data
def test_cmu_02_01_is_that_of_the_asf() -> None:
    """The same take as ASF/AMC and in the 3dsMax conversion, which leaves out two bones that its table puts back.

    Legs: to rounding of the file. Above the hips: to 10 mm, as the thorax bone put back is straight.
    """
    bvh_take = read_take(real_file("bvh.zip", "cmu_3dsmax/02_01.bvh"))
    amc_take = read_take(real_file("cmu_asfamc.tar.xz", "/02_01.amc"))
    apart = np.linalg.norm(bvh_take.poses_3d - amc_take.poses_3d, axis=-1)
    legs = BODY13.indices([f"{side}_{name}" for side in ("left", "right") for name in ("ankle", "knee", "hip")])
    assert apart[:, legs].max() < 1e-4 and apart.max() < 0.010


@needs_real_data
def test_makehuman_poses_are_people() -> None:
    """Joints with position channels, z up, decimetres: standing is upright, the handstand is not."""
    import torch

    head, hips = BODY13.index("head"), BODY13.indices(["left_hip", "right_hip"])
    for name, sign in (("standing01", 1), ("gym01", -1)):
        take = read_take(real_file("bvh.zip", f"makehuman_cc0/{name}.bvh"))
        pose = centre_poses(torch.from_numpy(take.poses_3d), BODY13)[0]
        assert sign * (pose[hips, 1].mean() - pose[head, 1]) > 0.4


def test_a_joint_that_does_not_turn_may_not_share_the_name_of_one_that_does() -> None:
    """Turns go by name: this collar bone would turn with the spine."""
    text = bvh([{}]).decode().replace("JOINT LeftArm\n", "JOINT Spine\n{\nOFFSET 1 0 0\nJOINT LeftArm\n")
    text = text.replace("JOINT RightArm\n", "}\nJOINT RightArm\n")
    with pytest.raises(BrokenTakeError, match=r"named twice: \['Spine'\]"):
        parse_bvh_nodes(text.encode(), "a.bvh")

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lcrnet_d2.structures import BODY13
from sources.mocap.rigs import RIGS, NodeTree, Rig, euler_rotations, find_rig, read_rig
from sources.mocap.take import BrokenTakeError


def tree_of(rig: Rig, prefix: str = "") -> NodeTree:
    """All nodes the table names, in a row; joined ones in one place."""
    names = sorted(rig.needed)
    places = {name: np.array([float(i), 0.0, 0.0]) for i, name in enumerate(names)}
    for a, b in rig.joined:
        places[b] = places[a]
    parents = (-1,) + (0,) * (len(names) - 1)
    offsets = np.array([places[name] - places[names[0]] for name in names])
    return NodeTree(tuple(prefix + name for name in names), parents, offsets)


@pytest.mark.parametrize("rig", RIGS, ids=lambda rig: rig.name)
def test_each_table_is_found_by_its_own_nodes(rig: Rig) -> None:
    assert find_rig(tree_of(rig), "a.bvh")[0] is rig
    assert find_rig(tree_of(rig, "mixamorig:"), "a.bvh")[0] is rig


@pytest.mark.parametrize("rig", RIGS, ids=lambda rig: rig.name)
def test_left_and_right_are_twins(rig: Rig) -> None:
    for left, right in BODY13.flip_pairs:
        assert len(rig.nodes[left]) == len(rig.nodes[right]) and rig.nodes[left] != rig.nodes[right]


@pytest.mark.parametrize(
    ("knee", "head", "name"),
    [
        ("mixamorig:LeftLeg", ("mixamorig:Head", "HeadTop_End"), "MotionBuilder, Mixamo"),
        ("mixamorig_LeftLeg", ("mixamorig_Head", "mixamorig_Head end"), "MotionBuilder, Mixamo"),
        ("Left Leg", ("Head", "Head end"), "MotionBuilder, Mixamo"),
        ("leftleg", ("head",), "MotionBuilder, Mixamo"),
        ("left_knee", ("Neck", "Head"), "3dsMax, Xsens"),
        ("L_Knee", ("Head", "Head end"), "SMPL"),
        ("LeftShin", ("Head", "Head end"), "Rokoko"),
        ("LShin", ("Head", "Head end"), "OptiTrack"),
        ("Bip01 L Calf", ("Bip01 Head", "Bip01 Head end"), "3dsMax Biped"),
        ("LeftLowerLeg", ("Head",), "Unity"),
        ("calf_l", ("head",), "Unreal"),
        ("shin.L", ("head",), "Blender (Rigify)"),
    ],
)
def test_names_of_suits_and_programs(knee: str, head: tuple[str, ...], name: str) -> None:
    """As they write the left knee and the head; the other nodes in the same way."""
    rig = next(rig for rig in RIGS if rig.name == name)
    (written,) = rig.nodes["left_knee"]
    nodes = {node for joint, weights in rig.nodes.items() if joint != "head" for node in weights}
    limbs = [knee if node == written else restyled(node, written, knee) for node in sorted(nodes)]
    names = (*limbs, *head)
    places = np.array([[float(i), 0.0, 0.0] for i in range(len(names))])
    found, plain = find_rig(NodeTree(names, (-1,) + (0,) * (len(names) - 1), places), "a.bvh")
    assert found.name == name
    joints = found.joints_of(plain, places)
    assert joints[BODY13.index("left_knee"), 0] == limbs.index(knee)
    start = len(limbs)  # the middle of the head: of the head bone; beyond the head's start by a neck; its start
    expected = {"Neck": start + 2} if head[0] == "Neck" else {}
    assert joints[BODY13.index("head"), 0] == expected.get(head[0], start + 0.5 * (len(head) - 1))


def restyled(node: str, written: str, knee: str) -> str:
    """Another node of the table in the style in which the program writes `written` as `knee`."""
    if knee.islower() and written != knee.replace("_", ""):
        node = node.lower()
    prefix = knee[: len(knee) - len(written)] if knee.endswith(written) else "Bip01 " if knee[:3] == "Bip" else ""
    return prefix + node


def test_a_table_of_ones_own(tmp_path: Path) -> None:
    """The message prints the table to fill in; filled in and saved it is read, and fits."""
    names = ("Hips", *(f"{side}{part}" for side in "LR" for part in "abcdef"), "Skull", "Skull_top")
    tree = NodeTree(names, (-1,) + (0,) * 14, np.arange(45.0).reshape(15, 3))
    with pytest.raises(BrokenTakeError, match=r"unknown rig. Its joints: Hips, La, .*--rig table.json: {") as told:
        find_rig(tree, "a.bvh")
    table = json.loads(str(told.value).partition("--rig table.json: ")[2])
    assert set(table["joints"]) == set(BODY13.joints)
    for joint, part in zip(("ankle", "knee", "hip", "wrist", "elbow", "shoulder"), "abcdef", strict=True):
        table["joints"] |= {f"left_{joint}": f"L{part}", f"right_{joint}": f"R{part}"}
    table["joints"]["head"] = {"Skull": 0.5, "Skull_top": 0.5}
    (tmp_path / "table.json").write_text(json.dumps(table | {"up": "z"}))
    rig = read_rig(tmp_path / "table.json")
    found, plain = find_rig(tree, "a.bvh", (rig,))
    assert found is rig and rig.up == "z"
    joints = found.joints_of(plain, tree.rest_positions())
    assert joints[BODY13.index("left_ankle")].tolist() == [3.0, 4.0, 5.0]
    assert joints[BODY13.index("head")].tolist() == [40.5, 41.5, 42.5]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"joints": {"head": "Head"}}', '{"joints": [1]}'])
def test_what_is_no_table_is_named(text: str, tmp_path: Path) -> None:
    (tmp_path / "table.json").write_text(text)
    with pytest.raises(ValueError, match=r"table\.json is not"):
        read_rig(tmp_path / "table.json")


def test_joints_are_weighted_sums() -> None:
    nodes = {joint: {"a": 1.5, "b": -0.5} for joint in BODY13.joints}
    joints = Rig("line", nodes).joints_of(["a", "b"], np.array([[1.0, 0, 0], [0.0, 0, 2]]))
    assert joints.shape == (13, 3) and joints[0].tolist() == [1.5, 0.0, -1.0]  # beyond a, seen from b


def test_weights_that_do_not_add_up_are_refused() -> None:
    with pytest.raises(ValueError, match="add up to 1"):
        Rig("torn", {joint: {"a": 0.5} for joint in BODY13.joints})


def test_a_joint_named_twice_is_refused() -> None:
    tree = tree_of(RIGS[-1])
    doubled = NodeTree((*tree.names, tree.names[1]), (*tree.parents, 0), np.vstack([tree.offsets, tree.offsets[1]]))
    with pytest.raises(BrokenTakeError, match="named twice"):
        find_rig(doubled, "a.bvh")


ARM = NodeTree(("root", "elbow", "elbow end"), (-1, 0, 1), np.array([[0.0, 0, 0], [1, 0, 0], [1, 0, 0]]))
QUARTER_ABOUT_Z = np.array([[[0.0, -1, 0], [1, 0, 0], [0, 0, 1]]])


def axis_rotation(axis: int, degrees: float) -> np.ndarray:
    c, s = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    a, b = [(1, 2), (2, 0), (0, 1)][axis]
    rotation = np.eye(3)
    rotation[a, a], rotation[a, b], rotation[b, a], rotation[b, b] = c, -s, s, c
    return rotation


def test_a_bent_elbow() -> None:
    places = ARM.positions({"elbow": QUARTER_ABOUT_Z}, np.zeros((1, 3)))[0]
    assert np.allclose(places, [[0, 0, 0], [1, 0, 0], [1, 1, 0]])


def test_turns_add_up_along_the_arm() -> None:
    places = ARM.positions({"root": QUARTER_ABOUT_Z, "elbow": QUARTER_ABOUT_Z}, np.ones((1, 3)))[0]
    assert np.allclose(places, [[1, 1, 1], [1, 2, 1], [0, 2, 1]])


@given(st.permutations("xyz"), st.lists(st.floats(-720, 720), min_size=3, max_size=3))
@settings(max_examples=50)
def test_orders_against_products_of_single_turns(order: list[str], degrees: list[float]) -> None:
    singles = [axis_rotation("xyz".index(a), d) for a, d in zip(order, degrees, strict=True)]
    moving, fixed = singles[0] @ singles[1] @ singles[2], singles[2] @ singles[1] @ singles[0]
    angles = np.array([degrees])
    assert np.allclose(euler_rotations(angles, "".join(order).upper())[0], moving, atol=1e-9)
    assert np.allclose(euler_rotations(angles, "".join(order))[0], fixed, atol=1e-9)

import numpy as np
import pytest

from lcrnet_d2.mocap import BrokenTakeError
from lcrnet_d2.mocap.kinematics import NodeTree
from lcrnet_d2.mocap.rigs import RIGS, Rig, find_rig
from lcrnet_d2.structures import BODY13


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

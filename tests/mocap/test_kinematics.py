import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from lcrnet_d2.mocap.kinematics import NodeTree, euler_rotations

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

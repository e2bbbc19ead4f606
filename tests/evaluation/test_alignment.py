import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.spatial.transform import Rotation

from lcrnet_d2.evaluation import align_poses

coordinates = st.floats(-2, 2, allow_nan=False, width=32)
pose_pairs = st.integers(1, 8).flatmap(lambda j: st.tuples(*[arrays(np.float64, (2, j, 3), elements=coordinates)] * 2))


def squared(pred, gt):
    return ((pred - gt) ** 2).sum((1, 2))


def turned(pose, angles=(0.4, -1.1, 2.0), shift=(0.3, -2.0, 5.0)):
    return pose @ Rotation.from_euler("xyz", angles).as_matrix().T + np.array(shift)


def aligned_one_by_one(pred, gt, visible, with_scale):
    """The same with SciPy, pose by pose."""
    out = []
    for p, g, v in zip(pred, gt, visible, strict=True):
        p0, g0 = p - p[v].mean(0), g - g[v].mean(0)
        rotated = p0 @ Rotation.align_vectors(g0[v], p0[v])[0].as_matrix().T
        scale = (rotated[v] * g0[v]).sum() / (p0[v] ** 2).sum() if with_scale else 1.0
        out.append(scale * rotated + g[v].mean(0))
    return np.stack(out)


@pytest.mark.parametrize("kind", ["rigid", "similarity"])
def test_equals_scipy_pose_by_pose(kind):
    rng = np.random.default_rng(0)
    gt, noise = rng.normal(size=(2, 50, 13, 3))
    pred = turned(gt) + 0.3 * noise
    visible = rng.random((50, 13)) < 0.7
    expected = aligned_one_by_one(pred, gt, visible, kind == "similarity")
    np.testing.assert_allclose(align_poses(pred, gt, visible, kind), expected, atol=1e-9)


def test_a_mirrored_pose_is_not_turned_into_its_twin(drawn):
    gt = drawn.standing()[None]
    gt[0, 0] += [0.3, 0.0, 0.5]  # no plane of symmetry any more
    for kind in ("rigid", "similarity"):
        assert squared(align_poses(gt * [-1.0, 1.0, 1.0], gt, kind=kind), gt) > 0.01


@settings(max_examples=200)
@given(pose_pairs)
def test_the_squared_error_never_grows(pair):
    pred, gt = pair
    same_place = pred - pred.mean(1, keepdims=True) + gt.mean(1, keepdims=True)
    rigid = squared(align_poses(pred, gt), gt)
    assert (rigid <= squared(same_place, gt) + 1e-6).all()
    assert (rigid <= squared(pred, gt) + 1e-6).all()
    assert (squared(align_poses(pred, gt, kind="similarity"), gt) <= rigid + 1e-6).all()


@settings(max_examples=100)
@given(pose_pairs, st.data())
def test_hidden_joints_have_no_influence_on_the_others(pair, data):
    pred, gt = pair
    visible = data.draw(arrays(bool, pred.shape[:2]))
    junk = data.draw(st.sampled_from([np.nan, np.inf, 1e6]))
    expected = align_poses(pred, gt, visible)
    spoilt = np.where(visible[..., None], pred, junk), np.where(visible[..., None], gt, -junk)
    np.testing.assert_array_equal(align_poses(*spoilt, visible)[visible], expected[visible])


# Least defined first: what is left of the pose when the joints do not determine a rotation.
def test_without_visible_joints_the_pose_stays(drawn):
    gt = drawn.standing()[None]
    np.testing.assert_array_equal(align_poses(gt + 1, gt, np.zeros((1, 13), bool)), gt + 1)


@pytest.mark.parametrize("kind", ["rigid", "similarity"])
def test_one_visible_joint_only_moves(drawn, kind):
    gt, visible = drawn.standing()[None], np.arange(13)[None] == 3
    np.testing.assert_allclose(align_poses(turned(gt), gt, visible, kind)[visible], gt[visible], atol=1e-12)
    moved = turned(gt) - turned(gt)[visible] + gt[visible]
    np.testing.assert_allclose(align_poses(turned(gt), gt, visible, kind), moved, atol=1e-12)


@pytest.mark.parametrize("kind", ["rigid", "similarity"])
def test_the_least_angle_between_any_two_lines(kind):
    rng = np.random.default_rng(0)
    for start, end, hidden in rng.normal(size=(20, 3, 3)):
        start, end = start / np.linalg.norm(start), end / np.linalg.norm(end)
        axis = np.cross(start, end)
        turn = Rotation.from_rotvec(axis / np.linalg.norm(axis) * np.arccos(start @ end))
        pred, gt = np.stack([-start, start, 0.5 * start, hidden]), np.stack([-end, end, 0.5 * end, hidden])
        centre = pred[:3].mean(0)
        expected = turn.apply(pred - centre) + gt[:3].mean(0)
        visible = np.array([[True, True, True, False]])
        np.testing.assert_allclose(align_poses(pred[None], gt[None], visible, kind), expected[None], atol=1e-9)


@pytest.mark.parametrize("kind", ["rigid", "similarity"])
def test_what_rounding_leaves_of_a_point_is_no_direction(drawn, kind):
    """The mean of twelve numbers 0.1 is not 0.1: without care, the hidden joint is scaled by 1e16."""
    gt = drawn.standing()[None]
    pred = np.tile([0.1, 0.7, 1 / 3], (1, 13, 1))
    pred[0, 12] += 1.0
    moved = align_poses(pred, gt, np.arange(13)[None] < 12, kind)
    np.testing.assert_allclose(moved[0, 12], gt[0, :12].mean(0) + 1.0, atol=1e-9)


def test_a_true_pose_that_is_a_point_does_not_turn_the_prediction(drawn):
    pred = drawn.standing()[None]
    point = np.full_like(pred, 0.1)
    np.testing.assert_allclose(align_poses(pred, point), pred - pred.mean(1) + 0.1, atol=1e-12)
    np.testing.assert_allclose(align_poses(pred, point, kind="similarity"), point, atol=1e-12)


def test_a_broken_pose_is_nan_and_spares_the_others(drawn):
    gt = np.stack([drawn.standing()] * 3)
    pred = turned(gt)
    pred[1, 4, 0] = np.nan
    aligned = align_poses(pred, gt)
    assert np.isnan(aligned[1]).all()
    np.testing.assert_allclose(aligned[[0, 2]], gt[[0, 2]], atol=1e-12)


def test_says_what_does_not_fit():
    with pytest.raises(ValueError, match=r"\(1, 13, 3\) and \(1, 12, 3\)"):
        align_poses(np.zeros((1, 13, 3)), np.zeros((1, 12, 3)))
    with pytest.raises(ValueError, match="visible must be"):
        align_poses(np.zeros((1, 13, 3)), np.zeros((1, 13, 3)), np.ones(13, bool))
    with pytest.raises(ValueError, match="3D"):
        align_poses(np.zeros((1, 13, 2)), np.zeros((1, 13, 2)))
    with pytest.raises(ValueError, match="'procrustes'"):
        align_poses(np.zeros((1, 13, 3)), np.zeros((1, 13, 3)), kind="procrustes")

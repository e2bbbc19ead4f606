import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lcrnet_d2.evaluation import auc_3d, bootstrap_interval, head_size, mean_2d_error, mpjpe, pck_2d, pck_3d, pckh
from lcrnet_d2.structures import BODY13

ALIGNMENTS = ("none", "rigid", "similarity")
METRICS_3D = (mpjpe, pck_3d, auc_3d)


def off_by(*metres):
    """One pose of so many joints, each off by so much in x."""
    gt = np.zeros((1, len(metres), 3))
    return gt + np.stack([metres, np.zeros_like(metres), np.zeros_like(metres)], -1), gt


def noisy(seed, n=5, j=13, amount=0.1):
    rng = np.random.default_rng(seed)
    gt = rng.normal(size=(n, j, 3))
    return gt + amount * rng.normal(size=gt.shape), gt, rng.random((n, j)) < 0.6


def test_metres_in_millimetres_out():
    np.testing.assert_allclose(mpjpe(*off_by(0.1, 0.2, 0.3, 0.0)), [150.0])
    pred, gt = np.array([[[0.3, 0.4, 0.0]]]), np.zeros((1, 1, 3))  # 3-4-5
    np.testing.assert_allclose(mpjpe(pred, gt), [500.0])


def test_a_nan_that_counts_is_a_nan_error_and_a_wrong_joint():
    pred, gt = off_by(0.0, np.nan)
    assert np.isnan(mpjpe(pred, gt)).all()
    assert pck_3d(pred, gt) == [0.5]


@pytest.mark.parametrize("align", ALIGNMENTS)
def test_a_perfect_prediction(align, drawn):
    pose = drawn.standing()[None]
    np.testing.assert_allclose(mpjpe(pose, pose, align=align), [0.0], atol=1e-9)
    assert pck_3d(pose, pose, align=align) == [1.0]
    np.testing.assert_allclose(auc_3d(pose, pose, align=align), [30 / 31])  # nothing is under 0 mm


def test_alignment_may_raise_the_mean_distance(drawn):
    """Twelve joints perfect, an elbow 1 m too low: 1000 / 13 = 77 mm, but 148 mm after the best rigid fit.

    The fit trades the one square of 1 for many small ones.
    """
    gt = drawn.standing()[None]
    pred = gt.copy()
    pred[0, BODY13.index("left_elbow"), 1] += 1.0
    np.testing.assert_allclose(mpjpe(pred, gt), [1000 / 13])
    np.testing.assert_allclose(mpjpe(pred, gt, align="rigid"), [147.7], atol=0.1)


@settings(max_examples=50)
@given(st.integers(0, 1000), st.sampled_from(ALIGNMENTS), st.sampled_from([np.nan, 1e5]))
def test_hidden_joints_never_matter(seed, align, junk):
    pred, gt, visible = noisy(seed)
    spoilt_pred = np.where(visible[..., None], pred, junk)
    spoilt_gt = np.where(visible[..., None], gt, -3 * junk)
    for metric in METRICS_3D:
        expected = metric(pred, gt, visible, align)
        np.testing.assert_array_equal(metric(spoilt_pred, spoilt_gt, visible, align), expected)


def test_pck_counts_errors_under_the_threshold():
    pred, gt = off_by(0.0, 0.149, 0.150, 0.151)
    assert pck_3d(pred, gt) == [0.5]
    assert pck_3d(pred, gt, threshold_mm=151) == [0.75]
    assert pck_3d(pred, gt, np.array([[True, False, True, False]])) == [0.5]


def test_auc_of_one_joint():
    # Off by 72 mm: under the thresholds 75, 80, ..., 150, which are 16 of 31.
    np.testing.assert_allclose(auc_3d(*off_by(0.072)), [16 / 31])


def test_2d_errors_in_units_of_the_persons_size():
    gt = np.zeros((1, 3, 2))
    pred = np.array([[[6.0, 8.0], [0.0, 2.0], [99.0, 99.0]]])  # off by 10, 2 and too much
    visible = np.array([[True, True, False]])
    box = np.array([[5.0, 5.0, 15.0, 45.0]])  # 10 x 40, root of the area 20
    np.testing.assert_allclose(mean_2d_error(pred, gt, box, visible), [0.3])
    np.testing.assert_allclose(pck_2d(pred, gt, np.array([20.0]), visible), [0.5])
    np.testing.assert_allclose(pck_2d(pred, gt, np.array([100.0]), visible), [1.0])  # exactly at it
    np.testing.assert_allclose(pck_2d(pred, gt, np.array([100.0])), [2 / 3])


def test_pckh_at_several_thresholds():
    size = head_size(np.array([[10.0, 10.0, 40.0, 50.0]]))  # 30 x 40, diagonal 50
    np.testing.assert_allclose(size, [30.0])
    gt = np.zeros((1, 4, 2))
    pred = np.array([[[0.0, 0.0], [14.9, 0.0], [0.0, 15.1], [31.0, 0.0]]])
    np.testing.assert_allclose(pckh(pred, gt, size, thresholds=(0.5, 1.0)), [[0.5, 0.75]])
    visible = np.array([[True, True, False, False]])
    np.testing.assert_allclose(pckh(pred, gt, size, visible), [[1.0]])


def test_pckh_is_at_half_the_head_and_includes_it():
    gt, pred = np.zeros((1, 3, 2)), np.array([[[5.0, 0.0], [5.1, 0.0], [10.0, 0.0]]])
    np.testing.assert_allclose(pckh(pred, gt, np.array([10.0])), [[1 / 3]])


def test_torch_and_numpy_agree():
    pred, gt, visible = noisy(3)
    tensors = torch.from_numpy(pred), torch.from_numpy(gt), torch.from_numpy(visible)
    for metric in METRICS_3D:
        out = metric(*tensors)
        assert isinstance(out, torch.Tensor)
        np.testing.assert_array_equal(out.numpy(), metric(pred, gt, visible))
    assert isinstance(pckh(tensors[0], tensors[1], torch.ones(5)), torch.Tensor)


def test_no_poses():
    empty = np.zeros((0, 13, 3))
    for metric in METRICS_3D:
        for align in ALIGNMENTS:
            assert metric(empty, empty, align=align).shape == (0,)


def test_says_what_does_not_fit():
    with pytest.raises(ValueError, match="'procrustes'"):
        mpjpe(np.zeros((1, 13, 3)), np.zeros((1, 13, 3)), align="procrustes")
    with pytest.raises(ValueError, match="one reference size per pose"):
        pck_2d(np.zeros((2, 13, 2)), np.zeros((2, 13, 2)), np.ones(1))


def test_the_interval_of_a_mean():
    values = np.random.default_rng(1).normal(50, 10, size=400)  # the error of the mean is 10 / 20
    low, high = bootstrap_interval(values)
    np.testing.assert_allclose([low, high], values.mean() + np.array([-0.98, 0.98]), atol=0.15)
    assert bootstrap_interval(values) == (low, high)
    assert bootstrap_interval(np.full(7, 3.0)) == (3.0, 3.0)
    assert np.isnan(bootstrap_interval(np.zeros(0))).all()
    assert np.isnan(bootstrap_interval(np.array([1.0, np.nan]))).all()


def test_an_interval_of_no_level_is_the_median_of_the_resampled_means():
    low, high = bootstrap_interval(np.random.default_rng(0).uniform(0, 9, 10), level=0.0)
    assert low == high


@settings(max_examples=30)
@given(st.integers(0, 1000), st.sampled_from(ALIGNMENTS), st.permutations(range(13)), st.permutations(range(5)))
def test_neither_the_order_of_joints_nor_of_poses_matters(seed, align, joints, poses):
    pred, gt, visible = noisy(seed)
    for metric in METRICS_3D:
        expected = metric(pred, gt, visible, align)[list(poses)]
        shuffled = (values[list(poses)][:, list(joints)] for values in (pred, gt, visible))
        np.testing.assert_allclose(metric(*shuffled, align), expected, atol=1e-6)


@settings(max_examples=30)
@given(st.integers(0, 1000), st.sampled_from(ALIGNMENTS), st.floats(0.01, 100), st.floats(-50, 50))
def test_errors_grow_with_the_poses_and_do_not_see_where_both_are(seed, align, grow, move):
    pred, gt, visible = noisy(seed)
    visible[:, :4] = True
    expected = grow * mpjpe(pred, gt, visible, align)
    np.testing.assert_allclose(mpjpe(grow * pred + move, grow * gt + move, visible, align), expected, rtol=1e-6)
    box = np.tile([10.0, 20.0, 50.0, 110.0], (5, 1))
    flat = (pred[..., :2], gt[..., :2])
    expected = mean_2d_error(*flat, box, visible)
    found = mean_2d_error(*(grow * pose + move for pose in flat), grow * box + move, visible)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@settings(max_examples=30)
@given(st.integers(0, 1000), st.floats(0, 500), st.floats(0, 500))
def test_shares_are_shares_and_grow_with_the_threshold(seed, one, other):
    pred, gt, _ = noisy(seed)
    low, high = sorted((one, other))
    at_low, at_high = (pck_3d(pred, gt, threshold_mm=threshold) for threshold in (low, high))
    assert ((at_low >= 0) & (at_low <= at_high) & (at_high <= 1)).all()
    slow = np.mean([pck_3d(pred, gt, threshold_mm=threshold) for threshold in range(0, 151, 5)], 0)
    np.testing.assert_allclose(auc_3d(pred, gt), slow)
    sizes = np.linspace(1, 2, 5)
    shares = pckh(pred[..., :2], gt[..., :2], sizes, thresholds=(low / 1000, high / 1000))
    for column, threshold in enumerate((low / 1000, high / 1000)):
        assert (shares[:, column] == pck_2d(pred[..., :2], gt[..., :2], sizes, threshold=threshold)).all()


@pytest.mark.parametrize("align", ALIGNMENTS)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_number_that_is_none_spares_the_other_poses(align, bad):
    pred, gt, _ = noisy(0)
    spoilt = pred.copy()
    spoilt[2, 5, 1] = bad
    others = [0, 1, 3, 4]
    for metric in METRICS_3D:
        np.testing.assert_allclose(metric(spoilt, gt, align=align)[others], metric(pred, gt, align=align)[others])
    assert not np.isfinite(mpjpe(spoilt, gt, align=align)[2])
    np.testing.assert_allclose(pck_3d(spoilt, gt, threshold_mm=1e9)[2], 12 / 13)


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.int64, ">f8"])
def test_any_kind_of_numbers_is_measured_in_double_precision(kind):
    rng = np.random.default_rng(0)
    pred, gt = rng.integers(-3, 4, (2, 5, 13, 3))  # whole metres: the same in every kind
    found = mpjpe(pred.astype(kind), gt.astype(kind), align="rigid")
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, mpjpe(pred.astype(float), gt.astype(float), align="rigid"))


@settings(max_examples=20)
@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=20), st.floats(0.5, 0.99), st.integers(0, 50))
def test_an_interval_lies_within_the_values_and_moves_with_them(values, level, seed):
    low, high = bootstrap_interval(np.array(values), level, resamples=50, seed=seed)
    assert min(values) - 1e-6 <= low <= high <= max(values) + 1e-6
    moved = bootstrap_interval(np.array(values) + 7, level, resamples=50, seed=seed)
    np.testing.assert_allclose(moved, (low + 7, high + 7), atol=1e-6)


def test_arrays_read_backwards():
    pred, gt, visible = noisy(4)
    backwards = pred[:, ::-1], gt[:, ::-1], visible[:, ::-1]
    np.testing.assert_allclose(mpjpe(*backwards), mpjpe(pred, gt, visible))


def test_pckh_without_thresholds_or_joints():
    gt = np.zeros((2, 4, 2))
    assert pckh(gt, gt, np.ones(2), thresholds=()).shape == (2, 0)
    assert np.isnan(pckh(gt[:, :0], gt[:, :0], np.ones(2))).all()

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lcrnet_d2.structures import (
    BODY13,
    body_centre,
    centre_poses,
    joint_box,
    margin_box,
    mirror_poses_3d,
    pose_distance,
    to_box_units,
)
from lcrnet_d2.structures.pose_geometry import without_heading


def test_margin_is_ten_per_cent_on_each_side() -> None:
    joints = torch.tensor([[10.0, 20.0], [110.0, 70.0], [60.0, 40.0]])  # 100 x 50 px
    assert margin_box(joints).tolist() == [0.0, 15.0, 120.0, 75.0]


def test_boundary_joints_lie_at_a_twelfth_of_the_margin_box() -> None:
    joints = torch.tensor([[[0.0, 0.0], [1.0, 1.0]]])
    units = to_box_units(joints, margin_box(joints))
    torch.testing.assert_close(units, torch.tensor([[[1 / 12, 1 / 12], [11 / 12, 11 / 12]]]))


def test_a_box_without_size_gives_finite_units() -> None:
    assert torch.isfinite(to_box_units(torch.ones(1, 13, 2), torch.ones(1, 4))).all()


def test_body_centre_is_the_mean_of_shoulders_and_hips() -> None:
    pose = torch.zeros(13, 3)
    pose[BODY13.index("left_shoulder")] = torch.tensor([4.0, 0.0, 8.0])
    pose[BODY13.index("head")] = 100.0  # not part of the torso
    assert body_centre(pose, BODY13).tolist() == [1.0, 0.0, 2.0]
    assert body_centre(centre_poses(pose, BODY13), BODY13).abs().max() == 0


def test_distance_is_the_mean_of_joint_distances() -> None:
    a = torch.zeros(1, 13, 3)
    b = a.clone()
    b[0, 0] = torch.tensor([3.0, 4.0, 0.0])  # one joint of 13 is 5 away
    torch.testing.assert_close(pose_distance(a, b), torch.tensor([[5 / 13]]))


@given(seed=st.integers(0, 1000))
def test_distance_is_a_metric_that_mirrors_keep(seed: int) -> None:
    torch.manual_seed(seed)
    poses = torch.randn(4, 13, 3, dtype=torch.float64)
    d = pose_distance(poses, poses)
    torch.testing.assert_close(d, d.T)
    assert d.diagonal().abs().max() == 0
    assert (d[:, None, :] <= d[:, :, None] + d[None] + 1e-12).all()
    mirrored = mirror_poses_3d(poses, BODY13)
    torch.testing.assert_close(pose_distance(mirrored, mirrored), d)
    torch.testing.assert_close(mirror_poses_3d(mirrored, BODY13), poses)


@given(seed=st.integers(0, 1000), scale=st.floats(0.01, 100), x=st.floats(-1000, 1000), y=st.floats(-1000, 1000))
def test_boxes_move_and_grow_with_the_pose_and_units_do_not(seed: int, scale: float, x: float, y: float) -> None:
    poses = torch.randn(3, 13, 2, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    place = torch.tensor([x, y], dtype=torch.float64)
    moved = scale * poses + place
    torch.testing.assert_close(margin_box(moved), scale * margin_box(poses) + place.repeat(2))
    units = to_box_units(moved, margin_box(moved))
    torch.testing.assert_close(units, to_box_units(poses, margin_box(poses)), atol=1e-8, rtol=0)
    assert units.amin() > 1 / 12 - 1e-8 and units.amax() < 11 / 12 + 1e-8


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@given(seed=st.integers(0, 1000), n=st.integers(0, 4), m=st.integers(0, 4))
def test_distance_equals_the_slow_twin_and_grows_with_the_poses(dtype: torch.dtype, seed: int, n: int, m: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    a, b = (torch.randn(count, 13, 3, generator=generator).to(dtype) for count in (n, m))
    slow = [[sum(float((p - q).norm()) for p, q in zip(x, y, strict=True)) / 13 for y in b] for x in a]
    found = pose_distance(a, b)
    torch.testing.assert_close(found, torch.tensor(slow, dtype=a.dtype).view(n, m), atol=1e-5, rtol=0)
    torch.testing.assert_close(pose_distance(-3 * a, -3 * b), 3 * found)


@given(seed=st.integers(0, 1000), move=st.tuples(*[st.floats(-100, 100)] * 3))
def test_centring_forgets_where_a_pose_was_and_happens_once(seed: int, move: tuple[float, float, float]) -> None:
    poses = torch.randn(2, 13, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    centred = centre_poses(poses, BODY13)
    torch.testing.assert_close(centre_poses(poses + torch.tensor(move).double(), BODY13), centred, atol=1e-10, rtol=0)
    torch.testing.assert_close(centre_poses(centred, BODY13), centred, atol=1e-14, rtol=0)


def test_numbers_that_are_none_stay_with_their_pose() -> None:
    poses = torch.randn(3, 13, 3)
    clean = pose_distance(poses[[0, 2]], poses[[0, 2]])
    poses[1, 4, 2] = torch.nan
    found = pose_distance(poses, poses)
    assert torch.isnan(found[1]).all() and torch.isnan(found[:, 1]).all()
    torch.testing.assert_close(found[[0, 2]][:, [0, 2]], clean)
    assert torch.isnan(margin_box(poses[..., 1:])).any(1).tolist() == [False, True, False]


def test_nobody_has_no_boxes() -> None:
    nobody = torch.zeros(0, 13, 2)
    assert joint_box(nobody).shape == margin_box(nobody).shape == (0, 4)
    assert to_box_units(nobody, margin_box(nobody)).shape == (0, 13, 2)
    assert centre_poses(torch.zeros(0, 13, 3), BODY13).shape == (0, 13, 3)


def test_a_pose_without_heading_stays_as_it_is() -> None:
    """Shoulders and hips all straight above each other: there is no direction to turn it to."""
    pose = torch.rand(1, 13, 3, generator=torch.Generator().manual_seed(0))
    pose[:, list(BODY13.torso)] = torch.tensor([0.0, 1.0, 0.0])
    torch.testing.assert_close(without_heading(pose, BODY13), pose)

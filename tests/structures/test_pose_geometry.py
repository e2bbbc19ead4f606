from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from lcrnet_d2.structures import (
    BODY13,
    body_centre,
    centre_poses,
    margin_box,
    mirror_poses_3d,
    pose_distance,
    to_box_units,
)


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


def test_no_poses_have_no_distances() -> None:
    assert pose_distance(torch.zeros(0, 13, 3), torch.zeros(5, 13, 3)).shape == (0, 5)

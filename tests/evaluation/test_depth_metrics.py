from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lcrnet_d2.evaluation.depth_metrics import depth_metrics, depth_table, heading_error
from lcrnet_d2.mocap.virtual_views import view_rotations
from lcrnet_d2.structures import BODY13
from lcrnet_d2.structures.skeleton import LIMBS
from tests_support import random_poses, standing_pose


def turned(poses: torch.Tensor, degrees: float) -> torch.Tensor:
    """Poses turned about the vertical."""
    return poses @ view_rotations(torch.deg2rad(torch.tensor([[degrees, 0.0, 0.0]])))[0].T


def test_the_truth_is_perfect() -> None:
    poses = random_poses(20, seed=0)
    metrics = depth_metrics(poses, poses, BODY13)
    assert metrics["depth_sign"] == 100 and metrics["turned_round"] == 0 and metrics["heading_error_deg"] == 0
    for limb in LIMBS:
        assert metrics[f"depth_correlation_{limb}"] == pytest.approx(1)
        assert metrics[f"length_ratio_{limb}"] == pytest.approx(1)


def test_a_mirrored_depth_has_every_sign_wrong_and_every_length_right() -> None:
    poses = random_poses(20, seed=0)
    metrics = depth_metrics(poses * torch.tensor([1.0, 1.0, -1.0]), poses, BODY13)
    assert metrics["depth_sign"] == 0
    assert metrics["depth_correlation_thigh"] == pytest.approx(-1)
    assert metrics["length_ratio_forearm"] == pytest.approx(1)


def test_a_flat_pose_has_short_limbs_and_no_correlation() -> None:
    """Thighs of 0.4 m that go 0.24 m forward are 0.32 m long without their depth: a ratio of 0.8."""
    truth = standing_pose()[None].repeat(2, 1, 1)
    for side in ("left", "right"):
        hip, knee = BODY13.index(f"{side}_hip"), BODY13.index(f"{side}_knee")
        truth[:, knee] = truth[:, hip] + torch.tensor([0.0, 0.32, -0.24])
    metrics = depth_metrics(truth * torch.tensor([1.0, 1.0, 0.0]), truth, BODY13)
    assert metrics["length_ratio_thigh"] == pytest.approx(0.8)
    assert math.isnan(metrics["depth_correlation_thigh"])


def test_joints_that_do_not_count_influence_nothing() -> None:
    truth = random_poses(10, seed=0)
    pred = truth.clone()
    visible = torch.ones(10, 13, dtype=torch.bool)
    wrist = BODY13.index("left_wrist")
    pred[:, wrist], visible[:, wrist] = torch.nan, False
    metrics = depth_metrics(pred, truth, BODY13, visible)
    assert metrics["depth_sign"] == 100 and metrics["depth_correlation_forearm"] == pytest.approx(1)


@given(degrees=st.floats(-179, 179), seed=st.integers(0, 100))
def test_heading_error_is_the_turn(degrees: float, seed: int) -> None:
    poses = random_poses(5, seed)
    np.testing.assert_allclose(heading_error(turned(poses, degrees), poses, BODY13), abs(degrees), atol=0.05)


def test_who_is_turned_round() -> None:
    poses = random_poses(4, seed=0)
    pred = torch.cat([turned(poses[:1], 170), turned(poses[1:2], 100), turned(poses[2:3], 80), poses[3:]])
    metrics = depth_metrics(pred, poses, BODY13)
    assert metrics["turned_round"] == 50 and metrics["heading_error_deg"] == pytest.approx(80, abs=0.1)  # lower median


def test_the_table_has_a_row_for_each_method() -> None:
    poses = random_poses(5, seed=0)
    table = depth_table({"NMS": depth_metrics(poses, poses, BODY13), "PPI": depth_metrics(poses, poses, BODY13)})
    lines = table.strip().split("\n")
    assert len(lines) == 4 and lines[2].startswith("| NMS | 1.00, 1.00, 1.00, 1.00 | 100.0 |")
    assert "thigh, shank, upper arm, forearm" in lines[0]

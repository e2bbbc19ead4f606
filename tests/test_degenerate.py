"""What is at the edge of sense has a result all the same, and one that is written down (docs/notes/reliability.md)."""

from __future__ import annotations

import pytest
import torch
from detectron2.layers import ShapeSpec
from detectron2.structures import Instances
from detectron2.utils.events import EventStorage

from lcrnet_d2.data import PoseTargets, TilePeople
from lcrnet_d2.data.anchor_clustering import cluster_poses
from lcrnet_d2.modeling import LCROutputLayers, PoseTransform, integrate_pose_proposals
from lcrnet_d2.modeling.labelling import SampledBoxes
from lcrnet_d2.structures import BODY13, AnchorPoses, margin_box
from tests_support import random_poses, seen_at, standing_pose


@pytest.fixture(scope="module")
def one_anchor() -> AnchorPoses:
    poses = random_poses(20, 0)
    return cluster_poses(seen_at(poses, 50, 50, 40), poses, BODY13, 1, False, seed=0)


def targets(anchors: AnchorPoses, points: torch.Tensor) -> Instances:
    keypoints = torch.cat([points, torch.full((len(points), 13, 1), 2.0)], -1)
    nothing = torch.zeros(0, 4)
    poses_3d = standing_pose().expand(len(points), 13, 3)
    exact = torch.zeros_like(poses_3d)
    return PoseTargets(anchors)([TilePeople(keypoints, poses_3d, exact, nothing, nothing, (100, 100), False)])


def test_people_wholly_outside_and_without_extent_have_no_row(one_anchor: AnchorPoses) -> None:
    inside, outside = seen_at(standing_pose()[None], 50, 50, 40), seen_at(standing_pose()[None], 500, 50, 40)
    point = torch.full((1, 13, 2), 50.0)
    line = inside * torch.tensor([0.0, 1.0]) + torch.tensor([50.0, 0.0])
    assert len(targets(one_anchor, torch.cat([inside, outside, point, line]))) == 1
    assert len(targets(one_anchor, torch.cat([outside, point]))) == 0
    assert len(targets(one_anchor, inside[:0])) == 0


def test_one_anchor_pose_trains_and_detects(one_anchor: AnchorPoses) -> None:
    out = LCROutputLayers(
        ShapeSpec(channels=8),
        num_anchor_poses=1,
        num_joints=13,
        upper_body=False,
        pose_transform=PoseTransform(1.0),
        smooth_l1_beta=1.0,
        weight_3d=1.0,
        batch_size_per_image=4,
        min_score=0.1,
        min_proposals=500,
    )
    out.set_anchor_poses(one_anchor)
    boxes = torch.tensor([[10.0, 10, 60, 90], [5, 5, 5, 5], [0, 0, 9, 9]])
    classes = torch.tensor([0, 0, 1])  # a person, a person in a box of no size, background
    keypoints = torch.cat([one_anchor.place(boxes[:2])[:, 0], torch.ones(2, 13, 1)], -1)
    truth = {"gt_keypoints": keypoints, "gt_poses_3d": one_anchor.poses_3d.expand(2, 13, 3)}
    predictions = out(torch.randn(3, 8))
    with EventStorage():
        losses = out.losses(predictions, SampledBoxes(boxes, torch.zeros(3, dtype=torch.long), classes, truth, 1))
    sum(losses.values()).backward()
    assert all(torch.isfinite(p.grad).all() for p in out.parameters())
    (proposals,) = out.inference(predictions, [boxes])
    assert len(proposals.scores) == 3 and torch.isfinite(proposals.poses_2d).all()
    (none,) = out.inference(out(torch.zeros(0, 8)), [torch.zeros(0, 4)])
    assert len(none.scores) == 0


@pytest.mark.parametrize("count", [0, 1, 5000])
def test_any_number_of_proposals(count: int) -> None:
    """All of one person: they become one, or nobody."""
    poses_3d = standing_pose().expand(count, 13, 3)
    poses_2d = seen_at(poses_3d, 50, 50, 40)
    people = integrate_pose_proposals(torch.full((count,), 0.5), poses_2d, poses_3d, (100, 100))
    assert len(people.scores) == min(count, 1)
    assert people.scores.sum().item() == pytest.approx(0.5 * count)
    if count:
        torch.testing.assert_close(people.poses_3d[0], standing_pose(), atol=1e-4, rtol=0)


def test_coincident_joints_are_a_pose_like_any_other() -> None:
    point = torch.full((2, 13, 2), 7.0)
    assert margin_box(point).tolist() == [[7.0] * 4] * 2
    people = integrate_pose_proposals(torch.tensor([0.9, 0.8]), point, torch.zeros(2, 13, 3), (100, 100))
    assert torch.isfinite(people.poses_2d).all() and torch.isfinite(people.scores).all()

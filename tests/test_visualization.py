from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from detectron2.structures import Boxes, Instances
from tests_support import random_poses, seen_at

from lcrnet_d2.pose_file import people_to_json
from lcrnet_d2.structures import BODY13, AnchorPoses, bone_colour, joint_box
from lcrnet_d2.visualization import draw_anchor_poses, draw_people, draw_people_2d


def people(count: int) -> Instances:
    """Detections in a 240 x 320 image, the last one half outside."""
    poses = random_poses(count, seed=0)
    points = seen_at(poses, 60, 120, 100) + 130 * torch.arange(count)[:, None, None] * torch.tensor([1.0, 0.0])
    out = Instances((240, 320))
    out.pred_boxes = Boxes(joint_box(points))
    out.scores = torch.linspace(3, 1, count)
    out.pred_confidences = torch.linspace(0.9, 0.5, count)
    out.pred_anchors = torch.arange(count)
    out.pred_keypoints = torch.cat([points, torch.ones(count, 13, 1)], -1)
    out.pred_poses_3d = poses
    return out


@pytest.mark.parametrize("count", [0, 1, 3])
def test_pictures_of_any_number_of_people(count: int) -> None:
    image = np.full((240, 320, 3), 90, np.uint8)
    overlay = draw_people_2d(image, people(count), BODY13)
    assert (overlay != 90).any() == (count > 0)
    both = draw_people(image, people(count), BODY13, None)
    assert both.shape[0] == overlay.shape[0] and both.shape[1] > 2 * overlay.shape[1]


def test_sides_have_colours_of_their_own() -> None:
    right, left = bone_colour(("right_knee", "right_hip")), bone_colour(("left_knee", "left_hip"))
    assert right != left and bone_colour(("right_hip", "left_hip")) not in (right, left)
    assert bone_colour(("left_shoulder", "head")) == left


def test_a_sheet_of_anchor_poses(anchors: AnchorPoses, tmp_path: Path) -> None:
    draw_anchor_poses(anchors, tmp_path / "a.png", columns=2)
    assert (tmp_path / "a.png").stat().st_size > 3000


def test_files_hold_pixel_indices_and_say_what_is_inside() -> None:
    found = people(3)
    entries = people_to_json(found)
    assert entries[0]["keypoints_2d"][0][0] == pytest.approx(found.pred_keypoints[0, 0, 0].item() - 0.5, abs=1e-3)
    assert all(entries[0]["in_image"]) and not all(entries[2]["in_image"])
    assert people_to_json(people(0)) == []

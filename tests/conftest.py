"""A person drawn by hand, and pictures of them as dataset dicts and model outputs."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from detectron2.data import DatasetCatalog
from detectron2.structures import Boxes, BoxMode, Instances

from lcrnet_d2.structures import BODY13

# Metres, x right, y down, z away; the person faces the camera, so their right is on our left.
_JOINTS = {
    "ankle": (0.10, 1.00, 0.05),
    "knee": (0.10, 0.60, -0.05),
    "hip": (0.10, 0.25, 0.00),
    "wrist": (0.30, 0.15, -0.20),
    "elbow": (0.25, 0.00, -0.05),
    "shoulder": (0.20, -0.25, 0.00),
    "head": (0.00, -0.50, -0.05),
}


def _standing() -> np.ndarray:
    """(13, 3) m, relative to the body centre."""

    def at(joint: str) -> np.ndarray:
        x, y, z = _JOINTS[joint.split("_")[-1]]
        return np.array([-x if joint.startswith("right") else x, y, z])

    return np.stack([at(joint) for joint in BODY13.joints])


def _pose_2d(centre: tuple[float, float], px_per_metre: float = 100.0) -> np.ndarray:
    """(13, 2) px: the person seen from the front. 60 x 150 px at the default scale: the root of the area is 94.9."""
    return np.array(centre) + px_per_metre * _standing()[:, :2]


def _person(centre=(100.0, 100.0), v=2, crowd=0, **extra) -> dict:
    pose_2d = _pose_2d(centre)
    visibility = np.broadcast_to(v, len(pose_2d))
    keypoints = np.column_stack([pose_2d, visibility])
    return {
        "bbox": [*pose_2d.min(0), *pose_2d.max(0)],
        "bbox_mode": BoxMode.XYXY_ABS,
        "category_id": 0,
        "iscrowd": crowd,
        "keypoints": keypoints.ravel().tolist(),
        "pose_3d": _standing(),
        **extra,
    }


def _record(people, image_id=1, **extra) -> dict:
    return {
        "file_name": f"{image_id}.jpg",
        "height": 300,
        "width": 400,
        "image_id": image_id,
        "annotations": list(people),
        **extra,
    }


def _output(poses_2d, scores=None, poses_3d=None, seed_poses_2d=None, seed_poses_3d=None, groups=None) -> dict:
    """What the model gives for a 400 x 300 image; the seeds are the poses themselves where not given."""
    n, j = len(poses_2d), len(BODY13)
    poses_2d = torch.as_tensor(np.reshape(poses_2d, (n, j, 2))).float()
    poses_3d = np.broadcast_to(_standing(), (n, j, 3)) if poses_3d is None else poses_3d
    poses_3d = torch.as_tensor(np.array(poses_3d)).float()
    seed_2d = poses_2d if seed_poses_2d is None else torch.as_tensor(np.array(seed_poses_2d)).float()
    seed_3d = poses_3d if seed_poses_3d is None else torch.as_tensor(np.array(seed_poses_3d)).float()
    scores = torch.as_tensor(np.full(n, 0.9) if scores is None else np.array(scores)).float()
    size = torch.tensor([400.0, 300.0])
    boxes = torch.cat([poses_2d.amin(1), poses_2d.amax(1)], 1) if n else torch.zeros(0, 4)
    instances = Instances(
        (300, 400),
        pred_boxes=Boxes(boxes),
        scores=scores,
        pred_classes=torch.zeros(n, dtype=torch.long),
        pred_anchors=torch.zeros(n, dtype=torch.long),
        pred_keypoints=torch.cat([poses_2d, torch.ones(n, j, 1)], 2),
        pred_poses_3d=poses_3d,
        pred_groups=torch.arange(n) if groups is None else torch.as_tensor(groups),
        pred_seed_scores=scores.clone(),
        pred_seed_keypoints=seed_2d / size,
        pred_seed_poses_3d=seed_3d,
        pred_seed_boxes=boxes / size.repeat(2),
    )
    return {"instances": instances}


@pytest.fixture
def drawn() -> SimpleNamespace:
    """standing, pose_2d, person, record, output: see the functions of those names."""
    return SimpleNamespace(standing=_standing, pose_2d=_pose_2d, person=_person, record=_record, output=_output)


@pytest.fixture
def registered():
    """A function that registers dataset dicts and gives the name; unregistered after the test."""
    names = []

    def register(records) -> str:
        name = f"drawn_people_{len(names)}"
        DatasetCatalog.register(name, lambda: records)
        names.append(name)
        return name

    yield register
    for name in names:
        DatasetCatalog.remove(name)

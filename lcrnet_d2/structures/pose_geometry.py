"""Body centre, margin box and pose distance: the one definition of each.

Shapes: N poses, M other poses, J joints. 3D in metres and camera axes (x right, y down, z away),
2D in pixels.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from .skeleton import Skeleton

__all__ = [
    "MARGIN",
    "PIXEL_CENTRE",
    "UP_TO_CAMERA",
    "body_centre",
    "centre_poses",
    "joint_box",
    "margin_box",
    "mirror_poses_3d",
    "paired_distance",
    "pose_distance",
    "to_box_units",
    "without_heading",
]

#: "a fixed additional margin of 10 %" (Sec. 3.1), of the box's size, on each side.
MARGIN = 0.1

#: Files hold COCO's pixel indices (the centre of the first pixel is 0); memory holds continuous pixels, in which an
#: image of width w spans [0, w]. Added when a file is read, subtracted when one is written, nowhere else.
PIXEL_CENTRE = 0.5

#: Axis that points up -> row-by-row rotation from right-handed studio axes to camera axes (x right, y down, z away).
#: "y": half a turn about x, (x, y, z) -> (x, -y, -z). A person of the usual rest pose (facing +z, left
#: hand at +x) then faces the camera, left hand on the right of the picture.
#: "z": a quarter turn about x, (x, y, z) -> (x, -z, y): who faces -y faces the camera.
UP_TO_CAMERA: dict[str, np.ndarray] = {
    "x": np.array([[0.0, 1.0, 0.0], [-1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]),
    "y": np.array([[1.0, 0.0, 0.0], [0.0, -1.0, 0.0], [0.0, 0.0, -1.0]]),
    "z": np.array([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]]),
    "-x": np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]),
    "-y": np.eye(3),
    "-z": np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]]),
}


def body_centre(poses_3d: Tensor, skeleton: Skeleton) -> Tensor:
    """(..., 3): mean of both shoulders and both hips of (..., J, 3), the paper's "body center" (Sec. 3)."""
    return poses_3d[..., skeleton.torso, :].mean(-2)


def centre_poses(poses_3d: Tensor, skeleton: Skeleton) -> Tensor:
    """(..., J, 3) poses relative to their body centre."""
    return poses_3d - body_centre(poses_3d, skeleton)[..., None, :]


def mirror_poses_3d(poses_3d: Tensor, skeleton: Skeleton) -> Tensor:
    """(..., J, 3) poses seen in a mirror: x negated, left and right joints swapped."""
    return poses_3d[..., skeleton.flip_indices, :] * poses_3d.new_tensor([-1.0, 1.0, 1.0])


def without_heading(poses_3d: Tensor, skeleton: Skeleton) -> Tensor:
    """(N, J, 3) body-centred poses turned about the vertical (y), left shoulders and hips to +x of the right ones.

    A pose with both straight above each other has no heading and stays as it is.
    """
    sides = (skeleton.indices([f"{side}_shoulder", f"{side}_hip"]) for side in ("right", "left"))
    right, left = (poses_3d[:, joints].sum(1) for joints in sides)
    across = left - right
    length = torch.linalg.vector_norm(across[:, [0, 2]], dim=-1)
    turned, length = length > 1e-9, length.clamp(min=1e-9)
    cos = torch.where(turned, across[:, 0] / length, 1.0)[:, None]
    sin = torch.where(turned, across[:, 2] / length, 0.0)[:, None]
    x, y, z = poses_3d.unbind(-1)
    return torch.stack([cos * x + sin * z, y, cos * z - sin * x], -1)


def joint_box(poses_2d: Tensor) -> Tensor:
    """(..., 4) smallest box x1, y1, x2, y2 around all joints of (..., J, 2)."""
    return torch.cat([poses_2d.amin(-2), poses_2d.amax(-2)], -1)


def margin_box(poses_2d: Tensor) -> Tensor:
    """(..., 4) box around all joints of (..., J, 2), enlarged by 10 % of its size on each side (Sec. 3.1).

    A full-body anchor's boundary joints lie at 1/12 and 11/12 of it. Not clipped to the image.
    """
    box = joint_box(poses_2d)
    margin = MARGIN * (box[..., 2:] - box[..., :2])
    return torch.cat([box[..., :2] - margin, box[..., 2:] + margin], -1)


def to_box_units(poses_2d: Tensor, boxes: Tensor) -> Tensor:
    """(..., J, 2) poses with the box (..., 4) as [0, 1]^2; joints outside the box lie outside that range."""
    size = (boxes[..., 2:] - boxes[..., :2]).clamp(min=1e-6)
    return (poses_2d - boxes[..., None, :2]) / size[..., None, :]


def pose_distance(poses_a: Tensor, poses_b: Tensor) -> Tensor:
    """D of Sec. 3.1 and Eq. 6: mean over joints of the distances of two oriented, body-centred poses.

    Args:
        poses_a: (N, J, 3) metres, relative to the body centre.
        poses_b: (M, J, 3) likewise.

    Returns:
        (N, M) metres.
    """
    distance = poses_a.new_zeros((len(poses_a), len(poses_b)))
    for joint in range(poses_a.shape[1]):  # J small products instead of an (N, M, J, 3) block
        distance += torch.cdist(poses_a[:, joint], poses_b[:, joint], compute_mode="donot_use_mm_for_euclid_dist")
    return distance / max(poses_a.shape[1], 1)


def paired_distance(poses_a: Tensor, poses_b: Tensor) -> Tensor:
    """(N,) m: D as `pose_distance`, between the poses (N, J, 3) of the same place in both."""
    x, y, z = (poses_a - poses_b).square_().unbind(-1)
    return (x + y).add_(z).sqrt_().sum(1) / max(poses_a.shape[1], 1)

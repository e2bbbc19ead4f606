"""Pose proposals integration as one would write it first: loops over lists with numpy, and a loop over groups in torch.

Both follow the rules of the released models (Sec. 3.5): contenders of the fast version, and judges of its result. Full
bodies alone, so no upper-body weights. Shapes: P pose proposals, J joints. 2D in px, 3D in metres.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torchvision.ops import box_iou

from lcrnet_d2.structures import joint_box

__all__ = ["integrate_group_by_group", "integrate_over_lists"]

#: IoU of a group, T_3D, the score threshold of later seeds and of a mode: defaults of `integrate_pose_proposals`.
_IOU, _T_3D, _MIN_SEED, _MIN_MODE = 0.2, 0.3, 0.05, 0.002


def integrate_over_lists(
    scores: np.ndarray, poses_2d: np.ndarray, poses_3d: np.ndarray, image_size: tuple[int, int]
) -> list[tuple[float, np.ndarray, np.ndarray]]:
    """S, 2D and 3D pose of everyone, best first, from (P,), (P, J, 2) and (P, J, 3)."""
    boxes = [_box(pose, image_size) for pose in poses_2d]
    left = sorted(range(len(scores)), key=lambda i: -scores[i])
    people = []
    while left:
        seed = left[0]
        group = [i for i in left if i == seed or _overlap(boxes[seed], boxes[i]) > _IOU]
        taken = set(group)
        left = [i for i in left if i not in taken]
        mode = max(_modes(group, scores, poses_3d), key=lambda members: sum(scores[i] for i in members))
        weights = scores[mode]
        if weights.sum() > _MIN_MODE:
            means = [np.average(poses[mode], axis=0, weights=weights) for poses in (poses_2d, poses_3d)]
            people.append((float(weights.sum()), *means))
    return sorted(people, key=lambda person: -person[0])


def _modes(group: list[int], scores: np.ndarray, poses_3d: np.ndarray) -> list[list[int]]:
    """Eq. 6; `group` best first."""
    modes: list[list[int]] = []
    uncovered = group
    while uncovered and (not modes or scores[uncovered[0]] >= _MIN_SEED):
        best = uncovered[0]
        mode = [i for i in group if i == best or _distance(poses_3d[i], poses_3d[best]) < _T_3D]
        covered = set(mode)
        uncovered = [i for i in uncovered if i not in covered]
        modes.append(mode)
    return modes


def _distance(a: np.ndarray, b: np.ndarray) -> float:
    """D of two poses (J, 3)."""
    return float(np.sqrt(((a - b) ** 2).sum(1)).mean())


def _box(pose: np.ndarray, image_size: tuple[int, int]) -> list[float]:
    """x1, y1, x2, y2 around the joints of (J, 2), clipped to the image."""
    x, y = pose[:, 0], pose[:, 1]
    low, high = (float(x.min()), float(y.min())), (float(x.max()), float(y.max()))
    height, width = image_size
    return [min(max(value, 0.0), limit) for value, limit in zip((*low, *high), (width, height) * 2, strict=True)]


def _overlap(a: list[float], b: list[float]) -> float:
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    both = width * height
    return both / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both)


def integrate_group_by_group(
    scores: Tensor, poses_2d: Tensor, poses_3d: Tensor, image_size: tuple[int, int]
) -> list[tuple[float, Tensor, Tensor]]:
    """The same in plain torch: proposals at once, groups and modes one by one."""
    height, width = image_size
    boxes = joint_box(poses_2d).clamp(min=0).minimum(poses_2d.new_tensor([width, height] * 2))
    left = torch.argsort(scores, descending=True, stable=True)
    people: list[tuple[float, Any, Any]] = []
    while len(left):
        inside = box_iou(boxes[left[:1]], boxes[left])[0] > _IOU
        inside[0] = True
        group, left = left[inside], left[~inside]
        uncovered, modes = torch.ones_like(group, dtype=torch.bool), []
        while uncovered.any() and (not modes or scores[group[uncovered][0]] >= _MIN_SEED):
            best = group[uncovered][0]
            near = (poses_3d[group] - poses_3d[best]).norm(dim=-1).mean(1) < _T_3D
            near |= group == best
            uncovered &= ~near
            modes.append(group[near])
        mode = max(modes, key=lambda members: float(scores[members].sum()))
        total = float(scores[mode].sum())
        if total > _MIN_MODE:
            weights = (scores[mode] / total)[:, None, None]
            people.append((total, (weights * poses_2d[mode]).sum(0), (weights * poses_3d[mode]).sum(0)))
    return sorted(people, key=lambda person: -person[0])

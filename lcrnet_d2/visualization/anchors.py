"""The anchor poses on one sheet."""

from __future__ import annotations

import numpy as np

from ..structures import AnchorPoses, Skeleton, bone_colour
from .canvas import disc, line, write

__all__ = ["anchor_sheet"]

_PAPER, _FRAME, _WORDS, _JOINT = (255, 255, 255), (214, 218, 222), (70, 74, 78), (60, 60, 60)


def anchor_sheet(anchors: AnchorPoses, columns: int | None = None, cell: int = 150) -> np.ndarray:
    """(H, W, 3) uint8 RGB: the K full-body anchor poses, largest cluster first, two drawings for each.

    Left a_k in its margin box, the frame; right A_k as seen from the camera's right, far on the right, in the scale
    of the sheet (all alike). Above: the class, the cluster's size, and the mean distance of its poses in mm.

    Args:
        columns: cells in a row; a sheet of about 4:3 if None.
        cell: px, height of a cell; it is a quarter wider.
    """
    k = anchors.num_full_body
    order = anchors.cluster_sizes.argsort(descending=True).tolist()
    columns = columns or max(1, round((k * 4 / 3 / 1.25) ** 0.5))
    rows = -(-k // columns)
    sheet = np.full((rows * cell, columns * (cell * 5 // 4), 3), _PAPER, np.uint8)
    poses_3d = anchors.poses_3d[:k].numpy()
    reach = max(float(np.abs(poses_3d).max()), 1e-6)
    for place, number in enumerate(order):
        row, column = divmod(place, columns)
        part = sheet[row * cell : (row + 1) * cell, column * (cell * 5 // 4) : (column + 1) * (cell * 5 // 4)]
        distance = 1000 * float(anchors.mean_distances[number])
        title = f"{number}: {int(anchors.cluster_sizes[number])} poses, {distance:.0f} mm"
        write(part, title, (6, 4), max(9, cell // 13), _WORDS)
        _draw_cell(part, anchors.poses_2d[number].numpy(), poses_3d[number] / reach, anchors.skeleton)
    return sheet


def _draw_cell(part: np.ndarray, pose_2d: np.ndarray, pose_3d: np.ndarray, skeleton: Skeleton) -> None:
    """pose_2d (J, 2) in box units; pose_3d (J, 3) within [-1, 1]."""
    height, width = part.shape[:2]
    top, side = 0.16 * height, 0.8 * height
    x1, x2 = 0.03 * width, 0.57 * width
    corners = np.array([(x1, top), (x2, top), (x2, top + side), (x1, top + side)])
    for start, end in zip(corners, np.roll(corners, -1, 0), strict=True):
        line(part, start, end, _FRAME, 1)
    front = [x1, top] + pose_2d * [x2 - x1, side]
    from_right = [0.79 * width, top + side / 2] + 0.5 * side * pose_3d[:, [2, 1]]
    thickness = max(1, height // 75)
    for points in (front, from_right):
        for (a, b), bone in zip(skeleton.bone_indices, skeleton.bones, strict=True):
            line(part, points[a], points[b], bone_colour(bone), thickness)
        for point in points:
            disc(part, point, thickness + 0.5, _JOINT)

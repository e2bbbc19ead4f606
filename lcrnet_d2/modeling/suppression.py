"""Greedy non-maximum suppression of many groups of boxes at once.

Shapes: G groups, n boxes of a group, best first.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torchvision.ops import nms

from .batches import is_asynchronous

__all__ = ["suppress"]

#: Above, a table of pairs takes more memory than it saves time: 8 images x 12,000 boxes of VGG-16's RPN, 1.2 GB.
_LARGEST_TABLE = 2048
#: Pairs compared at a time: 128 MB for each intermediate result.
_BLOCK = 2**25
#: Rounds between two looks whether anything still changes; 4 to 8 are enough for the regions of a photo.
_ROUNDS = 4


def suppress(boxes: Tensor, valid: Tensor, iou_threshold: float) -> Tensor:
    """Which boxes greedy suppression keeps: those that overlap no better box that is kept by more than the threshold.

    Args:
        boxes: (G, n, 4), best first in each group.
        valid: (G, n) bool; the others are not kept and suppress nothing.

    Returns:
        (G, n) bool, as torchvision's `nms` has it for each group.
    """
    boxes = boxes.masked_fill(~valid[..., None], 0.0)  # of no area, so no IoU with them exceeds anything
    if is_asynchronous(boxes) and boxes.shape[1] <= _LARGEST_TABLE:
        return _suppress_together(boxes, valid, iou_threshold)
    falling = torch.arange(boxes.shape[1], 0, -1, device=boxes.device, dtype=boxes.dtype)
    kept = torch.zeros_like(valid)
    for of_group, group in zip(kept, boxes, strict=True):
        of_group[nms(group, falling, iou_threshold)] = True
    return kept & valid


def _suppress_together(boxes: Tensor, valid: Tensor, iou_threshold: float) -> Tensor:
    """All groups in rounds: a box is out where one that is still in suppresses it, until nothing changes.

    After round r the first r boxes of each group are right, as those before them were, so the end is the greedy result.
    """
    suppresses = _overlaps(boxes, iou_threshold)
    before = kept = valid
    while True:
        for _ in range(_ROUNDS):
            before, kept = kept, valid & ~(suppresses & kept[..., None]).any(1)
        if torch.equal(before, kept):
            return kept


def _overlaps(boxes: Tensor, iou_threshold: float) -> Tensor:
    """(G, n, n) bool: the first box overlaps the second, a worse one, by more than the threshold."""
    corners = boxes.transpose(1, 2).contiguous()  # (G, 4, n)
    areas = (corners[:, 2:] - corners[:, :2]).prod(1)
    count = boxes.shape[1]
    out = []
    for rows in torch.arange(count, device=boxes.device).split(max(1, _BLOCK // max(1, len(boxes) * count))):
        first = corners[:, :, rows, None]
        width, height = (
            torch.minimum(first[:, i + 2], corners[:, None, i + 2]).sub_(
                torch.maximum(first[:, i], corners[:, None, i])
            )
            for i in (0, 1)
        )
        both = width.clamp_(min=0).mul_(height.clamp_(min=0))
        overlap = both / (areas[:, rows, None] + areas[:, None] - both) > iou_threshold
        out.append(overlap & (rows[:, None] < torch.arange(count, device=boxes.device)))
    return torch.cat(out, 1)

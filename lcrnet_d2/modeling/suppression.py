"""Greedy non-maximum suppression of many groups of boxes at once.

Shapes: G groups, n boxes of a group, best first.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torchvision.ops import nms

from .batches import is_asynchronous

__all__ = ["box_overlaps", "suppress"]

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
    places = torch.arange(boxes.shape[1], device=boxes.device)
    out = []
    for rows in places.split(max(1, _BLOCK // max(1, len(boxes) * len(places)))):
        out.append((box_overlaps(boxes[:, rows], boxes) > iou_threshold) & (rows[:, None] < places))
    return torch.cat(out, 1)


def box_overlaps(boxes_a: Tensor, boxes_b: Tensor) -> Tensor:
    """(G, m, n) intersection over union of (G, m, 4) and (G, n, 4), rounded as `nms` rounds it."""
    ax1, ay1, ax2, ay2 = boxes_a[..., None, :].unbind(-1)
    bx1, by1, bx2, by2 = boxes_b.transpose(1, 2).contiguous()[:, :, None].unbind(1)  # neighbours in memory
    widths = torch.minimum(ax2, bx2).sub_(torch.maximum(ax1, bx1)).clamp_(min=0)
    heights = torch.minimum(ay2, by2).sub_(torch.maximum(ay1, by1)).clamp_(min=0)
    both = widths.mul_(heights)
    return both / ((ax2 - ax1) * (ay2 - ay1) + (bx2 - bx1) * (by2 - by1) - both)

"""Greedy non-maximum suppression of many groups of boxes at once.

Shapes: G groups, n boxes of a group, best first.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torchvision.ops import nms

from .batches import is_asynchronous, is_exported

__all__ = ["first_overlapping", "suppress"]

#: Above, a table of pairs takes more memory than it saves time: 8 images x 12,000 boxes of VGG-16's RPN, 1.2 GB.
_LARGEST_TABLE = 2048
#: Pairs compared at a time: 128 MB for each intermediate result.
_BLOCK = 2**25
#: Pairs of a kept box and any other compared at a time: what a CPU's cache nearly holds.
_SEED_BLOCK = 2**22
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
    if is_exported():
        falling = torch.arange(boxes.shape[1], 0, -1, device=boxes.device, dtype=boxes.dtype)
        group, _, place = _NonMaxSuppression.apply(boxes, torch.where(valid, falling, -1.0)[:, None], iou_threshold).T
        return torch.zeros_like(valid).index_put((group, place), torch.ones_like(group, dtype=torch.bool))
    if is_asynchronous(boxes) and boxes.shape[1] <= _LARGEST_TABLE:
        return _suppress_together(boxes, valid, iou_threshold)
    return _suppress_one_by_one(boxes, valid, iou_threshold)


def _suppress_one_by_one(boxes: Tensor, valid: Tensor, iou_threshold: float) -> Tensor:
    """Each group by torchvision's `nms`."""
    falling = torch.arange(boxes.shape[1], 0, -1, device=boxes.device, dtype=boxes.dtype)
    kept = torch.zeros_like(valid)
    for of_group, group in zip(kept, boxes, strict=True):
        of_group[nms(group, falling, iou_threshold)] = True
    return kept & valid


class _NonMaxSuppression(torch.autograd.Function):
    """ONNX's operation of this name, whose images are the groups."""

    @staticmethod
    def forward(ctx: Any, boxes: Tensor, scores: Tensor, iou_threshold: float) -> Tensor:
        """(S, 3) group, 0 and place of those that are kept, for boxes (G, n, 4) and scores (G, 1, n), none below 0."""
        kept = _suppress_one_by_one(boxes, scores[:, 0] >= 0, iou_threshold)
        return torch.stack(torch.where(kept[:, None]), 1)

    @staticmethod
    def symbolic(g: Any, boxes: Any, scores: Any, iou_threshold: float) -> Any:
        no_limit, least = torch.tensor([torch.iinfo(torch.int64).max]), torch.tensor([-0.5])
        limits = [g.op("Constant", value_t=value) for value in (no_limit, torch.tensor([iou_threshold]), least)]
        kept = g.op("NonMaxSuppression", boxes, scores, *limits)
        return kept.setType(boxes.type().with_dtype(torch.int64).with_sizes([None, 3]))


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
        out.append((_ious(boxes[:, rows], boxes) > iou_threshold) & (rows[:, None] < places))
    return torch.cat(out, 1)


def _ious(boxes_a: Tensor, boxes_b: Tensor) -> Tensor:
    """(G, m, n) intersection over union of (G, m, 4) and (G, n, 4), rounded as `nms` rounds it."""
    ax1, ay1, ax2, ay2 = boxes_a[..., None, :].unbind(-1)
    bx1, by1, bx2, by2 = boxes_b.transpose(1, 2).contiguous()[:, :, None].unbind(1)  # neighbours in memory
    widths = torch.minimum(ax2, bx2).sub_(torch.maximum(ax1, bx1)).clamp_(min=0)
    heights = torch.minimum(ay2, by2).sub_(torch.maximum(ay1, by1)).clamp_(min=0)
    both = widths.mul_(heights)
    return both / ((ax2 - ax1) * (ay2 - ay1) + (bx2 - bx1) * (by2 - by1) - both)


def first_overlapping(boxes: Tensor, seeds: Tensor, iou_threshold: float) -> Tensor:
    """(B, n) the first of the seeds (B, G, 4) that overlaps each of boxes (B, n, 4) by more than the threshold.

    Where rounding leaves none, that which overlaps it most.
    """
    joined = torch.zeros(boxes.shape[:2], dtype=torch.long, device=boxes.device)
    closest = torch.full(boxes.shape[:2], -1.0, device=boxes.device)
    block = max(1, _SEED_BLOCK // max(1, boxes.shape[0] * boxes.shape[1]))
    for first in range(0, seeds.shape[1], block):
        overlaps = _ious(seeds[:, first : first + block], boxes).nan_to_num(0.0)
        falling = torch.arange(seeds.shape[1] - first, 0, -1, device=boxes.device)[: overlaps.shape[1], None]
        best, which = torch.where(overlaps > iou_threshold, falling.float(), overlaps).max(1)
        joined = torch.where(best > closest, which + first, joined)
        closest = closest.maximum(best)
    return joined

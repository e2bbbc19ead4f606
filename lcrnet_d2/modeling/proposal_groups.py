"""Which pose proposals lie in one place of the image: "grouping ... with a sufficient spatial overlap" (Sec. 3.5).

Shapes: P pose proposals, J joints, G groups. 2D in px.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torchvision.ops import nms

__all__ = ["group_by_overlap"]

_BEST = 1024


def group_by_overlap(
    scores: Tensor,
    poses_2d: Tensor,
    image_size: tuple[int, int] | None,
    iou_threshold: float,
) -> tuple[Tensor, Tensor]:
    """Greedy grouping: the best remaining proposal takes all remaining ones that overlap it.

    Returns:
        (P,) group of each proposal and (G,) seed of each group, groups in order of their seed's score.
    """
    boxes = _boxes_around(poses_2d, image_size)
    # Greedy suppression by IoU keeps exactly the seeds: its result does not depend on who joins whom.
    # It compares in double precision, so the threshold is rounded first: an IoU of exactly float32(0.2) must not
    # be above it there and not above it below.
    iou_threshold = float(boxes.new_tensor(iou_threshold))
    group_of = torch.full_like(scores, -1, dtype=torch.long)
    seeds = group_of.new_zeros(0)
    for stride in _strides(scores):
        rows = stride[group_of[stride] < 0]
        new = rows[nms(boxes[:, rows].T, scores[rows], iou_threshold)]
        group_of = _join(group_of, boxes, new, len(seeds), iou_threshold)
        seeds = torch.cat([seeds, new])
    group_of[seeds] = torch.arange(len(seeds), device=scores.device)
    left = (group_of < 0).nonzero()[:, 0]
    if len(left):  # a GPU may round the IoU of a pair differently in `nms`
        group_of[left] = _iou(boxes[:, left], boxes[:, seeds]).argmax(1)
    return group_of, seeds


def _strides(scores: Tensor) -> list[Tensor]:
    """Rows of (P,) scores that are better than all in the next entry: few people claim most of many proposals.

    Sorting the best thousand of 50,000, and then whatever they have not claimed, takes a third of the time of all.
    """
    if len(scores) <= 4 * _BEST:
        return [torch.arange(len(scores), device=scores.device)]
    better = scores > scores.topk(_BEST).values[-1]
    return [better.nonzero()[:, 0], (~better).nonzero()[:, 0]]


def _join(group_of: Tensor, boxes: Tensor, seeds: Tensor, first_group: int, iou_threshold: float) -> Tensor:
    """(P,) groups, with what is in none yet in that of the first of the seeds it overlaps, numbered from this one."""
    # Seeds in blocks, so that thousands of lonely proposals do not need a (P, P) table at once.
    block = max(1, 2**21 // max(len(group_of), 1))
    for first in range(0, len(seeds), block):
        overlaps = _iou(boxes[:, seeds[first : first + block]], boxes) > iou_threshold  # (block, P)
        # The first overlapping seed has the largest countdown; a maximum is 10 times faster than argmax here.
        countdown = torch.arange(len(overlaps), 0, -1, device=boxes.device, dtype=torch.float32)
        best = (overlaps * countdown[:, None]).amax(0).long()
        group = first_group + first + len(overlaps) - best
        group_of = torch.where((group_of < 0) & (best > 0), group, group_of)
    return group_of


def _boxes_around(poses_2d: Tensor, image_size: tuple[int, int] | None) -> Tensor:
    """(4, P) x1, y1, x2, y2 around the joints of (P, J, 2), clipped to the image.

    Coordinates come first: the minimum of neighbours in memory, and all that follows, takes half the time.
    """
    by_joint = poses_2d.flatten(1).T.contiguous().view(*poses_2d.shape[1:], -1)  # (J, 2, P)
    boxes = torch.cat([by_joint.amin(0), by_joint.amax(0)])
    if image_size is None:
        return boxes
    height, width = image_size
    return boxes.clamp(min=0).minimum(boxes.new_tensor([[width], [height], [width], [height]]))


def _iou(boxes_a: Tensor, boxes_b: Tensor) -> Tensor:
    """(A, B) intersection over union of (4, A) and (4, B), rounded as `nms` rounds it."""
    ax1, ay1, ax2, ay2 = boxes_a[..., None]
    bx1, by1, bx2, by2 = boxes_b
    widths = (torch.minimum(ax2, bx2) - torch.maximum(ax1, bx1)).clamp_(min=0)
    heights = (torch.minimum(ay2, by2) - torch.maximum(ay1, by1)).clamp_(min=0)
    both = widths.mul_(heights)
    return both / ((ax2 - ax1) * (ay2 - ay1) + (bx2 - bx1) * (by2 - by1) - both)

"""Ignore regions: what a row of ground truth stands for, a person or a region that training ignores.

`gt_kinds` of the training Instances holds one of these per row. Regions are never matched; proposals
and RPN anchors that match no person and lie in one are left out of the losses.
"""

from __future__ import annotations

from torch import Tensor

__all__ = ["CROWD", "PERSON", "UNANNOTATED", "inside_fraction", "lies_in_ignored_region"]

#: A person: matched by proposals, learnt by the RPN, and by the head if its 3D pose is known.
PERSON = 0
#: A crowd annotation, whose people are not told apart; or what is seen of somebody cut off by the image too much.
CROWD = 1
#: The whole of an image in which not everyone is annotated.
UNANNOTATED = 2


def inside_fraction(boxes: Tensor, regions: Tensor) -> Tensor:
    """(R, M) share of each box's own area inside each region, boxes (R, 4) and regions (M, 4) in px."""
    top_left = boxes[:, None, :2].maximum(regions[None, :, :2])
    bottom_right = boxes[:, None, 2:].minimum(regions[None, :, 2:])
    intersection = (bottom_right - top_left).clamp(min=0).prod(-1)
    area = (boxes[:, 2:] - boxes[:, :2]).clamp(min=0).prod(-1)
    return intersection / area.clamp(min=1e-6)[:, None]


def lies_in_ignored_region(boxes: Tensor, gt_boxes: Tensor, gt_kinds: Tensor) -> Tensor:
    """(R,) bool: boxes that, unless they match a person, say nothing about what is background.

    A box at least half inside a region is ignored; but in a partly annotated image one at least half
    inside an annotated person's box is background after all: what is there is known.
    """
    inside = inside_fraction(boxes, gt_boxes) >= 0.5
    in_crowd, in_person = inside[:, gt_kinds == CROWD].any(1), inside[:, gt_kinds == PERSON].any(1)
    return in_crowd | (inside[:, gt_kinds == UNANNOTATED].any(1) & ~in_person)

"""Ignore regions: what a row of ground truth stands for, a person or a region that training ignores.

`gt_kinds` of the training Instances holds one of these per row. Regions are never matched; proposals
and RPN anchors that match no person and lie in one are left out of the losses.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["CROWD", "PERSON", "UNANNOTATED", "intersections", "lies_in_ignored_region"]

#: A person: matched by proposals, learnt by the RPN, and by the head if its 3D pose is known.
PERSON = 0
#: A crowd annotation, whose people are not told apart; or what is seen of somebody cut off by the image too much.
CROWD = 1
#: The whole of an image in which not everyone is annotated.
UNANNOTATED = 2


def intersections(regions: Tensor, boxes: Tensor) -> Tensor:
    """(..., M, R) px^2 that regions (..., M, 4) and boxes (..., R, 4) share."""
    left, top, right, bottom = regions[..., None, :].unbind(-1)
    x1, y1, x2, y2 = boxes.transpose(-1, -2).contiguous()[..., None, :, :].unbind(-2)  # neighbours in memory
    width = torch.minimum(x2, right) - torch.maximum(x1, left)
    height = torch.minimum(y2, bottom) - torch.maximum(y1, top)
    return width.clamp(min=0) * height.clamp(min=0)


def lies_in_ignored_region(shared: Tensor, areas: Tensor, gt_kinds: Tensor) -> Tensor:
    """(..., R) bool: boxes that, unless they match a person, say nothing about what is background.

    A box at least half inside a region is ignored; but in a partly annotated image one at least half
    inside an annotated person's box is background after all: what is there is known.

    Args:
        shared: (..., M, R) px^2 that each box has in common with each row's, of `intersections`.
        areas: (..., R) px^2 of the boxes.
        gt_kinds: (..., M).
    """
    inside = shared >= 0.5 * areas.clamp(min=1e-6)[..., None, :]
    in_person, in_crowd, somewhere = (
        (inside & (gt_kinds == kind)[..., None]).any(-2) for kind in (PERSON, CROWD, UNANNOTATED)
    )
    return in_crowd | (somewhere & ~in_person)

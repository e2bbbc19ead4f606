"""Which boxes are people, which background, and which are drawn for training: all images of a batch together.

Shapes: B images, M rows of ground truth where an image has the most, R boxes of an image.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from detectron2.modeling.matcher import Matcher
from detectron2.structures import Instances
from torch import Tensor
from torch.nn import functional as F

from ..structures import PERSON, intersections, lies_in_ignored_region
from .batches import pad_rows, row_numbers

__all__ = ["GroundTruth", "SampledBoxes", "draw", "match"]

#: Pairs of boxes compared at a time: 128 MB for each intermediate result.
_BLOCK = 2**25


class GroundTruth(NamedTuple):
    """The rows of ground truth of all images (structures/ignore_regions.py).

    boxes: (B, M, 4) px; kinds: (B, M), -1 where an image has fewer rows; rows: (B, M) which they are, counted through
    all images.
    """

    boxes: Tensor
    kinds: Tensor
    rows: Tensor

    @classmethod
    def of(cls, targets: list[Instances]) -> GroundTruth:
        """From the training Instances of a batch."""
        boxes = torch.cat([image.gt_boxes.tensor for image in targets])
        kinds = torch.cat([image.gt_kinds for image in targets])
        rows, there = row_numbers([len(image) for image in targets], boxes.device)
        return cls(pad_rows(boxes, rows), torch.where(there, pad_rows(kinds, rows), -1), rows)


class SampledBoxes(NamedTuple):
    """The boxes of a batch that the head is trained on, those on people first.

    boxes: (R, 4) px; images: (R,) which image each is in; classes: (R,) in [0, C], C for background.
    truth: by name the training Instances' fields, (F, ...), of the F boxes on people.
    num_images: B, also those of which no box was drawn.
    """

    boxes: Tensor
    images: Tensor
    classes: Tensor
    truth: dict[str, Tensor]
    num_images: int


def match(boxes: Tensor, truth: GroundTruth, matcher: Matcher) -> tuple[Tensor, Tensor]:
    """Labels boxes as Detectron2's Matcher, by people alone; what matches nobody in an ignored region gets -1.

    Args:
        boxes: (B, R, 4) px, or (1, R, 4) the same for all images.

    Returns:
        (B, R) labels, 1 person, 0 background, -1 neither; (B, R) row of [0, M) overlapped most.
    """
    images = max(1, _BLOCK // max(1, boxes.shape[1] * truth.boxes.shape[1]))
    parts = zip(*(part.split(images) for part in truth), strict=True)
    everyone = boxes.expand(len(truth.boxes), -1, -1).split(images)
    found = [_match(some, GroundTruth(*part), matcher) for some, part in zip(everyone, parts, strict=True)]
    labels, matches = map(torch.cat, zip(*found, strict=True))
    return labels, matches


def _match(boxes: Tensor, truth: GroundTruth, matcher: Matcher) -> tuple[Tensor, Tensor]:
    both = intersections(truth.boxes, boxes)  # (B, M, R)
    areas, gt_areas = ((b[..., 2:] - b[..., :2]).prod(-1) for b in (boxes, truth.boxes))
    is_person = (truth.kinds == PERSON)[..., None]
    overlaps = torch.where(both > 0, both / (gt_areas[..., None] + areas[:, None] - both), 0.0)
    overlaps = overlaps.masked_fill(~is_person, -1.0)  # less than any threshold
    best, matches = overlaps.max(1)
    labels = torch.full_like(matches, matcher.labels[0])
    for label, threshold in zip(matcher.labels[1:], matcher.thresholds[1:-1], strict=True):
        labels = torch.where(best >= threshold, label, labels)
    if matcher.allow_low_quality_matches:  # every person gets the boxes that overlap it most, however little
        is_best = (overlaps == overlaps.amax(2, keepdim=True)) & is_person
        labels = torch.where(is_best.any(1), 1, labels)
    ignored = lies_in_ignored_region(both, areas, truth.kinds)
    return torch.where(ignored & (labels == 0), -1, labels), matches


def draw(positive: Tensor, negative: Tensor, count: int, positive_fraction: float) -> tuple[Tensor, Tensor, Tensor]:
    """Draws boxes at random as Detectron2's `subsample_labels`: positives up to their share, then negatives.

    Args:
        positive, negative: (B, R) bool.

    Returns:
        (B, count) boxes drawn, positives first; (B, count) bool, which are positive; (B, count) bool, False where an
        image has no more boxes to draw.
    """
    missing = max(0, count - positive.shape[1])
    keys = torch.rand(positive.shape, device=positive.device)
    most = int(count * positive_fraction)
    positives, negatives = (
        F.pad(torch.where(allowed, keys, -1.0), (0, missing), value=-1.0).topk(number, dim=1)
        for allowed, number in ((positive, most), (negative, count))
    )
    found = (positives.values >= 0).sum(1, keepdim=True)
    place = torch.arange(count, device=keys.device).expand(len(keys), -1)
    source = torch.where(place < found, place, most + place - found)
    drawn = torch.cat([positives.indices, negatives.indices], 1).gather(1, source)
    is_there = torch.cat([positives.values, negatives.values], 1).gather(1, source) >= 0
    return drawn.clamp(max=max(0, positive.shape[1] - 1)), place < found, is_there

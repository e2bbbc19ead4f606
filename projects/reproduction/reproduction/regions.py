"""Regions of images as a frozen network sees them, kept on disk: what heads are trained and tested on.

A region's features are `d` linear combinations of its pooled map (C x 7 x 7 numbers): those that the network's own
first shared layer makes, so that it can be taken over exactly, and the principal directions of what they leave out.

Shapes: P images, R regions and M rows of ground truth of all of them, D numbers of a pooled map, J joints.
2D in px of the network's input.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from detectron2.data import transforms as T
from detectron2.modeling.matcher import Matcher
from detectron2.structures import Boxes, Instances, pairwise_iou
from torch import Tensor

from lcrnet_d2.data import LCRNetDatasetMapper
from lcrnet_d2.data.dataset_mapper import PoseTargets
from lcrnet_d2.modeling.batches import pad_rows, row_numbers
from lcrnet_d2.modeling.labelling import GroundTruth, match
from lcrnet_d2.modeling.roi_heads import pool
from lcrnet_d2.structures import PERSON, AnchorPoses, Skeleton
from lcrnet_d2.structures.whole_files import whole_file

__all__ = [
    "Labels",
    "RegionSet",
    "choose_for_training",
    "feature_basis",
    "pooled_regions",
    "region_mapper",
    "write_regions",
]

#: Of each row of ground truth: regions of the RPN and jittered true boxes; of each image: regions on nobody.
_PROPOSALS, _JITTERED, _BACKGROUND = 2, 1, 5
#: Standard deviations of a jittered box: of its centre as a share of its size, of the logarithm of its size.
_SHIFT, _SCALE = 0.08, 0.1
_ON_PERSON = 0.5
_ROWS = ("gt_boxes", "gt_classes", "gt_kinds", "gt_keypoints", "gt_poses_3d", "with_upper")
_FIELDS = ("features", "boxes", "counts", "sizes", "row_counts", *_ROWS)


@dataclass(frozen=True)
class _BothTargets:
    """Rows of ground truth with upper-body classes and without (Sec. 4.2), told apart by `with_upper`.

    The class of a row is 0 for a full and 1 for an upper body, -1 without 3D: anchor poses come later.
    """

    with_upper: PoseTargets
    without: PoseTargets

    def __call__(self, *args: Any) -> Instances:
        parts = [self.with_upper(*args), self.without(*args)]
        for part, flag in zip(parts, (True, False), strict=True):
            part.with_upper = torch.full((len(part),), flag)
        return Instances.cat(parts)


def region_mapper(cfg: Any, skeleton: Skeleton, flip: bool) -> LCRNetDatasetMapper:
    """Images as the network is tested on them, with ground truth; in training also mirrored, at random."""
    one = torch.zeros(1, len(skeleton), 3)
    counts = torch.ones(1, dtype=torch.long), torch.zeros(1)
    full, both = (AnchorPoses(one[..., :2].repeat(n, 1, 1), one.repeat(n, 1, 1), skeleton, 1, *counts) for n in (1, 2))
    least = cfg.INPUT.LCRNET.MIN_VISIBLE_FRACTION
    resize: list[T.Augmentation] = [T.ResizeShortestEdge(cfg.INPUT.MIN_SIZE_TEST, cfg.INPUT.MAX_SIZE_TEST)]
    return LCRNetDatasetMapper(  # pyright: ignore[reportCallIssue]  of @configurable
        True,
        augmentations=resize + [T.RandomFlip()] * flip,
        image_format=cfg.INPUT.FORMAT,
        skeleton=skeleton,
        targets=_BothTargets(PoseTargets(both, least), PoseTargets(full, least)),
    )


def choose_for_training(proposals: Tensor, rows: Instances) -> Tensor:
    """(r, 4) px: of each person's boxes regions that match it and jittered copies, and regions on nobody, at random."""
    people = rows.gt_boxes.tensor[rows.gt_kinds == PERSON]
    known = torch.unique(rows.gt_boxes.tensor[rows.gt_classes >= 0], dim=0)
    overlaps = pairwise_iou(Boxes(known), Boxes(proposals)) >= _ON_PERSON
    chosen = [_drawn(of_row.nonzero()[:, 0], _PROPOSALS) for of_row in overlaps]
    free = pairwise_iou(Boxes(people), Boxes(proposals)).max(0).values < _ON_PERSON if len(people) else None
    nobody = torch.arange(len(proposals)) if free is None else free.nonzero()[:, 0]
    rows_chosen = torch.cat([*chosen, _drawn(nobody, _BACKGROUND)]).unique()
    return torch.cat([proposals[rows_chosen], _jittered(known.repeat(_JITTERED, 1), rows.image_size)])


def _drawn(values: Tensor, count: int) -> Tensor:
    return values[torch.randperm(len(values))[:count]]


def _jittered(boxes: Tensor, image_size: tuple[int, int]) -> Tensor:
    size = boxes[:, 2:] - boxes[:, :2]
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2 + _SHIFT * size * torch.randn_like(size)
    size = size * (_SCALE * torch.randn_like(size)).exp()
    jittered = Boxes(torch.cat([centres - size / 2, centres + size / 2], 1))
    jittered.clip(image_size)
    return jittered.tensor[jittered.nonempty(1.0)]


@torch.no_grad()
def pooled_regions(
    model: Any, given: dict[str, Any], choose: Callable[[Tensor, Instances], Tensor]
) -> tuple[Tensor, Tensor]:
    """Boxes (r, 4) px that `choose` takes of a image's regions, and their pooled maps (r, D)."""
    heads = model.roi_heads
    images = model.preprocess_image([given])
    features = model.backbone(images.tensor)
    proposals, _ = model.proposal_generator(images, features, None)
    boxes = choose(proposals[0].proposal_boxes.tensor, given["instances"])
    maps = [features[name] for name in heads.in_features]
    return boxes, pool(heads.box_pooler, maps, boxes, torch.zeros(len(boxes), dtype=torch.long)).flatten(1)


def feature_basis(pooled: Tensor, layer: Tensor, more: int) -> tuple[Tensor, float]:
    """Which linear combinations are kept: (D, d) orthonormal columns, and the share of the variance they hold.

    Args:
        pooled: (n, D) maps of some regions.
        layer: (h, D) weights of the first shared layer; the first h columns span its rows.
        more: principal directions of what those leave out.
    """
    own = torch.linalg.qr(layer.T).Q
    centred = pooled - pooled.mean(0)
    rest = centred - centred @ own @ own.T
    directions = torch.pca_lowrank(rest, q=min(more, *rest.shape), center=False)[2]
    left = rest - rest @ directions @ directions.T
    return torch.cat([own, directions], 1), float(1 - left.square().sum() / centred.square().sum())


def write_regions(
    path: Path,
    model: Any,
    basis: Tensor,
    inputs: Sequence[dict[str, Any]],
    choose: Callable[[Tensor, Instances], Tensor],
) -> None:
    """Writes the regions of some images, whole or not at all."""
    parts: dict[str, list[Any]] = {name: [] for name in _FIELDS}
    for given in inputs:
        boxes, pooled = pooled_regions(model, given, choose)
        rows = given["instances"]
        values = {
            "features": (pooled @ basis).half(),
            "boxes": boxes,
            "counts": [len(boxes)],
            "row_counts": [len(rows)],
        }
        values |= {"sizes": [rows.image_size], "gt_boxes": rows.gt_boxes.tensor}
        values |= {name: rows.get(name) for name in _ROWS[1:]}
        for name, value in values.items():
            parts[name].append(np.asarray(value))
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as file:  # hardly compressible
        np.savez(file, **{name: np.concatenate(values) for name, values in parts.items()})


class Labels(NamedTuple):
    """classes: (R,) in [0, C), C for background, -1 for neither; rows: (R,) the row of ground truth it is of."""

    classes: Tensor
    rows: Tensor


@dataclass(frozen=True)
class RegionSet:
    """The regions of P images, image by image.

    Attributes:
        features: (R, d) half precision; boxes: (R, 4) px; counts: (P,) regions of each image; sizes: (P, 2) H, W px.
        row_counts: (P,); gt_boxes: (M, 4) px; gt_classes: (M,) 0 full body, 1 upper body, -1 without 3D;
            gt_kinds: (M,); gt_keypoints: (M, J, 3) px and v; gt_poses_3d: (M, J, 3) m; with_upper: (M,) bool,
            of labelling with upper-body classes.
    """

    features: Tensor
    boxes: Tensor
    counts: Tensor
    sizes: Tensor
    row_counts: Tensor
    gt_boxes: Tensor
    gt_classes: Tensor
    gt_kinds: Tensor
    gt_keypoints: Tensor
    gt_poses_3d: Tensor
    with_upper: Tensor

    @classmethod
    def load(cls, files: Sequence[Path]) -> RegionSet:
        """Reads files of `write_regions`, one after the other."""
        arrays = [np.load(file) for file in files]
        return cls(*(torch.from_numpy(np.concatenate([array[name] for array in arrays])) for name in _FIELDS))

    def labelled(self, anchors: AnchorPoses, matcher: Matcher) -> Labels:
        """Labels every region as in training (Sec. 3.1)."""
        images = torch.arange(len(self.row_counts)).repeat_interleave(self.row_counts)
        used = (self.with_upper == anchors.has_upper_body).nonzero()[:, 0]
        per_image = torch.bincount(images[used], minlength=len(self.row_counts)).tolist()
        rows, there = row_numbers(per_image, used.device)
        truth = GroundTruth(
            pad_rows(self.gt_boxes[used], rows), torch.where(there, pad_rows(self.gt_kinds[used], rows), -1), rows
        )
        regions, is_region = row_numbers(self.counts.tolist(), used.device)
        labels, matches = match(pad_rows(self.boxes, regions), truth, matcher)
        row_of = torch.cat([used, used.new_zeros(1)])[rows.gather(1, matches)][is_region]
        upper = self.gt_classes == 1
        nearest = anchors.nearest(self.gt_poses_3d, upper if anchors.has_upper_body else None)
        of_rows = torch.where(self.gt_classes >= 0, nearest, -1)[row_of]
        found = labels[is_region]
        return Labels(torch.where(found == 1, of_rows, torch.where(found == 0, len(anchors), -1)), row_of)

    def first_images(self, share: float) -> Tensor:
        """(R,) bool: regions of the first images, this share of them."""
        images = torch.arange(len(self.counts)).repeat_interleave(self.counts)
        return images < round(share * len(self.counts))

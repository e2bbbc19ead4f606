"""The localization component: Detectron2's RPN (Eq. 2) for all images of a batch at once, which knows ignored regions.

Shapes: B images, A RPN anchors of all levels, L levels, n regions of a level before suppression.
"""

from __future__ import annotations

from typing import Any

import torch
from detectron2.modeling.proposal_generator import PROPOSAL_GENERATOR_REGISTRY, RPN
from detectron2.structures import Boxes, Instances
from fvcore.nn import smooth_l1_loss
from torch import Tensor
from torch.nn import functional as F

from .batches import at_most, first_rows, image_numbers, is_exported, largest, log_scalars, read
from .labelling import GroundTruth, draw, match
from .suppression import suppress

__all__ = ["LCRNetRPN"]


@PROPOSAL_GENERATOR_REGISTRY.register()
class LCRNetRPN(RPN):
    """Detectron2's RPN for ground truth with `gt_kinds` (structures/ignore_regions.py).

    People are matched as usual, also those without a 3D pose. RPN anchors that match nobody and
    lie in an ignored region get the label -1. Losses and regions are Detectron2's.
    """

    @torch.no_grad()
    def label_and_sample_anchors(  # pyright: ignore[reportIncompatibleMethodOverride]  tensors for lists of them
        self, anchors: list[Boxes], gt_instances: list[Instances]
    ) -> tuple[Tensor, Tensor]:
        """Labels (B, A), 1 person, 0 background, -1 ignored or not sampled; boxes matched (B, A, 4)."""
        boxes, truth = Boxes.cat(anchors).tensor, GroundTruth.of(gt_instances)
        labels, matches = match(boxes[None], truth, self.anchor_matcher)
        if self.anchor_boundary_thresh >= 0:  # [22] leaves out anchors that cross the border
            far = _sizes([image.image_size for image in gt_instances], boxes) + self.anchor_boundary_thresh
            inside = (boxes[:, :2] >= -self.anchor_boundary_thresh).all(1) & (boxes[:, 2:] < far[..., 2:]).all(2)
            labels = torch.where(inside, labels, -1)
        drawn, is_person, is_drawn = draw(labels == 1, labels == 0, self.batch_size_per_image, self.positive_fraction)
        # Where there is nothing to draw, `drawn` holds any anchor, perhaps a drawn one: the larger label is kept.
        drawn_labels = torch.where(is_drawn, is_person.long(), -1)
        labels = torch.full_like(labels, -1).scatter_reduce_(1, drawn, drawn_labels, "amax")
        return labels, truth.boxes.gather(1, matches[..., None].expand(-1, -1, 4))

    def losses(  # pyright: ignore[reportIncompatibleMethodOverride]
        self,
        anchors: list[Boxes],
        pred_objectness_logits: list[Tensor],
        gt_labels: Tensor,
        pred_anchor_deltas: list[Tensor],
        gt_boxes: Tensor,
    ) -> dict[str, Tensor]:
        """Detectron2's, computed of the sampled anchors alone."""
        if self.box_reg_loss_type != "smooth_l1":
            return super().losses(anchors, pred_objectness_logits, list(gt_labels), pred_anchor_deltas, list(gt_boxes))
        labels, drawn = gt_labels.topk(min(self.batch_size_per_image, gt_labels.shape[1]), dim=1)
        is_person = labels == 1
        log_scalars(
            {
                "rpn/num_pos_anchors": is_person.sum() / len(labels),
                "rpn/num_neg_anchors": (labels == 0).sum() / len(labels),
            }
        )
        logits = torch.cat(pred_objectness_logits, 1).gather(1, drawn)
        cls = F.binary_cross_entropy_with_logits(logits, is_person.to(logits), reduction="none")
        coordinates = drawn[..., None].expand(-1, -1, 4)
        deltas = torch.cat(pred_anchor_deltas, 1).gather(1, coordinates)
        of_anchors = Boxes.cat(anchors).tensor[drawn]
        # Where nobody is matched the box may be empty, and its logarithm infinite.
        boxes = torch.where(is_person[..., None], gt_boxes.gather(1, coordinates), of_anchors)
        targets = self.box2box_transform.get_deltas(of_anchors.flatten(0, 1), boxes.flatten(0, 1))
        loc = smooth_l1_loss(deltas, targets.view_as(deltas), beta=self.smooth_l1_beta, reduction="none")
        losses = {
            "loss_rpn_cls": torch.where(labels >= 0, cls, 0.0).sum(),
            "loss_rpn_loc": torch.where(is_person[..., None], loc, 0.0).sum(),
        }
        divisor = self.batch_size_per_image * len(labels)
        return {name: loss * (self.loss_weight.get(name, 1.0) / divisor) for name, loss in losses.items()}

    @torch.no_grad()
    def predict_proposals(
        self,
        anchors: list[Boxes],
        pred_objectness_logits: list[Tensor],
        pred_anchor_deltas: list[Tensor],
        image_sizes: list[tuple[int, int]],
    ) -> list[Instances]:
        """Per image its regions, best first: as Detectron2's `find_top_rpn_proposals`.

        Boxes and scores that are not finite are left out, in training too: there the losses are not finite either, and
        are looked at before the step.

        A graph that is exported does not know how many images it has. There they are of one size, all that image_sizes
        has, and their regions come together, with the number `images` of each one's image.
        """
        logits, boxes, there = self._best_of_levels(anchors, pred_objectness_logits, pred_anchor_deltas)
        finite = torch.isfinite(boxes).all(-1) & torch.isfinite(logits)
        boxes = self.clip(boxes, _sizes(image_sizes, boxes)[:, None])
        wide, high = (boxes[..., 2:] - boxes[..., :2] > self.min_box_size).unbind(-1)
        kept = suppress(boxes.flatten(0, 1), (there & finite & wide & high).flatten(0, 1), self.nms_thresh)
        scores = torch.where(kept.view_as(logits), logits, -torch.inf).flatten(1)
        best, which = scores.topk(at_most(scores.shape[1], int(self.post_nms_topk[self.training])), dim=1)
        counts = read((best > -torch.inf).sum(1))
        kept_boxes = first_rows(boxes.flatten(1, 2).gather(1, which[..., None].expand(-1, -1, 4)), counts)
        kept_logits = first_rows(best, counts)
        if is_exported():
            images = image_numbers(counts, best.device)
            fields = {"proposal_boxes": Boxes(kept_boxes), "objectness_logits": kept_logits, "images": images}
            return [Instances(image_sizes[0], **fields)]
        of_images = zip(image_sizes, kept_boxes.split(counts), kept_logits.split(counts), strict=True)
        return [Instances(s, proposal_boxes=Boxes(b), objectness_logits=o) for s, b, o in of_images]

    def _best_of_levels(
        self, anchors: list[Boxes], logits: list[Tensor], deltas: list[Tensor]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Of each level the n regions of largest logit, largest first: logits (B, L, n), boxes (B, L, n, 4) px; (L, n)
        bool, False where a level has fewer.
        """
        counts: Any = [at_most(of_level.shape[1], int(self.pre_nms_topk[self.training])) for of_level in logits]
        if is_exported():
            counts = torch.stack(counts)
        most, found = largest(counts), []
        for of_level, level_logits, level_deltas, count in zip(anchors, logits, deltas, counts, strict=True):
            best, which = level_logits.topk(count, dim=1)
            missing = (0, most - count)
            which = F.pad(which, missing)
            of_region = level_deltas.gather(1, which[..., None].expand(-1, -1, 4))
            found.append((F.pad(best, missing, value=-torch.inf), of_region, of_level.tensor[which]))
        best, regressed, boxes = (torch.stack(of_levels, 1) for of_levels in zip(*found, strict=True))
        decoded = self.box2box_transform.apply_deltas(regressed.flatten(0, 2), boxes.flatten(0, 2))
        there = torch.arange(most, device=best.device) < torch.as_tensor(counts, device=best.device)[:, None]
        return best, decoded.view_as(boxes), there

    @staticmethod
    def clip(boxes: Tensor, sizes: Tensor) -> Tensor:
        """What of boxes (B, ..., 4) lies in images of these sizes, (B, ..., 4) x and y of each corner's limit."""
        return boxes.clamp(min=0).minimum(sizes.to(boxes))


def _sizes(image_sizes: list[tuple[int, int]], like: Tensor) -> Tensor:
    """(B, 1, 4) width, height, width, height of each image."""
    if is_exported():
        return torch.stack([torch.as_tensor(size) for size in image_sizes]).flip(1).repeat(1, 2)[:, None].to(like)
    return like.new_tensor([[width, height, width, height] for height, width in image_sizes])[:, None]

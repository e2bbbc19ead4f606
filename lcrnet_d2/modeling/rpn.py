"""The localization component: Detectron2's RPN (Eq. 2), which leaves ignored regions out of its loss."""

from __future__ import annotations

import torch
from detectron2.modeling.proposal_generator import PROPOSAL_GENERATOR_REGISTRY, RPN
from detectron2.structures import Boxes, Instances, pairwise_iou
from torch import Tensor

from ..structures import PERSON, lies_in_ignored_region

__all__ = ["LCRNetRPN"]


@PROPOSAL_GENERATOR_REGISTRY.register()
class LCRNetRPN(RPN):
    """Detectron2's RPN for ground truth with `gt_kinds` (structures/ignore_regions.py).

    People are matched as usual, also those without a 3D pose. RPN anchors that match nobody and
    lie in an ignored region get the label -1.
    """

    @torch.no_grad()
    def label_and_sample_anchors(
        self, anchors: list[Boxes], gt_instances: list[Instances]
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Per image: labels (A,) 1 person, 0 background, -1 ignored or not sampled; matched boxes (A, 4)."""
        all_anchors = Boxes.cat(anchors)
        labels, matched_boxes = [], []
        for targets in gt_instances:
            people = targets.gt_boxes[targets.gt_kinds == PERSON]
            matches, image_labels = self.anchor_matcher(pairwise_iou(people, all_anchors))
            image_labels = image_labels.to(all_anchors.device)
            if self.anchor_boundary_thresh >= 0:  # [22] leaves out anchors that cross the border
                image_labels[~all_anchors.inside_box(targets.image_size, self.anchor_boundary_thresh)] = -1
            if len(people) < len(targets):
                ignored = lies_in_ignored_region(all_anchors.tensor, targets.gt_boxes.tensor, targets.gt_kinds)
                image_labels[ignored & (image_labels == 0)] = -1
            labels.append(self._subsample_labels(image_labels))
            matched_boxes.append(people.tensor[matches] if len(people) else torch.zeros_like(all_anchors.tensor))
        return labels, matched_boxes

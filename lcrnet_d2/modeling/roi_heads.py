"""LCRNetROIHeads: regions in, people out. Wiring only; the parts are in lcr_outputs.py and ppi.py."""

from __future__ import annotations

# Detectron2's @configurable hides the signatures of what it wraps.
# pyright: reportCallIssue=false
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from detectron2.config import CfgNode, configurable
from detectron2.layers import ShapeSpec
from detectron2.modeling.poolers import ROIPooler
from detectron2.modeling.roi_heads import ROI_HEADS_REGISTRY, ROIHeads, build_box_head
from detectron2.structures import Boxes, ImageList, Instances
from detectron2.utils.events import get_event_storage
from torch import Tensor, nn
from torch.nn import functional as F

from ..structures import PERSON, SKELETONS, Skeleton, centre_poses, joint_box
from .batches import first_rows, image_numbers, is_exported, pad_rows, read, row_numbers
from .joint_heat_maps import JointHead, JointMaps
from .joint_refinement import RefinementRules, refine_instances
from .labelling import GroundTruth, SampledBoxes, draw, match
from .lcr_outputs import LCROutputLayers, PoseProposals
from .ppi import PosesInImage, Rules, integrate, pose_boxes

__all__ = ["LCRNetROIHeads"]


@ROI_HEADS_REGISTRY.register()
class LCRNetROIHeads(ROIHeads):
    """RoI pooling, shared layers, classification and regression, pose proposals integration, joint refinement.

    Training returns the losses `loss_pose_cls` and `loss_pose_reg`, and with heat maps `loss_joint_heat` and
    `loss_joint_offset`, whatever is in the batch.
    Inference returns per image the Instances of `people_to_instances`.
    """

    #: What an exported model says of its integration beside the config's rules, for tools/run_onnx.py.
    onnx_rules: Mapping[str, Any] = {}
    #: Whether a mirrored image has the mirrored boxes (TEST.AUG.FLIP).
    can_mirror = True
    #: Of the training Instances, what the losses need to know of the boxes on people.
    target_fields = ("gt_keypoints", "gt_poses_3d", "gt_pose_3d_weights")

    @configurable
    def __init__(
        self,
        *,
        in_features: list[str],
        box_pooler: ROIPooler,
        box_head: nn.Module,
        box_predictor: LCROutputLayers,
        skeleton: Skeleton,
        rules: Rules,
        max_people: int,
        joint_head: JointHead | None = None,
        refinement_rules: RefinementRules | None = None,
        **kwargs: Any,
    ) -> None:
        """
        Args:
            in_features: names of the feature maps that boxes are pooled from.
            box_head: the shared fully-connected layers.
            box_predictor: classification and regression layers.
            skeleton: of the poses.
            rules: of the integration, which makes people of pose proposals.
            max_people: how many are returned at most, best first.
            joint_head: heat maps that integrated joints move to, by the refinement_rules; None: they stay.
            kwargs: of ROIHeads (sampling and matching).
        """
        super().__init__(**kwargs)
        self.in_features = in_features
        self.box_pooler = box_pooler
        self.box_head = box_head
        self.box_predictor = box_predictor
        self.skeleton = skeleton
        self.rules = rules
        self.max_people = max_people
        self.joint_head = joint_head
        self.refinement_rules = refinement_rules or RefinementRules()

    @classmethod
    def from_config(  # pyright: ignore[reportIncompatibleMethodOverride]  as in Detectron2's own heads
        cls, cfg: CfgNode, input_shape: dict[str, ShapeSpec]
    ) -> dict[str, Any]:
        box_head_cfg = cfg.MODEL.ROI_BOX_HEAD
        in_features = cfg.MODEL.ROI_HEADS.IN_FEATURES
        resolution = box_head_cfg.POOLER_RESOLUTION
        channels = input_shape[in_features[0]].channels
        box_head = build_box_head(cfg, ShapeSpec(channels=channels, height=resolution, width=resolution))
        box_predictor = LCROutputLayers(cfg, box_head.output_shape)
        refinement = cfg.MODEL.LCRNET.JOINT_REFINEMENT
        return super().from_config(cfg) | {
            "num_classes": box_predictor.num_classes,
            "in_features": in_features,
            "box_pooler": ROIPooler(
                output_size=resolution,
                scales=tuple(1.0 / (input_shape[f].stride or 1) for f in in_features),
                sampling_ratio=box_head_cfg.POOLER_SAMPLING_RATIO,
                pooler_type=box_head_cfg.POOLER_TYPE,
            ),
            "box_head": box_head,
            "box_predictor": box_predictor,
            "skeleton": SKELETONS[cfg.MODEL.LCRNET.SKELETON],
            "rules": _rules_of_config(cfg),
            "max_people": cfg.TEST.DETECTIONS_PER_IMAGE,
            "joint_head": JointHead(cfg, input_shape) if refinement.ENABLED else None,
            "refinement_rules": RefinementRules(refinement.MIN_DEVIATION, refinement.MIN_HEAT, refinement.USUAL_HEAT),
        }

    def forward(
        self,
        images: ImageList,
        features: dict[str, Tensor],
        proposals: list[Instances],
        targets: list[Instances] | None = None,
    ) -> tuple[list[Instances], dict[str, Tensor]]:
        if self.training:
            assert targets is not None
            sampled = self.label_and_sample(proposals, targets)
            predictions = self._predictions(features, sampled.boxes, sampled.images)
            losses = self.box_predictor.losses(predictions, sampled)
            if self.joint_head is not None:
                losses |= self.joint_head.losses(self.joint_head(features), targets)
            return [], losses
        return self.people(images, self.pose_proposals(features, proposals), proposals, features), {}

    def people(
        self,
        images: ImageList,
        proposals: list[PoseProposals],
        regions: list[Instances],
        features: dict[str, Tensor],
    ) -> list[Instances]:
        """Everyone in each image: its pose proposals integrated (Sec. 3.5), and the joints refined."""
        people = self.integrate(proposals, regions)
        maps = self.joint_maps(features)
        return people if maps is None else refine_instances(people, maps, self.refinement_rules)

    def pose_proposals(self, features: dict[str, Tensor], regions: list[Instances]) -> list[PoseProposals]:
        """What classification and regression make of each image's regions (Sec. 3.2-3.3).

        In a graph that is exported those of all images together, as `LCRNetRPN.predict_proposals` has their regions.
        """
        self.box_predictor.check_anchor_poses()
        boxes = [image.proposal_boxes.tensor for image in regions]
        together = torch.cat(boxes)
        if is_exported():
            images, every_image = regions[0].images, torch.arange(features[self.in_features[0]].shape[0])
            counts = (images == every_image[:, None]).sum(1)
            return [self.box_predictor.decode(self._predictions(features, together, images), together, counts)[0]]
        images = image_numbers([len(of_image) for of_image in boxes], together.device)
        return self.box_predictor.inference(self._predictions(features, together, images), boxes)

    def joint_maps(self, features: dict[str, Tensor]) -> JointMaps | None:
        """The heat maps of a batch; None where joints are not refined."""
        return None if self.joint_head is None else self.joint_head(features)

    def _predictions(self, features: dict[str, Tensor], boxes: Tensor, images: Tensor) -> tuple[Tensor, Tensor]:
        """Of boxes (R, 4) in these images (R,) of the batch."""
        pooled = pool(self.box_pooler, [features[name] for name in self.in_features], boxes, images)
        return self.box_predictor(self.box_head(pooled))

    @torch.no_grad()
    def label_and_sample(self, proposals: list[Instances], targets: list[Instances]) -> SampledBoxes:
        """As Detectron2's `label_and_sample_proposals`, for all images at once and by people alone.

        Never sampled are boxes in an ignored region and people without a 3D pose. One wait: for the numbers of boxes.
        """
        truth = GroundTruth.of(targets)
        regions = torch.cat([image.proposal_boxes.tensor for image in proposals])
        numbers, there = row_numbers([len(image) for image in proposals], regions.device)
        boxes = pad_rows(regions, numbers)
        if self.proposal_append_gt:
            boxes, there = torch.cat([boxes, truth.boxes], 1), torch.cat([there, truth.kinds == PERSON], 1)
        labels, matches = match(boxes, truth, self.proposal_matcher)
        rows = truth.rows.gather(1, matches)  # of all images' ground truth
        gt_classes = F.pad(torch.cat([image.gt_classes for image in targets]), (0, 1), value=-1)[rows]
        classes = torch.where(labels == 1, gt_classes, torch.where(labels == 0, self.num_classes, -1))
        classes = torch.where(there, classes, -1)
        on_people, background = (classes >= 0) & (classes < self.num_classes), classes == self.num_classes
        drawn, is_person, is_drawn = draw(on_people, background, self.batch_size_per_image, self.positive_fraction)
        # People first, then background, then places for which there was no box.
        order = torch.where(is_drawn, (~is_person).long(), 2).flatten().argsort(stable=True)
        count, people = torch.stack([is_drawn.sum(), is_person.sum()]).tolist()
        images = order[:count] // self.batch_size_per_image
        which = (images, drawn.flatten()[order[:count]])
        storage = get_event_storage()
        storage.put_scalar("roi_head/num_fg_samples", people / len(targets))
        storage.put_scalar("roi_head/num_bg_samples", (count - people) / len(targets))
        fields = {
            name: torch.cat([image.get(name) for image in targets])[rows[which][:people]]
            for name in self.target_fields
            if targets[0].has(name)
        }
        return SampledBoxes(boxes[which], images, classes[which], fields, len(targets))

    def integrate(self, decoded: list[PoseProposals], regions: list[Instances]) -> list[Instances]:
        """Per image the people that its pose proposals are integrated to, as Instances of `people_to_instances`."""
        together = PoseProposals(*map(torch.cat, zip(*decoded, strict=True)))
        # 3D is relative to the body centre by definition; regression leaves it a few mm off.
        together = together._replace(poses_3d=centre_poses(together.poses_3d, self.skeleton))
        counts = [len(image.scores) for image in decoded]
        sizes = together.poses_2d.new_tensor([image.image_size[::-1] for image in regions])
        sizes = sizes[image_numbers(counts, sizes.device)]
        first_upper = self.box_predictor.num_anchor_poses
        has_upper_body = self.box_predictor.num_classes > first_upper
        is_upper_body = together.classes >= first_upper if has_upper_body else None
        boxes = self.pose_boxes(together.poses_2d, sizes if self.rules.clip_boxes else None)
        # Autocast would make half precision of the products in PPI: a millimetre in a metre.
        with torch.autocast(sizes.device.type, enabled=False):
            people = integrate(*together[:3], boxes, counts, self.rules, is_upper_body, self.skeleton.lower_limbs)
        return people_to_instances(people, together, counts, regions, self.max_people)

    @staticmethod
    def pose_boxes(poses_2d: Tensor, sizes: Tensor | None) -> Tensor:
        """(P, 4) px, the boxes whose overlaps group pose proposals, clipped to images of sizes (P, 2) x, y or not."""
        return pose_boxes(poses_2d, sizes)


def pool(pooler: ROIPooler, maps: list[Tensor], boxes: Tensor, images: Tensor) -> Tensor:
    """(R, C, H, W) as Detectron2's ROIPooler pools boxes (R, 4) in these images (R,), with one wait for all levels."""
    regions = torch.cat([images[:, None].to(boxes), boxes], 1)
    if len(maps) == 1:
        return pooler.level_poolers[0](maps[0], regions)
    sizes = (boxes[:, 2:] - boxes[:, :2]).prod(1).sqrt()
    levels = (pooler.canonical_level + torch.log2(sizes / pooler.canonical_box_size + 1e-8)).floor()
    levels = levels.clamp(pooler.min_level, pooler.max_level) - pooler.min_level
    order = levels.argsort()
    counts = list(read((levels[:, None] == torch.arange(len(maps), device=levels.device)).sum(0)))
    by_level = zip(pooler.level_poolers, maps, regions[order].split(counts), strict=True)
    pooled = torch.cat([level(of_level, there) for level, of_level, there in by_level])
    return torch.empty_like(pooled).index_copy(0, order, pooled)


def people_to_instances(
    people: PosesInImage,
    proposals: PoseProposals,
    counts: Sequence[int],
    regions: Sequence[Instances],
    max_people: int | None = None,
) -> list[Instances]:
    """The people of each image as Detectron2 sees them, and what is known about how they came about.

    Fields: pred_boxes around the 2D joints, scores (N,), pred_classes = 0 (the person category),
    pred_keypoints (N, J, 3) px with 1 in the last column, pred_poses_3d (N, J, 3) m.
    pred_anchors (N,) class of the seed; pred_groups (N,); pred_confidences (N,) in [0, 1], the
    probability that the seed's region is a person.
    In parts of the image's width and height, so that `detector_postprocess` need not know them:
    pred_seed_keypoints (N, J, 2) and pred_seed_boxes (N, 4), the seed's pose and region; pred_spreads_2d
    (N, J, 2), standard deviation of what was averaged. pred_seed_scores (N,), pred_seed_poses_3d
    (N, J, 3) m, pred_spreads_3d (N, J) m. `refine_instances` adds pred_integrated_scores,
    pred_integrated_keypoints and pred_joint_heats (N, J).

    Args:
        proposals: of all images, so many (counts) of each, as `people` were integrated from.
        regions: per image its regions.
        max_people: the best so many of an image; None: all.
    """
    spreads = [
        _spread(of_proposals, poses, proposals.scores, people.members)
        for of_proposals, poses in ((proposals.poses_2d, people.poses_2d), (proposals.poses_3d, people.poses_3d))
    ]
    kept = [count if max_people is None else min(count, max_people) for count in people.counts]
    device = people.scores.device
    rows = slice(None) if kept == people.counts else first_rows(row_numbers(people.counts, device)[0], kept)
    images, seeds, poses_2d = image_numbers(kept, device), people.seeds[rows], people.poses_2d[rows]
    size = poses_2d.new_tensor([image.image_size[::-1] for image in regions])[images]
    of_seeds = PoseProposals(*(field[seeds] for field in proposals))
    region_numbers, _ = row_numbers([len(image) for image in regions], device)
    boxes = torch.cat([image.proposal_boxes.tensor for image in regions])
    fields = {
        "pred_boxes": joint_box(poses_2d),
        "scores": people.scores[rows],
        "pred_classes": torch.zeros_like(seeds),
        "pred_keypoints": torch.cat([poses_2d, torch.ones_like(poses_2d[..., :1])], -1),
        "pred_poses_3d": people.poses_3d[rows],
        "pred_groups": people.groups[rows],
        "pred_anchors": of_seeds.classes,
        "pred_confidences": of_seeds.confidences,
        "pred_seed_scores": of_seeds.scores,
        "pred_seed_keypoints": of_seeds.poses_2d / size[:, None],
        "pred_seed_poses_3d": of_seeds.poses_3d,
        "pred_seed_boxes": boxes[region_numbers[images, of_seeds.boxes]] / size.repeat(1, 2),
        "pred_spreads_2d": spreads[0][rows].sqrt() / size[:, None],
        "pred_spreads_3d": spreads[1][rows].sum(-1).sqrt(),
    }
    of_images = zip(regions, *(field.split(kept) for field in fields.values()), strict=True)
    out = [Instances(image.image_size, **dict(zip(fields, values, strict=True))) for image, *values in of_images]
    for image in out:
        image.pred_boxes = Boxes(image.pred_boxes)
    return out


def _spread(proposals: Tensor, poses: Tensor, scores: Tensor, members: Tensor) -> Tensor:
    """(N, J, d) mean square deviation of each person's members from the person's pose, weighted as in Eq. 7."""
    persons, indices = members
    weights = scores[indices]
    total = torch.zeros(len(poses), device=poses.device).index_add_(0, persons, weights)
    squares = (proposals[indices] - poses[persons]).square() * weights[:, None, None]
    return torch.zeros_like(poses).index_add_(0, persons, squares) / total.clamp(min=1e-12)[:, None, None]


def _rules_of_config(cfg: CfgNode) -> Rules:
    method, rules = cfg.MODEL.LCRNET.INTEGRATION.METHOD, Rules.of_config(cfg)
    methods = {"ppi": rules, "nms": rules.suppression}
    if method not in methods:
        raise ValueError(f"MODEL.LCRNET.INTEGRATION.METHOD is {method!r}, expected one of {sorted(methods)}")
    return methods[method]

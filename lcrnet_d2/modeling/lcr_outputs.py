"""Classification and regression of pose proposals (Sec. 3.2 and 3.3): layers, losses, decoding.

Shapes: R boxes of a batch, F of them on people, C classes (K anchor poses, doubled where upper-body
classes are in use), J joints, P pose proposals = (box, class) pairs. Background is class C, the last.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from detectron2.config import CfgNode, configurable
from detectron2.layers import ShapeSpec
from torch import Tensor, nn
from torch.nn import functional as F

from ..structures import SKELETONS, AnchorPoses
from .batches import first_rows, image_numbers, is_asynchronous, largest, log_scalars, pad_rows, read, row_numbers
from .labelling import SampledBoxes
from .pose_regression import PoseTransform

__all__ = ["LCROutputLayers", "PoseProposals", "select_pose_proposals"]


class PoseProposals(NamedTuple):
    """The P refined pose proposals of one image.

    scores: (P,) u(c) of Eq. 3; poses_2d: (P, J, 2) px; poses_3d: (P, J, 3) m; classes: (P,);
    boxes: (P,) index of the region each comes from; confidences: (P,) probability that it is a person.
    """

    scores: Tensor
    poses_2d: Tensor
    poses_3d: Tensor
    classes: Tensor
    boxes: Tensor
    confidences: Tensor


class LCROutputLayers(nn.Module):
    """The two layers after the shared fully-connected ones, and the anchor poses they refer to.

    The anchor poses are buffers, so that a checkpoint is complete: the module is built from their
    number alone and they are NaN until a checkpoint or `set_anchor_poses` brings them.
    """

    anchor_poses_2d: Tensor  # (C, J, 2) box units
    anchor_poses_3d: Tensor  # (C, J, 3) m
    _weights: Tensor  # (5,) of the loss of x, y, X, Y, Z

    @configurable
    def __init__(
        self,
        input_shape: ShapeSpec,
        *,
        num_anchor_poses: int,
        num_joints: int,
        upper_body: bool,
        pose_transform: PoseTransform,
        smooth_l1_beta: float,
        weight_3d: float,
        batch_size_per_image: int,
        min_score: float,
        min_proposals: int,
    ) -> None:
        """
        Args:
            input_shape: of the features after the shared layers; d numbers each.
            num_anchor_poses: K; num_joints: J; upper_body: twice as many classes (Sec. 4.2).
            pose_transform: encodes and decodes regression targets.
            smooth_l1_beta: error, in the targets' units, beyond which the loss is linear; 1 in Eq. 5.
            weight_3d: of the 3D coordinates' part of the regression loss; 1 in Eq. 4.
            batch_size_per_image: sampled boxes per image, the divisor of both losses.
            min_score, min_proposals: which (box, class) pairs are decoded, see `select_pose_proposals`.
        """
        super().__init__()
        width = (input_shape.channels or 1) * (input_shape.width or 1) * (input_shape.height or 1)
        self.num_anchor_poses = num_anchor_poses
        self.num_joints = num_joints
        self.num_classes = num_anchor_poses * (2 if upper_body else 1)
        self.pose_transform = pose_transform
        self.smooth_l1_beta = smooth_l1_beta
        self.register_buffer("_weights", torch.tensor([1.0, 1.0] + 3 * [weight_3d]), persistent=False)
        self.batch_size_per_image = batch_size_per_image
        self.min_score = min_score
        self.min_proposals = min_proposals
        self.cls_score = nn.Linear(width, self.num_classes + 1)
        # (K + 1) x 5 x J numbers in the paper; background has nothing to regress and gets none here.
        self.pose_pred = nn.Linear(width, self.num_classes * num_joints * 5)
        nn.init.normal_(self.cls_score.weight, std=0.01)
        nn.init.normal_(self.pose_pred.weight, std=0.001)
        for layer in (self.cls_score, self.pose_pred):
            nn.init.zeros_(layer.bias)
        self.register_buffer("anchor_poses_2d", torch.full((self.num_classes, num_joints, 2), torch.nan))
        self.register_buffer("anchor_poses_3d", torch.full((self.num_classes, num_joints, 3), torch.nan))

    @classmethod
    def from_config(cls, cfg: CfgNode, input_shape: ShapeSpec) -> dict:
        lcrnet = cfg.MODEL.LCRNET
        return {
            "input_shape": input_shape,
            "num_anchor_poses": lcrnet.NUM_ANCHOR_POSES,
            "num_joints": len(SKELETONS[lcrnet.SKELETON]),
            "upper_body": lcrnet.UPPER_BODY,
            "pose_transform": PoseTransform(lcrnet.POSE_REG_SCALE),
            "smooth_l1_beta": lcrnet.POSE_REG_BETA,
            "weight_3d": lcrnet.POSE_REG_WEIGHT_3D,
            "batch_size_per_image": cfg.MODEL.ROI_HEADS.BATCH_SIZE_PER_IMAGE,
            "min_score": lcrnet.INTEGRATION.MIN_PROPOSAL_SCORE
            / (lcrnet.NUM_ANCHOR_POSES * (2 if lcrnet.UPPER_BODY else 1)),
            "min_proposals": lcrnet.INTEGRATION.MIN_PROPOSALS,
        }

    def set_anchor_poses(self, anchors: AnchorPoses) -> None:
        """Takes over anchor poses; ValueError where their number, joints or upper-body classes do not fit."""
        here = (self.num_anchor_poses, self.num_classes, self.num_joints)
        there = (anchors.num_full_body, len(anchors), len(anchors.skeleton))
        if here != there:
            raise ValueError(
                "anchor poses do not fit the model: K, classes, joints are "
                f"{there} in the file and {here} in the config (MODEL.LCRNET)"
            )
        self.anchor_poses_2d.copy_(anchors.poses_2d)
        self.anchor_poses_3d.copy_(anchors.poses_3d)

    def check_anchor_poses(self, anchors: AnchorPoses | None = None) -> None:
        """RuntimeError if there are none yet, ValueError if they are not `anchors`, the ones used for labels."""
        if not bool(torch.isfinite(self.anchor_poses_3d).all()):
            raise RuntimeError(
                "the model has no anchor poses: load a trained checkpoint (MODEL.WEIGHTS) or "
                "set MODEL.LCRNET.ANCHOR_POSES to a file of tools/build_anchor_poses.py"
            )
        if anchors is None:
            return
        mine = torch.cat([self.anchor_poses_2d, self.anchor_poses_3d], -1).cpu()
        theirs = torch.cat([anchors.poses_2d, anchors.poses_3d], -1)
        if mine.shape != theirs.shape or not torch.allclose(mine, theirs, atol=1e-5):
            raise ValueError(
                "the model's anchor poses are not those of MODEL.LCRNET.ANCHOR_POSES, which label the training "
                "data; train with the file the checkpoint was made with (lcrnet://NAME/anchor_poses of a published "
                "model), or set MODEL.LCRNET.NEW_HEAD True"
            )

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """(R, C + 1) class logits, and the (R, d) features that regression is computed from where needed."""
        features = features.flatten(1)
        return self.cls_score(features), features

    def losses(self, predictions: tuple[Tensor, Tensor], sampled: SampledBoxes) -> dict[str, Tensor]:
        """Eq. 3 and 4, each summed over the sampled boxes and divided by how many the config asks for.

        Args:
            predictions: of `forward`, for the sampled boxes.
            sampled: truth has gt_keypoints (F, J, 3) px, gt_poses_3d (F, J, 3) m and, where 3D is not exact,
                gt_pose_3d_weights (F, J, 3).
        """
        logits, features = predictions
        divisor = sampled.num_images * self.batch_size_per_image
        truth, count = sampled.truth, len(sampled.truth["gt_poses_3d"])
        loss_cls = F.cross_entropy(logits, sampled.classes, reduction="sum") / divisor
        boxes, classes = sampled.boxes[:count], sampled.classes[:count]
        deltas = self._regress(features[:count], classes)
        targets = self.pose_transform.get_deltas(
            boxes,
            self.anchor_poses_2d[classes],
            self.anchor_poses_3d[classes],
            truth["gt_keypoints"][..., :2],
            truth["gt_poses_3d"],
        )  # t_cB of Sec. 3.1
        losses_reg = F.smooth_l1_loss(deltas, targets, beta=self.smooth_l1_beta, reduction="none")
        weights_3d = truth.get("gt_pose_3d_weights", torch.ones_like(truth["gt_poses_3d"]))
        label_weights = F.pad(weights_3d.to(losses_reg), (2, 0), value=1.0)  # 1 for 2D
        loss_reg = (losses_reg * self._weights * label_weights).sum() / divisor
        _log_accuracy(logits.detach(), sampled.classes, count)
        return {"loss_pose_cls": loss_cls, "loss_pose_reg": loss_reg}

    def inference(self, predictions: tuple[Tensor, Tensor], boxes: list[Tensor]) -> list[PoseProposals]:
        """Scores every (box, class) pair, then regresses and decodes only those worth keeping.

        Args:
            predictions: of `forward`.
            boxes: per image (R_i, 4) px.

        Raises:
            RuntimeError: there are no anchor poses yet.
        """
        regions = [len(of_image) for of_image in boxes]
        decoded, counts = self.decode(predictions, torch.cat(boxes), regions)
        first_of_image = torch.tensor(regions, device=decoded.boxes.device).cumsum(0)[:-1]
        first_of_image = F.pad(first_of_image, [1, 0])[image_numbers(counts, decoded.boxes.device)]
        decoded = decoded._replace(boxes=decoded.boxes - first_of_image)
        return [PoseProposals(*of_image) for of_image in zip(*(d.split(counts) for d in decoded), strict=True)]

    def decode(
        self, predictions: tuple[Tensor, Tensor], boxes: Tensor, regions: Sequence[int] | Tensor
    ) -> tuple[PoseProposals, Any]:
        """The pose proposals of all images together, whose `boxes` count through all regions, and how many each has.

        Args:
            boxes: (R, 4) px, so many (regions) of each image.
        """
        logits, features = predictions
        probabilities = logits.float().softmax(1)
        scores, rows, classes, counts = select_pose_proposals(
            probabilities[:, :-1], self.min_score, self.min_proposals, regions
        )
        deltas = self._deltas_of_pairs(features, rows, classes)
        poses = self.pose_transform.apply_deltas(
            boxes[rows], self.anchor_poses_2d[classes], self.anchor_poses_3d[classes], deltas
        )
        return PoseProposals(scores, *poses, classes, rows, 1 - probabilities[:, -1][rows]), counts

    def _deltas_of_pairs(self, features: Tensor, rows: Tensor, classes: Tensor) -> Tensor:
        """(P, J, 5) regression of box `rows[p]` for class `classes[p]`; `rows` in order.

        On a GPU one product for all boxes and classes. On a CPU one for each class that occurs; or, where the pairs are
        a quarter of all that the boxes and classes allow, a single one for these boxes.
        """
        if is_asynchronous(features):
            return self._every_class(features)[rows, classes]
        boxes, box_of = rows.unique_consecutive(return_inverse=True)
        if len(boxes) * self.num_classes <= 4 * len(rows):
            return self._every_class(features[boxes])[box_of, classes]
        return self._regress(features[rows], classes)

    def _every_class(self, features: Tensor) -> Tensor:
        """(n, C, J, 5) regression of features (n, d)."""
        return self.pose_pred(features).view(-1, self.num_classes, self.num_joints, 5)

    def _regress(self, features: Tensor, classes: Tensor) -> Tensor:
        """(n, J, 5) regression of features (n, d), each for its class (n,).

        On a GPU by a product with all classes' weights, of which each row uses one. On a CPU by one product for each
        class that occurs: forward and backward take a fifth of the time (256 rows, 160 classes, d = 512;
        docs/notes/benchmarks.md).
        """
        if is_asynchronous(features):
            own = classes[:, None, None, None].expand(-1, -1, self.num_joints, 5)
            return self._every_class(features).gather(1, own)[:, 0]
        order = torch.argsort(classes, stable=True)
        counts = torch.bincount(classes, minlength=self.num_classes).tolist()
        weights = self.pose_pred.weight.unflatten(0, (self.num_classes, -1)).unbind()
        biases = self.pose_pred.bias.unflatten(0, (self.num_classes, -1)).unbind()
        by_class = [
            F.linear(rows, weight, bias)
            for rows, weight, bias in zip(features[order].split(counts), weights, biases, strict=True)
            if len(rows)
        ]
        # Nobody in the batch: an empty product, which still gives every parameter a gradient.
        out = torch.cat(by_class or [self.pose_pred(features)[:, : self.num_joints * 5]])
        return out[torch.argsort(order)].view(-1, self.num_joints, 5)


def select_pose_proposals(
    probabilities: Tensor, min_score: float, min_count: int, regions: Sequence[int] | Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor, Any]:
    """The (box, class) pairs worth decoding: of each image all of at least `min_score`, and the best `min_count` at
    least. One wait for the numbers.

    Args:
        probabilities: (R, C), without background. NaN counts as less than 0.
        regions: how many of the R boxes each image has; by default all are of one.

    Returns:
        scores, box and class of each pair, (P,) each, in order of box and class; how many are of each image.
    """
    regions = [len(probabilities)] if regions is None else regions
    num_classes = probabilities.shape[1]
    numbers, there = row_numbers(regions, probabilities.device)
    of_images = pad_rows(probabilities.nan_to_num(-1.0), numbers).masked_fill(~there[..., None], -2.0).flatten(1)
    at_least = (torch.as_tensor(regions, device=there.device) * num_classes).clamp(max=min_count)
    counts = read((of_images >= min_score).sum(1).maximum(at_least))
    most = largest(counts)
    best = of_images.topk(most, dim=1).indices
    beyond = torch.arange(most, device=best.device) >= torch.as_tensor(counts, device=best.device)[:, None]
    pairs = first_rows(best.masked_fill(beyond, of_images.shape[1]).sort(1).values, counts)
    boxes = numbers[image_numbers(counts, best.device), pairs // num_classes]
    classes = pairs % num_classes
    return probabilities[boxes, classes], boxes, classes, counts


def _log_accuracy(logits: Tensor, gt_classes: Tensor, count: int) -> None:
    """Shares of sampled boxes told apart from background, and of the first `count`, on people, with the right anchor
    pose.

    The second leaves background out: with many anchor poses it outweighs each single one for long.
    """
    shares = {}
    if len(logits):
        seen_as_people = logits[:, :-1].logsumexp(1) > logits[:, -1]
        shares["lcrnet/person_accuracy"] = (seen_as_people == (gt_classes < logits.shape[1] - 1)).float().mean()
    if count:
        right = logits[:count, :-1].argmax(1) == gt_classes[:count]
        shares["lcrnet/anchor_accuracy"] = right.float().mean()
    if shares:
        log_scalars(shares)

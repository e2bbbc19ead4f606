"""LCR-Net's head on kept regions: the core's shared layers, classification, regression and losses, trained alone.

Shapes: R regions, C classes, J joints, N poses, d numbers of a region.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from detectron2.config import CfgNode
from detectron2.layers import ShapeSpec
from detectron2.modeling.roi_heads import build_box_head, build_roi_heads
from detectron2.utils.events import EventStorage
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from lcrnet_d2.modeling.labelling import SampledBoxes
from lcrnet_d2.modeling.lcr_outputs import LCROutputLayers
from lcrnet_d2.structures import AnchorPoses, Skeleton, centre_poses, pose_distance

from .regions import Labels, RegionSet

__all__ = ["HeadPlan", "Schedule", "build_heads", "cluster_by_distance", "head_config", "region_errors", "train_head"]

#: m: a soft label is proportional to exp(-D / this).
_SOFT = 0.03
_DEEP = 4096


@dataclass(frozen=True)
class HeadPlan:
    """One head.

    Attributes:
        k: number of anchor poses.
        seed: of the new layers and of the order of the regions.
        share: of the training images.
        upper: with upper-body classes (Sec. 4.2).
        shared: "shipped": the two shared layers start as the network's own; "new": at random; "head": the network's own
            head as it is, not trained.
        anchors: "kmeans", or "distance": centres that minimise D, not its square.
        labels: "nearest" anchor pose, or "soft" ones of all near it.
        regressors: "own" for each class (Sec. 3.3), one "shared" by all, or for K = 1 a "deep" one.
        weight_cls, weight_3d: of the classification loss and of the regression loss of 3D.
    """

    k: int
    seed: int = 0
    share: float = 1.0
    upper: bool = False
    shared: str = "shipped"
    anchors: str = "kmeans"
    labels: str = "nearest"
    regressors: str = "own"
    weight_cls: float = 1.0
    weight_3d: float = 1.0

    @property
    def name(self) -> str:
        """What differs from the defaults, as a file's name."""
        defaults = HeadPlan(self.k)
        changed = [f"{n}_{v}" for n, v in vars(self).items() if n != "k" and v != getattr(defaults, n)]
        return "-".join([f"K{self.k}", *changed])


@dataclass(frozen=True)
class Schedule:
    """How heads are trained: AdamW, and an average of the weights that is judged on val and kept where it is best.

    Attributes:
        batch: regions; half of them on people, where there are enough.
        rate: learning rate after `warm_up` steps.
        check: steps between two looks at val; `patience`: looks without a better one until it ends; `most`: steps.
    """

    batch: int = 512
    rate: float = 1e-3
    decay: float = 0.02
    warm_up: int = 50
    check: int = 200
    patience: int = 2
    most: int = 2400


class _SoftLabels(LCROutputLayers):
    """Classification is asked for every anchor pose near a person's, by exp(-D / 3 cm)."""

    def losses(self, predictions: tuple[Tensor, Tensor], sampled: SampledBoxes) -> dict[str, Tensor]:
        losses = super().losses(predictions, sampled)
        poses, classes = sampled.truth["gt_poses_3d"], sampled.classes[: len(sampled.truth["gt_poses_3d"])]
        nearness = -pose_distance(poses, self.anchor_poses_3d[: self.num_anchor_poses]) / _SOFT
        targets = torch.zeros_like(predictions[0])
        targets[len(classes) :, -1] = 1.0
        first = (classes // self.num_anchor_poses * self.num_anchor_poses)[:, None]
        columns = first + torch.arange(self.num_anchor_poses)
        targets[: len(classes)] = targets[: len(classes)].scatter(1, columns, nearness.softmax(1))
        divisor = sampled.num_images * self.batch_size_per_image
        loss = F.cross_entropy(predictions[0], targets, reduction="sum") / divisor
        return losses | {"loss_pose_cls": loss}


class _OneRegressor(LCROutputLayers):
    """One regression of a region, the same for every class."""

    def __init__(self, cfg: CfgNode, shape: ShapeSpec) -> None:
        super().__init__(cfg, shape)  # pyright: ignore[reportCallIssue]  of @configurable
        self.pose_pred = self._regressor(self.cls_score.in_features)

    def _regressor(self, width: int) -> nn.Module:
        layer = nn.Linear(width, self.num_joints * 5)
        nn.init.normal_(layer.weight, std=0.001)
        nn.init.zeros_(layer.bias)
        return layer

    def _every_class(self, features: Tensor) -> Tensor:
        one = self.pose_pred(features).view(-1, 1, self.num_joints, 5)
        return one.expand(-1, self.num_classes, -1, -1)

    def _regress(self, features: Tensor, classes: Tensor) -> Tensor:
        return self._every_class(features)[:, 0]


class _DeepRegressor(_OneRegressor):
    """The same with a hidden layer of 4,096: as many numbers as the regressors of K = 70 have."""

    def _regressor(self, width: int) -> nn.Module:
        return nn.Sequential(nn.Linear(width, _DEEP), nn.ReLU(), super()._regressor(_DEEP))


_OUTPUTS = {("nearest", "own"): LCROutputLayers, ("soft", "own"): _SoftLabels}
_OUTPUTS |= {("nearest", "shared"): _OneRegressor, ("nearest", "deep"): _DeepRegressor}


def head_config(cfg: CfgNode, plan: HeadPlan) -> CfgNode:
    """The network's config with the plan's head, without heat maps, for the CPU."""
    cfg = cfg.clone()
    node = cfg.MODEL.LCRNET
    node.NUM_ANCHOR_POSES, node.UPPER_BODY, node.POSE_REG_WEIGHT_3D = plan.k, plan.upper, plan.weight_3d
    node.JOINT_REFINEMENT.ENABLED = False
    cfg.MODEL.DEVICE = "cpu"
    return cfg


def build_heads(cfg: CfgNode, plan: HeadPlan, anchors: AnchorPoses, network: Any, basis: Tensor) -> Any:
    """LCRNetROIHeads whose shared layers take kept features, d numbers, in place of pooled maps.

    Args:
        cfg: of `head_config`.
        network: the frozen one.
        basis: (D, d) of `regions.feature_basis`.
    """
    torch.manual_seed(plan.seed)
    heads: Any = build_roi_heads(cfg, network.backbone.output_shape())
    heads.box_head = build_box_head(cfg, ShapeSpec(channels=basis.shape[1], height=1, width=1))
    heads.box_predictor = _OUTPUTS[plan.labels, plan.regressors](cfg, heads.box_head.output_shape)
    heads.box_predictor.set_anchor_poses(anchors)
    if plan.shared != "new":
        shared = network.roi_heads.box_head.state_dict()
        heads.box_head.load_state_dict(shared | {"fc1.weight": shared["fc1.weight"] @ basis})
    if plan.shared == "head":
        heads.box_predictor.load_state_dict(network.roi_heads.box_predictor.state_dict())
    return heads


def cluster_by_distance(anchors: AnchorPoses, poses_2d: Tensor, poses_3d: Tensor, skeleton: Skeleton) -> AnchorPoses:
    """Anchor poses that minimise the sum of D itself: from K-means on, nearest by D, then each joint's median.

    Args:
        poses_2d: (N, J, 2) box units; poses_3d: (N, J, 3) m: what was clustered.
    """
    poses_3d, centres = centre_poses(poses_3d, skeleton), anchors.poses_3d[: anchors.num_full_body]
    labels = torch.zeros(len(poses_3d), dtype=torch.long)
    for _ in range(20):
        labels = torch.cat([pose_distance(part, centres).argmin(1) for part in poses_3d.split(8192)])
        for _ in range(5):  # Weiszfeld's algorithm for the geometric median
            weights = 1 / (poses_3d - centres[labels]).norm(dim=-1, keepdim=True).clamp(min=1e-3)
            sums, totals = torch.zeros_like(centres), torch.zeros_like(centres[..., :1])
            sums.index_add_(0, labels, weights * poses_3d)
            totals.index_add_(0, labels, weights)
            centres = torch.where(totals > 0, sums / totals.clamp(min=1e-9), centres)
        centres = centre_poses(centres, skeleton)
    sizes = torch.bincount(labels, minlength=len(centres))
    mean_2d = torch.zeros_like(anchors.poses_2d).index_add_(0, labels, poses_2d) / sizes.clamp(min=1)[:, None, None]
    mean_2d = torch.where(sizes[:, None, None] > 0, mean_2d, anchors.poses_2d)
    distances = torch.cat([pose_distance(part, centres).amin(1) for part in poses_3d.split(8192)])
    means = torch.zeros(len(centres)).index_add_(0, labels, distances) / sizes.clamp(min=1)
    return AnchorPoses(mean_2d, centres, skeleton, len(centres), sizes, means)


def train_head(
    heads: Any, plan: HeadPlan, regions: RegionSet, labels: Labels, val: tuple[RegionSet, Labels], schedule: Schedule
) -> tuple[Any, dict[str, Any]]:
    """Trains shared layers and outputs; returns the heads of the best look at val, and what was seen there.

    Args:
        labels, val: of `RegionSet.labelled` by the heads' anchor poses.
    """
    started = time.monotonic()
    average = AveragedModel(heads, multi_avg_fn=get_ema_multi_avg_fn(0.98))
    parameters = [*heads.box_head.parameters(), *heads.box_predictor.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=schedule.rate, weight_decay=schedule.decay, fused=True)
    batches = _batches(regions, labels, plan, schedule.batch)
    looks: list[float] = []
    best: dict[str, Tensor] = {}
    for step in range(1, schedule.most + 1):
        for group in optimizer.param_groups:
            group["lr"] = schedule.rate * min(1.0, step / schedule.warm_up)
        with EventStorage():
            losses = heads.box_predictor.losses(*_predicted(heads, regions, next(batches)))
        loss = plan.weight_cls * losses["loss_pose_cls"] + losses["loss_pose_reg"]
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 5.0)
        optimizer.step()
        if step % 5 == 0:
            average.update_parameters(heads)
        if step % schedule.check == 0:
            looks.append(region_errors(average.module, *val)["predicted_mm"])
            if looks[-1] == min(looks):
                best = {name: value.clone() for name, value in average.module.state_dict().items()}
            if len(looks) - 1 - int(np.argmin(looks)) >= schedule.patience:
                break
    if not best:
        raise ValueError(
            f"{plan.name}: its error on val is {looks} mm: no region of val is on a person, or it diverged"
        )
    heads.load_state_dict(best)
    seconds = time.monotonic() - started
    return heads.eval(), {"steps": len(looks) * schedule.check, "val_mm": looks, "seconds": round(seconds, 1)}


def _batches(regions: RegionSet, labels: Labels, plan: HeadPlan, size: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Without end: regions, those on people first, their classes, and the rows of ground truth of those on people."""
    used = regions.first_images(plan.share)
    background = 2 * plan.k if plan.upper else plan.k
    pools = [
        (used & (labels.classes >= 0) & (labels.classes < background)).nonzero()[:, 0],
        (used & (labels.classes == background)).nonzero()[:, 0],
    ]
    generator = torch.Generator().manual_seed(plan.seed)
    draws = [_passes(rows, size // 2, generator) for rows in pools]
    while True:
        people, nobody = (next(draw) for draw in draws)
        rows = torch.cat([people, nobody])
        yield rows, labels.classes[rows], labels.rows[people]


def _passes(rows: Tensor, size: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Parts of `rows`, in one random order after the other."""
    while True:
        for part in rows[torch.randperm(len(rows), generator=generator)].split(size):
            if len(part) == min(size, len(rows)):
                yield part


def _predicted(
    heads: Any, regions: RegionSet, batch: tuple[Tensor, Tensor, Tensor]
) -> tuple[tuple[Tensor, Tensor], SampledBoxes]:
    """The predictions and the sampled boxes that the losses take; each box counts as an image's share of a batch."""
    rows, classes, of_people = batch
    truth = {name: getattr(regions, name)[of_people] for name in ("gt_keypoints", "gt_poses_3d")}
    share: Any = len(rows) / heads.box_predictor.batch_size_per_image
    sampled = SampledBoxes(regions.boxes[rows], torch.zeros_like(rows), classes, truth, share)
    return heads.box_predictor(heads.box_head(regions.features[rows].float()[..., None, None])), sampled


@torch.no_grad()
def region_errors(heads: Any, regions: RegionSet, labels: Labels, most: int = 4000) -> dict[str, float]:
    """What classification costs, on regions on people: 3D error, mm, of the pose regressed for the class predicted, for
    the nearest anchor pose's class, and of the unregressed anchor pose predicted; % of classes predicted right.

    Args:
        most: of more regions, so many evenly drawn ones.
    """
    outputs = heads.box_predictor
    rows = ((labels.classes >= 0) & (labels.classes < outputs.num_classes)).nonzero()[:, 0]
    rows = rows[torch.linspace(0, len(rows) - 1, min(most, len(rows))).long()]
    found: dict[str, list[Tensor]] = {"predicted_mm": [], "nearest_mm": [], "anchor_mm": [], "right_percent": []}
    for part in rows.split(1024):
        logits, features = outputs(heads.box_head(regions.features[part].float()[..., None, None]))
        true = regions.gt_poses_3d[labels.rows[part]]
        predicted, nearest = logits[:, :-1].argmax(1), labels.classes[part]
        for name, classes in (("predicted_mm", predicted), ("nearest_mm", nearest)):
            anchors = outputs.anchor_poses_2d[classes], outputs.anchor_poses_3d[classes]
            deltas = outputs._regress(features, classes)
            poses = outputs.pose_transform.apply_deltas(regions.boxes[part], *anchors, deltas)[1]
            found[name].append(1000 * (poses - true).norm(dim=-1).mean(1))
        found["anchor_mm"].append(1000 * (outputs.anchor_poses_3d[predicted] - true).norm(dim=-1).mean(1))
        found["right_percent"].append(100.0 * (predicted == nearest).float())
    return {name: float(torch.cat(values).mean()) for name, values in found.items()}

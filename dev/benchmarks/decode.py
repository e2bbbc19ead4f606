"""Contest: decoding the (box, class) pairs that survive, against every pair, and against weights gathered by pair.

Shapes: R boxes, C classes, J joints, P pose proposals, d features.
"""

from __future__ import annotations

from typing import Any

import torch
from detectron2.layers import ShapeSpec
from torch import Tensor

from lcrnet_d2.modeling import LCROutputLayers, PoseProposals, PoseTransform, select_pose_proposals
from lcrnet_d2.structures import BODY13

from .report import Table, compare
from .timing import Contender, Settings

__all__ = ["GatheredWeights", "decode_densely", "make_layers", "make_predictions", "measure"]

#: (name, d, R, K): the heads of the three Base configs.
_HEADS = (("Lite0-FPN", 256, 100, 100), ("R50-FPN", 1024, 300, 100), ("VGG-16", 4096, 300, 100))


def measure(settings: Settings) -> list[Table]:
    tables = []
    for name, width, regions, classes in [("tiny", 16, 10, 5)] if settings.quick else _HEADS:
        ours = make_layers(LCROutputLayers, width, classes).to(settings.device)
        gathered = make_layers(GatheredWeights, width, classes).to(settings.device)
        gathered.load_state_dict(ours.state_dict())
        logits, features, boxes = (t.to(settings.device) for t in make_predictions(width, classes, regions, 4))
        contenders = [
            Contender("ours: surviving pairs", _no_grad(ours.inference, (logits, features), [boxes])),
            Contender("surviving pairs, gathered weights", _no_grad(gathered.inference, (logits, features), [boxes])),
            Contender("every pair", _no_grad(decode_densely, ours, (logits, features), [boxes])),
        ]
        pairs = len(contenders[0].run()[0].scores)  # pyright: ignore[reportIndexIssue]
        title = f"{name}: d = {width}, R = {regions}, K = {classes}, {pairs:,} of {regions * classes:,} pairs survive"
        tables.append(compare(title, contenders, settings.rounds, memory=True)[0])
    return tables


def decode_densely(
    layers: LCROutputLayers, predictions: tuple[Tensor, Tensor], boxes: list[Tensor]
) -> list[PoseProposals]:
    """`LCROutputLayers.inference` by way of all R x C x 5J outputs and R x C poses."""
    logits, features = predictions
    probabilities = logits.float().softmax(1)
    deltas = layers.pose_pred(features).view(-1, layers.num_joints, 5)
    classes = torch.arange(layers.num_classes, device=logits.device).repeat(len(logits))
    poses_2d, poses_3d = layers.pose_transform.apply_deltas(
        torch.cat(boxes).repeat_interleave(layers.num_classes, 0),
        layers.anchor_poses_2d[classes],
        layers.anchor_poses_3d[classes],
        deltas,
    )
    out, first = [], 0
    for image_boxes in boxes:
        scores, rows, classes, _ = select_pose_proposals(
            probabilities[first : first + len(image_boxes), :-1], layers.min_score, layers.min_proposals
        )
        pairs = (first + rows) * layers.num_classes + classes
        confidences = 1 - probabilities[first + rows, -1]
        out.append(PoseProposals(scores, poses_2d[pairs], poses_3d[pairs], classes, rows, confidences))
        first += len(image_boxes)
    return out


class GatheredWeights(LCROutputLayers):
    """Regresses with a copy of its class's weights for every pair: P x 5J x d numbers."""

    def _deltas_of_pairs(self, features: Tensor, rows: Tensor, classes: Tensor) -> Tensor:
        width = self.num_joints * 5
        weights = self.pose_pred.weight.view(self.num_classes, width, -1)[classes]
        biases = self.pose_pred.bias.view(self.num_classes, width)[classes]
        return torch.baddbmm(biases[..., None], weights, features[rows][..., None]).view(-1, self.num_joints, 5)


def make_layers(kind: type[LCROutputLayers], width: int, num_anchor_poses: int) -> LCROutputLayers:
    """Output layers with random weights and anchor poses, full bodies alone, the default thresholds of the config."""
    torch.manual_seed(0)
    layers = kind(
        ShapeSpec(channels=width),
        num_anchor_poses=num_anchor_poses,
        num_joints=len(BODY13),
        upper_body=False,
        pose_transform=PoseTransform(5.0),
        smooth_l1_beta=1.0,
        weight_3d=1.0,
        batch_size_per_image=32,
        min_score=0.1 / num_anchor_poses,
        min_proposals=500,
    )
    layers.anchor_poses_2d.copy_(torch.rand(layers.anchor_poses_2d.shape))
    layers.anchor_poses_3d.copy_(0.2 * torch.randn(layers.anchor_poses_3d.shape))
    return layers.eval()


def make_predictions(
    width: int, num_classes: int, regions: int, people: int, on_people: int = 10
) -> tuple[Tensor, Tensor, Tensor]:
    """(R, C + 1) logits, (R, d) features and (R, 4) boxes px of a picture with so many people.

    So many regions lie on people, and their logits prefer some classes; the others are background.
    """
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(regions, num_classes + 1, generator=generator)
    who = torch.arange(regions) % people
    logits[:on_people, :-1] += 2 * torch.randn(people, num_classes, generator=generator)[who[:on_people]]
    logits[on_people:, -1] += 12
    features = torch.randn(regions, width, generator=generator).relu()
    columns = max(1, round(people**0.5))
    corners = torch.stack([who % columns, who // columns], 1) * 200.0 + 5 * torch.randn(regions, 2, generator=generator)
    return logits, features, torch.cat([corners, corners + torch.tensor([100.0, 180.0])], 1)


def _no_grad(function: Any, *arguments: Any) -> Any:
    def run() -> Any:
        with torch.no_grad():
            return function(*arguments)

    return run

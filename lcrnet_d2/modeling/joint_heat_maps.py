"""Heat maps of the joints: a map of stride 4 that all people of an image share, the head on it, and its losses.

The paper's own future work (Sec. 4.2: "fully convolutional architecture with deconvolution or upsampling"). The layers
are those of MoveNet MultiPose, whose weights `tools/convert_backbone.py movenet` writes; the loss is CenterNet's (Zhou
et al., "Objects as Points", 2019, Eq. 1), where nothing is known masked. `joint_refinement.py` uses the maps.

Shapes: B images, R rows of ground truth of all of them, J joints, h x w cells of 4 x 4 px. Cell (i, j) has the pixels
4i to 4i + 4 of y and 4j to 4j + 4 of x; a joint's offset (dx, dy) is its place minus its cell's upper left corner, in
cells: 0 to 1 in its own.
"""

from __future__ import annotations

# Detectron2's @configurable hides the signatures of what it wraps.
# pyright: reportCallIssue=false
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from detectron2.config import CfgNode, configurable
from detectron2.layers import ShapeSpec
from detectron2.structures import Instances
from torch import Tensor, nn
from torch.nn import functional as F

from ..structures import CROWD, PERSON, SKELETONS, UNANNOTATED
from .batches import image_numbers

__all__ = ["STRIDE", "JointHead", "JointMap", "JointMaps", "JointTargets", "joint_losses", "joint_targets"]

#: px, width and height of a cell.
STRIDE = 4
#: Standard deviation of a joint's peak, as a share of the person's size and its limits, in cells. MoveNet's peaks on
#: photos have 1.0 to 1.5 for people of 80 to 180 px (square root of the area).
_PEAK, _MIN_PEAK, _MAX_PEAK = 0.06, 0.7, 1.5
#: Around a joint whose place is not seen nothing is learnt: radius as a share of the person's size, limit in cells.
_MASK, _MAX_MASK = 0.12, 10
#: Offsets are learnt in the cells around the joint's own, too: the highest cell of a heat map may be a neighbour.
_OFFSET_REACH = 1


class JointMaps(NamedTuple):
    """heat: (B, J, h, w) logits; offsets: (B, J, 2, h, w), dx and dy in cells."""

    heat: Tensor
    offsets: Tensor


class JointTargets(NamedTuple):
    """What `JointMaps` should be.

    heat: (B, J, h, w) in [0, 1]; weights: (B, J, h, w), 0 where nothing is known.
    places: (R, J, 2) x and y in cells; seen: (R, J) bool; images: (R,) which image each row is of.
    """

    heat: Tensor
    weights: Tensor
    places: Tensor
    seen: Tensor
    images: Tensor


class _Separable(nn.Module):
    """3x3 depthwise, then 1x1 convolution with bias and ReLU; nothing between the two."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(in_channels, in_channels, 3, padding=1, groups=in_channels, bias=False)
        self.pointwise = nn.Conv2d(in_channels, out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.pointwise(self.depthwise(x)), inplace=True)


class JointMap(nn.Module):
    """From features of stride 32, 16, 8 and 4, or the last of these, to one map of stride 4: MoveNet's small FPN."""

    #: Channels of the sums at stride 16, 8 and 4, and of what is made of them.
    SUMS, MERGED = (64, 32, 24), (32, 24, 24)

    def __init__(self, in_channels: Sequence[int]) -> None:
        """
        Args:
            in_channels: of the features, coarsest first.
        """
        super().__init__()
        sums, merged = self.SUMS[1 - len(in_channels) :], self.MERGED[1 - len(in_channels) :]
        widths = (sums[0], *sums)
        self.laterals = nn.ModuleList(nn.Conv2d(i, o, 1) for i, o in zip(in_channels, widths, strict=True))
        self.merges = nn.ModuleList(_Separable(i, o) for i, o in zip(sums, merged, strict=True))
        self.channels = self.MERGED[-1]

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """(B, 24, h, w) of features (B, C, ., .), coarsest first, each twice as wide and high as the one before."""
        x = self.laterals[0](features[0])
        for lateral, merge, feature in zip(self.laterals[1:], self.merges, features[1:], strict=True):
            # Bilinear, not Detectron2's nearest: MoveNet's weights place joints 4 px apart with it.
            x = F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)
            x = merge(x + lateral(feature))
        return x


class _Branch(nn.Module):
    """A separable convolution and a 1x1 convolution to the numbers wanted."""

    def __init__(self, in_channels: int, width: int, out_channels: int) -> None:
        super().__init__()
        self.separable = _Separable(in_channels, width)
        self.predict: Any = nn.Conv2d(width, out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.predict(self.separable(x))


class JointHead(nn.Module):
    """Heat maps and offsets of J joints on a feature map of stride 4.

    Training adds the losses `loss_joint_heat` and `loss_joint_offset`, whatever is in the batch.
    """

    WIDTH = 96

    @configurable
    def __init__(
        self, in_channels: int, *, in_feature: str, conv_dims: Sequence[int], num_joints: int,
        heat_weight: float, offset_weight: float,
    ) -> None:  # fmt: skip
        """
        Args:
            in_channels: of the feature map.
            in_feature: its name.
            conv_dims: channels of 3x3 convolutions before the branches; none where the map is a `JointMap`.
            num_joints: J.
            heat_weight, offset_weight: of the two losses.
        """
        super().__init__()
        self.in_feature = in_feature
        self.weights = (heat_weight, offset_weight)
        convs: list[nn.Module] = []
        for channels in conv_dims:
            convs += [nn.Conv2d(in_channels, channels, 3, padding=1), nn.ReLU(inplace=True)]
            in_channels = channels
        self.convs = nn.Sequential(*convs)
        self.heat = _Branch(in_channels, self.WIDTH, num_joints)
        self.offset = _Branch(in_channels, self.WIDTH, 2 * num_joints)
        nn.init.normal_(self.heat.predict.weight, std=0.01)
        self.heat.predict.bias.data.fill_(-4.0)  # nearly all cells are empty: they cost little from the start
        self.offset.predict.bias.data.fill_(0.5)

    @classmethod
    def from_config(cls, cfg: CfgNode, input_shape: dict[str, ShapeSpec]) -> dict[str, Any]:
        """ValueError: no map of that name, or of another stride."""
        node = cfg.MODEL.LCRNET.JOINT_REFINEMENT
        shape = input_shape.get(node.IN_FEATURE)
        if shape is None or shape.stride != STRIDE:
            fitting = [name for name, other in input_shape.items() if other.stride == STRIDE]
            raise ValueError(
                f"MODEL.LCRNET.JOINT_REFINEMENT.IN_FEATURE is {node.IN_FEATURE!r}: joint heat maps need a map of "
                f"stride {STRIDE}; the backbone has {fitting or 'none'} ({', '.join(input_shape)})"
            )
        return {
            "in_channels": shape.channels,
            "in_feature": node.IN_FEATURE,
            "conv_dims": node.CONV_DIMS,
            "num_joints": len(SKELETONS[cfg.MODEL.LCRNET.SKELETON]),
            "heat_weight": node.HEAT_WEIGHT,
            "offset_weight": node.OFFSET_WEIGHT,
        }

    def forward(self, features: dict[str, Tensor]) -> JointMaps:
        """The maps of a batch, from the feature maps of its backbone."""
        x = self.convs(features[self.in_feature])
        return JointMaps(self.heat(x), self.offset(x).unflatten(1, (-1, 2)))

    def losses(self, maps: JointMaps, targets: list[Instances]) -> dict[str, Tensor]:
        """Both losses, weighted; `targets` as the mapper makes them (rows of structures/ignore_regions.py)."""
        heat, offset = joint_losses(maps, joint_targets(targets, (maps.heat.shape[2], maps.heat.shape[3])))
        return {"loss_joint_heat": self.weights[0] * heat, "loss_joint_offset": self.weights[1] * offset}


@torch.no_grad()
def joint_targets(targets: list[Instances], size: tuple[int, int]) -> JointTargets:
    """Peaks where joints are seen, and where nothing is known.

    A joint with v = 2 is a Gaussian peak, 1 in its cell. Around one with v = 1 (hidden, or outside) or v = 0 (completed
    by the search for pseudo 3D) the weights are 0, but in the cells of peaks. So are those in the boxes of crowds and
    of people without known joints, and where not everyone is annotated (kind UNANNOTATED) those outside the boxes of
    people with known joints. Several rows of one person (full and upper body) repeat its joints: the highest value
    counts.

    Args:
        targets: per image gt_boxes, gt_classes, gt_kinds and gt_keypoints (px).
        size: (h, w) cells.
    """
    images = image_numbers([len(image) for image in targets], targets[0].gt_boxes.device)
    keypoints = torch.cat([image.gt_keypoints for image in targets])
    boxes = torch.cat([image.gt_boxes.tensor for image in targets]) / STRIDE
    kinds = torch.cat([image.gt_kinds for image in targets])
    known = (kinds == PERSON) & (torch.cat([image.gt_classes for image in targets]) >= 0)
    places, v = keypoints[..., :2] / STRIDE, keypoints[..., 2]
    seen = known[:, None] & (v == 2)
    extent = places.amax(1) - places.amin(1)
    person_size = extent.prod(1).clamp(min=1).sqrt()[:, None].expand_as(v)

    shape = (len(targets), keypoints.shape[1], *size)
    peak = (_PEAK * person_size).clamp(_MIN_PEAK, _MAX_PEAK)
    heat = _painted(shape, images, places, lambda d2, sd: torch.exp(-d2 / (2 * sd**2)), peak, seen, 3 * _MAX_PEAK)
    radius = (_MASK * person_size).clamp(2, _MAX_MASK)
    unseen = known[:, None] & (v < 2)
    masked = _painted(shape, images, places, lambda d2, r: (d2 <= r**2).float(), radius, unseen, _MAX_MASK)
    inside = _inside(boxes, size)
    hidden = _any_of_images(inside, images, (kinds == CROWD) | ((kinds == PERSON) & ~known), len(targets))
    annotated = _any_of_images(inside, images, known, len(targets))
    unknown = hidden | (_any_of_images(inside, images, kinds == UNANNOTATED, len(targets)) & ~annotated)
    weights = ((masked == 0) & ~unknown[:, None]) | (heat == 1)
    return JointTargets(heat, weights.float(), places, seen, images)


def _painted(
    shape: tuple[int, ...], images: Tensor, places: Tensor, paint: Any, scale: Tensor, wanted: Tensor, reach: float
) -> Tensor:
    """(B, J, h, w) the highest value of `paint(squared distance, scale)` around each wanted joint's cell, else 0.

    The distance is that to the cell of the joint, in cells, so that each has exactly one cell at distance 0.
    """
    steps = torch.arange(-int(reach), int(reach) + 1, device=places.device)
    dy, dx = (step.flatten() for step in torch.meshgrid(steps, steps, indexing="ij"))
    cells, index, there = _cells_around(shape, images, places, dx, dy)
    values = paint((dx**2 + dy**2).float(), scale[..., None]) * (there & wanted[..., None])
    return cells.scatter_reduce_(0, index.flatten(), values.flatten(), "amax").view(shape)


def _cells_around(
    shape: tuple[int, ...], images: Tensor, places: Tensor, dx: Tensor, dy: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Zeros (B*J*h*w,), the index (R, J, n) there of the cells so many steps from each joint's, and which exist."""
    _, joints, height, width = shape
    cell = places.clamp(-1e4, 1e4).floor().long()  # far outside: whole numbers have no room for it
    x, y = cell[..., :1] + dx, cell[..., 1:] + dy
    there = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    channel = images[:, None] * joints + torch.arange(joints, device=places.device)
    index = (channel[..., None] * height + y.clamp(0, height - 1)) * width + x.clamp(0, width - 1)
    return places.new_zeros(shape[0] * joints * height * width), index, there


def _inside(boxes: Tensor, size: tuple[int, int]) -> Tensor:
    """(R, h, w) bool: cells whose centre lies in each box (R, 4), in cells."""
    y, x = (torch.arange(side, device=boxes.device) + 0.5 for side in size)
    in_x = (x >= boxes[:, :1]) & (x < boxes[:, 2:3])
    in_y = (y >= boxes[:, 1:2]) & (y < boxes[:, 3:])
    return in_y[:, :, None] & in_x[:, None, :]


def _any_of_images(inside: Tensor, images: Tensor, wanted: Tensor, num_images: int) -> Tensor:
    """(B, h, w) bool: in any of the wanted rows of an image."""
    counts = torch.zeros((num_images, *inside.shape[1:]), device=inside.device)
    return counts.index_add_(0, images, (inside & wanted[:, None, None]).float()) > 0


def joint_losses(maps: JointMaps, targets: JointTargets) -> tuple[Tensor, Tensor]:
    """Heat and offset loss, each divided by the number of joints seen (at least 1); 0 with a gradient without any.

    Heat: the penalty-reduced focal loss with CenterNet's alpha 2 and beta 4. Offset: the L1 distance to the joint in
    its cell and the eight around it, mean over these.
    """
    logits = maps.heat.float()
    p = logits.sigmoid()
    log_p, log_not_p = F.logsigmoid(logits), F.logsigmoid(-logits)
    is_peak = (targets.heat == 1).float()
    at_peaks = (1 - p) ** 2 * log_p * is_peak
    elsewhere = (1 - targets.heat) ** 4 * p**2 * log_not_p * (1 - is_peak)
    heat = -((at_peaks + elsewhere) * targets.weights).sum() / is_peak.sum().clamp(min=1)

    steps = torch.arange(-_OFFSET_REACH, _OFFSET_REACH + 1, device=logits.device)
    dy, dx = (step.flatten() for step in torch.meshgrid(steps, steps, indexing="ij"))
    _, index, there = _cells_around(tuple(logits.shape), targets.images, targets.places, dx, dy)
    there = there & targets.seen[..., None]
    found = maps.offsets.float().movedim(2, -1).reshape(-1, 2)[index]  # (R, J, 9, 2)
    cells = targets.places.floor()[:, :, None] + torch.stack([dx, dy], -1)
    errors = (found - (targets.places[:, :, None] - cells)).abs().sum(-1)
    offset = torch.where(there, errors, 0.0).sum() / there.sum().clamp(min=1)
    return heat, offset

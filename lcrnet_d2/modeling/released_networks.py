"""What the published LCR-Net and DOPE networks build otherwise than Detectron2; for weights converted from them.

Importing registers: the backbone `build_padded_resnet_backbone`, the box head `Res5BoxHead`, `LastPixelRPN` and two
anchor generators.
`LastPixelPooler` serves MODEL.LCRNET.LAST_PIXEL_BOXES.
"""

from __future__ import annotations

# Detectron2's @configurable hides the signatures of what it wraps.
# pyright: reportCallIssue=false
from typing import Any

import torch
from detectron2.config import CfgNode, configurable
from detectron2.layers import ShapeSpec
from detectron2.modeling import BACKBONE_REGISTRY, ROI_BOX_HEAD_REGISTRY
from detectron2.modeling.anchor_generator import ANCHOR_GENERATOR_REGISTRY, BufferList, DefaultAnchorGenerator
from detectron2.modeling.backbone.resnet import BottleneckBlock, ResNet, build_resnet_backbone
from detectron2.modeling.poolers import ROIPooler
from detectron2.modeling.proposal_generator import PROPOSAL_GENERATOR_REGISTRY
from torch import Tensor, nn

from .rpn import LCRNetRPN

__all__ = [
    "DetectronAnchorGenerator",
    "LastPixelPooler",
    "LastPixelRPN",
    "PaddedResNet",
    "Res5BoxHead",
    "TorchvisionAnchorGenerator",
    "build_padded_resnet_backbone",
]


class PaddedResNet(ResNet):
    """A ResNet whose images are padded to multiples of 32 px, as torchvision's detectors pad theirs without FPN."""

    @property
    def size_divisibility(self) -> int:
        return 32


@BACKBONE_REGISTRY.register()
def build_padded_resnet_backbone(cfg: CfgNode, input_shape: ShapeSpec) -> PaddedResNet:
    """Detectron2's `build_resnet_backbone`, padded."""
    plain = build_resnet_backbone(cfg, input_shape)
    return PaddedResNet(plain.stem, plain.stages, out_features=plain._out_features)


@ROI_BOX_HEAD_REGISTRY.register()
class Res5BoxHead(nn.Module):
    """The last stage of a ResNet, then the mean over the region: the box head of the C4 kind of Faster R-CNN."""

    @configurable
    def __init__(self, input_shape: ShapeSpec, *, width: int, stride: int, norm: str, stride_in_1x1: bool) -> None:
        """
        Args:
            input_shape: channels of res4.
            width: of the bottleneck; the output has four times as many channels.
            stride: of the first block, 2 for regions of 14x14, 1 for 7x7 (DOPE: 2).
            norm, stride_in_1x1: as in the backbone.
        """
        super().__init__()
        blocks = ResNet.make_stage(
            BottleneckBlock,
            3,
            stride_per_block=[stride, 1, 1],
            in_channels=input_shape.channels,
            bottleneck_channels=width,
            out_channels=4 * width,
            num_groups=1,
            norm=norm,
            stride_in_1x1=stride_in_1x1,
        )
        self.res5 = nn.Sequential(*blocks)
        self._output_shape = ShapeSpec(channels=4 * width)

    @classmethod
    def from_config(cls, cfg: CfgNode, input_shape: ShapeSpec) -> dict[str, object]:
        return {
            "input_shape": input_shape,
            "width": cfg.MODEL.RESNETS.WIDTH_PER_GROUP * 8,
            "stride": cfg.MODEL.LCRNET.RES5_STRIDE,
            "norm": cfg.MODEL.RESNETS.NORM,
            "stride_in_1x1": cfg.MODEL.RESNETS.STRIDE_IN_1X1,
        }

    @property
    def output_shape(self) -> ShapeSpec:
        return self._output_shape

    def forward(self, x: Tensor) -> Tensor:
        """Pooled features (R, C, H, W) -> (R, 4 width)."""
        return self.res5(x).mean((2, 3))


@ANCHOR_GENERATOR_REGISTRY.register()
class DetectronAnchorGenerator(DefaultAnchorGenerator):
    """RPN anchors as Detectron made them, for its released weights; OFFSET 0.5.

    Ratio first, then size. Width and height of an anchor of the stride's size are rounded, then scaled: at stride 16,
    ratio 0.5 is 23 x 12 instead of 22.6 x 11.3, so size 32 is 46 x 24.
    """

    def _calculate_anchors(self, sizes: list[list[float]], aspect_ratios: list[list[float]]) -> BufferList:
        levels = []
        for stride, level_sizes, ratios in zip(self.strides, sizes, aspect_ratios, strict=True):
            widths = torch.tensor([stride * ratio**-0.5 for ratio in ratios], dtype=torch.float64).round()
            heights = (widths * torch.tensor(ratios, dtype=torch.float64)).round()
            scales = torch.tensor(level_sizes, dtype=torch.float64) / stride
            levels.append(_centred(widths[:, None] * scales, heights[:, None] * scales).float())
        return BufferList(levels)


@ANCHOR_GENERATOR_REGISTRY.register()
class TorchvisionAnchorGenerator(DefaultAnchorGenerator):
    """RPN anchors as torchvision makes them, for weights trained with it; OFFSET 0.

    Ratio first, then size; corners are rounded to whole pixels.
    """

    def _calculate_anchors(self, sizes: list[list[float]], aspect_ratios: list[list[float]]) -> BufferList:
        levels = []
        for level_sizes, ratios in zip(sizes, aspect_ratios, strict=True):
            roots = torch.tensor(ratios).sqrt()[:, None]
            levels.append(_centred((1 / roots) * torch.tensor(level_sizes), roots * torch.tensor(level_sizes)).round())
        return BufferList(levels)


def _centred(widths: Tensor, heights: Tensor) -> Tensor:
    """(A, 4) boxes around the origin of (ratios, sizes) widths and heights."""
    return torch.stack([-widths, -heights, widths, heights], -1).flatten(0, 1) / 2


@PROPOSAL_GENERATOR_REGISTRY.register()
class LastPixelRPN(LCRNetRPN):
    """Boxes beyond the image become one pixel at its border, as where corners are clipped to pixels.

    Detectron2 drops them; the released networks let them take the places of others.
    """

    @staticmethod
    def clip(boxes: Tensor, sizes: Tensor) -> Tensor:
        """As LCRNetRPN's, but no box is empty."""
        last = sizes[..., :2].to(boxes) - 1
        return LCRNetRPN.clip(torch.cat([boxes[..., :2].minimum(last), boxes[..., 2:].clamp(min=1)], -1), sizes)


class _ToLastPixel(nn.Module):
    def __init__(self, pooler: nn.Module) -> None:
        super().__init__()
        self.pooler = pooler

    def forward(self, features: Tensor, rois: Tensor) -> Tensor:
        return self.pooler(features, rois - rois.new_tensor([0, 0, 0, 1, 1]))


class LastPixelPooler(ROIPooler):
    """Pools from (x1, y1, x2 - 1, y2 - 1); the feature level is chosen by the whole box (LAST_PIXEL_BOXES)."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.level_poolers = nn.ModuleList(_ToLastPixel(pooler) for pooler in self.level_poolers)

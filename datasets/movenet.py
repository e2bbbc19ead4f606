"""MoveNet, the teacher of label_photos.py, with weights from its own TensorFlow.js files: people of a photo, in 2D.

A MobileNetV2 (Sandler et al., CVPR 2018) without batch norms, which the files hold multiplied into the convolutions;
a feature pyramid down to a map of stride 4; heads of two convolutions. MultiPose finds people and their joints,
SinglePose ("Thunder") the joints of the person in the middle of a crop, more exactly. Written from the files' graphs.

Shapes: h, w cells of 4 px; P people; J = 17 joints of COCO. Heads give (dy, dx) in cells and logits.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lcrnet_d2.checkpoint.tfjs_graph import read_graph_weights
from lcrnet_d2.modeling.inverted_residuals import same_padding
from lcrnet_d2.structures import COCO17

__all__ = ["STRIDE", "MoveNet", "PeopleFound", "decode"]

STRIDE = 4
#: Sides of images are padded to multiples of it.
DIVISOR = 32

_J = len(COCO17)
_HEADS = {"center": 1, "box_scale": 2, "box_offset": 2, "kpt_heatmap": _J, "kpt_regress": 2 * _J, "kpt_offset": 2 * _J}
_STRIDES = {0: 1, 1: 2, 3: 2, 6: 2, 13: 2}  # of the blocks that begin a stage; all others have 1
_TAPS = (2, 5, 9)  # blocks whose outputs, of strides 4, 8 and 16, the pyramid takes
_BLOCKS = 17
#: The graphs': joints below it do not count for a person's score; a joint's place before the heat map decides is a
#: Gaussian of this variance, in cells, per cell of the image's shorter side.
_SURE_JOINT, _VARIANCE = 0.127, 0.3
_LOWEST_PEAK = 0.1
_HIGHEST_PIXEL = 127.5


class PeopleFound(NamedTuple):
    """Of one image, best first: joints (P, J, 3) x, y px and score; boxes (P, 4) px; scores (P,)."""

    joints: np.ndarray
    boxes: np.ndarray
    scores: np.ndarray


class _Convolution(nn.Module):
    """With TensorFlow's SAME padding and the bias that batch norms have become."""

    def __init__(
        self, kernel: np.ndarray, bias: np.ndarray | None, stride: int = 1, highest: float | None = None
    ) -> None:
        """
        Args:
            kernel: (height, width, in, out), or of a depthwise one (height, width, channels, 1).
            highest: of the ReLU that follows; None for none.
        """
        super().__init__()
        self.stride, self.highest = stride, highest
        self.groups = kernel.shape[2] if kernel.shape[3] == 1 and kernel.shape[0] == 3 else 1
        order = (2, 3, 0, 1) if self.groups > 1 else (3, 2, 0, 1)
        weight = torch.from_numpy(np.ascontiguousarray(kernel.transpose(order), np.float32))
        self.weight = nn.Parameter(weight.contiguous(memory_format=torch.channels_last), requires_grad=False)
        self.bias = None if bias is None else nn.Parameter(torch.from_numpy(bias.astype(np.float32)), False)

    def forward(self, x: Tensor) -> Tensor:
        (top, bottom), (left, right) = (same_padding(n, self.weight.shape[2], self.stride) for n in x.shape[2:])
        padding = (top, left)
        if (top, left) != (bottom, right):
            x, padding = F.pad(x, (left, right, top, bottom)), (0, 0)
        x = F.conv2d(x, self.weight, self.bias, self.stride, padding, 1, self.groups)
        return x if self.highest is None else x.clamp_(0, self.highest)


class _InvertedResidual(nn.Module):
    def __init__(self, layers: list[_Convolution]) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        y = self.layers(x)
        return y + x if y.shape == x.shape else y


class MoveNet(nn.Module):
    """(1, 3, H, W) RGB 0 to 255, sides multiples of 32 -> raw outputs of the heads by name, each (C, H / 4, W / 4)."""

    def __init__(self, model_json: str | Path) -> None:
        """
        Args:
            model_json: movenet-multipose.json, -thunder.json or -lightning.json of the TFJS models, the .bin beside it.

        Raises:
            FileNotFoundError, ValueError: no such files, or those of another model.
        """
        super().__init__()
        try:
            self._build(_Weights(read_graph_weights(model_json)))
        except KeyError as error:
            raise ValueError(f"{model_json} is not one of MoveNet's models: it has no weight {error}") from error
        self.eval()

    def _build(self, weights: _Weights) -> None:
        body = weights.body
        self.stem = weights.convolution(f"{body}Conv1", stride=2, highest=6)
        self.blocks = nn.ModuleList(self._block(weights, index) for index in range(_BLOCKS))
        self.last = weights.convolution(f"{body}Conv_1", highest=6)
        pyramid = body.removesuffix("model/")
        self.lateral = nn.ModuleList(weights.plain(f"{pyramid}{_numbered('conv2d', i)}") for i in range(4))
        self.smooth = nn.ModuleList(
            weights.separable(f"{pyramid}{_numbered('separable_conv2d', i)}/separable_conv2d") for i in range(3)
        )
        self.heads = nn.ModuleDict({name: head for name in _HEADS if (head := weights.head(name)) is not None})

    @staticmethod
    def _block(weights: _Weights, index: int) -> _InvertedResidual:
        name = weights.body + (f"block_{index}" if index else "expanded_conv")
        expand = [weights.convolution(f"{name}_expand", highest=6)] if index else []
        depthwise = weights.convolution(f"{name}_depthwise", _STRIDES.get(index, 1), 6, "depthwise")
        return _InvertedResidual([*expand, depthwise, weights.convolution(f"{name}_project")])

    @torch.inference_mode()
    def forward(self, images: Tensor) -> dict[str, Tensor]:
        x = (images / _HIGHEST_PIXEL - 1).contiguous(memory_format=torch.channels_last)
        x = self.stem(x)
        taps = []
        for index, block in enumerate(self.blocks):
            x = block(x)
            if index in _TAPS:
                taps.append(x)
        x = self.lateral[0](self.last(x))
        for lateral, smooth, tap in zip(list(self.lateral)[1:], self.smooth, reversed(taps), strict=True):
            # Detectron2's FPN takes the nearest cell; with that the scores rise and the places are wrong.
            x = smooth(F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False) + lateral(tap))
        return {name: head(x)[0] for name, head in self.heads.items()}


class _Weights:
    """The weights of a graph model by its layers' names. Raises KeyError for what is not there."""

    def __init__(self, arrays: dict[str, np.ndarray]) -> None:
        self._arrays = arrays
        stem = next((name for name in arrays if "/model/Conv1/" in name), None)
        if stem is None:
            raise KeyError("model/Conv1")
        self.body = stem.split("Conv1/")[0]

    def convolution(
        self, name: str, stride: int = 1, highest: float | None = None, kind: str = "Conv2D"
    ) -> _Convolution:
        kernel, bias = self._arrays[f"{name}/{kind}_weights"], self._arrays[f"{name}/{kind}_bn_offset"]
        return _Convolution(kernel, bias, stride, highest)

    def plain(self, name: str) -> _Convolution:
        return _Convolution(
            self._arrays[f"{name}/Conv2D/ReadVariableOp"], self._arrays[f"{name}/BiasAdd/ReadVariableOp"]
        )

    def separable(self, name: str) -> nn.Sequential:
        depthwise = _Convolution(self._arrays[f"{name}/ReadVariableOp"], None)
        kernel, bias = self._arrays[f"{name}_weights"], self._arrays[f"{name}_bn_offset"]
        return nn.Sequential(depthwise, _Convolution(kernel, bias, highest=torch.inf))

    def head(self, name: str) -> nn.Sequential | None:
        """None where the model has no such head."""
        mine = {key: array for key, array in self._arrays.items() if f"/{name}_0/" in key}
        if not mine:
            return None

        def found(pattern: str) -> np.ndarray:
            keys = [key for key in mine if re.search(pattern, key)]
            if len(keys) != 1:
                raise KeyError(f"{name}: {pattern}")
            return mine[keys[0]]

        return nn.Sequential(
            _Convolution(found(r"separable_conv2d/ReadVariableOp$"), None),
            _Convolution(
                found(r"separable_conv2d/ReadVariableOp_1$"),
                found(r"separable_conv2d_\d+/BiasAdd/"),
                highest=torch.inf,
            ),
            _Convolution(found(r"/conv2d_\d+/Conv2D/"), found(r"/conv2d_\d+/BiasAdd/")),
        )


def _numbered(name: str, index: int) -> str:
    return f"{name}_{index}" if index else name


def decode(maps: dict[str, Tensor], most: int) -> PeopleFound:
    """People of the heads' outputs: a peak of the centre map each, its joints where regression and heat map agree.

    Regression from the peak says about where a joint is; of the heat map, weighted by a Gaussian around that place and
    cut off outside the person's box, the maximum says in which cell, and the offset at that cell where in it. A
    person's score is that of the peak times the mean of the joints'. SinglePose has no boxes: joints may be anywhere.

    Args:
        maps: as `MoveNet` returns them.
        most: people.
    """
    centre = maps["center"][0].sigmoid()
    h, w = centre.shape
    peaks = centre * (centre >= F.max_pool2d(centre[None], 5, 1, 2)[0] - 1e-6)
    peak_scores, places = peaks.flatten().topk(min(most, h * w))
    places, peak_scores = places[peak_scores > _LOWEST_PEAK], peak_scores[peak_scores > _LOWEST_PEAK]
    rows, columns = places // w, places % w
    regressed = maps["kpt_regress"][:, rows, columns].view(_J, 2, -1).permute(2, 0, 1)
    y, x = rows[:, None] + regressed[..., 0], columns[:, None] + regressed[..., 1]
    boxes = _boxes(maps, rows, columns)
    cells_y, cells_x = torch.arange(h)[:, None], torch.arange(w)
    distance = (cells_y - y[..., None, None]) ** 2 + (cells_x - x[..., None, None]) ** 2  # (P, J, h, w)
    x1, y1, x2, y2 = boxes.view(-1, 4, 1, 1).unbind(1)
    inside = (cells_y >= y1) & (cells_x >= x1) & (cells_y < y2) & (cells_x < x2)
    heat = maps["kpt_heatmap"].sigmoid() * torch.exp(-distance / (min(h, w) * _VARIANCE)) * inside[:, None]
    scores, cells = heat.flatten(2).max(-1)
    offsets = maps["kpt_offset"].view(_J, 2, h * w)[torch.arange(_J)[None], :, cells]
    joints = torch.stack([cells % w + offsets[..., 1], cells // w + offsets[..., 0], scores / STRIDE], -1) * STRIDE
    sure = scores > _SURE_JOINT
    person_scores = (scores * sure).sum(1) / sure.sum(1).clamp(min=1) * peak_scores
    order = person_scores.argsort(descending=True)
    return PeopleFound(joints[order].numpy(), (boxes[order] * STRIDE).numpy(), person_scores[order].numpy())


def _boxes(maps: dict[str, Tensor], rows: Tensor, columns: Tensor) -> Tensor:
    """(P, 4) x1, y1, x2, y2 in cells of the people whose centres are at these cells; the whole map without heads."""
    h, w = maps["center"].shape[1:]
    whole = torch.tensor([w, h, w, h], dtype=torch.float32)
    if "box_scale" not in maps:
        return torch.tensor([0.0, 0.0, w, h]).expand(len(rows), 4)
    height, width = maps["box_scale"][:, rows, columns].clamp(min=0)
    offset_y, offset_x = maps["box_offset"][:, rows, columns]
    y, x = rows + offset_y, columns + offset_x
    return torch.stack([x - width / 2, y - height / 2, x + width / 2, y + height / 2], 1).clamp(min=0).minimum(whole)

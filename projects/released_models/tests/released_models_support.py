"""Files in the layout of the published LCR-Net v2 models with random weights, and their network computed by hand.

Everything here is in the released conventions: boxes x1 y1 x2 y2 end at their last pixel and are x2 - x1 + 1 wide,
class 0 is background, a class's regression is x*J y*J X*J Y*J Z*J.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from detectron2.config import CfgNode, get_cfg
from detectron2.modeling import build_model
from torch import Tensor, nn

from lcrnet_d2 import add_lcrnet_config
from released_models.conventions import ConvertedModel

STEM, WIDTH, RES2, FPN, FC = 8, 4, 16, 12, 20
K, J = 3, 13
BLOCKS = {2: 3, 3: 4, 4: 6, 5: 3}
MEANS = np.array([[[102.9801, 115.9465, 122.7717]]])


def lcrnet_v2_file(with_fpn: bool, seed: int = 0) -> dict[str, Any]:
    """K full-body classes and their K upper-body twins."""
    torch.manual_seed(seed)
    state: dict[str, Tensor] = dict(_resnet_layers(with_fpn))
    features = FPN if with_fpn else RES2 * 4
    if with_fpn:
        for stage, name in zip((5, 4, 3, 2), _laterals(), strict=True):
            state |= _layer(f"Conv_Body.{name}", FPN, RES2 * 2 ** (stage - 2), 1)
        for number in range(4):
            state |= _layer(f"Conv_Body.posthoc_modules.{number}", FPN, FPN, 3)
        state |= _layer("Box_Head.fc1", FC, FPN * 49) | _layer("Box_Head.fc2", FC, FC)
    anchors_per_cell, rpn = (3, "RPN.FPN_RPN_") if with_fpn else (12, "RPN.RPN_")
    state |= _layer(rpn + "conv", features, features, 3)
    state |= _layer(rpn + "cls_score", anchors_per_cell, features, 1)
    state |= _layer(rpn + "bbox_pred", 4 * anchors_per_cell, features, 1, 0.02)
    width = FC if with_fpn else RES2 * 8
    state |= _layer("Pose_Outs.cls_score", 2 * K + 1, width, None, 0.3)
    state |= _layer("Pose_Outs.pose_pred", (2 * K + 1) * 5 * J, width)
    full_3d = 0.4 * torch.randn(K, 3 * J)
    anchors = torch.cat([torch.rand(2 * K, 2 * J), full_3d.repeat(2, 1)], 1)
    options = {
        "PIXEL_MEANS": MEANS,
        "FPN": {"FPN_ON": with_fpn},
        "RPN": {"SIZES": (16, 32, 64, 128)},
        "FAST_RCNN": {"ROI_XFORM_RESOLUTION": 7 if with_fpn else 14, "ROI_XFORM_SAMPLING_RATIO": 2},
        "TEST": {"SCALE": 500, "MAX_SIZE": 900, "RPN_PRE_NMS_TOP_N": 300, "RPN_POST_NMS_TOP_N": 40},
    }
    return {"model": state, "cfg": options, "anchor_poses": anchors.numpy(), "ppi_params": {"T": 0.3}}


def _laterals() -> list[str]:
    return ["conv_top", *(f"topdown_lateral_modules.{i}.conv_lateral" for i in range(3))]


def _layer(name: str, out: int, into: int, kernel: int | None = None, gain: float = 1.0) -> dict[str, Tensor]:
    shape = (out, into) if kernel is None else (out, into, kernel, kernel)
    weight = torch.randn(shape) * gain * (2 / weight_inputs(shape)) ** 0.5
    return {f"{name}.weight": weight, f"{name}.bias": 0.1 * torch.randn(out)}


def weight_inputs(shape: tuple[int, ...]) -> int:
    return int(np.prod(shape[1:]))


def _resnet_layers(with_fpn: bool) -> Iterator[tuple[str, Tensor]]:
    body = "Conv_Body.conv_body." if with_fpn else "Conv_Body."
    yield from _normed(f"{body}res1.", "conv1", "bn1", (STEM, 3, 7, 7), 0.02)
    into = STEM
    for stage, blocks in BLOCKS.items():
        width, out = WIDTH * 2 ** (stage - 2), RES2 * 2 ** (stage - 2)
        prefix = body if with_fpn or stage < 5 else "Box_Head."
        for number in range(blocks):
            block = f"{prefix}res{stage}.{number}."
            yield from _normed(block, "conv1", "bn1", (width, into, 1, 1))
            yield from _normed(block, "conv2", "bn2", (width, width, 3, 3))
            yield from _normed(block, "conv3", "bn3", (out, width, 1, 1), 0.5)
            if number == 0:
                yield from _normed(block, "downsample.0", "downsample.1", (out, into, 1, 1))
            into = out


def _normed(
    prefix: str, conv: str, norm: str, shape: tuple[int, ...], gain: float = 1.0
) -> Iterator[tuple[str, Tensor]]:
    yield f"{prefix}{conv}.weight", gain * torch.randn(shape) * (2 / weight_inputs(shape)) ** 0.5
    yield f"{prefix}{norm}.weight", 0.8 + 0.4 * torch.rand(shape[0])
    yield f"{prefix}{norm}.bias", 0.1 * torch.randn(shape[0])


class ReleasedNetwork:
    """The network of a file, layer by layer."""

    def __init__(self, content: dict[str, Any]) -> None:
        self.state = content["model"]
        self.anchors = content["anchor_poses"]
        self.with_fpn = content["cfg"]["FPN"]["FPN_ON"]
        self.body = "Conv_Body.conv_body." if self.with_fpn else "Conv_Body."
        self.pre_nms = content["cfg"]["TEST"]["RPN_PRE_NMS_TOP_N"]
        self.post_nms = content["cfg"]["TEST"]["RPN_POST_NMS_TOP_N"]

    def padded(self, image: Tensor) -> Tensor:
        """(1, 3, H, W) of a BGR image (3, h, w): minus the means, and with FPN zeros up to multiples of 32."""
        height, width = image.shape[1:]
        border = (0, -width % 32, 0, -height % 32) if self.with_fpn else (0, 0)
        return F.pad(image[None] - torch.from_numpy(MEANS.transpose(2, 0, 1)).float(), border)

    def conv(self, name: str, x: Tensor, **kwargs: int) -> Tensor:
        return F.conv2d(x, self.state[name + ".weight"], self.state.get(name + ".bias"), **kwargs)

    def affine(self, name: str, x: Tensor) -> Tensor:
        weight, bias = self.state[name + ".weight"], self.state[name + ".bias"]
        return x * weight[:, None, None] + bias[:, None, None]

    def stage(self, prefix: str, x: Tensor, stride: int) -> Tensor:
        number = 0
        while f"{prefix}{number}.conv1.weight" in self.state:
            block, first = f"{prefix}{number}.", number == 0
            y = self.affine(block + "bn1", self.conv(block + "conv1", x, stride=stride if first else 1)).relu()
            y = self.affine(block + "bn2", self.conv(block + "conv2", y, padding=1)).relu()
            y = self.affine(block + "bn3", self.conv(block + "conv3", y))
            if first:
                x = self.affine(block + "downsample.1", self.conv(block + "downsample.0", x, stride=stride))
            x, number = (x + y).relu(), number + 1
        return x

    def features(self, image: Tensor) -> list[tuple[Tensor, int]]:
        """(feature, stride) of the levels the RPN looks at, of a BGR image (1, 3, H, W) minus the means."""
        x = self.affine(self.body + "res1.bn1", self.conv(self.body + "res1.conv1", image, stride=2, padding=3)).relu()
        x = F.max_pool2d(x, 3, 2, 1)
        stages = []
        for stage in (2, 3, 4, 5) if self.with_fpn else (2, 3, 4):
            x = self.stage(f"{self.body}res{stage}.", x, 1 if stage == 2 else 2)
            stages.append(x)
        if not self.with_fpn:
            return [(x, 16)]
        top, pyramid = None, []
        for number, (name, feature) in enumerate(zip(_laterals(), stages[::-1], strict=True)):
            lateral = self.conv(f"Conv_Body.{name}", feature)
            top = lateral if top is None else lateral + F.interpolate(top, scale_factor=2, mode="nearest")
            pyramid.append(self.conv(f"Conv_Body.posthoc_modules.{number}", top, padding=1))
        return [(p, 2**level) for level, p in enumerate([*pyramid[::-1], pyramid[0][..., ::2, ::2]], start=2)]

    def proposals(self, features: list[tuple[Tensor, int]], height: int, width: int) -> np.ndarray:
        """(R, 4) boxes, best first."""
        boxes, scores = [], []
        name = "RPN.FPN_RPN_" if self.with_fpn else "RPN.RPN_"
        for level, (feature, stride) in enumerate(features):
            hidden = self.conv(name + "conv", feature, padding=1).relu()
            logits = self.conv(name + "cls_score", hidden)[0].permute(1, 2, 0).flatten().numpy()
            deltas = self.conv(name + "bbox_pred", hidden)[0].permute(1, 2, 0).reshape(-1, 4).numpy()
            sizes = [32 * 2**level] if self.with_fpn else [16, 32, 64, 128]
            decoded = decode(anchors(feature.shape[2], feature.shape[3], stride, sizes), deltas)
            decoded = decoded.clip(0, [width - 1, height - 1] * 2)
            best = np.argsort(-logits, kind="stable")[: self.pre_nms]
            kept = best[greedy_nms(decoded[best], 0.7)]
            boxes.append(decoded[kept])
            scores.append(logits[kept])
        order = np.argsort(-np.concatenate(scores), kind="stable")[: self.post_nms]
        return np.concatenate(boxes)[order]

    def pooled(self, features: list[tuple[Tensor, int]], boxes: np.ndarray) -> np.ndarray:
        """(R, channels, S, S) by unaligned RoIAlign, two samples a bin and axis."""
        out = []
        for box in boxes:
            level = 0
            if self.with_fpn:
                area = (box[2] - box[0] + 1) * (box[3] - box[1] + 1)
                level = int(np.clip(np.floor(4 + np.log2(np.sqrt(area) / 224)), 2, 5)) - 2
            feature, stride = features[level]
            out.append(roi_align(feature[0].numpy().astype(np.float64), box / stride, 7 if self.with_fpn else 14))
        return np.stack(out)

    def hidden(self, pooled: np.ndarray) -> Tensor:
        x = torch.from_numpy(pooled).float()
        if not self.with_fpn:
            return self.stage("Box_Head.res5.", x, 2).mean((2, 3))
        x = x.flatten(1)
        for name in ("Box_Head.fc1", "Box_Head.fc2"):
            x = F.linear(x, self.state[name + ".weight"], self.state[name + ".bias"]).relu()
        return x

    def poses(self, hidden: Tensor, boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(R, C + 1) probabilities with background first, (R, C, J, 2) px, (R, C, J, 3) m."""
        state = self.state
        logits = F.linear(hidden, state["Pose_Outs.cls_score.weight"], state["Pose_Outs.cls_score.bias"])
        outputs = F.linear(hidden, state["Pose_Outs.pose_pred.weight"], state["Pose_Outs.pose_pred.bias"]) / 5
        classes = len(self.anchors)
        poses_2d, poses_3d = np.zeros((len(boxes), classes, J, 2)), np.zeros((len(boxes), classes, J, 3))
        for r, (x1, y1, x2, y2) in enumerate(boxes):
            for c in range(classes):
                row = outputs[r, (c + 1) * 5 * J : (c + 2) * 5 * J].numpy()
                for j in range(J):
                    x, y, *xyz = (self.anchors[c, d * J + j] + row[d * J + j] for d in range(5))
                    poses_2d[r, c, j] = x1 + x * (x2 - x1), y1 + y * (y2 - y1)
                    poses_3d[r, c, j] = xyz
        return logits.softmax(1).numpy(), poses_2d, poses_3d


def anchors(height: int, width: int, stride: int, sizes: list[int]) -> np.ndarray:
    """(H * W * A, 4): row by row, cell by cell, ratio by ratio, size by size."""
    out = []
    for y in range(height):
        for x in range(width):
            centre = np.array([x * stride, y * stride]) + (stride - 1) / 2
            for ratio in (0.5, 1.0, 2.0):
                w = np.round(np.sqrt(stride * stride / ratio))
                h = np.round(w * ratio)
                for size in sizes:
                    half = (np.array([w, h]) * size / stride - 1) / 2
                    out.append([*(centre - half), *(centre + half)])
    return np.array(out)


def decode(boxes: np.ndarray, deltas: np.ndarray) -> np.ndarray:
    size = boxes[:, 2:] - boxes[:, :2] + 1
    centre = boxes[:, :2] + size / 2 + deltas[:, :2] * size
    size = size * np.exp(np.minimum(deltas[:, 2:], np.log(1000 / 16)))
    return np.concatenate([centre - size / 2, centre + size / 2 - 1], 1)


def greedy_nms(boxes: np.ndarray, threshold: float) -> list[int]:
    """Indices that stay, of boxes in order of score."""
    kept: list[int] = []
    for i in range(len(boxes)):
        if all(box_iou(boxes[i], boxes[j]) <= threshold for j in kept):
            kept.append(i)
    return kept


def box_iou(a: np.ndarray, b: np.ndarray) -> float:
    inter = np.prod(np.maximum(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]) + 1, 0))
    return float(inter / (np.prod(a[2:] - a[:2] + 1) + np.prod(b[2:] - b[:2] + 1) - inter))


def roi_align(feature: np.ndarray, box: np.ndarray, bins: int) -> np.ndarray:
    """(channels, bins, bins) of a feature (channels, H, W); the box is in its cells, cell (0, 0) at 0, 0."""
    origin, size = box[:2], np.maximum(box[2:] - box[:2], 1) / bins
    out = np.zeros((len(feature), bins, bins))
    for row in range(bins):
        for column in range(bins):
            samples = [
                bilinear(feature, origin[1] + (row + i) * size[1], origin[0] + (column + j) * size[0])
                for i in (0.25, 0.75)
                for j in (0.25, 0.75)
            ]
            out[:, row, column] = np.mean(samples, 0)
    return out


def bilinear(feature: np.ndarray, y: float, x: float) -> np.ndarray:
    height, width = feature.shape[1:]
    if not (-1 <= y <= height and -1 <= x <= width):
        return np.zeros(len(feature))
    y, x = min(max(y, 0), height - 1), min(max(x, 0), width - 1)
    top, left = int(y), int(x)
    bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
    upper = feature[:, top, left] * (left + 1 - x) + feature[:, top, right] * (x - left)
    lower = feature[:, bottom, left] * (left + 1 - x) + feature[:, bottom, right] * (x - left)
    return upper * (top + 1 - y) + lower * (y - top)


def built(converted: ConvertedModel) -> nn.Module:
    cfg = get_cfg()
    add_lcrnet_config(cfg)
    cfg.merge_from_other_cfg(CfgNode(converted.config))
    cfg.MODEL.DEVICE = "cpu"
    model = build_model(cfg).eval()
    model.load_state_dict(converted.model)
    return model


def near(ours: Any, theirs: Any, tolerance: float) -> None:
    ours, theirs = torch.as_tensor(np.asarray(ours)).double(), torch.as_tensor(np.asarray(theirs)).double()
    assert theirs.std() > 10 * tolerance, "all the same would prove nothing"
    torch.testing.assert_close(ours, theirs, rtol=tolerance, atol=tolerance)

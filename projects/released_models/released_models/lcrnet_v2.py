"""Published LCR-Net v2 models (`InTheWild-ResNet50.pkl` and the like) -> config and state dict of ours.

The file is a pickle with `model` (state dict), `cfg` (options of the code it was trained with, Detectron's),
`anchor_poses` (C, 5J) and `ppi_params`. It is read by the restricted reader. Two kinds: with FPN, or C4, where res5 is
the box head.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from torch import Tensor

from lcrnet_d2.checkpoint.array_pickle import load_array_pickle
from lcrnet_d2.checkpoint.backbone_weights import renamed

from .conventions import (
    ConvertedModel,
    background_last,
    coordinates_last,
    head_config,
    identity_statistics,
    resnet_config,
    to_tensors,
)

__all__ = ["convert_lcrnet_v2", "read_lcrnet_v2"]

#: Means of ImageNet models of Caffe, BGR in [0, 255].
_PIXEL_MEANS = [102.9801, 115.9465, 122.7717]
#: Box head of the C4 kind, by the size of its regions: its output is 7x7.
_RES5_HEADS = {7: "Res5BoxHeadOfStride1", 14: "Res5BoxHead"}
_RPN = {"conv": "conv", "cls_score": "objectness_logits", "bbox_pred": "anchor_deltas"}
_FPN = {
    "conv_top": "fpn_lateral5",
    **{f"topdown_lateral_modules.{i}.conv_lateral": f"fpn_lateral{4 - i}" for i in range(3)},
    **{f"posthoc_modules.{i}": f"fpn_output{5 - i}" for i in range(4)},
}


def read_lcrnet_v2(path: str | Path) -> dict[str, Any]:
    """The content of a published file; nothing in it is executed.

    Raises:
        FileNotFoundError: no such file.
        ValueError: more than plain data in it, or one of its four parts absent.
    """
    content = load_array_pickle(path)
    missing = sorted({"model", "cfg", "anchor_poses"} - content.keys())
    if missing:
        raise ValueError(f"{path} is not a published LCR-Net model: it lacks {missing}; it has {sorted(content)}")
    return content


def convert_lcrnet_v2(content: Mapping[str, Any], skeleton: str | None = None) -> ConvertedModel:
    """
    Args:
        content: of `read_lcrnet_v2`.
        skeleton: name of the Skeleton of its joints, for other than those of published files of 13 and 17.

    Raises:
        ValueError: a tensor of unknown name or shape, or options that cannot be carried over.
    """
    state = to_tensors(content["model"])
    with_fpn = any(name.startswith("Conv_Body.conv_top.") for name in state)
    anchors = torch.as_tensor(content["anchor_poses"]).float()
    joints = anchors.shape[1] // 5
    model = _renamed(state, with_fpn)
    model |= identity_statistics(model)
    model |= _head(state, len(anchors), joints)
    poses = coordinates_last(anchors.reshape(-1, 1), len(anchors), joints).reshape(len(anchors), joints, 5)
    predictor = "roi_heads.box_predictor."
    model |= {predictor + "anchor_poses_2d": poses[..., :2], predictor + "anchor_poses_3d": poses[..., 2:]}
    options = _Options(content["cfg"])
    config = _config(model, options, with_fpn)
    config["MODEL"]["LCRNET"] = head_config(poses[..., 2:], skeleton)
    return ConvertedModel(config, model)


def _renamed(state: Mapping[str, Tensor], with_fpn: bool) -> dict[str, Tensor]:
    """Everything but the output layers, under our names."""
    source = f"an LCR-Net {'with FPN' if with_fpn else 'of the C4 kind'}"
    return renamed(state, lambda name: _our_name(name, with_fpn), ("Pose_Outs.",), source)


def _our_name(name: str, with_fpn: bool) -> str | None:
    module, _, kind = name.rpartition(".")
    bottom_up = "backbone.bottom_up." if with_fpn else "backbone."
    if module.startswith("Conv_Body.") and module[len("Conv_Body.") :] in _FPN and with_fpn:
        return f"backbone.{_FPN[module[len('Conv_Body.') :]]}.{kind}"
    if match := re.fullmatch(r"Conv_Body\.(?:conv_body\.)?res1\.(conv1|bn1)", module):
        return f"{bottom_up}stem.conv1.{'norm.' if match[1] == 'bn1' else ''}{kind}"
    stages = (r"Conv_Body\.(?:conv_body\.)?", bottom_up), (r"Box_Head\.", "roi_heads.box_head.")
    for source, target in stages:
        if match := re.fullmatch(source + r"res([2-5])\.(\d+)\.(conv|bn|downsample\.)([0-3])", module):
            return f"{target}res{match[1]}.{match[2]}.{_layer(match[3], match[4])}{kind}"
    if match := re.fullmatch(r"RPN\.(?:FPN_)?RPN_(\w+)", module):
        return f"proposal_generator.rpn_head.{_RPN[match[1]]}.{kind}" if match[1] in _RPN else None
    if match := re.fullmatch(r"Box_Head\.(fc[12])", module):
        return f"roi_heads.box_head.{match[1]}.{kind}"
    return None


def _layer(kind: str, number: str) -> str:
    """conv2 -> "conv2.", bn2 -> "conv2.norm.", downsample.0 and .1 -> "shortcut." and "shortcut.norm."."""
    if kind == "downsample.":
        return "shortcut.norm." if number == "1" else "shortcut."
    return f"conv{number}." + ("norm." if kind == "bn" else "")


def _head(state: Mapping[str, Tensor], classes: int, joints: int) -> dict[str, Tensor]:
    """The output layers: background moved to the end, its regression left out, coordinates joint by joint."""
    head = {}
    for kind in ("weight", "bias"):
        score, pose = (state.get(f"Pose_Outs.{layer}.{kind}") for layer in ("cls_score", "pose_pred"))
        if score is None or pose is None:
            raise ValueError(f"Pose_Outs.cls_score.{kind} or Pose_Outs.pose_pred.{kind} is missing")
        if len(score) != classes + 1 or len(pose) != (classes + 1) * 5 * joints:
            raise ValueError(
                f"{classes} anchor poses of {joints} joints need {classes + 1} scores and "
                f"{(classes + 1) * 5 * joints} regressions; Pose_Outs has {len(score)} and {len(pose)}"
            )
        head[f"roi_heads.box_predictor.cls_score.{kind}"] = background_last(score)
        head[f"roi_heads.box_predictor.pose_pred.{kind}"] = coordinates_last(pose[5 * joints :], classes, joints)
    return head


class _Options:
    """The file's `cfg`, nested dicts or their YAML text; what it does not say has Detectron's default."""

    def __init__(self, content: Any) -> None:
        content = yaml.safe_load(content) if isinstance(content, str) else content
        if not isinstance(content, Mapping):
            raise ValueError(f"cfg is a {type(content).__name__}, expected nested dicts")
        self.content = content

    def get(self, key: str, default: Any) -> Any:
        """The value of "A.B", as plain numbers."""
        value: Any = self.content
        for part in key.split("."):
            if not isinstance(value, Mapping) or part not in value:
                return default
            value = value[part]
        return value.tolist() if hasattr(value, "tolist") else value

    def numbers(self, key: str, default: Sequence[float]) -> list[float]:
        """The values of "A.B" as a flat list: [[[102.9, 115.9, 122.7]]] and (102.9, 115.9, 122.7) are the same."""
        return [float(number) for number in np.ravel(self.get(key, default))]


def _config(model: Mapping[str, Tensor], options: _Options, with_fpn: bool) -> dict[str, Any]:
    method = options.get("FAST_RCNN.ROI_XFORM_METHOD", "RoIAlign")
    if method != "RoIAlign":
        raise ValueError(f"FAST_RCNN.ROI_XFORM_METHOD is {method!r}; only RoIAlign can be carried over")
    scale = options.get("TEST.SCALE", None) or options.get("TEST.SCALES", [600])[0]
    parts = _fpn_parts(model, options) if with_fpn else _c4_parts(model, options)
    parts["ROI_BOX_HEAD"] |= {
        "POOLER_SAMPLING_RATIO": options.get("FAST_RCNN.ROI_XFORM_SAMPLING_RATIO", 0),
        "POOLER_TYPE": "ROIAlign",
    }
    parts["RPN"] |= {
        "CONV_DIMS": [len(model["proposal_generator.rpn_head.conv.weight"])],
        "PRE_NMS_TOPK_TEST": options.get("TEST.RPN_PRE_NMS_TOP_N", 12000),
        "POST_NMS_TOPK_TEST": options.get("TEST.RPN_POST_NMS_TOP_N", 2000),
        "NMS_THRESH": options.get("TEST.RPN_NMS_THRESH", 0.7),
    }
    return {
        "MODEL": {
            "META_ARCHITECTURE": "LastPixelRCNN",
            "PIXEL_MEAN": options.numbers("PIXEL_MEANS", _PIXEL_MEANS),
            "PIXEL_STD": [1.0, 1.0, 1.0],
            "PROPOSAL_GENERATOR": {"NAME": "PaddedLastPixelRPN" if with_fpn else "LastPixelRPN"},
            **parts,
        },
        "INPUT": {"FORMAT": "BGR", "MIN_SIZE_TEST": int(scale), "MAX_SIZE_TEST": options.get("TEST.MAX_SIZE", 1000)},
        "VERSION": 2,
    }


def _fpn_parts(model: Mapping[str, Tensor], options: _Options) -> dict[str, Any]:
    first, last = options.get("FPN.RPN_MIN_LEVEL", 2), options.get("FPN.RPN_MAX_LEVEL", 6)
    roi_levels = range(options.get("FPN.ROI_MIN_LEVEL", 2), options.get("FPN.ROI_MAX_LEVEL", 5) + 1)
    start = options.get("FPN.RPN_ANCHOR_START_SIZE", 32)
    channels, pooled = len(model["backbone.fpn_lateral5.weight"]), model["roi_heads.box_head.fc1.weight"].shape[1]
    stages = ["res2", "res3", "res4", "res5"]
    return {
        "BACKBONE": {"NAME": "build_resnet_fpn_backbone"},
        "RESNETS": {
            **resnet_config(model, "backbone.bottom_up.", "backbone.bottom_up.res5."),
            "OUT_FEATURES": stages,
            "STRIDE_IN_1X1": True,
        },
        "FPN": {"IN_FEATURES": stages, "OUT_CHANNELS": channels},
        "ANCHOR_GENERATOR": {
            "NAME": "DetectronAnchorGenerator",
            "SIZES": [[start * 2**level] for level in range(last - first + 1)],
            "ASPECT_RATIOS": [options.numbers("FPN.RPN_ASPECT_RATIOS", (0.5, 1, 2))],
            "OFFSET": 0.5,
        },
        "RPN": {"IN_FEATURES": [f"p{level}" for level in range(first, last + 1)]},
        "ROI_HEADS": {"NAME": "LastPixelROIHeads", "IN_FEATURES": [f"p{level}" for level in roi_levels]},
        "ROI_BOX_HEAD": {
            "NAME": "FastRCNNConvFCHead",
            "NUM_FC": 2,
            "FC_DIM": len(model["roi_heads.box_head.fc1.weight"]),
            "POOLER_RESOLUTION": round((pooled / channels) ** 0.5),
        },
    }


def _c4_parts(model: Mapping[str, Tensor], options: _Options) -> dict[str, Any]:
    resolution = options.get("FAST_RCNN.ROI_XFORM_RESOLUTION", 14)
    if resolution not in _RES5_HEADS:
        raise ValueError(f"FAST_RCNN.ROI_XFORM_RESOLUTION is {resolution}; known are {sorted(_RES5_HEADS)}")
    return {
        "BACKBONE": {"NAME": "build_resnet_backbone"},
        "RESNETS": {
            **resnet_config(model, "backbone.", "roi_heads.box_head.res5."),
            "OUT_FEATURES": ["res4"],
            "STRIDE_IN_1X1": True,
        },
        "ANCHOR_GENERATOR": {
            "NAME": "DetectronAnchorGenerator",
            "SIZES": [options.numbers("RPN.SIZES", (64, 128, 256, 512))],
            "ASPECT_RATIOS": [options.numbers("RPN.ASPECT_RATIOS", (0.5, 1, 2))],
            "OFFSET": 0.5,
        },
        "RPN": {"IN_FEATURES": ["res4"]},
        "ROI_HEADS": {"NAME": "LastPixelROIHeads", "IN_FEATURES": ["res4"]},
        "ROI_BOX_HEAD": {
            "NAME": _RES5_HEADS[resolution],
            "POOLER_RESOLUTION": resolution,
        },
    }

"""The body branch of published DOPE checkpoints (`.pth.tgz`) -> config and state dict of ours.

Such a file is one of torch's, whatever its name ends in, with `state_dict`, `dope_kwargs`, `half` and `*_ppi_kwargs`.
The network is a Faster R-CNN of torchvision's (ResNet-50, C4); hands and faces have output layers of their own on the
same features and are left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from lcrnet_d2.checkpoint.array_pickle import load_torch_file
from lcrnet_d2.checkpoint.backbone_weights import RESNET_PREPROCESSING, resnet_name

from .conventions import (
    ConvertedModel,
    background_last,
    coordinates_joined,
    head_config,
    resnet_config,
    to_tensors,
)

__all__ = ["convert_dope", "read_dope"]

_BODY, _HEAD = "backbone.resnet_backbone.", "roi_heads.dope_head.resnet_backbone."
_OTHERS = tuple(f"roi_heads.dope_predictor.{part}_" for part in ("hand", "face"))
#: Anchor poses of hands and faces, and torchvision's classifier.
_LEFT_OUT = (*_OTHERS, "roi_heads.hand_anchor_poses", "roi_heads.face_anchor_poses", _BODY + "fc.", _HEAD + "fc.")
_RPN = {
    "rpn.head.conv": "conv",
    "rpn.head.conv.0.0": "conv",  # since torchvision 0.14
    "rpn.head.cls_logits": "objectness_logits",
    "rpn.head.bbox_pred": "anchor_deltas",
}
_REGRESSION_WEIGHTS = ("pose2d_reg_weights", "pose3d_reg_weights")


def read_dope(path: str | Path) -> dict[str, Any]:
    """The content of a published file; nothing in it is executed.

    Raises:
        FileNotFoundError: no such file.
        ValueError: more than tensors and plain data in it, or not such a file.
    """
    content = load_torch_file(path)
    missing = sorted({"state_dict", "dope_kwargs"} - set(content if isinstance(content, dict) else ()))
    if missing:
        raise ValueError(f"{path} is not a published DOPE model: it lacks {missing}")
    return content


def convert_dope(content: Mapping[str, Any], skeleton: str | None = None) -> ConvertedModel:
    """
    Args:
        content: of `read_dope`.
        skeleton: name of the Skeleton of its body joints, for other than 13.

    Raises:
        ValueError: a tensor of unknown name or shape, or options that cannot be carried over.
    """
    options = content["dope_kwargs"]
    for key in _REGRESSION_WEIGHTS:
        weight = options.get(key, {}).get("body", 5.0)
        if weight != 5.0:
            raise ValueError(f"dope_kwargs {key} of the body is {weight}; only 5.0 can be carried over")
    state = to_tensors(content["state_dict"])
    anchors = state.get("roi_heads.body_anchor_poses")
    if anchors is None or anchors.dim() != 3 or anchors.shape[2] != 5:
        raise ValueError("roi_heads.body_anchor_poses is missing or not of shape (classes, joints, 5)")
    model = _renamed(state) | _head(state, *anchors.shape[:2])
    model["roi_heads.box_predictor.anchor_poses_2d"] = anchors[..., :2].contiguous()
    model["roi_heads.box_predictor.anchor_poses_3d"] = anchors[..., 2:].contiguous()
    config = _config(model, options)
    config["MODEL"]["LCRNET"] = head_config(anchors[..., 2:], skeleton)
    return ConvertedModel(config, model)


def _renamed(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Everything but the body's output layers. Body and head hold the whole ResNet; each uses its own part."""
    model, unknown = {}, []
    for name, value in state.items():
        module, _, kind = name.rpartition(".")
        resnet = resnet_name(name.removeprefix(_BODY).removeprefix(_HEAD))
        if name.startswith((*_LEFT_OUT, "roi_heads.dope_predictor.body_", "roi_heads.body_anchor_poses")):
            continue
        if module in _RPN:
            model[f"proposal_generator.rpn_head.{_RPN[module]}.{kind}"] = value
        elif name.startswith((_BODY, _HEAD)) and (resnet or kind == "num_batches_tracked"):
            in_head = resnet is not None and resnet.startswith("res5.")
            if resnet and kind != "num_batches_tracked" and in_head == name.startswith(_HEAD):
                model[("roi_heads.box_head." if in_head else "backbone.") + resnet] = value
        else:
            unknown.append(name)
    if unknown:
        raise ValueError(f"not a DOPE network: unknown {sorted(unknown)}")
    return model


def _head(state: Mapping[str, Tensor], classes: int, joints: int) -> dict[str, Tensor]:
    """The body's output layers: background moved to the end, coordinates joint by joint."""
    head = {}
    for kind in ("weight", "bias"):
        names = [f"roi_heads.dope_predictor.body_{layer}.{kind}" for layer in ("cls_score", "pose_pred")]
        score, pose = (state.get(name) for name in names)
        if score is None or pose is None or len(score) != classes + 1 or len(pose) != classes * 5 * joints:
            raise ValueError(f"{names} are missing or do not fit {classes} anchor poses of {joints} joints")
        head[f"roi_heads.box_predictor.cls_score.{kind}"] = background_last(score)
        head[f"roi_heads.box_predictor.pose_pred.{kind}"] = coordinates_joined(pose, classes, joints)
    return head


def _config(model: Mapping[str, Tensor], options: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "MODEL": {
            "META_ARCHITECTURE": "LCRNet",
            "PIXEL_MEAN": RESNET_PREPROCESSING["MODEL.PIXEL_MEAN"],
            "PIXEL_STD": RESNET_PREPROCESSING["MODEL.PIXEL_STD"],
            "BACKBONE": {"NAME": "build_padded_resnet_backbone"},
            "RESNETS": {
                **resnet_config(model, "backbone.", "roi_heads.box_head.res5."),
                "OUT_FEATURES": ["res4"],
                "STRIDE_IN_1X1": False,
            },
            "ANCHOR_GENERATOR": {
                "NAME": "TorchvisionAnchorGenerator",
                "SIZES": [[32, 64, 128, 256, 512]],
                "ASPECT_RATIOS": [[0.5, 1.0, 2.0]],
                "OFFSET": 0.0,
            },
            "RPN": {
                "IN_FEATURES": ["res4"],
                "PRE_NMS_TOPK_TEST": options.get("rpn_pre_nms_top_n_test", 1000),
                "POST_NMS_TOPK_TEST": 1000,  # what its demo asks for, whatever the file says
                "NMS_THRESH": options.get("rpn_nms_thresh", 0.7),
            },
            "ROI_HEADS": {"IN_FEATURES": ["res4"]},
            "ROI_BOX_HEAD": {
                "NAME": "Res5BoxHead",
                "POOLER_RESOLUTION": 7,
                "POOLER_SAMPLING_RATIO": 2,
                "POOLER_TYPE": "ROIAlign",
            },
        },
        "INPUT": {
            "FORMAT": "RGB",
            "MIN_SIZE_TEST": options.get("min_size", 800),
            "MAX_SIZE_TEST": options.get("max_size", 1333),
        },
        "VERSION": 2,
    }

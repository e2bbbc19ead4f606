"""What the published LCR-Net and DOPE models do otherwise than this package: every convention, once.

    background       class 0                        -> the last class
    regression       a block for background too     -> none
    coordinates      x*J y*J X*J Y*J Z*J            -> joint by joint, x y X Y Z     (LCR-Net)
                     x y per joint, then X Y Z      -> joint by joint, x y X Y Z     (DOPE)
    deltas           divided by 5                   -> POSE_REG_SCALE 5
    boxes            x2, y2 the last pixel ("+1")   -> RPN's are one longer, LastPixelROIHeads undoes it where the
                                                       released network read x2 and y2: RoIAlign, 2D poses, IoU of PPI;
                                                       LastPixelRPN clips to pixels, with FPN of the padded image;
                                                       LastPixelRCNN has PPI count pixels of the original image
    RoIAlign         unaligned                      -> POOLER_TYPE ROIAlign
    RPN anchors      rounded, ratio first           -> DetectronAnchorGenerator, TorchvisionAnchorGenerator
    BatchNorm        weight and bias alone          -> mean 0, variance 1 - eps of a FrozenBatchNorm
    images           BGR minus a mean; torchvision's -> INPUT.FORMAT, PIXEL_MEAN, PIXEL_STD

Shapes: C classes without background, J joints, d features.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import yaml
from torch import Tensor

from lcrnet_d2.checkpoint.small_checkpoint import write_model
from lcrnet_d2.structures import LCRNET17, SKELETONS
from lcrnet_d2.structures.whole_files import write_text

__all__ = ["ConvertedModel", "background_last", "coordinates_last", "has_upper_body", "identity_statistics"]

#: Of Detectron2's FrozenBatchNorm2d.
_EPS = 1e-5
#: Blocks in res2 to res5 -> depth of the ResNet.
_DEPTHS: dict[tuple[int, ...], int] = {(3, 4, 6, 3): 50, (3, 4, 23, 3): 101, (3, 8, 36, 3): 152}


class ConvertedModel(NamedTuple):
    """config: changes of Detectron2's and this package's defaults, nested; model: state dict of that config's model."""

    config: dict[str, Any]
    model: dict[str, Tensor]

    def write(self, yaml_file: Path, weights_file: Path) -> None:
        """Writes both; the YAML names the weights."""
        write_model(self.model, weights_file)
        config = {**self.config, "MODEL": {"WEIGHTS": str(weights_file), **self.config["MODEL"]}}
        yaml_file.parent.mkdir(parents=True, exist_ok=True)
        write_text(yaml_file, yaml.safe_dump(config, sort_keys=False))


def to_tensors(state: Mapping[str, Any]) -> dict[str, Tensor]:
    """Tensors in full precision, names without "module."; ValueError for what is neither tensor nor array."""
    tensors = {}
    for name, value in state.items():
        if not isinstance(value, (Tensor, np.ndarray)):
            raise ValueError(f"{name} is a {type(value).__name__}, expected a tensor")
        tensor = torch.as_tensor(value)
        if not torch.isfinite(tensor).all():
            raise ValueError(f"{name} has numbers that are not finite")
        tensors[name.removeprefix("module.")] = tensor.float() if tensor.is_floating_point() else tensor
    return tensors


def background_last(rows: Tensor) -> Tensor:
    """(C + 1, ...) rows of which the first is background's -> the same with background last."""
    return torch.cat([rows[1:], rows[:1]])


def coordinates_last(rows: Tensor, num_classes: int, num_joints: int) -> Tensor:
    """LCR-Net's order x*J y*J X*J Y*J Z*J within a class -> x y X Y Z of each joint.

    Args:
        rows: (C * 5 * J, ...) without background's block.
    """
    by_coordinate = rows.reshape(num_classes, 5, num_joints, *rows.shape[1:])
    return by_coordinate.transpose(1, 2).reshape(rows.shape)


def coordinates_joined(rows: Tensor, num_classes: int, num_joints: int) -> Tensor:
    """DOPE's order, x y of every joint and then X Y Z of every joint -> x y X Y Z of each joint.

    Args:
        rows: (C * 5 * J, ...).
    """
    by_class = rows.reshape(num_classes, 5 * num_joints, *rows.shape[1:])
    flat_2d, flat_3d = by_class[:, : 2 * num_joints], by_class[:, 2 * num_joints :]
    joints_2d = flat_2d.reshape(num_classes, num_joints, 2, *rows.shape[1:])
    joints_3d = flat_3d.reshape(num_classes, num_joints, 3, *rows.shape[1:])
    return torch.cat([joints_2d, joints_3d], 2).reshape(rows.shape)


def identity_statistics(model: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The running means and variances that make every "norm" of a model its weight and bias alone."""
    statistics = {}
    for name, weight in model.items():
        if name.endswith(".norm.weight"):
            norm = name.removesuffix("weight")
            statistics[norm + "running_mean"] = torch.zeros_like(weight)
            statistics[norm + "running_var"] = torch.ones_like(weight) - _EPS
    return statistics


def has_upper_body(poses_3d: Tensor) -> bool:
    """Whether the second half of the (C, J, 3) anchor poses are upper-body twins of the first: the same 3D."""
    half = len(poses_3d) // 2
    return len(poses_3d) == 2 * half > 0 and torch.allclose(poses_3d[:half], poses_3d[half:], atol=1e-4)


def head_config(poses_3d: Tensor, skeleton: str | None) -> dict[str, Any]:
    """MODEL.LCRNET for anchor poses (C, J, 3).

    Args:
        skeleton: names the J joints; None: as the published files of 13 and 17 joints.

    Raises:
        ValueError: no skeleton of J joints named. Which order a file of 14 joints has is not known here: whoever has
            one must say.
    """
    classes, joints = poses_3d.shape[:2]
    name = skeleton or ("LCRNET17" if joints == len(LCRNET17) else "BODY13")
    if name not in SKELETONS or len(SKELETONS[name]) != joints:
        sizes = {known: len(s) for known, s in SKELETONS.items()}
        raise ValueError(f"the model has {joints} joints, which are not those of {name!r}: name a skeleton of {sizes}")
    upper_body = has_upper_body(poses_3d)
    return {
        "SKELETON": name,
        "NUM_ANCHOR_POSES": classes // 2 if upper_body else classes,
        "UPPER_BODY": upper_body,
        "POSE_REG_SCALE": 5.0,
        "PROJECT": "released_models",
    }


def resnet_config(model: Mapping[str, Tensor], backbone: str, res5: str) -> dict[str, Any]:
    """MODEL.RESNETS for a state dict, read off its shapes.

    Args:
        backbone: prefix of stem and res2 to res4; res5: prefix of the last stage.

    Raises:
        ValueError: not a ResNet-50, -101 or -152.
    """
    prefixes = [f"{backbone}res{stage}." for stage in (2, 3, 4)] + [res5]
    blocks = tuple(len({k[len(p) :].split(".")[0] for k in model if k.startswith(p)}) for p in prefixes)
    if blocks not in _DEPTHS:
        raise ValueError(f"res2 to res5 have {blocks} blocks; known are {_DEPTHS}")
    return {
        "DEPTH": _DEPTHS[blocks],
        "NORM": "FrozenBN",
        "STEM_OUT_CHANNELS": len(model[f"{backbone}stem.conv1.weight"]),
        "RES2_OUT_CHANNELS": len(model[f"{backbone}res2.0.conv3.weight"]),
        "WIDTH_PER_GROUP": len(model[f"{backbone}res2.0.conv1.weight"]),
    }

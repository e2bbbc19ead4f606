#!/usr/bin/env python3
"""Leeds Sports Poses Extended to the project's JSON (13 joints, 2D; datasets/add_pseudo_3d.py adds the 3D).

python datasets/prepare_lspe.py datasets/lspe --images 1-9000 --output datasets/lspe/train.json
python datasets/prepare_lspe.py datasets/lspe --images 9001-10000 --output datasets/lspe/val.json
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from lcrnet_d2.command_line import run_command
from lcrnet_d2.data.datasets.pose_json import PoseFileError
from sources.lspe import read_lspe, read_lspe_joints
from sources.records import write_records


def numbers(text: str) -> range:
    """1-3600 or a single number: both ends count."""
    match = re.fullmatch(r"(\d+)(?:-(\d+))?", text)
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no range of pictures; write for example 1-9000")
    return range(int(match[1]), int(match[2] or match[1]) + 1)


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", type=Path, help="folder with joints.mat and images/")
    parser.add_argument("--images", type=numbers, help="which pictures, counted from 1, such as 1-9000 (all)")
    parser.add_argument("--output", required=True, type=Path, help="the JSON to write")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    args = parse_arguments(arguments)
    joints = args.root / "joints.mat"
    chosen = range(1, len(read_lspe_joints(joints)) + 1) if args.images is None else args.images
    records = read_lspe(joints, args.root / "images", chosen)
    info = {"source": "LSPE", "head": "mean of neck and head top", "box": "annotated joints and a margin of 10 %"}
    return write_records(args.output, records, info, len(chosen))


if __name__ == "__main__":
    run_command(main, PoseFileError, OSError)

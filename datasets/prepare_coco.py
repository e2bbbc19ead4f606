#!/usr/bin/env python3
"""COCO's person keypoints to the project's JSON (13 joints, 2D; datasets/add_pseudo_3d.py adds the 3D).

python datasets/prepare_coco.py datasets/coco/annotations/person_keypoints_train2017.json \\
    --images datasets/coco/train2017 --output datasets/coco/train.json
"""

from __future__ import annotations

import argparse
from pathlib import Path

from lcrnet_d2.command_line import run_command
from lcrnet_d2.data.datasets.pose_json import PoseFileError
from sources.coco import read_coco
from sources.records import write_records


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("annotations", type=Path, help="person_keypoints_*.json")
    parser.add_argument("--images", type=Path, help="folder of the pictures; those not in it are left out")
    parser.add_argument("--category", metavar="NAME", help="of the person, where several have COCO's 17 joints")
    parser.add_argument("--output", required=True, type=Path, help="the JSON to write")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    args = parse_arguments(arguments)
    records = read_coco(args.annotations, args.images, args.category)
    info = {"source": f"COCO, {args.annotations.name}", "head": "mean of the annotated face points"}
    return write_records(args.output, records, info)


if __name__ == "__main__":
    run_command(main, PoseFileError, OSError)

#!/usr/bin/env python3
"""MPII Human Pose to the project's JSON (13 joints, 2D; datasets/add_pseudo_3d.py adds the 3D).

python datasets/prepare_mpii.py datasets/mpii/mpii_human_pose_v1_u12_1.mat --images datasets/mpii/images \\
    --output datasets/mpii
python datasets/prepare_mpii.py trainval.json --images datasets/mpii/images --validation-images val.txt --output ...

Writes train.json and val.json. The .mat is split by video, 1,000 pictures for validation (Sec. 4.2). HRNet-style
.json and stacked-hourglass .h5 files do not say which video a picture is from: they need --validation-images,
a text file with a picture's name per line (an empty one if the file is a training set already).

With --groups groups_v12.mat (MPII's evaluation toolkit) people get the number of their multi-person group, and
test.json is written: the test pictures, whose people have a place, a scale, a group, and no joints.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from lcrnet_d2.command_line import run_command
from lcrnet_d2.data.datasets.pose_json import PoseFileError
from sources.mpii import scene_records, split_by_list, split_by_video
from sources.mpii_files import read_mpii, read_release_mat
from sources.records import write_records


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("annotations", type=Path, help=".mat, .json or .h5")
    parser.add_argument("--images", required=True, type=Path, help="folder of the pictures (their sizes are read)")
    parser.add_argument("--output", required=True, type=Path, help="folder for train.json and val.json")
    parser.add_argument("--num-validation", type=int, default=1000, help="validation pictures of the .mat (1000)")
    parser.add_argument("--seed", type=int, default=0, help="of the split")
    parser.add_argument("--validation-images", type=Path, help="text file: a name per line, instead of the split")
    parser.add_argument("--groups", type=Path, help="groups_v12.mat, with the .mat: numbers groups, writes test.json")
    parser.add_argument("--partly-annotated", action="store_true", help="there are more people than are annotated")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    args = parse_arguments(arguments)
    scenes = read_mpii(args.annotations, args.groups)
    if args.validation_images is not None:
        split = split_by_list(scenes, set(args.validation_images.read_text().split()))
    else:
        split = split_by_video(scenes, args.num_validation, args.seed)
    parts = dict(zip(("train", "val"), split, strict=True))
    if args.groups is not None:
        parts["test"] = read_release_mat(args.annotations, args.groups, is_train=False)
    codes = []
    for name, part in parts.items():
        if part:
            info = {"source": f"MPII, {args.annotations.name}, {name}", "head": "mean of neck and head top"}
            records = scene_records(part, args.images, args.partly_annotated)
            codes.append(write_records(args.output / f"{name}.json", records, info, len(part)))
    return max(codes, default=1)


if __name__ == "__main__":
    run_command(main, PoseFileError, OSError)

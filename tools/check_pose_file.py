#!/usr/bin/env python3
"""Checks an annotation file of one's own before anything is trained on it (docs/OWN_DATA.md).

    tools/check_pose_file.py mine.json --images photos

Prints what is in the file: images, people, 3D poses, how often each joint is annotated. Then what is wrong with it:
pictures that are not there or of another size, boxes outside their picture or without their joints, joints annotated at
0, 0, the same person twice, 3D poses that do not project onto their 2D (wrong axes). The exit code is 1 if anything is;
a file that cannot be read at all says why.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from lcrnet_d2.command_line import run_command
from lcrnet_d2.data.datasets.pose_json import PoseFileError, image_size, load_pose_json, summary
from lcrnet_d2.mocap import is_searchable
from lcrnet_d2.structures import PIXEL_CENTRE, SKELETONS, Skeleton

# Correlation of the 3D pose's x, y with the 2D joints, both centred: 1 for an orthographic camera. Of 8,823 synthetic
# people under perspective 0.1 % are below 0.75 and one is below 0.5.
_MIN_CORRELATION = 0.5


def main(argv: list[str] | None = None) -> int:
    args = parse_arguments(argv)
    skeleton = SKELETONS[args.skeleton]
    try:
        records = load_pose_json(args.poses, args.images, skeleton)
    except (PoseFileError, FileNotFoundError) as error:
        raise SystemExit(str(error)) from error
    print(f"{args.poses}: {summary(records)}")
    print(joint_table(records, skeleton))
    problems = list(axes_problems(records))
    problems += [p for r in tqdm(records, unit="image") for p in (*image_problems(r), *people_problems(r, skeleton))]
    for problem in problems[: args.show]:
        print(problem, file=sys.stderr)
    more = f", {args.show} shown" if len(problems) > args.show else ""
    print(f"{len(problems)} problems{more}" if problems else "nothing wrong was found")
    return 1 if problems else 0


def joint_table(records: list[dict[str, Any]], skeleton: Skeleton) -> str:
    """Share of people with each joint seen, hidden, and not annotated; who can get a pseudo 3D pose."""
    people = [a for r in records for a in r["annotations"] if not a["iscrowd"] and "keypoints" in a]
    if not people:
        return "nobody has keypoints"
    v = np.array([p["keypoints"] for p in people]).reshape(len(people), -1, 3)[..., 2]
    lines = [
        f"{'joint':16s}{'seen':>8s}{'hidden':>8s}{'not annotated':>16s}  (% of {len(people)} people with keypoints)"
    ]
    for joint, column in zip(skeleton.joints, v.T, strict=True):
        shares = [100 * float((column == value).mean()) for value in (2, 1, 0)]
        lines.append("{:16s}{:8.1f}{:8.1f}{:16.1f}".format(joint, *shares))
    searchable = int(is_searchable(torch.from_numpy(v > 0), skeleton).sum())
    lines.append(f"{searchable} of them have enough joints for a pseudo 3D pose (4, a shoulder and a hip among them)")
    return "\n".join(lines)


def image_problems(record: dict[str, Any]) -> Iterator[str]:
    try:
        size = image_size(Path(record["file_name"]))
    except PoseFileError as error:
        yield str(error)
        return
    if size != (record["width"], record["height"]):
        stated = f"{record['width']} x {record['height']}"
        yield f"{record['file_name']}: it is {size[0]} x {size[1]} px, the file says {stated}"


def people_problems(record: dict[str, Any], skeleton: Skeleton) -> Iterator[str]:
    met = []
    for number, person in enumerate(record["annotations"]):
        where = f"{record['file_name']}: person {number}"
        x1, y1, x2, y2 = person["bbox"]
        if min(x2, record["width"]) <= max(x1, 0) or min(y2, record["height"]) <= max(y1, 0):
            yield f"{where}: its box {[x1, y1, x2, y2]} (x1, y1, x2, y2) has no part in the picture"
        if (same := (person["bbox"], person.get("keypoints"))) in met:
            yield f"{where}: it is the same as person {met.index(same)}"
        met.append(same)
        if person["iscrowd"] or "keypoints" not in person:
            continue
        keypoints = np.reshape(person["keypoints"], (-1, 3))
        nowhere = (keypoints[:, :2] == PIXEL_CENTRE).all(1) & (keypoints[:, 2] > 0)
        if nowhere.any():
            yield f"{where}: {nowhere.sum()} of its joints are marked as annotated at 0, 0"
        annotated = keypoints[keypoints[:, 2] > 0, :2]
        inside = ((annotated >= [x1, y1]) & (annotated <= [x2, y2])).all(1)
        if 2 * inside.sum() < len(inside):
            yield f"{where}: {inside.sum()} of its {len(inside)} annotated joints are in its box"
        if "pose_3d" in person:
            fits = correlation(keypoints[:, :2], np.asarray(person["pose_3d"], dtype=np.float64)[:, :2])
            if fits < _MIN_CORRELATION:
                yield f"{where}: its 3D pose does not project onto its 2D joints (correlation {fits:.2f})"


def correlation(points: np.ndarray, projected: np.ndarray) -> float:
    """Of (J, 2) joints in the picture and (J, 2) x, y of their 3D pose, each relative to its mean."""
    a, b = points - points.mean(0), projected - projected.mean(0)
    return float((a * b).sum() / max(float(np.linalg.norm(a) * np.linalg.norm(b)), 1e-9))


def axes_problems(records: list[dict[str, Any]]) -> Iterator[str]:
    """Whether 3D poses would project better onto their 2D joints with an axis turned round."""
    people = [p for r in records for p in r["annotations"] if "pose_3d" in p]
    if not people:
        return
    points = [np.reshape(p["keypoints"], (-1, 3))[:, :2] for p in people]
    projected = [np.asarray(p["pose_3d"], dtype=np.float64)[:, :2] for p in people]
    turned = {"as they are": [1, 1], "with -x": [-1, 1], "with -y": [1, -1], "with -x and -y": [-1, -1]}
    medians = {
        name: float(np.median([correlation(q, d * signs) for q, d in zip(points, projected, strict=True)]))
        for name, signs in turned.items()
    }
    if max(medians, key=lambda name: medians[name]) != "as they are":
        found = ", ".join(f"{name} {value:.2f}" for name, value in medians.items())
        yield f"3D poses are not in camera axes (x right, y down, z away): median correlation with the 2D {found}"


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("poses", type=Path, help="the JSON (fields: lcrnet_d2/data/datasets/pose_json.py)")
    parser.add_argument("--images", required=True, type=Path, help="folder that its file names are relative to")
    parser.add_argument("--skeleton", default="BODY13", choices=sorted(SKELETONS))
    parser.add_argument("--show", type=int, default=20, help="problems to print (20)")
    return parser.parse_args(argv)


if __name__ == "__main__":
    run_command(main, OSError)

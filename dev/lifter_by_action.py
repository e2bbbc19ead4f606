#!/usr/bin/env python3
"""Errors of lifters for people in no training, by person and by what they do.

    dev/lifter_by_action.py datasets/mocap/poses_test.npz --index datasets/mocap/cmu_index.txt \\
        --lifters weights/research/lifter_cmu_hdm05.npz --mocap datasets/mocap/poses.npz

Their motions are seen by the random perspective cameras of training, whole and exact; --mocap searches as well.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections import defaultdict
from pathlib import Path, PurePath

import torch

sys.path.append(str(Path(__file__).resolve().parents[1] / "datasets"))

from lcrnet_d2.evaluation import mpjpe
from lcrnet_d2.evaluation.depth_metrics import depth_metrics
from lcrnet_d2.evaluation.report import markdown_table, mean_with_interval
from lcrnet_d2.mocap import Lifter, PoseBase, PseudoPoseSearch, ViewRanges, random_views
from lcrnet_d2.structures import BODY13
from perspective_people import PerspectivePeople

_RANGES = ViewRanges(elevation=(-30.0, 60.0), roll=(-180.0, 180.0))


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("people", type=Path, help="pose base of the people to lift")
    parser.add_argument("--index", type=Path, help="what each CMU take shows: lines of number and text")
    parser.add_argument("--lifters", type=Path, nargs="+", required=True)
    parser.add_argument("--mocap", type=Path, help="pose base to search in")
    parser.add_argument("--queries", type=int, default=500, help="in each row")
    parser.add_argument("--min-poses", type=int, default=60, help="rows of fewer poses are left out")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    args = parse_arguments(arguments)
    base = PoseBase.load(args.people)
    index = dict(re.findall(r"^(\S+)\s+(.+)$", args.index.read_text(), re.MULTILINE)) if args.index else {}
    lifters = {path.stem: Lifter.load(path) for path in args.lifters}
    search = None
    if args.mocap:
        generator = torch.Generator().manual_seed(0)
        search = PseudoPoseSearch(random_views(PoseBase.load(args.mocap).poses_3d, 1_000_000, generator, _RANGES))
    lines = []
    for name, rows in groups(base, index).items():
        if len(rows) < args.min_poses:
            continue
        people = PerspectivePeople(base.poses_3d[rows], torch.ones(len(rows)), torch.zeros(0, 0), BODY13, exact=1.0)
        seen = people.sample(3 * args.queries, torch.Generator().manual_seed(0))
        whole = (seen.trust > 0).all(1).nonzero()[: args.queries, 0]
        seen = type(seen)(*(values[whole] for values in seen))
        found = {n: lifter.lift(seen.seen_2d, seen.trust, seen.image_sizes).poses_3d for n, lifter in lifters.items()}
        if search:
            found["search"] = search.find(seen.seen_2d, seen.trust > 0).poses_3d
        cells = []
        for poses in found.values():
            cells.append(mean_with_interval(mpjpe(poses, seen.poses_3d).numpy(), 0))
            cells.append(f"{depth_metrics(poses, seen.poses_3d, BODY13)['depth_sign']:.0f}")
        lines.append([name, str(len(rows)), *cells])
    names = [*lifters, *(["search"] if search else [])]
    header = ["", "poses", *(cell for n in names for cell in (f"{n}: MPJPE, mm", "depth signs right, %"))]
    print(markdown_table(header, lines))
    return 0


def groups(base: PoseBase, index: dict[str, str]) -> dict[str, list[int]]:
    """Rows of the base by person, then by the first word of what a take shows; HDM05's files say it themselves."""
    by_person, by_action = defaultdict(list), defaultdict(list)
    for row, take in enumerate(base.take_index.tolist()):
        stem = PurePath(base.sources[take].split(":")[-1]).stem
        hdm05 = re.match(r"HDM_[a-z]{2}_([a-zA-Z]+?)(?=[A-Z0-9_])", stem)
        action = hdm05[1] if hdm05 else re.split(r"[ ,/]", index.get(stem, "unknown"))[0].lower()
        by_person[base.subjects[take]].append(row)
        by_action[action].append(row)
    return {**by_person, **dict(sorted(by_action.items()))}


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
"""How well MoCap bases cover 2D poses: the mean matching error of Sec. 4.2, base against base.

Every person with enough joints is searched in the same number of virtual views of each base; the change is that of
the mean error against the first base, with half a 95 % interval (the same people in both, so differences are paired).

examples:
  dev/pseudo_3d_matching.py lspe.json coco.json --mocap cmu.npz cmu_hdm05.npz --views 1e6
  dev/pseudo_3d_matching.py lspe.json --mocap cmu.npz cmu.npz --seeds 0 1     what another draw of views changes
  dev/pseudo_3d_matching.py lspe.json --mocap cmu.npz cmu.npz --rolls 10 180  cameras rolled by up to so much
  dev/pseudo_3d_matching.py lspe.json --mocap cmu.npz cmu.npz --hip-widths 1 1.4    hip joints so much further apart
"""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor
from tqdm import tqdm

from lcrnet_d2.mocap import PoseBase, PseudoPoseSearch, ViewRanges, is_searchable, random_views
from lcrnet_d2.structures import BODY13
from lcrnet_d2.structures.bounded_files import read_json

_RECOMMENDED_MAX_ERROR = 0.15  # add_pseudo_3d.py --max-error, docs/notes/pseudo_3d.md


class Base(NamedTuple):
    """What is searched: a MoCap file, and how its poses are seen.

    Attributes:
        mocap: file of datasets/prepare_mocap.py.
        seed: of the views.
        roll: degrees, the cameras' roll is within +- this.
        hip_width: factor on the distance of the two hip joints.
    """

    mocap: Path
    seed: int
    roll: float
    hip_width: float

    @property
    def name(self) -> str:
        parts = [self.mocap.stem, f"seed {self.seed}"]
        parts += [f"roll {self.roll:g}"] * (self.roll != ViewRanges().roll[1])
        parts += [f"hips {self.hip_width:g}"] * (self.hip_width != 1)
        return ", ".join(parts)


class Matches(NamedTuple):
    """Errors of the P searchable people of one set: (P,) fractions of the pose's size, (P,) px.

    Infinite where no view fits (all joints in one place).
    """

    relative: Tensor
    px: Tensor


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("poses", nargs="+", type=Path, help="pose JSONs (datasets/prepare_*.py, poses_2d_to_json.py)")
    parser.add_argument("--mocap", nargs="+", required=True, type=Path, help="bases of datasets/prepare_mocap.py")
    parser.add_argument("--views", type=lambda text: int(float(text)), default=1_000_000, help="of each base (1e6)")
    parser.add_argument("--seeds", type=int, nargs="+", help="of the views of each base (default: 0)")
    parser.add_argument("--rolls", type=float, nargs="+", help="of each base: degrees to either side (default: 10)")
    parser.add_argument("--hip-widths", type=float, nargs="+", help="of each base: factor on the hips' distance (1)")
    parser.add_argument("--memory", type=float, default=0.5, help="GB of working memory beside the views' 2D")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    args = parse_arguments(arguments)
    bases = bases_of(args)
    sets = {path: annotated_poses(path) for path in args.poses}
    matches: dict[Path, list[Matches]] = {path: [] for path in args.poses}
    for base in bases:
        poses = PoseBase.load(base.mocap).poses_3d
        print(f"{base.name}: {len(poses):,} poses, {args.views:,} views", flush=True)
        generator, ranges = torch.Generator().manual_seed(base.seed), ViewRanges(roll=(-base.roll, base.roll))
        views = random_views(with_hips(poses, base.hip_width), args.views, generator, ranges)
        search = PseudoPoseSearch(views, memory_budget=int(args.memory * 1e9))
        for path, (poses_2d, annotated) in sets.items():
            matches[path].append(match(search, poses_2d, annotated, path.name))
    print(report({path.stem: found for path, found in matches.items()}, [base.name for base in bases]))
    return 0


def bases_of(args: argparse.Namespace) -> list[Base]:
    """One per --mocap; the other options give a value for each, or none."""
    count = len(args.mocap)
    columns: list[list] = [args.mocap]
    defaults = {"seeds": 0, "rolls": ViewRanges().roll[1], "hip_widths": 1.0}
    for name, default in defaults.items():
        values = getattr(args, name) or [default] * count
        if len(values) != count:
            raise SystemExit(f"{len(values)} {name} for {count} bases; give one per base")
        columns.append(values)
    return [Base(*row) for row in zip(*columns, strict=True)]


def with_hips(poses_3d: Tensor, width: float) -> Tensor:
    """(N, J, 3) poses whose hips are `width` times as far apart, about the same middle: the body centre stays."""
    hips = BODY13.indices(["right_hip", "left_hip"])
    middle = poses_3d[:, hips].mean(1, keepdim=True)
    poses = poses_3d.clone()
    poses[:, hips] = middle + width * (poses_3d[:, hips] - middle)
    return poses


def annotated_poses(path: Path) -> tuple[Tensor, Tensor]:
    """(P, J, 2) px and (P, J) bool of the searchable people of a pose JSON."""
    content = read_json(path)
    joints = [category.get("keypoints") for category in content.get("categories", [])]
    if joints != [list(BODY13.joints)]:
        raise ValueError(f"{path}: its joints are {joints}; expected {list(BODY13.joints)}")
    people = [a["keypoints"] for a in content["annotations"] if a.get("keypoints") and not a.get("iscrowd")]
    keypoints = torch.tensor(people, dtype=torch.float64).reshape(-1, len(BODY13), 3)
    keypoints = keypoints[is_searchable(keypoints[..., 2] > 0, BODY13)]
    return keypoints[..., :2], keypoints[..., 2] > 0


def match(search: PseudoPoseSearch, poses_2d: Tensor, annotated: Tensor, name: str) -> Matches:
    """Errors of all people, in their order."""
    view_index = torch.full((len(annotated),), -1, dtype=torch.long)
    with tqdm(total=len(annotated), unit="person", desc=name) as bar:
        for rows in search.batches(annotated):
            view_index[rows] = search.nearest_views(poses_2d[rows], annotated[rows])
            bar.update(len(rows))
    result = search.fit(poses_2d, annotated, view_index)
    return Matches(result.error_relative.double(), result.error_px.double())


def matched_by_all(found: list[Matches]) -> list[Matches]:
    """The people whom some view of every base fits."""
    kept = torch.stack([torch.isfinite(errors.relative) for errors in found]).all(0)
    return [Matches(errors.relative[kept], errors.px[kept]) for errors in found]


def change(before: Tensor, after: Tensor) -> tuple[float, float]:
    """Relative change of the mean of paired (P,) errors, and half its 95 % interval, in per cent."""
    mean = float(before.mean())
    if len(before) < 2 or mean == 0:
        return 0.0, math.inf
    difference = after - before
    margin = 1.96 * float(difference.std()) / math.sqrt(len(difference))
    return 100 * float(difference.mean()) / mean, 100 * margin / mean


def report(matches: dict[str, list[Matches]], bases: list[str]) -> str:
    """A Markdown table, a row per set and base."""
    above = f"above {100 * _RECOMMENDED_MAX_ERROR:g} %"
    lines = [f"| 2D poses | people | base | error, % of size | median | {above} | error, px | change of the mean |"]
    lines.append("|---|---|---|---|---|---|---|---|")
    for name, every in matches.items():
        found = matched_by_all(every)
        for base, errors in zip(bases, found, strict=True):
            row = f"| {name} | {len(errors.relative):,} | {base} | {100 * float(errors.relative.mean()):.2f} "
            above = 100 * float((errors.relative > _RECOMMENDED_MAX_ERROR).double().mean())
            row += f"| {100 * float(errors.relative.median()):.2f} | {above:.1f} % | {float(errors.px.mean()):.2f} "
            if errors is found[0]:
                lines.append(row + "| |")
            else:
                percent, margin = change(found[0].relative, errors.relative)
                lines.append(row + f"| {percent:+.1f} % ± {margin:.1f} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())

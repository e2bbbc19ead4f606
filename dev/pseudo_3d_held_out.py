#!/usr/bin/env python3
"""3D error of pseudo ground truth for people who are not in the MoCap base (leave one subject out).

Poses of a held-out subject are projected on random virtual views, joints are dropped at random (a shoulder and a
hip always stay), and the nearest view of everyone else's poses is searched. Its 3D pose is compared with the true one
over all 13 joints: absolute (both body-centred) and after a rigid transform. The found pose keeps its own metric size.

examples:
  dev/pseudo_3d_held_out.py datasets/mocap/poses.npz --views 1e4 1e5 1e6 --table held_out.csv --plot held_out.png
  dev/pseudo_3d_held_out.py datasets/mocap/poses.npz --views 1e7 --subjects CMU_01 CMU_02 --table held_out.csv
Rows of a table that is there already are kept; those measured again are replaced.
"""

from __future__ import annotations

import argparse
import csv
import io
import math
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor
from tqdm import tqdm

from lcrnet_d2.evaluation.alignment import align_poses
from lcrnet_d2.mocap import PoseBase, PseudoPoseSearch, is_searchable, random_views
from lcrnet_d2.structures import BODY13
from lcrnet_d2.structures.whole_files import write_text
from lcrnet_d2.visualization.figures import new_figure, save_figure

_GROUPS = ("views", "joints", "subject")


class Row(NamedTuple):
    """Errors of one subject's queries against one size of base.

    Attributes:
        views, joints, subject: what was searched for whom with how many annotated joints.
        queries: their number.
        absolute, absolute_sd, rigid, rigid_sd: mm, mean and standard deviation over the queries.
        error_2d: mean matching error as a fraction of the pose's size.
    """

    views: int
    joints: int
    subject: str
    queries: int
    absolute: float
    absolute_sd: float
    rigid: float
    rigid_sd: float
    error_2d: float


def whole(text: str) -> int:
    """1e6 and 1000000 are the same number."""
    return int(float(text))


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("mocap", type=Path, help="pose base of datasets/prepare_mocap.py")
    parser.add_argument("--table", required=True, type=Path, help="CSV to write, or to add to")
    parser.add_argument("--plot", type=Path, help="picture of the table")
    parser.add_argument("--views", type=whole, nargs="*", default=[10_000, 100_000, 1_000_000], help="sizes")
    parser.add_argument("--joints", type=int, nargs="+", default=[13, 10, 8, 6], help="annotated joints")
    parser.add_argument("--queries", type=int, default=560, help="per subject (560)")
    parser.add_argument("--subjects", nargs="+", help="to hold out (default: all with at least --min-poses)")
    parser.add_argument("--min-poses", type=int, default=150, help="leave out subjects with fewer poses (150)")
    parser.add_argument("--memory", type=float, default=0.5, help="GB of working memory beside the views' 2D")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    args = parse_arguments(arguments)
    base = PoseBase.load(args.mocap)
    subjects = args.subjects or subjects_with(base, args.min_poses)
    rows = {row[:3]: row for row in (read_table(args.table) if args.table.is_file() else [])}
    with tqdm(total=len(args.views) * len(subjects), unit="subject") as bar:
        for count in args.views:
            for subject in subjects:
                for row in held_out(base, subject, count, args.joints, args.queries, int(args.memory * 1e9)):
                    rows[row[:3]] = row
                write_table(args.table, sorted(rows.values()))
                bar.update()
    print(summary(sorted(rows.values())))
    if args.plot:
        draw(sorted(rows.values()), args.plot)
    return 0


def subjects_with(base: PoseBase, poses: int) -> list[str]:
    """Names of those who have at least so many poses in the base."""
    return [name for name in sorted(set(base.subjects)) if int(base.of_subjects({name}).sum()) >= poses]


def held_out(
    base: PoseBase, subject: str, count: int, joints: list[int], queries: int, memory_budget: int
) -> Iterator[Row]:
    """One row per number of joints; a subject's queries are the same whatever the size of the base."""
    own = base.of_subjects({subject})
    if not own.any() or own.all():
        raise ValueError(f"cannot hold out {subject!r}; the base has {sorted(set(base.subjects))}")
    generator = torch.Generator().manual_seed(zlib.crc32(subject.encode()))
    chosen = torch.randperm(int(own.sum()), generator=generator)[:queries]
    seen = random_views(base.poses_3d[own][chosen], queries, generator)
    truth, poses_2d = seen.oriented(slice(None)), 200.0 * seen.poses_2d(slice(None))  # a person of about 300 px
    masks = [annotated_joints(queries, number, generator) for number in joints]
    views = random_views(base.poses_3d[~own], count, torch.Generator().manual_seed(0))
    search = PseudoPoseSearch(views, memory_budget=memory_budget)
    for number, annotated in zip(joints, masks, strict=True):
        result = search.find(poses_2d, annotated)
        absolute = distances(result.poses_3d, truth)
        rigid = distances(align_poses(result.poses_3d, truth), truth)
        error_2d = float(result.error_relative.mean())
        yield Row(count, number, subject, queries, *_mean_and_sd(absolute), *_mean_and_sd(rigid), error_2d)


def annotated_joints(count: int, joints: int, generator: torch.Generator) -> Tensor:
    """(count, J) bool with `joints` random joints each, of all such sets that hold a shoulder and a hip."""
    annotated = torch.zeros(count, len(BODY13), dtype=torch.bool)
    pending = torch.arange(count)
    while len(pending) > 0:
        order = torch.rand(len(pending), len(BODY13), generator=generator).argsort(1)
        annotated[pending] = order < joints
        pending = pending[~is_searchable(annotated[pending], BODY13)]
    return annotated


def distances(poses: Tensor, truth: Tensor) -> Tensor:
    """(N,) mean joint distance in mm of (N, J, 3) poses in metres."""
    return 1000.0 * torch.linalg.vector_norm(poses.double() - truth.double(), dim=-1).mean(1)


def _mean_and_sd(values: Tensor) -> tuple[float, float]:
    return float(values.mean()), float(values.std())


def read_table(path: Path) -> list[Row]:
    with path.open(newline="") as file:
        return [
            Row(int(r["views"]), int(r["joints"]), r["subject"], int(r["queries"]), *map(float, list(r.values())[4:]))
            for r in csv.DictReader(file)
        ]


def write_table(path: Path, rows: list[Row]) -> None:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(Row._fields)
    writer.writerows([row[:4] + tuple(round(value, 5) for value in row[4:]) for row in rows])
    write_text(path, text.getvalue())


class Total(NamedTuple):
    """All subjects together; `margin` is half a 95 % interval for these subjects, in mm."""

    subjects: int
    queries: int
    absolute: float
    absolute_margin: float
    rigid: float
    rigid_margin: float
    error_2d: float


def total(rows: list[Row]) -> Total:
    """Mean over the queries of several subjects; the subjects are fixed, their queries are random."""
    n = sum(row.queries for row in rows)
    weights = [row.queries / n for row in rows]

    def mean(name: str) -> float:
        return sum(w * getattr(row, name) for w, row in zip(weights, rows, strict=True))

    def margin(name: str) -> float:
        variance = sum(w**2 * getattr(row, name) ** 2 / row.queries for w, row in zip(weights, rows, strict=True))
        return 1.96 * math.sqrt(variance)

    margins = margin("absolute_sd"), margin("rigid_sd")
    return Total(len(rows), n, mean("absolute"), margins[0], mean("rigid"), margins[1], mean("error_2d"))


def totals(rows: list[Row]) -> dict[tuple[int, int], Total]:
    """(views, joints) -> all subjects together."""
    groups: dict[tuple[int, int], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.views, row.joints), []).append(row)
    return {key: total(group) for key, group in groups.items()}


def summary(rows: list[Row]) -> str:
    """A Markdown table."""
    lines = ["| views | joints | absolute, mm | rigid, mm | 2D error, % of size | subjects | queries |"]
    lines.append("|---|---|---|---|---|---|---|")
    for (views, joints), t in sorted(totals(rows).items(), key=lambda item: (item[0][0], -item[0][1])):
        errors = f"{t.absolute:.1f} ± {t.absolute_margin:.1f} | {t.rigid:.1f} ± {t.rigid_margin:.1f}"
        lines.append(f"| {views:,} | {joints} | {errors} | {100 * t.error_2d:.2f} | {t.subjects} | {t.queries:,} |")
    return "\n".join(lines)


def draw(rows: list[Row], path: Path) -> None:
    """Both errors over the size of the base, a line per number of joints; thin bars: 95 % of the mean."""
    figure = new_figure(10, 4.2)
    every = totals(rows)
    for place, (name, title) in enumerate((("absolute", "absolute (body-centred)"), ("rigid", "rigid-aligned"))):
        axes = figure.add_subplot(1, 2, place + 1)
        for joints in sorted({key[1] for key in every}, reverse=True):
            sizes = sorted(views for views, number in every if number == joints)
            values = [getattr(every[views, joints], name) for views in sizes]
            margins = [getattr(every[views, joints], f"{name}_margin") for views in sizes]
            axes.errorbar(sizes, values, margins, marker="o", markersize=4, capsize=2, label=f"{joints} joints")
        axes.set(xscale="log", xlabel="views in the base", ylabel="mean joint error (mm)", title=title)
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.3)
        axes.legend(title="annotated")
    save_figure(figure, path)


if __name__ == "__main__":
    sys.exit(main())

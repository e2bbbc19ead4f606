#!/usr/bin/env python3
"""Search speed against the bare matrix products that the search cannot do without.

Contenders take turns, so that others' load on the machine falls on all of them; medians of the processor time
(all threads) and of the wall clock. The products write into preallocated buffers, blocked as the search is:
  grouped   queries that share a mask: one product (N, 2J) x (2J, V), with and without the maximum over the views
  four      every query its own mask: sum m, sum m d (x and y), sum m d^2 and sum m q d
The queries are real people, those of the JSON's most frequent masks first; "mixed" is a random sample, in the search's
own order.

examples:
  OMP_NUM_THREADS=2 dev/pseudo_3d_speed.py coco.json --mocap datasets/mocap/poses.npz --views 1e6
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from lcrnet_d2.mocap import PoseBase, PseudoPoseSearch, random_views
from lcrnet_d2.mocap.view_blocks import BLOCK, ROWS
from pseudo_3d_matching import annotated_poses


class Contender(NamedTuple):
    """Something to time: `run` handles `queries` queries."""

    name: str
    queries: int
    run: Callable[[], object]


class Timing(NamedTuple):
    """Medians over the rounds, queries per second: of the wall clock, and of one core's processor time."""

    wall: float
    processor: float


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("poses", type=Path, help="pose JSON to take queries from")
    parser.add_argument("--mocap", required=True, type=Path, help="base of datasets/prepare_mocap.py")
    parser.add_argument("--views", type=lambda text: int(float(text)), default=1_000_000, help="virtual views (1e6)")
    parser.add_argument("--queries", type=int, default=512, help="of each contender (512)")
    parser.add_argument("--mixed", type=int, default=4096, help="queries of the random sample (4096)")
    parser.add_argument("--rounds", type=int, default=5, help="times each contender runs (5)")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    args = parse_arguments(arguments)
    base = PoseBase.load(args.mocap)
    views = random_views(base.poses_3d, args.views, torch.Generator().manual_seed(0))
    search = PseudoPoseSearch(views)
    poses_2d, annotated = annotated_poses(args.poses)
    blocks = view_blocks(views.poses_2d(slice(None)))
    sample = torch.randperm(len(annotated), generator=torch.Generator().manual_seed(0))[: args.mixed]
    contenders = [
        *_grouped(search, blocks, poses_2d, annotated, args.queries),
        *_apart(search, blocks, args.queries),
        Contender("mixed: search", len(sample), lambda: search.find(poses_2d[sample], annotated[sample])),
    ]
    print(f"{args.views:,} views, {torch.get_num_threads()} threads, {args.rounds} rounds")
    print(report(contenders, measure(contenders, args.rounds)))
    return 0


def view_blocks(poses_2d: Tensor) -> list[Tensor]:
    """(2J, B) blocks of (V, J, 2) views: x of all joints, then y."""
    return [part.permute(2, 1, 0).flatten(0, 1).contiguous() for part in poses_2d.split(BLOCK)]


def _grouped(
    search: PseudoPoseSearch, blocks: list[Tensor], poses_2d: Tensor, annotated: Tensor, count: int
) -> list[Contender]:
    masks, of, times = annotated.unique(dim=0, return_inverse=True, return_counts=True)
    rows = (of == times.argmax()).nonzero()[:count, 0]
    q = poses_2d[rows].float().transpose(1, 2).flatten(1) * masks[times.argmax()].repeat(2)
    return [
        Contender("grouped: product", len(rows), lambda: one_product(q, blocks, maximum=False)),
        Contender("grouped: product and maximum", len(rows), lambda: one_product(q, blocks, maximum=True)),
        Contender("grouped: search", len(rows), lambda: search.find(poses_2d[rows], annotated[rows])),
    ]


def _apart(search: PseudoPoseSearch, blocks: list[Tensor], count: int) -> list[Contender]:
    """Projections with random masks: hardly two are alike."""
    generator = torch.Generator().manual_seed(0)
    poses_2d = 100.0 * search.views.poses_2d(torch.randint(len(search.views), (count,), generator=generator))
    annotated = torch.rand(poses_2d.shape[:2], generator=generator) < 0.7
    annotated[:, search.views.skeleton.torso] = True
    q = poses_2d.transpose(1, 2).flatten(1) * annotated.repeat(1, 2)
    return [
        Contender("apart: four products", count, lambda: four_products(q, annotated.float(), blocks)),
        Contender("apart: search", count, lambda: search.find(poses_2d, annotated)),
    ]


def one_product(q: Tensor, blocks: list[Tensor], maximum: bool) -> Tensor:
    """(N, 2J) queries times all views; the (N,) largest products if `maximum`, else the last block's buffer."""
    best = q.new_full((len(q),), -torch.inf)
    buffer = q.new_empty(ROWS * BLOCK)
    for views in blocks:
        for start in range(0, len(q), ROWS):
            rows = slice(start, min(start + ROWS, len(q)))
            out = buffer[: (rows.stop - start) * views.shape[1]].view(-1, views.shape[1])
            torch.mm(q[rows], views, out=out)
            if maximum:
                torch.maximum(best[rows], out.amax(1), out=best[rows])
    return best if maximum else buffer


def four_products(q: Tensor, masks: Tensor, blocks: list[Tensor]) -> tuple[Tensor, ...]:
    """The buffers of sum m q d, sum m d^2 and sum m d (x, y) of the last block; squares made once per block."""
    joints = masks.shape[1]
    buffers = [q.new_empty(ROWS * BLOCK) for _ in range(4)]
    squares, square = q.new_empty(joints * BLOCK), q.new_empty(joints * BLOCK)
    for views in blocks:
        x, y = views[:joints], views[joints:]
        d2, y2 = (of[: x.numel()].view(x.shape) for of in (squares, square))
        torch.mul(x, x, out=d2)
        d2.add_(torch.mul(y, y, out=y2))
        for start in range(0, len(q), ROWS):
            rows = slice(start, min(start + ROWS, len(q)))
            pairs = ((q[rows], views), (masks[rows], d2), (masks[rows], x), (masks[rows], y))
            for buffer, (left, right) in zip(buffers, pairs, strict=True):
                torch.mm(left, right, out=buffer[: len(left) * views.shape[1]].view(-1, views.shape[1]))
    return tuple(buffers)


def measure(contenders: list[Contender], rounds: int) -> list[Timing]:
    """Each contender once to warm up, then `rounds` times in turn."""
    wall: list[list[float]] = [[] for _ in contenders]
    processor: list[list[float]] = [[] for _ in contenders]
    for contender in contenders:
        contender.run()
    for _ in range(rounds):
        for contender, walls, processors in zip(contenders, wall, processor, strict=True):
            started, used = time.perf_counter(), time.process_time()
            contender.run()
            walls.append(time.perf_counter() - started)
            processors.append(time.process_time() - used)
    return [
        Timing(c.queries / statistics.median(w), c.queries / statistics.median(p))
        for c, w, p in zip(contenders, wall, processor, strict=True)
    ]


def report(contenders: list[Contender], timings: list[Timing]) -> str:
    """A Markdown table; ratios are to the products of the same queries, by wall clock and by processor time."""
    reference: dict[str, Timing] = {}
    lines = ["| | queries | queries/s | queries/s of processor time | rate by the wall | rate by the processor |"]
    lines.append("|---|---|---|---|---|---|")
    for contender, timing in zip(contenders, timings, strict=True):
        first = reference.setdefault(contender.name.split(":")[0], timing)
        ratios = f"{timing.wall / first.wall:.2f} | {timing.processor / first.processor:.2f}"
        row = f"| {contender.name} | {contender.queries:,} | {timing.wall:.0f} | {timing.processor:.0f} | {ratios} |"
        lines.append(row)
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())

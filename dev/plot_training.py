#!/usr/bin/env python3
"""The learning curve: losses, and what the evaluations in between found, of one run or several that followed.

A run that started from another's weights is drawn behind it; a dashed line parts them.

examples:
  dev/plot_training.py output/research --output curve.png
  dev/plot_training.py output/first output/second --metric pose_ppi/mpjpe_mm --output curve.png
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lcrnet_d2.visualization.figures import new_figure, save_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LOSSES = {"total_loss": "total", "loss_pose_cls": "pose_cls", "loss_pose_reg": "pose_reg"}
#: Curves are means over this many lines of metrics.json, which Detectron2 writes every 20 iterations.
LINES = 11

Rows = dict[int, dict[str, float]]


def main(argv: list[str] | None = None) -> int:
    args = parse_arguments(argv)
    try:
        runs = [read_metrics(run / "metrics.json") for run in args.runs]
        figure = new_figure(10, 3.8)
        losses, found = figure.subplots(1, 2)
        rows, ends = concatenate(runs)
        draw_losses(losses, rows)
        draw_metric(found, rows, args.metric)
        for axes in (losses, found):
            axes.set(xlabel="iteration", xlim=(0, ends[-1]))
            for end in ends[:-1]:
                axes.axvline(end, color="0.6", linestyle="--", linewidth=1)
        save_figure(figure, args.output)
    except (OSError, ValueError) as error:
        print(f"plot_training: {error}", file=sys.stderr)
        return 1
    print(f"{args.output}: {ends[-1]} iterations of {len(runs)} runs")
    return 0


def read_metrics(path: Path) -> Rows:
    """Iteration -> what Detectron2 wrote there. Of iterations repeated after a `--resume` the last ones count.

    Raises:
        ValueError: a line is no JSON, or there is none.
    """
    rows: Rows = {}
    for number, line in enumerate(path.read_text().splitlines(), 1):
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise ValueError(f"{path}, line {number}: {error}") from None
        iteration = row.pop("iteration")
        rows = {i: old for i, old in rows.items() if i < iteration or "total_loss" not in row}
        rows[iteration] = rows.get(iteration, {}) | row
    if not any("total_loss" in row for row in rows.values()):
        raise ValueError(f"{path} has no losses: nothing has been trained there")
    return rows


def concatenate(runs: list[Rows]) -> tuple[Rows, list[int]]:
    """All runs one after the other, and the iterations at which they end."""
    rows, ends = {}, [0]
    for run in runs:
        rows |= {ends[-1] + iteration: row for iteration, row in run.items()}
        # The evaluation at the end stands at the number of iterations, all else at the last one's index.
        ends.append(ends[-1] + max(iteration for iteration, row in run.items() if "total_loss" in row) + 1)
    return rows, ends[1:]


def draw_losses(axes: Axes, rows: Rows) -> None:
    for k, (key, label) in enumerate(LOSSES.items()):
        points = np.array([(iteration, row[key]) for iteration, row in sorted(rows.items()) if key in row])
        axes.plot(*points.T, color=f"C{k}", linewidth=0.5, alpha=0.3)
        axes.plot(*smoothed(points).T, color=f"C{k}", label=label)
    axes.set(ylabel="loss", ylim=(0, None))
    axes.legend(frameon=False)


def smoothed(points: np.ndarray) -> np.ndarray:
    """(n, 2) -> (max(1, n - LINES + 1), 2): means over windows, never across an end."""
    window = np.ones(min(LINES, len(points)))
    return np.stack([np.convolve(column, window / window.sum(), "valid") for column in points.T], 1)


def draw_metric(axes: Axes, rows: Rows, metric: str) -> None:
    """A line for each test set whose metrics end in `metric`.

    Raises:
        ValueError: none does.
    """
    keys = sorted({key for row in rows.values() for key in row if key.endswith(f"/{metric}") or key == metric})
    if not keys:
        known = sorted({key for row in rows.values() for key in row if "/" in key and "roi_head" not in key})
        raise ValueError(f"no evaluation wrote {metric!r}; written: {', '.join(known) or 'none at all'}")
    for key in keys:
        axes.plot(*zip(*[(i, row[key]) for i, row in sorted(rows.items()) if key in row], strict=True), "o-", label=key)
    axes.set(ylabel=metric, ylim=(0, 1.1 * axes.get_ylim()[1]))
    axes.legend(frameon=False, loc="lower right")


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path, metavar="OUTPUT_DIR", help="of train_net.py, in their order")
    parser.add_argument("--metric", default="pose_ppi/pck_2d_all", help="how its name ends (default: %(default)s)")
    parser.add_argument("--output", type=Path, required=True, help="a PNG")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())

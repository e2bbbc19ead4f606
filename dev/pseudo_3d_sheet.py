#!/usr/bin/env python3
"""Draws people with pseudo 3D poses: the 2D input beside the found 3D pose from two sides. Skeletons only.

Left of each three: the annotated joints (dots) and the bones between them; thin and grey, what the search completed.
Middle and right: the found 3D pose as a camera 60 degrees to the left and to the right of the photo's would see it.
Red: the person's right side; blue: the left. The number is the matching error in per cent of the pose's size.
Printed: what share of all people lies above which error, for choosing --max-error.

examples:
  dev/pseudo_3d_sheet.py coco_train_3d.json --people 24 --seed 0 --output sheet.png
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch

from lcrnet_d2.mocap.virtual_views import view_rotations
from lcrnet_d2.structures import BODY13, bone_colour
from lcrnet_d2.structures.bounded_files import read_json
from lcrnet_d2.visualization.figures import new_figure, save_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLUMNS = 4
_LIMITS = (0.05, 0.075, 0.1, 0.15, 0.2)
_GREY = (0.72, 0.72, 0.72)


class Found(NamedTuple):
    """A person of the JSON: (J, 2) px, (J,) bool, (J, 3) m, the error as a fraction of the pose's size."""

    pose_2d: np.ndarray
    annotated: np.ndarray
    pose_3d: np.ndarray
    error: float


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("poses", type=Path, help="JSON written by datasets/add_pseudo_3d.py")
    parser.add_argument("--output", required=True, type=Path, help="the .png to write")
    parser.add_argument("--people", type=int, default=24, help="how many, drawn at random (24)")
    parser.add_argument("--seed", type=int, default=0, help="which (0)")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    args = parse_arguments(arguments)
    people = [a for a in read_json(args.poses)["annotations"] if a.get("pose_3d_source") == "pseudo"]
    if not people:
        raise SystemExit(f"{args.poses} has nobody with pseudo 3D; make it with datasets/add_pseudo_3d.py")
    chosen = np.random.default_rng(args.seed).choice(len(people), min(args.people, len(people)), replace=False)
    draw([found_of(people[i]) for i in chosen], args.output)
    print(f"{args.output}: annotations {[people[i]['id'] for i in chosen]}")
    print(shares_above([a["pose_3d_error"] for a in people]))
    return 0


def found_of(annotation: dict[str, Any]) -> Found:
    keypoints = np.asarray(annotation["keypoints"], dtype=np.float64).reshape(-1, 3)
    pose_3d = np.asarray(annotation["pose_3d"], dtype=np.float64)
    return Found(keypoints[:, :2], keypoints[:, 2] > 0, pose_3d, float(annotation["pose_3d_error"]))


def shares_above(errors: list[float]) -> str:
    """One line: how many errors (fractions of the pose's size) lie above some limits."""
    values = np.asarray(errors)
    shares = ", ".join(f"{100 * (values > limit).mean():.1f} % above {limit}" for limit in _LIMITS)
    return f"{len(values)} people, median error {np.median(values):.4f}; {shares}"


def turned(pose_3d: np.ndarray, degrees: float) -> np.ndarray:
    """(J, 2) m of (J, 3): the pose after a turn about the picture's vertical, as its camera sees it.

    What is on the right (x > 0) comes nearer (z < 0) with a positive angle: the camera has gone to the right.
    """
    angles = torch.tensor([np.deg2rad(degrees), 0.0, 0.0], dtype=torch.float64)
    return (pose_3d @ view_rotations(angles).numpy().T)[:, :2]


def draw(people: list[Found], path: Path) -> None:
    """Writes the sheet: three small pictures per person, four people in a row."""
    rows = -(-len(people) // _COLUMNS)
    figure = new_figure(2.4 * _COLUMNS, 1.2 * rows)
    figure.set_layout_engine("none")  # the edges below
    cells = figure.subfigures(rows, _COLUMNS, squeeze=False).ravel()
    for cell, person in zip(cells, people, strict=False):
        edges = {"left": 0.01, "right": 0.97, "bottom": 0.02, "top": 0.88, "wspace": 0.02}
        first, left, right = cell.subplots(1, 3, gridspec_kw=edges)
        _draw_skeleton(first, person.pose_2d, np.ones_like(person.annotated), _GREY)
        _draw_skeleton(first, person.pose_2d, person.annotated)
        first.plot(*person.pose_2d[person.annotated].T, "k.", markersize=3)
        first.set_title(f"{100 * person.error:.1f} %, {int(person.annotated.sum())} joints", fontsize=7, pad=2)
        for axes, degrees in ((left, -60.0), (right, 60.0)):
            _draw_skeleton(axes, turned(person.pose_3d, degrees), np.ones_like(person.annotated))
        for axes in (first, left, right):
            axes.set_aspect("equal", adjustable="datalim")
            axes.invert_yaxis()
            axes.axis("off")
    save_figure(figure, path)


def _draw_skeleton(
    axes: Axes, pose: np.ndarray, drawn: np.ndarray, colour: tuple[float, float, float] | None = None
) -> None:
    """Bones both of whose ends are drawn, in one colour (thin) or in those of the sides."""
    for (a, b), bone in zip(BODY13.bone_indices, BODY13.bones, strict=True):
        if drawn[a] and drawn[b]:
            of_side = tuple(np.array(bone_colour(bone)) / 255)
            axes.plot(*pose[[a, b]].T, color=colour or of_side, linewidth=0.8 if colour else 1.6)


if __name__ == "__main__":
    sys.exit(main())

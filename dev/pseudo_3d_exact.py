#!/usr/bin/env python3
"""Pseudo 3D of people whose 3D is known, such as those of rendered scenes: the search beside lifters.

    dev/pseudo_3d_exact.py datasets/rendered/test/annotations.json --mocap datasets/mocap/poses.npz \\
        --lifters weights/research/lifter_cmu_hdm05.npz lcrnet_d2/weights/lifter_cmu.npz

Everyone is asked for three times: with all joints, with those inside the picture, and with those that are seen
(v = 2). Their exact 2D, or with --noise noisy 2D, is what is lifted.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch
from torch import Tensor

sys.path.append(str(Path(__file__).resolve().parents[1] / "datasets"))

from lcrnet_d2.evaluation import mpjpe
from lcrnet_d2.evaluation.depth_metrics import depth_metrics
from lcrnet_d2.evaluation.report import markdown_table, mean_with_interval
from lcrnet_d2.mocap import PoseBase, PseudoPoseSearch, ViewRanges, is_searchable, random_views
from lcrnet_d2.mocap.lifter import LiftedPoses, Lifter, joint_trust
from lcrnet_d2.structures import BODY13
from train_lifter import exact_people

_RANGES = ViewRanges(elevation=(-30.0, 60.0), roll=(-30.0, 30.0))
_HEADER = ("", "people", "MPJPE, mm", "aligned, mm", "x, y, z, mm", "depth signs right, %")
_HEADER += ("depth correlation: thigh, shank, upper arm, forearm", "lengths", "turned round, %")


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("truth", type=Path, help="JSON of poses with exact 3D")
    parser.add_argument("--mocap", type=Path, help="pose base to search in")
    parser.add_argument("--views", type=lambda text: int(float(text)), default=1_000_000)
    parser.add_argument("--lifters", type=Path, nargs="*", default=[])
    parser.add_argument("--noise", type=float, default=0.0, help="of the 2D, as a share of the pose's extent")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    args = parse_arguments(arguments)
    keypoints, poses_3d, sizes = exact_people(args.truth)
    poses_2d = keypoints[..., :2]
    extent = (poses_2d - poses_2d.mean(1, keepdim=True)).square().sum(-1).mean(1).sqrt()
    noise = torch.randn(poses_2d.shape, generator=torch.Generator().manual_seed(0))
    noisy = poses_2d + args.noise * extent[:, None, None] * noise
    inside = ((poses_2d >= 0) & (poses_2d <= sizes.flip(1)[:, None])).all(-1)
    queries = {"all joints": inside | True, "joints in the picture": inside, "joints seen": keypoints[..., 2] == 2}
    search = None
    if args.mocap:
        generator = torch.Generator().manual_seed(0)
        search = PseudoPoseSearch(random_views(PoseBase.load(args.mocap).poses_3d, args.views, generator, _RANGES))
    lifters = {path.stem: Lifter.load(path) for path in args.lifters}
    for query, annotated in queries.items():
        rows = is_searchable(annotated, BODY13)
        asked, truth = annotated[rows], poses_3d[rows]
        print(f"\n{query}, of {float(asked.float().mean()) * len(BODY13):.1f} joints\n")
        lines = []
        if search:
            lines.append(row("search", search.find(noisy[rows], asked).poses_3d, truth))
        calibration = []
        for name, lifter in lifters.items():
            lifted = lifter.lift(noisy[rows], joint_trust(asked, args.noise), sizes[rows])
            lines.append(row(name, lifted.poses_3d, truth))
            calibration.append(
                f"{name}: {calibrated(lifted, truth, asked)}; {completed(lifted, poses_2d[rows], asked)}"
            )
        print(markdown_table(_HEADER, lines), *calibration, sep="\n")
    return 0


def row(name: str, poses_3d: Tensor, truth: Tensor) -> list[str]:
    """One line of the table."""
    depth = depth_metrics(poses_3d, truth, BODY13)

    def of_limbs(metric: str) -> str:
        return ", ".join(f"{depth[f'{metric}_{limb}']:.2f}" for limb in BODY13.limbs)

    axes = ", ".join(f"{value:.0f}" for value in 1000 * (poses_3d - truth).abs().mean((0, 1)))
    errors = [mean_with_interval(mpjpe(poses_3d, truth, align=align).numpy()) for align in ("none", "similarity")]
    numbers = (f"{depth['depth_sign']:.1f}", of_limbs("depth_correlation"), of_limbs("length_ratio"))
    return [name, str(len(truth)), *errors, axes, *numbers, f"{depth['turned_round']:.1f}"]


def calibrated(lifted: LiftedPoses, truth: Tensor, annotated: Tensor) -> str:
    """How large errors are in units of their standard deviation, and how many are within one and two of it."""
    z = (lifted.poses_3d - truth) / lifted.std
    parts = []
    for name, joints in (("annotated", annotated), ("missing", ~annotated)):
        if joints.any():
            ratio = ", ".join(f"{value:.2f}" for value in z[joints].square().mean(0).sqrt())
            within = [100 * float((z[joints].abs() < k).float().mean()) for k in (1, 2)]
            std = ", ".join(f"{1000 * value:.0f}" for value in lifted.std[joints].mean(0))
            parts.append(
                f"{name} joints: standard deviations {std} mm, error / std along x, y, z {ratio}; "
                f"{within[0]:.0f} % within one, {within[1]:.0f} % within two"
            )
    return "; ".join(parts)


def completed(lifted: LiftedPoses, poses_2d: Tensor, annotated: Tensor) -> str:
    """How far completed joints are off."""
    if annotated.all():
        return "nothing to complete"
    extent = (poses_2d - poses_2d.mean(1, keepdim=True)).square().sum(-1).mean(1, keepdim=True).sqrt()
    off = ((lifted.poses_2d - poses_2d).norm(dim=-1) / extent)[~annotated]
    return f"completed joints off by {100 * float(off.median()):.0f} % of the pose's extent (median)"


if __name__ == "__main__":
    sys.exit(main())

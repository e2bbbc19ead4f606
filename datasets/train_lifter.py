#!/usr/bin/env python3
"""Trains a lifter, 2D poses to 3D, on motion capture: docs/notes/pseudo_3d.md.

    python datasets/train_lifter.py --mocap datasets/mocap/poses.npz --bodies datasets/rendered/val/annotations.json \\
        --check datasets/rendered/val/annotations.json --output weights/research/lifter_cmu_hdm05.npz

One take in twelve, chosen by its name as rendered scenes' val split chooses them, is not trained on: the uncertainty
is calibrated on it. --bodies gives people the builds of a file's people with exact 3D. --check prints errors on such a
file. Minutes on one core.
"""

from __future__ import annotations

import argparse
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from lcrnet_d2.data.datasets.pose_json import load_pose_json
from lcrnet_d2.evaluation import mpjpe
from lcrnet_d2.evaluation.depth_metrics import depth_metrics
from lcrnet_d2.mocap import PoseBase, even_weights
from lcrnet_d2.mocap.lifter import Lifter, LifterOutputs, normalised
from lcrnet_d2.structures import BODY13
from perspective_people import PerspectivePeople, SeenPeople, body_lengths

_HELD_OUT_EVERY = 12


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mocap", required=True, type=Path, help="pose base of datasets/prepare_mocap.py")
    parser.add_argument("--output", required=True, type=Path, help="the lifter (.npz) to write")
    parser.add_argument("--bodies", type=Path, help="JSON of poses whose exact 3D gives the builds of bodies")
    parser.add_argument("--check", type=Path, help="JSON of poses with exact 3D to print errors on")
    parser.add_argument("--steps", type=int, default=10_000)
    parser.add_argument("--batch", type=int, default=512, help="people in a step")
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--blocks", type=int, default=2)
    parser.add_argument("--rate", type=float, default=2e-3, help="highest learning rate")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(arguments)
    if min(args.steps, args.batch, args.width) < 2:
        parser.error("--steps, --batch and --width are at least 2")
    return args


def main(arguments: list[str] | None = None) -> int:
    args = parse_arguments(arguments)
    start = time.perf_counter()
    base = PoseBase.load(args.mocap)
    held_out = takes_held_out(base)
    if held_out.all() or not held_out.any():
        raise SystemExit(
            f"{args.mocap}: one take in {_HELD_OUT_EVERY}, by name, is to calibrate on; it has none or no others"
        )
    bodies = body_lengths(exact_people(args.bodies)[1], BODY13) if args.bodies else torch.zeros(0, 0)
    people = PerspectivePeople(base.poses_3d[~held_out], even_weights(base.poses_3d[~held_out]), bodies, BODY13)
    torch.manual_seed(args.seed)
    lifter = Lifter(BODY13, args.width, args.blocks)
    check = exact_people(args.check) if args.check else None

    def report(step: int, loss: float) -> None:
        errors = f"; {check_errors(lifter, *check)}" if check else ""
        tqdm.write(f"step {step}: loss {loss:.3f}{errors}; {time.perf_counter() - start:.0f} s")

    train(lifter, people, args, report)
    others = PerspectivePeople(base.poses_3d[held_out], even_weights(base.poses_3d[held_out]), bodies, BODY13)
    factors = calibrate(lifter, others.sample(20_000, torch.Generator().manual_seed(args.seed)))
    args.output.parent.mkdir(parents=True, exist_ok=True)
    lifter.save(args.output)
    takes = f"{int((~held_out).sum())} poses, {int(held_out.sum())} of other takes to calibrate on"
    print(f"{takes}: standard deviations times {factors.numpy().round(2).tolist()}; {args.output}")
    return 0


def takes_held_out(base: PoseBase) -> Tensor:
    """(N,) bool: poses of one take in `_HELD_OUT_EVERY`."""
    names = [re.split(r"[/\\:]", source)[-1] for source in base.sources]
    return torch.tensor([sum(name.encode()) % _HELD_OUT_EVERY == 0 for name in names])[base.take_index]


def exact_people(path: Path) -> tuple[Tensor, Tensor, Tensor]:
    """(N, J, 3) x, y, v px, (N, J, 3) m and (N, 2) sizes of the images of everyone whose 3D is not pseudo."""
    found = [
        (person["keypoints"], person["pose_3d"].tolist(), (record["height"], record["width"]))
        for record in load_pose_json(path, path.parent, BODY13)
        for person in record["annotations"]
        if person.get("pose_3d_source", "pseudo") != "pseudo" and not person["iscrowd"]
    ]
    if not found:
        raise ValueError(f"{path}: nobody in it has measured or synthetic 3D")
    keypoints, poses_3d, sizes = (torch.tensor(column, dtype=torch.float32) for column in zip(*found, strict=True))
    return keypoints.view(-1, len(BODY13), 3), poses_3d, sizes


def train(
    lifter: Lifter, people: PerspectivePeople, args: argparse.Namespace, report: Callable[[int, float], None]
) -> None:
    """Trains with a one-cycle learning rate; `report` is told ten times."""
    generator = torch.Generator().manual_seed(args.seed)
    optimizer = torch.optim.AdamW(lifter.parameters(), args.rate, weight_decay=1e-4, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, args.rate, args.steps, pct_start=0.1)
    lifter.train()
    for step in tqdm(range(args.steps), unit="step", mininterval=5):
        seen = people.sample(args.batch, generator)
        with torch.autocast("cpu", torch.bfloat16):  # half the time
            out = lifter(seen.seen_2d, seen.trust, seen.image_sizes)
        loss = lifting_loss(out, seen)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if (step + 1) % max(args.steps // 10, 1) == 0:
            lifter.eval()
            report(step + 1, loss.item())
            lifter.train()
    lifter.eval()


def lifting_loss(out: LifterOutputs, seen: SeenPeople) -> Tensor:
    """Mean distance in 3D (dm) and 2D (extents), and the Laplace likelihood of what is left in 3D.

    The likelihood trains the uncertainty alone: a mean that it trained too would be given up where it is uncertain.
    """
    error = out.poses_3d - seen.poses_3d
    _, mean, extent = normalised(seen.seen_2d, seen.trust)
    error_2d = out.poses_2d - (seen.poses_2d - mean) / extent
    # Whoever is near the camera and cut off has joints far outside the image.
    loss_2d = F.smooth_l1_loss(error_2d, torch.zeros_like(error_2d), beta=0.1)
    log_std = out.log_std.clamp(-7, 2)
    likelihood = 2**0.5 * error.detach().abs() * (-log_std).exp() + log_std
    return 10 * error.norm(dim=-1).mean() + loss_2d + 0.1 * likelihood.mean()


@torch.no_grad()
def calibrate(lifter: Lifter, seen: SeenPeople) -> Tensor:
    """(3,) what standard deviations along x, y, z are multiplied by so that errors in their units have the size 1."""
    lifted = lifter.lift(seen.seen_2d, seen.trust, seen.image_sizes)
    factors = ((lifted.poses_3d - seen.poses_3d) / lifted.std).square().mean((0, 1)).sqrt()
    lifter.scale_std(factors)
    return factors


def check_errors(lifter: Lifter, keypoints: Tensor, poses_3d: Tensor, sizes: Tensor) -> str:
    """Errors of lifting exact 2D, as text."""
    lifted = lifter.lift(keypoints[..., :2], torch.ones(keypoints.shape[:2]), sizes).poses_3d
    axes = ", ".join(f"{value:.0f}" for value in 1000 * (lifted - poses_3d).abs().mean((0, 1)))
    sign = depth_metrics(lifted, poses_3d, BODY13)["depth_sign"]
    return f"MPJPE {mpjpe(lifted, poses_3d).mean():.1f} mm (x, y, z {axes}), {sign:.1f} % of limbs' depth signs right"


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
"""MoCap files to one pose base (.npz): the 3D side of pseudo ground truth and of anchor poses (Sec. 4.2).

    python datasets/prepare_mocap.py datasets/mocap/*.tar.xz datasets/mocap/bvh --fps 10 --min-distance 30mm \\
        --output datasets/mocap/poses.npz

ROOT is a folder, a zip or tar archive (read without unpacking), one .amc, .bvh or .c3d file, or a pose base (.npz)
made before, to thin it out further. Broken takes are listed and left out; the exit code is 1 only if no take could be
read. --exclude CMU_16 HDM05_tr keeps people out, to test on them. The poses of the built-in synthetic sets
(lcrnet_d2/data/synthetic/cmu_poses.npz) are those of CMU, made with --min-distance 30mm, thinned out:

    python datasets/prepare_mocap.py datasets/mocap/poses_cmu.npz --min-distance 130mm --compact \\
        --output lcrnet_d2/data/synthetic/cmu_poses.npz
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from lcrnet_d2.command_line import run_command
from lcrnet_d2.mocap import PoseBase, distinct_poses
from lcrnet_d2.structures.pose_geometry import UP_TO_CAMERA
from sources.mocap.asf_amc import DEFAULT_FPS
from sources.mocap.rigs import read_rig
from sources.mocap.take import BrokenTakeError, Take
from sources.mocap.takes import pose_base_of, read_takes


def metres(text: str) -> float:
    """0.03, 0.03m, 3cm and 30mm are the same length."""
    match = re.fullmatch(r"(\d*\.?\d+)\s*(mm|cm|m|)", text.strip())
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no length; write for example 30mm")
    return float(match[1]) * {"mm": 0.001, "cm": 0.01, "m": 1.0, "": 1.0}[match[2]]


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("roots", nargs="+", metavar="ROOT", help="folders, archives or files")
    parser.add_argument("--output", required=True, type=Path, help="the .npz to write")
    parser.add_argument("--fps", type=float, default=10.0, help="poses per second to keep (default 10)")
    parser.add_argument(
        "--min-distance",
        type=metres,
        default=0.03,
        help="drop a pose nearer than this (mean joint distance, heading removed) to one already kept (30mm); 0: none",
    )
    parser.add_argument("--amc-fps", type=float, default=DEFAULT_FPS, help="rate of .amc files, which do not say (120)")
    parser.add_argument(
        "--bvh-unit", type=metres, default=None, help="length of a .bvh's unit, such as 1cm (default: by leg length)"
    )
    parser.add_argument(
        "--up", choices=sorted(UP_TO_CAMERA), help="axis that points up (write --up=-z); default: as the files say"
    )
    parser.add_argument(
        "--rig", type=Path, metavar="JSON", help="the joints of .bvh or .amc files that no known table fits"
    )
    parser.add_argument("--exclude", nargs="+", default=[], metavar="SUBJECT", help="people to leave out")
    parser.add_argument(
        "--compact", action="store_true", help="half precision, and takes by their files' names without folders"
    )
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes (default: all cores)")
    args = parser.parse_args(arguments)
    if not args.fps > 0:
        parser.error("--fps is above 0")
    return args


def main(arguments: list[str] | None = None) -> int:
    args = parse_arguments(arguments)
    start = time.perf_counter()
    if len(args.roots) == 1 and args.roots[0].endswith(".npz"):
        base, broken = PoseBase.load(args.roots[0]), []
    else:
        takes, broken = _read_all(args)
        base = pose_base_of(takes)
    unknown = sorted(set(args.exclude) - set(base.subjects))
    if unknown:
        print(f"cannot leave out {unknown}; there are {sorted(set(base.subjects))}", file=sys.stderr)
        return 1
    base = base.select(~base.of_subjects(set(args.exclude))).without_idle_takes()
    if not len(base):
        print(f"no take could be read from {args.roots}", file=sys.stderr)
        return 1
    with tqdm(total=len(base), unit="pose", desc="distinct poses") as bar:
        kept = distinct_poses(base.poses_3d, args.min_distance, lambda done: bar.update(done - bar.n))
    args.output.parent.mkdir(parents=True, exist_ok=True)
    _save(base.select(kept), args.output, args.compact)
    print(
        f"{len(base.sources)} takes of {len(set(base.subjects))} subjects, {len(broken)} broken; {len(base)} poses at "
        f"{args.fps:g} per second, {len(kept)} at least {args.min_distance * 1000:g} mm apart; "
        f"{time.perf_counter() - start:.0f} s; {args.output}"
    )
    return 0


def _save(base: PoseBase, path: Path, compact: bool) -> None:
    if compact:
        base = base.without_idle_takes()
        names = tuple(re.split(r"[/\\:]", source)[-1] for source in base.sources)
        replace(base, sources=names).save(path, np.float16)
    else:
        base.save(path)


def _read_all(args: argparse.Namespace) -> tuple[list[Take], list[BrokenTakeError]]:
    takes, broken = [], []
    with tqdm(unit="take", desc="takes") as bar:
        rig = None if args.rig is None else read_rig(args.rig)
        options = {"amc_fps": args.amc_fps, "metres_per_unit": args.bvh_unit, "up": args.up, "rig": rig}
        for result in read_takes(args.roots, args.fps, max(args.workers, 1), **options):
            bar.update()
            if isinstance(result, Take):
                takes.append(result)
            else:
                broken.append(result)
                bar.write(f"left out: {result}", file=sys.stderr)
    return takes, broken


if __name__ == "__main__":
    run_command(main, OSError, ValueError, ImportError)

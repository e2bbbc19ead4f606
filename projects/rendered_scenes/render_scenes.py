#!/usr/bin/env python3
"""Photo-like pictures of people with exact 2D and 3D, for training: projects/rendered_scenes/README.md.

Needs requirements.txt, beside this file.

python projects/rendered_scenes/render_scenes.py datasets/rendered/train --split train --count 20000 \\
    --seed 0 --workers 2 --backgrounds datasets/backgrounds --panoramas datasets/hdri \\
    --mocap datasets/mocap/cmu_asfamc.tar.xz datasets/mocap/hdm05.tar.xz
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import torch
from scipy.spatial.transform import Rotation
from tqdm import tqdm

sys.path.append(str(Path(__file__).resolve().parents[2] / "datasets"))

from lcrnet_d2.mocap import distinct_poses, even_weights
from lcrnet_d2.structures import BODY13
from rendered_scenes.limb_turns import TurnTake, read_turns
from rendered_scenes.motions import Motions, split_of
from rendered_scenes.scene import SPLITS
from rendered_scenes.shards import SetPlan, render_set
from rendered_scenes.shots import SHOTS
from rendered_scenes.studio import StudioMaker
from sources.mocap.take import BrokenTakeError

_FPS = 10.0
_MIN_DISTANCE = 0.05  # metres, between poses of the pool


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, metavar="OUT", help="folder of the set; a stopped run goes on there")
    parser.add_argument(
        "--split",
        required=True,
        choices=SPLITS,
        help="whose motions: see rendered_scenes/motions.py",
    )
    parser.add_argument("--count", required=True, type=int, help="pictures")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=1, help="processes, of about 1 GB each (1)")
    parser.add_argument("--backgrounds", nargs="*", type=Path, default=[], help="folders of photos without people")
    parser.add_argument("--panoramas", nargs="*", type=Path, default=[], help="folders of panoramas")
    parser.add_argument("--mocap", nargs="+", type=Path, required=True, help="ASF/AMC takes: folders or archives")
    parser.add_argument("--clothes", type=Path, help="archive of MakeHuman clothes, shoes and hair (.mhclo + .obj)")
    parser.add_argument(
        "--shots", choices=tuple(SHOTS), default="whole", help="whole people, or people cut, close, seated ... (whole)"
    )
    args = parser.parse_args(arguments)
    if args.count < 1 or args.workers < 1:
        parser.error("--count and --workers are at least 1")
    return args


def motions_of(takes: list[TurnTake]) -> Motions:
    """The distinct poses of takes, rare kinds more often."""
    poses = np.concatenate([take.poses_3d for take in takes])
    poses -= poses[:, BODY13.torso].mean(1, keepdims=True)
    kept = distinct_poses(torch.from_numpy(poses).float(), _MIN_DISTANCE).numpy()
    turns = np.concatenate([take.turns for take in takes])[kept]
    quaternions = Rotation.from_matrix(turns.reshape(-1, 3, 3)).as_quat().reshape(*turns.shape[:2], 4)
    lift = np.concatenate([take.lift for take in takes])[kept]
    poses = poses[kept].astype(np.float32)
    weights = even_weights(torch.from_numpy(poses)).numpy()
    return Motions(quaternions.astype(np.float32), lift.astype(np.float32), poses, weights)


def prepare_motions(path: Path, split: str, roots: list[Path]) -> None:
    """Reads the takes of a split into `path`, unless it is there."""
    if path.is_file():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    takes = []
    for take in tqdm(read_turns(roots, _FPS), desc="motion capture", unit="take"):
        if isinstance(take, BrokenTakeError):
            print(f"left out: {take}", file=sys.stderr)
        elif split_of(take.subject, take.source) == split:
            takes.append(take)
    if not takes:
        raise SystemExit(f"no ASF/AMC take of the {split} split in {', '.join(map(str, roots))}")
    motions_of(takes).save(path)


def main(arguments: list[str] | None = None) -> int:
    args = parse_arguments(arguments)
    material = {key: [path.name for path in getattr(args, key)] for key in ("backgrounds", "panoramas", "mocap")}
    material["clothes"] = [args.clothes.name] if args.clothes else []
    motions = args.out / "motions.npz"
    prepare_motions(motions, args.split, args.mocap)
    maker = StudioMaker(motions, tuple(args.backgrounds), tuple(args.panoramas), args.clothes)
    rendered = render_set(
        args.out, SetPlan(args.split, args.count, args.seed, material, args.shots), maker, args.workers
    )
    print(f"{rendered} pictures rendered, {args.count} in {args.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

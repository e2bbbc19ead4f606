"""Clusters the 3D poses of a training set into anchor poses (Sec. 4.1, 4.2) and draws them.

examples:
  tools/build_anchor_poses.py --dataset lcrnet_synthetic_train --num-anchor-poses 40 --output output/anchors.npz
  tools/build_anchor_poses.py --pose-file mine.json --upper-body --num-anchor-poses 100 --output output/mine.npz
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch
from demo import check_writable
from detectron2.data import DatasetCatalog

import lcrnet_d2  # noqa: F401  registers the data sets
from lcrnet_d2.data.datasets.pose_json import load_pose_json
from lcrnet_d2.structures import SKELETONS, AnchorPoses, Skeleton
from lcrnet_d2.structures.anchor_clustering import cluster_poses, with_mirrored
from lcrnet_d2.visualization import draw_anchor_poses


def main(argv: list[str] | None = None) -> None:
    args = parse_arguments(argv)
    output = args.output.with_suffix(".npz")
    check_writable(output.parent)
    skeleton = SKELETONS[args.skeleton]
    if args.dataset:
        records = DatasetCatalog.get(args.dataset)
    else:
        records = load_pose_json(args.pose_file, args.pose_file.parent, skeleton)
    poses_2d, poses_3d = poses_of(records, skeleton)
    if not len(poses_3d):
        raise SystemExit(f"{args.dataset or args.pose_file} has no person with a 3D pose")
    if len(poses_3d) > args.max_poses:
        chosen = np.random.default_rng(args.seed).permutation(len(poses_3d))[: args.max_poses]
        poses_2d, poses_3d = poses_2d[chosen], poses_3d[chosen]
    poses_2d, poses_3d = with_mirrored(poses_2d, poses_3d, skeleton)
    print(f"clustering {len(poses_3d)} poses (half of them mirrored) into {args.num_anchor_poses} ...", flush=True)
    anchors = cluster_poses(poses_2d, poses_3d, skeleton, args.num_anchor_poses, args.upper_body, args.seed)
    anchors.save(output)
    draw_anchor_poses(anchors, output.with_suffix(".png"))
    print(f"{output}: {describe(anchors)}; picture in {output.with_suffix('.png')}")


def poses_of(records: list[dict[str, Any]], skeleton: Skeleton) -> tuple[torch.Tensor, torch.Tensor]:
    """(N, J, 2) px and (N, J, 3) m of everyone whose 3D pose is known."""
    people = [p for record in records for p in record["annotations"] if "pose_3d" in p]
    j = len(skeleton)
    keypoints = torch.tensor([p["keypoints"] for p in people], dtype=torch.float32).view(-1, j, 3)
    poses_3d = torch.from_numpy(np.array([p["pose_3d"] for p in people], dtype=np.float32)).view(-1, j, 3)
    return keypoints[..., :2], poses_3d


def describe(anchors: AnchorPoses) -> str:
    sizes, distances = anchors.cluster_sizes.double(), anchors.mean_distances.double()
    mean = 1000 * float((sizes * distances).sum() / sizes.sum())
    low, high = int(sizes.min()), int(sizes.max())
    return f"{len(anchors)} classes, clusters of {low} to {high} poses, mean distance to the anchor pose {mean:.0f} mm"


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--dataset", help="name of a registered training set")
    source.add_argument("--pose-file", type=Path, help="annotation file in the project's JSON form")
    parser.add_argument("--skeleton", default="BODY13", choices=sorted(SKELETONS))
    parser.add_argument("--num-anchor-poses", type=int, default=100, help="K (default 100)")
    parser.add_argument("--upper-body", action="store_true", help="add K classes for upper-body boxes (Sec. 4.2)")
    parser.add_argument("--max-poses", type=int, default=300_000, help="random subset (Sec. 4.1: 300,000)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, required=True, help=".npz to write; a .png beside it shows the poses")
    return parser.parse_args(argv)


if __name__ == "__main__":
    main()

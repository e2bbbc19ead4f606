#!/usr/bin/env python3
"""Clusters 3D poses, of a training set or of MoCap, into anchor poses (Sec. 4.1, 4.2) and draws them.

examples:
  tools/build_anchor_poses.py --dataset lcrnet_synthetic_train --num-anchor-poses 40 --output output/anchors.npz
  tools/build_anchor_poses.py --pose-file mine.json --upper-body --num-anchor-poses 100 --output output/mine.npz
  tools/build_anchor_poses.py --mocap datasets/mocap/poses.npz --upper-body --num-anchor-poses 100 \\
      --output datasets/mocap/anchors_K100.npz

--mocap clusters poses as virtual cameras see them (the paper's setting for MPII); the cameras are those of
datasets/add_pseudo_3d.py. Beside a set, both are clustered together. What was clustered and how far its poses are from
the nearest anchor pose is printed and stands in the file (`AnchorPoses.load(FILE).provenance`).
"""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import Any, NamedTuple

import torch
from detectron2.data import DatasetCatalog
from torch import Tensor

import lcrnet_d2  # noqa: F401  registers the data sets
from lcrnet_d2.command_line import run_command
from lcrnet_d2.data.anchor_clustering import MAX_POSES, cluster_poses, known_poses, with_mirrored
from lcrnet_d2.data.datasets.pose_json import load_pose_json
from lcrnet_d2.demo import check_writable
from lcrnet_d2.mocap import PoseBase, ViewRanges, random_views
from lcrnet_d2.structures import BODY13, SKELETONS, AnchorPoses, Skeleton
from lcrnet_d2.visualization import anchor_sheet, write_image


class Source(NamedTuple):
    """Poses to cluster.

    Attributes:
        poses_2d: (N, J, 2) in any unit, y down.
        poses_3d: (N, J, 3) metres, camera axes.
        left_out_3d: (M, J, 3) of people who are not clustered, to measure on.
        provenance: where they are from.
    """

    poses_2d: Tensor
    poses_3d: Tensor
    left_out_3d: Tensor
    provenance: dict[str, Any]


def main(argv: list[str] | None = None) -> None:
    args = parse_arguments(argv)
    output = args.output.with_suffix(".npz")
    picture = args.picture or output.with_suffix(".png")
    check_writable(output.parent)
    check_writable(picture.parent)
    skeleton = SKELETONS[args.skeleton]
    source = joined(set_sources(args, skeleton) + ([mocap_source(args, skeleton)] if args.mocap else []))
    poses_2d, poses_3d = with_mirrored(source.poses_2d, source.poses_3d, skeleton)
    print(f"clustering {len(poses_3d)} poses (half of them mirrored) into {args.num_anchor_poses} ...", flush=True)
    anchors = cluster_poses(poses_2d, poses_3d, skeleton, args.num_anchor_poses, args.upper_body, args.seed)
    provenance = source.provenance | {"num_poses": len(poses_3d), "mirrored": True, "seed": args.seed}
    provenance["mean_distance_to_nearest_mm"] = mean_distance_mm(anchors, poses_3d)
    if len(source.left_out_3d):
        provenance["left_out_mean_distance_to_nearest_mm"] = mean_distance_mm(anchors, source.left_out_3d)
    anchors = dataclasses.replace(anchors, provenance=provenance)
    anchors.save(output)
    write_image(picture, anchor_sheet(anchors))
    print(f"{output}: {describe(anchors)}; picture in {picture}")


def joined(sources: list[Source]) -> Source:
    """Poses of sets and MoCap's views, clustered together."""
    if len(sources) == 1:
        return sources[0]
    provenance = {"sources": [source.provenance for source in sources]}
    poses_2d, poses_3d, left_out_3d = (
        torch.cat(parts) for parts in zip(*(source[:3] for source in sources), strict=True)
    )
    return Source(poses_2d, poses_3d, left_out_3d, provenance)


def set_sources(args: argparse.Namespace, skeleton: Skeleton) -> list[Source]:
    """Everyone of each set whose 3D pose is known, at most --max-poses of a set at random."""
    sets = {str(file): load_pose_json(file, file.parent, skeleton) for file in args.pose_file}
    if args.dataset:
        sets[args.dataset] = DatasetCatalog.get(args.dataset)
    sources = []
    for name, records in sets.items():
        poses_2d, poses_3d = known_poses(records, skeleton, args.seed, args.max_poses)
        if not len(poses_3d):
            raise SystemExit(f"{name} has no person with a 3D pose")
        sources.append(Source(poses_2d, poses_3d, poses_3d[:0], {"source": Path(name).name}))
    return sources


def mocap_source(args: argparse.Namespace, skeleton: Skeleton) -> Source:
    """--views random views of the poses of a MoCap base, each pose as often as any other."""
    if skeleton is not BODY13:
        raise SystemExit(f"MoCap poses have the joints of BODY13, not those of {skeleton.name}")
    base = PoseBase.load(args.mocap)
    is_left_out = base.of_subjects(known_subjects(base, args.exclude))
    ranges = ViewRanges(elevation=tuple(args.elevation), roll=tuple(args.roll))
    generator = torch.Generator().manual_seed(args.seed)
    every = slice(None)
    views = random_views(base.poses_3d[~is_left_out], args.views, generator, ranges)
    left_out = base.poses_3d[:0]
    if is_left_out.any():
        left_out = random_views(base.poses_3d[is_left_out], int(is_left_out.sum()), generator, ranges).oriented(every)
    provenance = {"source": args.mocap.name, "subjects": sorted(set(base.subjects) - set(args.exclude))}
    provenance |= {"num_views": args.views, "excluded": sorted(args.exclude)}
    provenance |= {f"{name}_degrees": list(getattr(ranges, name)) for name in ("azimuth", "elevation", "roll")}
    return Source(views.poses_2d(every), views.oriented(every), left_out, provenance)


def known_subjects(base: PoseBase, names: list[str]) -> set[str]:
    unknown = sorted(set(names) - set(base.subjects))
    if unknown:
        raise SystemExit(f"nobody is called {unknown}; the base has {sorted(set(base.subjects))}")
    return set(names)


def mean_distance_mm(anchors: AnchorPoses, poses_3d: Tensor) -> float:
    """Mean D to the nearest anchor pose: the error left if classification were perfect and regression did nothing."""
    return round(1000 * float(anchors.distance_to_nearest(poses_3d).double().mean()), 2)


def describe(anchors: AnchorPoses) -> str:
    low, high = int(anchors.cluster_sizes.min()), int(anchors.cluster_sizes.max())
    known = anchors.provenance
    text = f"{len(anchors)} classes, clusters of {low} to {high} poses, mean distance to the nearest anchor pose "
    text += f"{known['mean_distance_to_nearest_mm']:.0f} mm"
    if "left_out_mean_distance_to_nearest_mm" in known:
        text += f", of the people left out {known['left_out_mean_distance_to_nearest_mm']:.0f} mm"
    return text


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--dataset", help="name of a registered training set")
    source.add_argument("--pose-file", type=Path, nargs="+", default=[], help="annotation files in the project's form")
    parser.add_argument("--mocap", type=Path, help="pose base of datasets/prepare_mocap.py; alone or beside a set")
    parser.add_argument("--skeleton", default="BODY13", choices=sorted(SKELETONS))
    parser.add_argument("--num-anchor-poses", type=int, default=100, help="K (default 100)")
    parser.add_argument("--upper-body", action="store_true", help="add K classes for upper-body boxes (Sec. 4.2)")
    parser.add_argument("--max-poses", type=int, default=MAX_POSES, help="random part of each set (Sec. 4.1: 300,000)")
    mocap = parser.add_argument_group("with --mocap")
    mocap.add_argument(
        "--views", type=lambda text: int(float(text)), default=20_000, help="virtual views to cluster (2e4)"
    )
    mocap.add_argument("--elevation", type=float, nargs=2, default=ViewRanges().elevation, help="degrees, above: > 0")
    mocap.add_argument("--roll", type=float, nargs=2, default=ViewRanges().roll, help="degrees")
    mocap.add_argument(
        "--exclude", nargs="+", default=[], metavar="SUBJECT", help="people to leave out, such as CMU_16; measured on"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, required=True, help=".npz to write")
    parser.add_argument("--picture", type=Path, help="drawing of the anchor poses (default: a .png beside the output)")
    args = parser.parse_args(argv)
    if not (args.dataset or args.pose_file or args.mocap):
        parser.error("whose poses? give --dataset or --pose-file, --mocap, or one of the former and --mocap")
    return args


if __name__ == "__main__":
    run_command(main)

#!/usr/bin/env python3
"""Evaluates saved predictions, without the network, by a benchmark's protocol.

examples:
  on a pose file       tools/evaluate_predictions.py --protocol human36m_p1 --pose-file h36m_p1.json \\
                           --predictions output/inference/h36m_p1/pose_predictions.json --output output/p1
  on a config's set    ... --protocol mpii_single --config-file my.yaml --data-set mpii_val --anchors anchors.npz
  poses.json           ... --protocol pck_3d --pose-file people.json --predictions output/demo/poses.json
  MuPoTS-3D            ... --protocol mupots --mupots MultiPersonTestSet --predictions poses.json
  EHF                  ... --protocol ehf --ehf EHF --ehf-joints table.json --ehf-camera camera.json ...
  Figure 5 or 6        ... --output output/p1 --figures

Predictions are what evaluators save (pose_predictions.json: NMS and PPI) or the demo's poses.json (PPI).
Writes report.md and metrics.json into --output and prints the report. --figures adds figure_5.png (3D protocols;
needs NMS and PPI) or figure_6.png (mpii_single; with --anchors against rarity too); they are drawn by
projects/reproduction, which a checkout has.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from detectron2.data import DatasetCatalog

from lcrnet_d2.command_line import run_command
from lcrnet_d2.config import load_config
from lcrnet_d2.data.datasets.builtin import register_pose_files
from lcrnet_d2.data.datasets.pose_json import load_pose_json
from lcrnet_d2.evaluation.ehf import read_ehf
from lcrnet_d2.evaluation.mupots import read_mupots, report_mupots
from lcrnet_d2.evaluation.people import MIN_JOINTS_SEEN
from lcrnet_d2.evaluation.predictions import read_saved_predictions
from lcrnet_d2.evaluation.protocols import PROTOCOL_NAMES, build_protocol
from lcrnet_d2.evaluation.report import Report, in_order_of
from lcrnet_d2.projects import add_import_argument, import_project, import_projects
from lcrnet_d2.structures import SKELETONS, AnchorPoses, Skeleton
from lcrnet_d2.structures.whole_files import write_json, write_text
from lcrnet_d2.training.protocol_choice import MUPOTS, place_in_camera


def main(argv: list[str] | None = None) -> None:
    args = parse_arguments(argv)
    try:
        report, draw_figure = evaluate(args)
        print(report.markdown)
        if args.output is not None:
            args.output.mkdir(parents=True, exist_ok=True)
            write_text(args.output / "report.md", report.markdown)
            write_json(args.output / "metrics.json", _without_nan(report.metrics), indent=1)
        draw_figure()  # last: what it lacks the report may have
    except (ValueError, OSError) as error:
        raise SystemExit(str(error)) from error


def evaluate(args: argparse.Namespace) -> tuple[Report, Callable[[], Any]]:
    """The protocol's report, and what draws its figure into --output where --figures asks for it."""
    import_projects(args.imports)
    skeleton = SKELETONS[args.skeleton]
    if args.figures and args.output is None:
        raise ValueError("--figures needs --output, the folder to draw into")
    own_figures = import_project("reproduction.own_figures") if args.figures else None
    if own_figures is not None and not own_figures.has_figure(args.protocol):
        raise ValueError(
            f"no figure goes with the protocol {args.protocol}; Figure 5 is of 3D, Figure 6 of mpii_single"
        )
    if args.protocol == MUPOTS:
        return evaluate_mupots(args, skeleton), lambda: None
    records = read_records(args, skeleton)
    saved = read_saved_predictions(args.predictions, skeleton, records)
    predictions = in_order_of(records, saved, len(skeleton))
    anchors = None if args.anchors is None else AnchorPoses.load(args.anchors)
    options = {"anchors": anchors, "score_threshold": args.score_threshold, "min_joints_seen": args.min_joints_seen}
    report = build_protocol(args.protocol, skeleton, place=place_in_camera, **options)(records, predictions)
    if own_figures is None:
        return report, lambda: None
    draw = own_figures.draw_own_figure
    return report, partial(draw, args.protocol, records, predictions, skeleton, args.output, **options)


def evaluate_mupots(args: argparse.Namespace, skeleton: Skeleton) -> Report:
    if args.mupots is None:
        raise ValueError("--protocol mupots needs --mupots, the folder with TS1/annot.mat ... or MuPoTS-3D.json")
    frames = read_mupots(args.mupots)
    records = [{"file_name": f.file_name, "width": 0, "height": 0} for f in frames]
    saved = read_saved_predictions(args.predictions, skeleton, records)
    return report_mupots(frames, in_order_of(records, saved, len(skeleton)), skeleton, args.score_threshold)


def read_records(args: argparse.Namespace, skeleton: Skeleton) -> list[dict[str, Any]]:
    """The ground truth: a pose file, EHF's folder, or a data set registered by a config."""
    if args.ehf is not None:
        if args.ehf_joints is None or args.ehf_camera is None:
            raise ValueError("--ehf needs --ehf-joints and --ehf-camera, files of yours (docs/evaluation.md)")
        return read_ehf(args.ehf, args.ehf_joints, args.ehf_camera, skeleton)
    if args.pose_file is not None:
        return load_pose_json(args.pose_file, args.image_root or args.pose_file.parent, skeleton)
    if args.config_file is not None:
        register_pose_files(load_config(args.config_file))
    if args.data_set is None:
        raise ValueError(
            "say what the ground truth is: --pose-file, --data-set (with --config-file), --ehf or --mupots"
        )
    if args.data_set not in DatasetCatalog.list():
        raise ValueError(f"data set {args.data_set!r} is not registered; known: {DatasetCatalog.list()}")
    return DatasetCatalog.get(args.data_set)


def _without_nan(metrics: Mapping[str, Mapping[str, float]]) -> dict[str, dict[str, float | None]]:
    """JSON has no NaN."""
    return {task: {k: None if math.isnan(v) else v for k, v in row.items()} for task, row in metrics.items()}


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    known = "\n".join(f"  {name:<13} {what}" for name, what in [*PROTOCOL_NAMES.items(), (MUPOTS, "MuPoTS-3D")])
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=f"protocols:\n{known}", formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--protocol", required=True, choices=[*PROTOCOL_NAMES, MUPOTS], metavar="NAME")
    parser.add_argument("--predictions", type=Path, required=True, help="pose_predictions.json or poses.json")
    parser.add_argument("--pose-file", type=Path, help="ground truth: a JSON file of poses")
    parser.add_argument("--image-root", type=Path, help="folder its file names are relative to (default: its own)")
    parser.add_argument("--data-set", help="ground truth: the name of a registered data set")
    parser.add_argument("--config-file", help="registers its DATASETS.POSE_FILES")
    parser.add_argument("--mupots", type=Path, help="ground truth: MuPoTS-3D's folder or MuPoTS-3D.json")
    parser.add_argument("--ehf", type=Path, help="ground truth: EHF's folder of NN_align.ply")
    parser.add_argument(
        "--ehf-joints", type=Path, help="what joints are made of: a table (.json) or a regressor (.npz)"
    )
    parser.add_argument("--ehf-camera", type=Path, help="JSON of EHF's camera")
    parser.add_argument("--skeleton", default="BODY13", choices=sorted(SKELETONS))
    parser.add_argument("--score-threshold", type=float, default=0.0, help="detections under it are none")
    parser.add_argument(
        "--min-joints-seen",
        type=int,
        default=MIN_JOINTS_SEEN,
        help="people of whom fewer joints are seen are ignored (3D sets); 0 if the data do not say which are seen",
    )
    parser.add_argument("--anchors", type=Path, help="the model's anchor poses, for PCKh against rarity")
    parser.add_argument("--figures", action="store_true", help="draw figure_5.png (3D) or figure_6.png (mpii_single)")
    parser.add_argument("--output", type=Path, help="folder for report.md, metrics.json and figures")
    add_import_argument(parser)
    return parser.parse_args(argv)


if __name__ == "__main__":
    run_command(main)

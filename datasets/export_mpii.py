#!/usr/bin/env python3
"""Predictions on MPII's test pictures as the files that the benchmark's server takes.

examples:
  single people        datasets/export_mpii.py mpii_human_pose_v1_u12_1.mat --output output/submission \\
                           --predictions output/mpii_test/poses.json
  and groups           ... --groups groups_v12.mat

Predictions are the demo's poses.json (PPI) or an evaluator's pose_predictions.json (NMS and PPI) of the test pictures.
Writes pred_keypoints_mpii.mat, and with --groups pred_keypoints_mpii_multi.mat, into --output.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lcrnet_d2.evaluation.people import ImagePredictions, PredictedPeople
from lcrnet_d2.evaluation.predictions import read_saved_predictions
from lcrnet_d2.evaluation.report import METHODS, detected_people, in_order_of
from lcrnet_d2.structures import SKELETONS, Skeleton
from sources.mpii import Scene
from sources.mpii_export import export_multi_person, export_single_person
from sources.mpii_files import read_release_mat
from sources.mpii_submission import group_predictions, single_person_predictions

_OF_A_PERSON = ("objpos", "scale", "single_person", "group")


def main(argv: list[str] | None = None) -> None:
    args = parse_arguments(argv)
    try:
        export(args)
    except (ValueError, OSError) as error:
        raise SystemExit(str(error)) from error


def export(args: argparse.Namespace) -> None:
    """Writes the files and prints what is in them."""
    skeleton = SKELETONS[args.skeleton]
    records = records_of(read_release_mat(args.annotations, args.groups, is_train=False))
    saved = read_saved_predictions(args.predictions, skeleton, records)
    print(f"predictions of {len(saved)} of {len(records)} test pictures")
    detected = detections(in_order_of(records, saved, len(skeleton)), args.method, args.score_threshold)
    args.output.mkdir(parents=True, exist_ok=True)
    export_single(args.output / "pred_keypoints_mpii.mat", records, detected, skeleton)
    if args.groups is not None:
        export_groups(args.output / "pred_keypoints_mpii_multi.mat", records, detected, skeleton)


def records_of(scenes: Sequence[Scene]) -> list[dict[str, Any]]:
    """Dataset dicts of the pictures, with everyone of annorect and what is known of them; of no size."""
    return [
        {
            "file_name": scene.image,
            "image_id": Path(scene.image).stem,
            "width": 0,
            "height": 0,
            "annotations": [
                {key: value for key in _OF_A_PERSON if (value := getattr(person, key)) is not None}
                for person in scene.people
            ],
        }
        for scene in scenes
    ]


def detections(predictions: Sequence[ImagePredictions], method: str, score_threshold: float) -> list[PredictedPeople]:
    """One method's people of each picture.

    Raises:
        ValueError: the predictions are not of this method.
    """
    detected = [detected_people(image, method, score_threshold) for image in predictions]
    if not any(len(people) for people in detected):
        raise ValueError(f"the predictions hold nobody of {method.upper()} with a score of {score_threshold:g} or more")
    return detected


def export_single(
    path: Path, records: Sequence[dict[str, Any]], detected: Sequence[PredictedPeople], skeleton: Skeleton
) -> None:
    images = single_person_predictions(records, detected, skeleton)
    export_single_person(path, images)
    people = [pose for poses in images for pose in poses if pose is not None]
    found = sum(bool(np.isfinite(pose).all()) for pose in people)
    print(f"{path}: {found} of {len(people)} single people found; the others count as wrong")


def export_groups(
    path: Path, records: Sequence[dict[str, Any]], detected: Sequence[PredictedPeople], skeleton: Skeleton
) -> None:
    groups = group_predictions(records, detected, skeleton)
    export_multi_person(path, groups)
    print(f"{path}: {sum(len(scores) for _, scores in groups)} detections in {len(groups)} groups")


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("annotations", type=Path, help="mpii_human_pose_v1_u12_1.mat")
    parser.add_argument(
        "--groups", type=Path, help="groups_v12.mat of MPII's toolkit: writes the multi-person file too"
    )
    parser.add_argument("--predictions", type=Path, required=True, help="poses.json or pose_predictions.json")
    parser.add_argument("--output", type=Path, required=True, help="folder for the .mat files")
    parser.add_argument("--method", default="ppi", choices=METHODS)
    parser.add_argument("--score-threshold", type=float, default=0.0, help="detections under it are none")
    parser.add_argument("--skeleton", default="BODY13", choices=sorted(SKELETONS))
    return parser.parse_args(argv)


if __name__ == "__main__":
    main()

"""COCO's keypoint AP as Markdown, of any data set with 2D poses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..structures import COCO17, Skeleton
from .coco_keypoints import keypoint_precisions
from .people import ImagePredictions
from .report import METHOD_LABELS, Report, detected_people, markdown_table, methods_in

__all__ = ["report_coco"]


def report_coco(
    records: Sequence[Mapping[str, Any]],
    predictions: Sequence[ImagePredictions],
    skeleton: Skeleton,
    score_threshold: float = 0.0,
) -> Report:
    """OKS AP through pycocotools over the joints that a skeleton shares with COCO.

    Args:
        records: dataset dicts in the form of `people.truth_from_dict`.
        predictions: for the same images, in the same order.
        skeleton: names the joints.
        score_threshold: detections under it are none; 0 gives the best AP.
    """
    methods = methods_in(predictions)
    detected = {m: [(p, detected_people(p, m, score_threshold)) for p in predictions] for m in methods}
    metrics = keypoint_precisions(records, detected, skeleton)
    names = list(next(iter(metrics.values())))
    rows = [[METHOD_LABELS[m], *(f"{metrics[f'keypoints_{m}'][name]:.1f}" for name in names)] for m in methods]
    return Report(
        metrics, "\n".join(["# COCO keypoints\n", _protocol(records, skeleton), markdown_table(["", *names], rows)])
    )


def _protocol(records: Sequence[Mapping[str, Any]], skeleton: Skeleton) -> str:
    shared = [joint for joint in skeleton.joints if joint in COCO17.joints]
    without_area = [a.get("area") is None for record in records for a in record.get("annotations", [])]
    text = (
        f"{len(records)} images, {len(without_area)} annotations; percent. pycocotools, OKS 0.50 to 0.95, at most 20 "
        f"detections per image, COCO's sigmas; {len(shared)} joints: {', '.join(shared)}."
    )
    if any(without_area):
        share = 100 * float(np.mean(without_area))
        text += f" {share:.0f} % of the people come without an area: 0.52 of the box stands for it."
    return text + "\n"

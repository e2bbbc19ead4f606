"""From kept regions to people, and how wrong they are: what trained heads are compared by.

Shapes: N people to be found in a set.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from detectron2.structures import Boxes, Instances

from lcrnet_d2.evaluation import ImagePredictions, ImageTruth, choose_score_threshold, predictions_from_instances
from lcrnet_d2.evaluation.report import detected_people, methods_in
from lcrnet_d2.modeling.meta_arch import rescale
from lcrnet_d2.modeling.ppi import Rules
from lcrnet_d2.structures import AnchorPoses, Skeleton

from .people_errors import PeopleErrors, people_errors
from .regions import RegionSet

__all__ = ["Judged", "KnownSet", "choose_t_3d", "judge", "paired_difference", "predictions_of"]

T_3D = (0.1, 0.2, 0.3, 0.5)


@dataclass(frozen=True)
class KnownSet:
    """Images with their kept regions: dataset dicts, ground truth and regions, in one order."""

    records: list[dict[str, Any]]
    truths: list[ImageTruth]
    regions: RegionSet


@dataclass(frozen=True)
class Judged:
    """What a head does on a set with thresholds chosen on val; by "nms" and "ppi"."""

    t_3d: float
    thresholds: dict[str, float]
    errors: dict[str, PeopleErrors]


@torch.no_grad()
def predictions_of(heads: Any, known: KnownSet, rules: Sequence[Rules]) -> list[list[ImagePredictions]]:
    """The people that NMS and PPI make of each image by each of the rules, px of the images.

    Pose proposals are kept for some images at a time: of K = 500 there are thousands an image.
    """
    regions, predictor = known.regions, heads.box_predictor
    predictions: list[list[ImagePredictions]] = [[] for _ in rules]
    first, number = 0, 0
    for counts in regions.counts.split(max(1, min(50, 5000 // predictor.num_classes))):
        rows, which = slice(first, first + int(counts.sum())), slice(number, number + len(counts))
        boxes = list(regions.boxes[rows].split(counts.tolist()))
        images = [
            Instances(tuple(size), proposal_boxes=Boxes(of_image))
            for size, of_image in zip(regions.sizes[which].tolist(), boxes, strict=True)
        ]
        decoded = predictor.inference(predictor(heads.box_head(regions.features[rows].float()[..., None, None])), boxes)
        for found, heads.rules in zip(predictions, rules, strict=True):
            people = rescale(heads.integrate(decoded, images), known.records[which])
            pairs = zip(known.records[which], people, strict=True)
            found += [predictions_from_instances(record, of_image["instances"]) for record, of_image in pairs]
        first, number = rows.stop, which.stop
    return predictions


def thresholds_of(val: KnownSet, predictions: Sequence[ImagePredictions], most_fp: float) -> dict[str, float]:
    """The score of each method that finds most people of val with at most so many false positives an image."""
    return {
        method: choose_score_threshold(val.truths, [detected_people(p, method) for p in predictions], most_fp).score
        for method in methods_in(predictions)
    }


def judge(
    known: KnownSet,
    predictions: Sequence[ImagePredictions],
    thresholds: Mapping[str, float],
    skeleton: Skeleton,
    anchors: AnchorPoses | None = None,
) -> dict[str, PeopleErrors]:
    """Errors of each method that has a threshold, of detections of at least that score."""
    return {
        method: people_errors(known.truths, [detected_people(p, method, score) for p in predictions], skeleton, anchors)
        for method, score in thresholds.items()
    }


def choose_t_3d(
    heads: Any, val: KnownSet, rules: Rules, skeleton: Skeleton, most_fp: float
) -> tuple[float, dict[str, float]]:
    """T_3D of the least error of PPI on val, over people that it finds with each; the score thresholds with it."""
    by_t_3d = predictions_of(heads, val, [replace(rules, t_3d=t_3d) for t_3d in T_3D])
    thresholds, errors = {}, {}
    for t_3d, predictions in zip(T_3D, by_t_3d, strict=True):
        thresholds[t_3d] = thresholds_of(val, predictions, most_fp)
        errors[t_3d] = judge(val, predictions, {"ppi": thresholds[t_3d]["ppi"]}, skeleton)["ppi"]
    common = np.logical_and.reduce([e.found for e in errors.values()])
    mean = {t: float(e.mpjpe_mm[common].mean()) if common.any() else 0.0 for t, e in errors.items()}
    best = min(mean, key=lambda t: mean[t])
    return best, thresholds[best]


def paired_difference(
    a: np.ndarray, b: np.ndarray, images: np.ndarray, resamples: int = 2000
) -> tuple[float, float, float]:
    """Mean of a - b over people (N,), and its 95 % bootstrap interval, images drawn: people of one are alike.

    Args:
        images: (N,) which image each person is in.
    """
    if not len(a):
        return (float("nan"),) * 3
    _, place = np.unique(images, return_inverse=True)
    sums, counts = np.bincount(place, a - b), np.bincount(place).astype(float)
    drawn = np.random.default_rng(0).integers(len(sums), size=(resamples, len(sums)))
    means = sums[drawn].sum(1) / counts[drawn].sum(1)
    low, high = np.percentile(means, [2.5, 97.5])
    return float((a - b).mean()), float(low), float(high)

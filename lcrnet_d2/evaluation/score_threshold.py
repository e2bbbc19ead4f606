"""The score from which a detection counts, chosen on validation data and then applied to test data."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from .matching import assign, is_excused, pair_errors
from .people import ImageTruth, PredictedPeople

__all__ = ["ScoreThreshold", "choose_score_threshold"]


class ScoreThreshold(NamedTuple):
    """A threshold and what it gave on the data it was chosen on.

    Attributes:
        score: detections with this score or more count; infinite where none may.
        recall: found / counted people, in [0, 1]; NaN without people.
        fp_per_image: false positives per image.
    """

    score: float
    recall: float
    fp_per_image: float


def choose_score_threshold(
    truths: Sequence[ImageTruth], detected: Sequence[PredictedPeople], max_fp_per_image: float = 0.2
) -> ScoreThreshold:
    """The threshold of highest recall among those with at most `max_fp_per_image`; of equal ones the highest.

    Every score there is, is tried, with a matching of its own: a detection that comes in late may be the
    better match of a person found before.

    Args:
        truths: annotations, one entry per image.
        detected: the detections of one method (NMS or PPI) in the same images, in the same order.
        max_fp_per_image: detections that match nobody and are not excused, per image.

    Raises:
        ValueError: the two lists differ in length.
    """
    if len(truths) != len(detected):
        raise ValueError(f"{len(truths)} annotated images, but detections for {len(detected)}")
    changes = [_changes(truth, people) for truth, people in zip(truths, detected, strict=True)]
    scores, gained, wrong = (np.concatenate(parts) for parts in zip((np.zeros(0),) * 3, *changes, strict=True))
    order = np.argsort(-scores, kind="stable")
    last = np.append(np.diff(scores[order]) != 0, True)[: len(order)]  # equal scores come in together
    n_people = sum(int(truth.is_counted.sum()) for truth in truths)
    candidates = np.append(math.inf, scores[order][last])
    found = np.append(0, np.cumsum(gained[order])[last])
    fp_per_image = np.append(0, np.cumsum(wrong[order])[last]) / max(len(truths), 1)
    best = int(np.where(fp_per_image <= max_fp_per_image, found, -1).argmax())
    recall = found[best] / n_people if n_people else math.nan
    return ScoreThreshold(float(candidates[best]), float(recall), float(fp_per_image[best]))


def _changes(truth: ImageTruth, people: PredictedPeople) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Score, change in people found and change in false positives as an image's detections come in, best first."""
    order = np.argsort(-people.scores, kind="stable")
    errors = pair_errors(truth, people.poses_2d)[:, order]
    excused = is_excused(truth, people.poses_2d)[order]
    found, wrong = np.zeros(len(order) + 1), np.zeros(len(order) + 1)
    for k in range(1, len(order) + 1):
        _, assigned = assign(errors[:, :k])
        found[k] = len(assigned)
        wrong[k] = np.count_nonzero(~np.delete(excused[:k], assigned))
    return people.scores[order].astype(np.float64), np.diff(found), np.diff(wrong)

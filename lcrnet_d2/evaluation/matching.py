"""Who was found: one-to-one assignment of detections to annotated people, by 2D error.

Shapes: M people annotated, N detected, J joints. 2D in pixels.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from detectron2.structures import Boxes, pairwise_ioa, pairwise_iou

from .metrics import mean_2d_error
from .people import ImageTruth

__all__ = ["FOUND_BELOW", "ImageMatch", "assign", "is_excused", "match_people", "pair_errors"]

#: A pair counts as found where its mean 2D error is under this share of sqrt(box area).
FOUND_BELOW = 0.3
# A detection is "on" a person where their boxes have this IoU, "in" a crowd where this share of it lies inside.
_ON_A_PERSON = 0.3
_IN_A_CROWD = 0.5


class ImageMatch(NamedTuple):
    """F people found in an image, and what is left.

    Attributes:
        people: (F,) rows of the annotations, ascending.
        detections: (F,) the detection of each.
        is_false_positive: (N,) bool: assigned to nobody and not excused.
    """

    people: np.ndarray
    detections: np.ndarray
    is_false_positive: np.ndarray


def match_people(truth: ImageTruth, poses_2d: np.ndarray) -> ImageMatch:
    """Assigns detections (N, J, 2) px to the people counted in an image."""
    people, detections = assign(pair_errors(truth, poses_2d))
    is_false_positive = ~is_excused(truth, poses_2d)
    is_false_positive[detections] = False
    return ImageMatch(people, detections, is_false_positive)


def pair_errors(truth: ImageTruth, poses_2d: np.ndarray) -> np.ndarray:
    """(M, N) mean 2D error over a person's annotated joints / sqrt(box area); infinite for people not counted."""
    m, n = len(truth.boxes), len(poses_2d)
    errors = np.full((m, n), np.inf)
    counted = np.flatnonzero(truth.is_counted)
    if counted.size and n:
        rows, columns = np.repeat(counted, n), np.tile(np.arange(n), counted.size)
        pairs = mean_2d_error(
            poses_2d[columns].astype(np.float64),
            truth.poses_2d[rows],
            truth.boxes[rows],
            truth.annotated_2d[rows],
        )
        errors[counted] = np.where(np.isfinite(pairs), pairs, np.inf).reshape(counted.size, n)
    return errors


def assign(errors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(F,) people and (F,) detections of the pairs found: least total error, where not being found costs 0.3.

    Errors over the limit are all alike: with A at 0.1 and 0.29 from two detections and B at 0.35 and 5,
    the least plain sum would give A the worse detection for the sake of B, who is not found either way.

    Args:
        errors: (M, N), see `pair_errors`.
    """
    from scipy.optimize import linear_sum_assignment  # scipy takes longer to import than all of this package

    people, detections = linear_sum_assignment(np.minimum(errors, FOUND_BELOW))
    found = errors[people, detections] < FOUND_BELOW
    return people[found], detections[found]


def is_excused(truth: ImageTruth, poses_2d: np.ndarray) -> np.ndarray:
    """(N,) bool: detections that are no false positives though nobody counted is theirs.

    Those on a person who is ignored (IoU >= 0.3 of the annotated box and the box around the detection's
    joints, clipped to the image), in a crowd (half of that box or more), and, where an image is only
    partly annotated, on nobody annotated.

    Args:
        truth: the image's annotations.
        poses_2d: (N, J, 2) px.
    """
    corners = np.concatenate([poses_2d.min(1), poses_2d.max(1)], -1) if len(poses_2d) else np.zeros((0, 4))
    detected = Boxes(torch.from_numpy(corners))
    detected.clip((truth.height, truth.width))
    iou = pairwise_iou(detected, _boxes(truth.boxes)).numpy()
    inside = pairwise_ioa(_boxes(truth.boxes[truth.is_crowd]), detected).numpy().T
    on_person = iou >= _ON_A_PERSON
    ignored = ~truth.is_counted & ~truth.is_crowd
    excused = np.logical_or(on_person[:, ignored].any(1), (inside >= _IN_A_CROWD).any(1))
    if truth.partly_annotated:
        excused |= ~on_person[:, truth.is_counted].any(1)
    return excused


def _boxes(boxes: np.ndarray) -> Boxes:
    return Boxes(torch.from_numpy(boxes))

"""How well people in photos are found and their joints placed, in 2D, person by person.

Shapes: M people counted over all images, J joints. 2D in px.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ..structures import Skeleton
from .matching import find_people
from .metrics import mean_2d_error, pck_2d
from .people import ImageTruth, PredictedPeople, truth_from_dict
from .report import (
    METHOD_LABELS,
    Predictions,
    Records,
    Report,
    markdown_table,
    mean_or_nan,
    mean_with_interval,
    people_of_methods,
)

__all__ = ["PersonScores", "count_people", "person_scores", "report_photos"]

# People counted have at least this many annotated joints and an annotated box at least this high, px. The others are
# ignored: neither missed nor false alarms.
_MIN_JOINTS, _MIN_HEIGHT = 8, 96.0
_PCK_THRESHOLD = 0.1  # of sqrt(box area)
# A person is confused if exchanging all left and right joints lowers the mean error by more than this.
_CONFUSED_BY = 0.02


class PersonScores(NamedTuple):
    """What one method does with each of M people counted.

    Attributes:
        is_found: (M,) bool.
        pck: (M,) share of the annotated limb joints within 0.1 sqrt(box area); 0 for people not found.
        error: (M,) mean distance of the annotated limb joints / sqrt(box area); NaN for people not found.
        is_confused: (M,) bool: found, and nearer by more than 0.02 with all left and right joints exchanged.
        lacks_legs: (M,) bool: no knee or ankle is annotated.
        num_unmatched: detections that match nobody, over all images.
    """

    is_found: np.ndarray
    pck: np.ndarray
    error: np.ndarray
    is_confused: np.ndarray
    lacks_legs: np.ndarray
    num_unmatched: int


def report_photos(
    records: Records, predictions: Predictions, skeleton: Skeleton, score_threshold: float = 0.0
) -> Report:
    """People found, joints placed (PCK@0.1), false alarms, people without annotated legs, left taken for right.

    Arguments as in `report`.
    """
    truths = [count_people(truth_from_dict(record, len(skeleton)), skeleton) for record in records]
    metrics: dict[str, dict[str, float]] = {}
    rows: list[list[str]] = []
    for method, people in people_of_methods(predictions, score_threshold):
        scores = person_scores(truths, people, skeleton)
        found, pck, unmatched = scores.is_found, 100 * scores.pck, scores.num_unmatched / max(len(truths), 1)
        percent = {
            "found": 100.0 * found,
            "pck_found": pck[found],
            "pck_all": pck,
            "pck_all_without_legs": pck[scores.lacks_legs],
        }
        error, confused = scores.error[found], 100.0 * scores.is_confused[found]
        metrics[f"photos_{method}"] = {
            "n_people": float(len(found)),
            "n_without_legs": float(scores.lacks_legs.sum()),
            **{name: mean_or_nan(values) for name, values in percent.items()},
            "unmatched_per_image": unmatched,
            "error_found": mean_or_nan(error),
            "left_right_confused": mean_or_nan(confused),
        }
        cells = {name: mean_with_interval(values) for name, values in percent.items()}
        rows.append(
            [
                *(METHOD_LABELS[method], cells["found"], cells["pck_found"], cells["pck_all"], f"{unmatched:.2f}"),
                *(mean_with_interval(error, 3), mean_with_interval(confused)),
                f"{cells['pck_all_without_legs']}, n = {int(scores.lacks_legs.sum())}",
            ]
        )
    head = ["", "found (%)", "PCK of the found (%)", "of all (%)", "unmatched an image", "error of the found"]
    head += ["left taken for right (%)", "PCK, legs not annotated (%)"]
    n_people = sum(int(truth.is_counted.sum()) for truth in truths)
    protocol = (
        f"{len(truths)} images, {n_people} people with at least {_MIN_JOINTS} annotated joints and {_MIN_HEIGHT:.0f} "
        "px of height; limb joints; found: mean error below 0.3 sqrt(box area); PCK at 0.1 of it; 95 % intervals.\n"
    )
    return Report(metrics, "\n".join(["# People in photos\n", protocol, markdown_table(head, rows)]))


def count_people(truth: ImageTruth, skeleton: Skeleton) -> ImageTruth:
    """The annotations with `is_counted` by this protocol's rule, and limb joints alone annotated.

    Limb joints come in a left and a right; the head's place differs between data sets.
    """
    is_limb = np.array([mirrored != joint for joint, mirrored in enumerate(skeleton.flip_indices)])
    height = truth.boxes[:, 3] - truth.boxes[:, 1]
    counted = ~truth.is_crowd & (truth.annotated_2d.sum(1) >= _MIN_JOINTS) & (height >= _MIN_HEIGHT)
    return dataclasses.replace(truth, is_counted=counted, annotated_2d=truth.annotated_2d & is_limb)


def person_scores(
    truths: Sequence[ImageTruth], detected: Sequence[PredictedPeople], skeleton: Skeleton
) -> PersonScores:
    """Scores one method's detections on people of `count_people`, in the order of images and annotations."""
    found = find_people(truths, detected)
    counted = [(i, m) for i, t in enumerate(truths) for m in np.flatnonzero(t.is_counted).tolist()]
    row_of = {key: row for row, key in enumerate(counted)}
    rows = np.array([row_of[image, person] for image, person in found.keys.tolist()], dtype=int)
    size = np.sqrt(np.prod(found.boxes[:, 2:] - found.boxes[:, :2], axis=1))
    poses = found.detected.poses_2d.astype(np.float64)

    def errors(poses_2d: np.ndarray) -> np.ndarray:
        return mean_2d_error(poses_2d, found.true_2d, found.boxes, found.annotated_2d)

    def of_all(values: np.ndarray | bool, missing: float | bool) -> np.ndarray:
        out = np.full(len(counted), missing)
        out[rows] = values
        return out

    legs = [truths[i].annotated_2d[m][skeleton.lower_limbs].any() for i, m in counted]
    return PersonScores(
        is_found=of_all(True, False),
        pck=of_all(pck_2d(poses, found.true_2d, size, found.annotated_2d, _PCK_THRESHOLD), 0.0),
        error=of_all(errors(poses), np.nan),
        is_confused=of_all(errors(poses[:, skeleton.flip_indices]) < errors(poses) - _CONFUSED_BY, False),
        lacks_legs=~np.array(legs, dtype=bool),
        num_unmatched=found.num_false_positives,
    )

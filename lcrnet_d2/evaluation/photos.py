"""How well people in photos are found and their joints placed, in 2D, person by person.

Shapes: M people counted over all images, J joints. 2D in px.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..structures import Skeleton
from .dataset_metrics import FoundPeople, find_people
from .metrics import mean_2d_error, pck_2d
from .people import ImagePredictions, ImageTruth, truth_from_dict
from .report import METHOD_LABELS, Report, detected_people, markdown_table, mean_with_interval, methods_in

__all__ = ["MIN_HEIGHT", "MIN_JOINTS", "PersonScores", "person_scores", "report_photos"]

#: People counted have at least this many annotated joints,
MIN_JOINTS = 8
#: and an annotated box at least this high, px. The others are ignored: neither missed nor false alarms.
MIN_HEIGHT = 96.0
_PCK_THRESHOLD = 0.1  # of sqrt(box area)
#: A person is confused if exchanging all left and right joints lowers the mean error by more than this.
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
    records: Sequence[Mapping[str, Any]],
    predictions: Sequence[ImagePredictions],
    skeleton: Skeleton,
    score_threshold: float = 0.0,
) -> Report:
    """People found, joints placed (PCK@0.1), false alarms, people without annotated legs, left taken for right.

    Args:
        records: dataset dicts in the form of `truth_from_dict`.
        predictions: for the same images, in the same order.
        skeleton: names the J joints.
        score_threshold: detections with a lower score do not count.
    """
    truths = [count_people(truth_from_dict(record, len(skeleton)), skeleton) for record in records]
    metrics: dict[str, dict[str, float]] = {}
    rows: list[list[str]] = []
    for method in methods_in(predictions):
        scores = person_scores(truths, [detected_people(p, method, score_threshold) for p in predictions], skeleton)
        metrics[f"photos_{method}"] = _metrics(scores, len(truths))
        rows.append([METHOD_LABELS[method], *_row(scores, len(truths))])
    head = ["", "found (%)", "PCK of the found (%)", "of all (%)", "unmatched an image", "error of the found"]
    head += ["left taken for right (%)", "PCK, legs not annotated (%)"]
    people = sum(int(truth.is_counted.sum()) for truth in truths)
    protocol = (
        f"{len(truths)} images, {people} people with at least {MIN_JOINTS} annotated joints and {MIN_HEIGHT:.0f} px "
        "of height; limb joints; found: mean error below 0.3 sqrt(box area); PCK at 0.1 of it; 95 % intervals.\n"
    )
    return Report(metrics, "\n".join(["# People in photos\n", protocol, markdown_table(head, rows)]))


def count_people(truth: ImageTruth, skeleton: Skeleton) -> ImageTruth:
    """The annotations with `is_counted` by this protocol's rule, and limb joints alone annotated."""
    annotated = truth.annotated_2d
    height = truth.boxes[:, 3] - truth.boxes[:, 1]
    counted = ~truth.is_crowd & (annotated.sum(1) >= MIN_JOINTS) & (height >= MIN_HEIGHT)
    return dataclasses.replace(truth, is_counted=counted, annotated_2d=annotated & _is_limb(skeleton))


def person_scores(truths: Sequence[ImageTruth], detected: Sequence[Any], skeleton: Skeleton) -> PersonScores:
    """Scores one method's detections on people of `count_people`, in the order of images and annotations."""
    found = find_people(truths, detected)
    counted = np.array([(i, m) for i, t in enumerate(truths) for m in np.flatnonzero(t.is_counted)]).reshape(-1, 2)
    row_of = {tuple(key): row for row, key in enumerate(counted.tolist())}
    rows = np.array([row_of[tuple(key)] for key in found.keys.tolist()], dtype=int)
    legs = skeleton.lower_limbs
    annotated_legs = [truths[i].annotated_2d[m][legs].any() for i, m in counted]
    size = np.sqrt(np.prod(found.boxes[:, 2:] - found.boxes[:, :2], axis=1))
    poses = found.detected.poses_2d.astype(np.float64)
    is_found = np.zeros(len(counted), dtype=bool)
    is_found[rows] = True
    return PersonScores(
        is_found=is_found,
        pck=_spread_out(
            pck_2d(poses, found.true_2d, size, found.annotated_2d, _PCK_THRESHOLD), rows, len(counted), 0.0
        ),
        error=_spread_out(_errors(poses, found), rows, len(counted), np.nan),
        is_confused=_spread_out(
            _errors(poses[:, skeleton.flip_indices], found) < _errors(poses, found) - _CONFUSED_BY,
            rows,
            len(counted),
            0.0,
        ).astype(bool),
        lacks_legs=~np.array(annotated_legs, dtype=bool),
        num_unmatched=found.num_false_positives,
    )


def _errors(poses_2d: np.ndarray, found: FoundPeople) -> np.ndarray:
    return mean_2d_error(poses_2d, found.true_2d, found.boxes, found.annotated_2d)


def _spread_out(values: np.ndarray, rows: np.ndarray, count: int, missing: float) -> np.ndarray:
    """(count,) the values at their rows, `missing` elsewhere."""
    out = np.full(count, missing)
    out[rows] = values
    return out


def _is_limb(skeleton: Skeleton) -> np.ndarray:
    """(J,) bool: joints that come in a left and a right; the head's place differs between data sets."""
    return np.array([mirrored != joint for joint, mirrored in enumerate(skeleton.flip_indices)])


def _metrics(scores: PersonScores, num_images: int) -> dict[str, float]:
    found = scores.is_found
    return {
        "n_people": float(len(found)),
        "n_without_legs": float(scores.lacks_legs.sum()),
        "found": _percent(found),
        "pck_found": _percent(scores.pck[found]),
        "pck_all": _percent(scores.pck),
        "pck_all_without_legs": _percent(scores.pck[scores.lacks_legs]),
        "unmatched_per_image": scores.num_unmatched / max(num_images, 1),
        "error_found": float(scores.error[found].mean()) if found.any() else float("nan"),
        "left_right_confused": _percent(scores.is_confused[found]),
    }


def _percent(values: np.ndarray) -> float:
    return 100 * float(values.mean()) if len(values) else float("nan")


def _row(scores: PersonScores, num_images: int) -> list[str]:
    found = scores.is_found
    return [
        mean_with_interval(100.0 * found),
        mean_with_interval(100 * scores.pck[found]),
        mean_with_interval(100 * scores.pck),
        f"{scores.num_unmatched / max(num_images, 1):.2f}",
        mean_with_interval(scores.error[found], 3),
        mean_with_interval(100.0 * scores.is_confused[found]),
        f"{mean_with_interval(100 * scores.pck[scores.lacks_legs])}, n = {int(scores.lacks_legs.sum())}",
    ]

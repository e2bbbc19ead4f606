"""MPII, multi-person (Sec. 4.2): average precision of joints over groups of people.

A group is evaluated on its own: the people annotated in it, and the detections in its region. Shapes: M
people annotated, N detected, J joints. 2D in px.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..structures import Skeleton
from .mpii import PX_PER_SCALE, annotated_joints, head_sizes
from .people import PredictedPeople

__all__ = [
    "Group",
    "average_precision",
    "group_labels",
    "groups_of",
    "has_groups",
    "joint_average_precisions",
    "mean_over_joints",
    "mean_precision_interval",
    "members_of_groups",
    "people_in_region",
]


class Group(NamedTuple):
    """One group of people and what is detected there.

    Attributes:
        true_2d: (M, J, 2) px.
        annotated: (M, J) bool.
        head_sizes: (M,) px.
        pred_2d: (N, J, 2) px, NaN for a joint that is not predicted.
        scores: (N,) or, where joints have scores of their own, (N, J).
    """

    true_2d: np.ndarray
    annotated: np.ndarray
    head_sizes: np.ndarray
    pred_2d: np.ndarray
    scores: np.ndarray


def groups_of(
    records: Sequence[Mapping[str, Any]], detected: Sequence[PredictedPeople], skeleton: Skeleton
) -> list[Group]:
    """The groups of a data set: annotations of an image with the same `group`, and the detections in its region.

    The region is the box around the squares of side 200 * scale px about each objpos; a detection lies in it
    where the centre of the box around its joints does. In the overlap of two regions it counts in both, as
    it would for a program that is run on each group's crop.

    Args:
        records: dataset dicts in the form of `mpii`.
        detected: the detections of one method in the same images, in the same order.
        skeleton: names the J joints.

    Raises:
        ValueError: no groups in the data set, or a group whose people lack objpos, scale or head size.
    """
    groups: list[Group] = []
    for record, people in zip(records, detected, strict=True):
        for number, members in members_of_groups(record).items():
            known = [a for a in members if "keypoints" in a]  # of the others there is nothing to be found
            lacking = [key for key in ("objpos", "scale") if any(key not in a for a in members)]
            if lacking or any("head_box" not in a and "head_size" not in a for a in known):
                missing = lacking or ["head_box (or head_size)"]
                raise ValueError(f"{record['file_name']}: people of group {number} lack {missing}")
            inside = people_in_region(members, people)
            true_2d, annotated = annotated_joints(known, skeleton)
            groups.append(Group(true_2d, annotated, head_sizes(known), inside.poses_2d, inside.scores))
    if not groups:
        raise ValueError("no annotation has a 'group'; is this MPII's multi-person set?")
    return groups


def has_groups(records: Sequence[Mapping[str, Any]]) -> bool:
    """Whether anybody of a data set is in a group."""
    return any(members_of_groups(record) for record in records)


def members_of_groups(record: Mapping[str, Any]) -> dict[int, list[Mapping[str, Any]]]:
    """The annotations of each group of an image, by its number, ascending."""
    grouped = [a for a in record.get("annotations", []) if a.get("group") is not None]
    numbers = sorted({a["group"] for a in grouped})
    return {number: [a for a in grouped if a["group"] == number] for number in numbers}


def people_in_region(members: Sequence[Mapping[str, Any]], people: PredictedPeople) -> PredictedPeople:
    """The detections in the region of a group, whose members all have objpos and scale (see `groups_of`)."""
    if not len(people):
        return people
    objpos = np.array([a["objpos"] for a in members], dtype=np.float64)
    half = 0.5 * PX_PER_SCALE * np.array([[a["scale"]] for a in members], dtype=np.float64)
    low, high = (objpos - half).min(0), (objpos + half).max(0)
    centres = (people.poses_2d.min(1) + people.poses_2d.max(1)) / 2
    return people[((centres >= low) & (centres <= high)).all(-1)]


def group_labels(group: Group, threshold: float) -> np.ndarray:
    """(N, J) bool: the predicted joints that are correct.

    Each prediction goes to the person for whom the largest share of annotated joints is within threshold *
    head size (PCKh), the first of equals; each person keeps the prediction with the largest share, again the
    first of equals, and if that is not zero its joints within the threshold are correct. Every other
    prediction is false in all its joints, and so is a joint that the person has not annotated.
    """
    distances = np.linalg.norm(group.pred_2d[:, None] - group.true_2d[None], axis=-1)  # (N, M, J)
    is_match = (distances <= threshold * group.head_sizes[:, None]) & group.annotated
    n, m = is_match.shape[:2]
    labels = np.zeros(group.pred_2d.shape[:2], dtype=bool)
    if not (n and m):
        return labels
    share = is_match.sum(-1) / np.maximum(group.annotated.sum(-1), 1)
    best_person = share.argmax(1)
    kept = np.where(np.arange(m) == best_person[:, None], share, 0.0)
    best_prediction = kept.argmax(0)
    people = np.flatnonzero(kept.max(0) > 0)
    labels[best_prediction[people]] = is_match[best_prediction[people], people]
    return labels


def joint_average_precisions(groups: Sequence[Group], threshold: float) -> np.ndarray:
    """(J,) AP in [0, 1] of each joint over all groups; NaN for a joint that nobody has annotated.

    Args:
        groups: at least one.
        threshold: in units of the head size; mAP@0.5 and mAP@1 are means of this.
    """
    return _precisions(groups, threshold, np.ones((1, len(groups)), dtype=int))[0]


def mean_precision_interval(
    groups: Sequence[Group], threshold: float, resamples: int = 500, seed: int = 0
) -> tuple[float, float]:
    """(low, high) in [0, 1]: 95 % bootstrap interval over groups of the mean of `joint_average_precisions`.

    NaN where nobody is annotated.
    """
    n = len(groups)
    drawn = np.random.default_rng(seed).integers(n, size=(resamples, n))
    counts = np.stack([np.bincount(rows, minlength=n) for rows in drawn])
    means = mean_over_joints(_precisions(groups, threshold, counts))
    low, high = np.percentile(means[np.isfinite(means)], [2.5, 97.5]) if np.isfinite(means).any() else (np.nan,) * 2
    return float(low), float(high)


def mean_over_joints(precisions: np.ndarray) -> np.ndarray:
    """(...) mean of (..., J) over the joints that anybody has annotated; NaN where nobody has any."""
    known = ~np.isnan(precisions)
    sums, counts = np.where(known, precisions, 0).sum(-1), known.sum(-1)
    return np.divide(sums, counts, out=np.full(sums.shape, np.nan), where=counts > 0)


def _precisions(groups: Sequence[Group], threshold: float, counts: np.ndarray) -> np.ndarray:
    """(R, J) AP of R data sets in which a group occurs `counts` (R, G) times."""
    labels = np.concatenate([group_labels(group, threshold) for group in groups])
    scores = np.concatenate([_joint_scores(group) for group in groups])
    predicted = np.concatenate([np.isfinite(group.pred_2d).all(-1) for group in groups])
    positives = counts @ np.stack([group.annotated.sum(0) for group in groups])  # (R, J)
    group_of = np.repeat(np.arange(len(groups)), [len(group.pred_2d) for group in groups])
    precisions = []
    for j in range(labels.shape[1]):
        rows = np.flatnonzero(predicted[:, j])
        rows = rows[np.argsort(-scores[rows, j], kind="stable")]
        precisions.append(_areas(labels[rows, j], counts[:, group_of[rows]], positives[:, j]))
    return np.stack(precisions, 1)


def _joint_scores(group: Group) -> np.ndarray:
    """(N, J)."""
    scores = group.scores if group.scores.ndim == 2 else group.scores[:, None]
    return np.broadcast_to(scores, group.pred_2d.shape[:2])


def average_precision(scores: np.ndarray, labels: np.ndarray, num_positives: int) -> float:
    """Area under the precision-recall curve over all its points, precision made monotone (PASCAL VOC since 2010).

    Args:
        scores: (N,); of equal ones the first comes first.
        labels: (N,) bool, correct.
        num_positives: how many there are to be found.

    Returns:
        In [0, 1]; NaN without positives.
    """
    in_order = np.asarray(labels, dtype=bool)[np.argsort(-np.asarray(scores), kind="stable")]
    return float(_areas(in_order, np.ones((1, len(in_order)), dtype=int), np.array([num_positives]))[0])


def _areas(labels: np.ndarray, counts: np.ndarray, positives: np.ndarray) -> np.ndarray:
    """(R,) areas under the curves of N predictions, best first, occurring `counts` (R, N) times; NaN without positives.

    Only the precisions after all copies of a correct prediction count: before them it is lower, and at a wrong one,
    where recall does not rise, lower than at the correct one before.
    """
    seen = counts.cumsum(1)[:, labels]
    correct = counts[:, labels]
    precision = correct.cumsum(1) / np.maximum(seen, 1)
    best_from_here = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    areas = (correct * best_from_here).sum(1)  # recall rises by 1 / positives at each correct one
    return np.divide(areas, positives, out=np.full(len(areas), np.nan), where=positives > 0)

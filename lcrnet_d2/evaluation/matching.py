"""Who was found: one-to-one assignment of detections to annotated people, by 2D error.

Shapes: M people annotated, N detected, F found, J joints. 2D in px, 3D in m.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from detectron2.structures import Boxes, pairwise_ioa, pairwise_iou

from .metrics import mean_2d_error
from .people import ImageTruth, PredictedPeople

__all__ = ["FoundPeople", "ScoreThreshold", "choose_score_threshold", "find_people", "match_people"]

# A pair counts as found where its mean 2D error is under this share of sqrt(box area).
_FOUND_BELOW = 0.3
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
    people, detections = assign(_pair_errors(truth, poses_2d))
    is_false_positive = ~_is_excused(truth, poses_2d)
    is_false_positive[detections] = False
    return ImageMatch(people, detections, is_false_positive)


def _pair_errors(truth: ImageTruth, poses_2d: np.ndarray) -> np.ndarray:
    """(M, N) mean 2D error over a person's annotated joints / sqrt(box area); infinite for people not counted."""
    m, n = len(truth.boxes), len(poses_2d)
    errors = np.full((m, n), np.inf)
    counted = np.flatnonzero(truth.is_counted)
    if counted.size and n:
        rows, columns = np.repeat(counted, n), np.tile(np.arange(n), counted.size)
        pairs = mean_2d_error(
            poses_2d[columns].astype(np.float64), truth.poses_2d[rows], truth.boxes[rows], truth.annotated_2d[rows]
        )
        errors[counted] = np.where(np.isfinite(pairs), pairs, np.inf).reshape(counted.size, n)
    return errors


def assign(errors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(F,) people and (F,) detections of the pairs found: least total error, where not being found costs 0.3.

    Errors over the limit are all alike: with A at 0.1 and 0.29 from two detections and B at 0.35 and 5,
    the least plain sum would give A the worse detection for the sake of B, who is not found either way.

    Args:
        errors: (M, N), see `_pair_errors`.
    """
    from scipy.optimize import linear_sum_assignment  # scipy takes longer to import than all of this package

    people, detections = linear_sum_assignment(np.minimum(errors, _FOUND_BELOW))
    found = errors[people, detections] < _FOUND_BELOW
    return people[found], detections[found]


def _is_excused(truth: ImageTruth, poses_2d: np.ndarray) -> np.ndarray:
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


class FoundPeople(NamedTuple):
    """The people one method finds, over all images.

    Attributes:
        keys: (F, 2) image and row of its annotations.
        detected: F detections, one for each.
        boxes, true_2d, annotated_2d, true_3d, measured_3d: the annotations, as in `ImageTruth`.
        num_false_positives: over all images.
    """

    keys: np.ndarray
    detected: PredictedPeople
    boxes: np.ndarray
    true_2d: np.ndarray
    annotated_2d: np.ndarray
    true_3d: np.ndarray
    measured_3d: np.ndarray
    num_false_positives: int

    def rows(self, index: np.ndarray) -> FoundPeople:
        """Some of the people; the false positives stay as they are."""
        per_person = {name: getattr(self, name)[index] for name in self._fields if name != "num_false_positives"}
        return self._replace(**per_person)


def find_people(truths: Sequence[ImageTruth], detected: Sequence[PredictedPeople]) -> FoundPeople:
    """Matches one method's detections, image by image, and gathers the pairs found.

    Args:
        truths: at least one image.
        detected: its detections, in the same order.
    """
    matches = [match_people(t, d.poses_2d) for t, d in zip(truths, detected, strict=True)]

    def gathered(name: str) -> np.ndarray:
        return np.concatenate([getattr(t, name)[m.people] for t, m in zip(truths, matches, strict=True)])

    people = [d[m.detections] for d, m in zip(detected, matches, strict=True)]
    fields = ("scores", "poses_2d", "poses_3d", "boxes", "classes")
    return FoundPeople(
        keys=np.concatenate([np.stack([np.full_like(m.people, i), m.people], 1) for i, m in enumerate(matches)]),
        detected=PredictedPeople(*(np.concatenate([getattr(p, name) for p in people]) for name in fields)),
        boxes=gathered("boxes"),
        true_2d=gathered("poses_2d"),
        annotated_2d=gathered("annotated_2d"),
        true_3d=gathered("poses_3d"),
        measured_3d=gathered("measured_3d"),
        num_false_positives=sum(int(m.is_false_positive.sum()) for m in matches),
    )


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
    errors = _pair_errors(truth, people.poses_2d)[:, order]
    excused = _is_excused(truth, people.poses_2d)[order]
    found, wrong = np.zeros(len(order) + 1), np.zeros(len(order) + 1)
    for k in range(1, len(order) + 1):
        _, assigned = assign(errors[:, :k])
        found[k] = len(assigned)
        wrong[k] = np.count_nonzero(~np.delete(excused[:k], assigned))
    return people.scores[order].astype(np.float64), np.diff(found), np.diff(wrong)

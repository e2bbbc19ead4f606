"""MPII, single person (Sec. 4.2, Figure 6): PCKh of the pose that corresponds to each annotated person.

Beside Detectron2's keys, an annotation of an MPII image holds

    objpos      (x, y) px, the rough position of the person (half a pixel more or less decides nothing)
    scale       the person's height in units of 200 px
    head_box    (x1, y1, x2, y2) px; or head_size in px, 0.6 times its diagonal
    single_person  optional, False for people that the single-person subset leaves out
    group       optional, number of the multi-person group in the image (see `mpii_groups`)

The 13 joints of the paper hold neither pelvis nor thorax, which MPII leaves out of its mean, and one head
point, the mean of MPII's upper neck and head top: where MPII's mean is over 14 joints, ours is over 13.
Shapes: N people, J joints, T thresholds. 2D in px.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch

from ..structures import AnchorPoses, Skeleton, centre_poses, pose_distance
from .metrics import head_size
from .people import PredictedPeople

__all__ = [
    "PCKH_THRESHOLDS",
    "PX_PER_SCALE",
    "PCKhCurve",
    "RarityCurve",
    "SinglePersonErrors",
    "pckh_curve",
    "rarity_curve",
    "select_poses",
    "single_person_errors",
]

#: delta of Figure 6 left.
PCKH_THRESHOLDS = tuple(i / 100 for i in range(101))
_LEFT_OUT = ("pelvis", "thorax")

# Measured on the 2958 people of MPII's usual validation split, with a box around the annotated joints in place of
# the detection: the centre is within 0.17 of objpos for 95 %, the longer side 0.35 to 1.25 of the size for 98 %.
_FARTHEST = 0.5
_SIZE_RATIO = (0.3, 2.0)
#: MPII's `scale` is a person's height in units of so many px.
PX_PER_SCALE = 200.0


def select_poses(objpos: np.ndarray, scale: np.ndarray, people: PredictedPeople) -> np.ndarray:
    """The detection that corresponds to each annotated person, by position and scale only.

    A person's size is 200 * scale px. A detection is a candidate where the box around its joints has its
    centre within half that size of objpos, and its longer side is 0.3 to 2 times that size. Candidates are
    assigned one-to-one, as many as possible, with the least sum of distances in units of the size; between
    equal distances the better score decides. Joints of the ground truth choose nothing.

    Args:
        objpos: (N, 2) px, of the people of one image.
        scale: (N,).
        people: P detections in that image.

    Returns:
        (N,) detection of each person, -1 where there is none.
    """
    from scipy.optimize import linear_sum_assignment  # scipy takes longer to import than all of this package

    chosen = np.full(len(objpos), -1)
    if not (len(objpos) and len(people)):
        return chosen
    low, high = people.poses_2d.min(1), people.poses_2d.max(1)
    size = PX_PER_SCALE * np.asarray(scale, dtype=np.float64)[:, None]
    distance = np.linalg.norm((low + high) / 2 - np.asarray(objpos)[:, None], axis=-1) / size
    ratio = (high - low).max(-1) / size
    fits = (distance <= _FARTHEST) & (ratio >= _SIZE_RATIO[0]) & (ratio <= _SIZE_RATIO[1])
    rank = np.argsort(np.argsort(-people.scores, kind="stable"), kind="stable") / (1e9 * len(people))
    cost = np.where(fits, distance + rank, len(objpos) + 1.0)  # a person more is worth any distance
    rows, columns = linear_sum_assignment(cost)
    assigned = fits[rows, columns]
    chosen[rows[assigned]] = columns[assigned]
    return chosen


class SinglePersonErrors(NamedTuple):
    """Errors of N people in units of their head size.

    Attributes:
        errors: (N, J), infinite for people not found.
        annotated: (N, J) bool, the joints that count.
        is_found: (N,) bool.
        poses_3d: (N, J, 3) m, the (pseudo) ground truth; NaN where there is none.
    """

    errors: np.ndarray
    annotated: np.ndarray
    is_found: np.ndarray
    poses_3d: np.ndarray


def single_person_errors(
    records: Sequence[Mapping[str, Any]], detected: Sequence[PredictedPeople], skeleton: Skeleton
) -> SinglePersonErrors:
    """Joint errors of the people of the single-person subset: those with objpos, scale and head size.

    Args:
        records: dataset dicts (see the module).
        detected: the detections of one method in the same images, in the same order.
        skeleton: names the J joints.

    Raises:
        ValueError: no such people in the data set.
    """
    parts: list[SinglePersonErrors] = []
    for record, people in zip(records, detected, strict=True):
        annotations = [a for a in record.get("annotations", []) if _is_single_person(a)]
        if not annotations:
            continue
        objpos = np.array([a["objpos"] for a in annotations], dtype=np.float64)
        chosen = select_poses(objpos, np.array([a["scale"] for a in annotations]), people)
        true_2d, annotated = annotated_joints(annotations, skeleton)
        errors = np.full(annotated.shape, np.inf)
        found = chosen >= 0
        distances = np.linalg.norm(people.poses_2d[chosen[found]] - true_2d[found], axis=-1)
        errors[found] = distances / head_sizes(annotations)[found, None]
        nothing = np.full((len(skeleton), 3), np.nan)
        poses_3d = np.stack([nothing if a.get("pose_3d") is None else a["pose_3d"] for a in annotations])
        parts.append(SinglePersonErrors(errors, annotated, found, poses_3d))
    if not parts:
        raise ValueError("nobody has objpos, scale and head_box or head_size; is this an MPII data set?")
    return SinglePersonErrors(*(np.concatenate(part) for part in zip(*parts, strict=True)))


def _is_single_person(annotation: Mapping[str, Any]) -> bool:
    placed = "objpos" in annotation and "scale" in annotation and "keypoints" in annotation
    return placed and ("head_box" in annotation or "head_size" in annotation) and annotation.get("single_person", True)


def annotated_joints(annotations: Sequence[Mapping[str, Any]], skeleton: Skeleton) -> tuple[np.ndarray, np.ndarray]:
    """(N, J, 2) px and (N, J) bool: annotated (v >= 1), and no joint MPII leaves out (pelvis, thorax)."""
    keypoints = np.array([a["keypoints"] for a in annotations], dtype=np.float64).reshape(-1, len(skeleton), 3)
    counts = ~np.isin(skeleton.joints, _LEFT_OUT)
    return keypoints[..., :2], (keypoints[..., 2] >= 1) & counts


def head_sizes(annotations: Sequence[Mapping[str, Any]]) -> np.ndarray:
    """(N,) px."""
    sizes = [a["head_size"] if "head_size" in a else head_size(np.array([a["head_box"]]))[0] for a in annotations]
    return np.array(sizes, dtype=np.float64)


class PCKhCurve(NamedTuple):
    """Figure 6 left.

    Attributes:
        thresholds: (T,) delta, in units of the head size.
        per_joint: (T, J) %, of the people with the joint annotated; NaN where nobody has.
        mean: (T,) %, of all annotated joints together, as MPII's own program counts; NaN where nobody has any.
        joint_mean: (T,) %, mean of `per_joint` over the joints that anybody has annotated.
    """

    thresholds: np.ndarray
    per_joint: np.ndarray
    mean: np.ndarray
    joint_mean: np.ndarray


def pckh_curve(single: SinglePersonErrors, thresholds: Sequence[float] = PCKH_THRESHOLDS) -> PCKhCurve:
    """PCKh@delta: the share of annotated joints within delta * head size; a person not found has none."""
    deltas = np.asarray(thresholds, dtype=np.float64)
    correct = np.stack([((single.errors <= d) & single.annotated).sum(0) for d in deltas]).reshape(len(deltas), -1)
    counts = single.annotated.sum(0)
    per_joint = np.full(correct.shape, np.nan)
    np.divide(100.0 * correct, counts, out=per_joint, where=counts > 0)
    return PCKhCurve(
        thresholds=deltas,
        per_joint=per_joint,
        mean=100.0 * correct.sum(1) / counts.sum() if counts.any() else np.full(len(deltas), np.nan),
        joint_mean=per_joint[:, counts > 0].mean(1) if counts.any() else np.full(len(deltas), np.nan),
    )


class RarityCurve(NamedTuple):
    """Figure 6 right: M people with a 3D pose, the most common pose first.

    Attributes:
        rarity_m: (M,) ascending, D to the nearest anchor pose.
        pckh: (M,) % of each pose's annotated joints, 0 for people not found.
        smoothed: (M,) %, mean over a window of people around each.
    """

    rarity_m: np.ndarray
    pckh: np.ndarray
    smoothed: np.ndarray


def rarity_curve(
    single: SinglePersonErrors, anchors: AnchorPoses, threshold: float = 0.5, window: int = 101
) -> RarityCurve:
    """Per-pose PCKh against the pose's rarity, its distance D to the nearest full-body anchor pose.

    Args:
        single: errors with (pseudo) 3D ground truth; people without, or without a joint annotated, are left out.
        anchors: the model's.
        threshold: delta.
        window: people that `smoothed` averages over; fewer at both ends.
    """
    rows = np.isfinite(single.poses_3d).all((1, 2)) & single.annotated.any(1)
    poses = centre_poses(torch.from_numpy(single.poses_3d[rows].astype(np.float64)), anchors.skeleton)
    full_body = anchors.poses_3d[: anchors.num_full_body].double()
    rarity = pose_distance(poses, full_body).amin(1).numpy() if len(poses) else np.zeros(0)
    annotated = single.annotated[rows]
    pckh = 100.0 * ((single.errors[rows] <= threshold) & annotated).sum(1) / annotated.sum(1)
    order = np.argsort(rarity, kind="stable")
    sums = np.concatenate([[0.0], np.cumsum(pckh[order])])
    place = np.arange(len(order))
    low, high = np.maximum(place - window // 2, 0), np.minimum(place + window // 2 + 1, len(order))
    return RarityCurve(rarity[order], pckh[order], (sums[high] - sums[low]) / np.maximum(high - low, 1))

"""MPII (Sec. 4.2): PCKh of single people and PCKh against rarity (Figure 6), average precision over groups of people.

Beside Detectron2's keys, an annotation of an MPII image holds

    objpos      (x, y) px, the rough position of the person (half a pixel more or less decides nothing)
    scale       the person's height in units of 200 px
    head_box    (x1, y1, x2, y2) px; or head_size in px, 0.6 times its diagonal
    single_person  optional, False for people that the single-person subset leaves out
    group       optional, number of the multi-person group in the image of the image

The 13 joints of the paper hold neither pelvis nor thorax, which MPII leaves out of its mean, and one head
point, the mean of MPII's upper neck and head top: where MPII's mean is over 14 joints, ours is over 13.
Shapes: N people annotated, P detected, J joints, T thresholds. 2D in px.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch

from ..structures import AnchorPoses, Skeleton, centre_poses, pose_distance
from .metrics import head_size
from .people import PredictedPeople
from .report import METHOD_LABELS, Predictions, Records, Report, markdown_table, mean_with_interval, people_of_methods

__all__ = [
    "PCKhCurve",
    "RarityCurve",
    "groups_of",
    "has_groups",
    "pckh_curve",
    "rarity_curve",
    "select_poses",
    "single_person_errors",
    "report_mpii_single",
    "report_mpii_multi",
    "PX_PER_SCALE",
    "members_of_groups",
    "people_in_region",
]

_DELTAS = tuple(i / 100 for i in range(101))  # of Figure 6 left
_PRINTED = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
_PAPER_PCKH = {0.5: "about 75", 1.0: "about 90"}
_PAPER_MAP = {0.5: "around 49", 1.0: "near 60"}
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
    records: Records, detected: Sequence[PredictedPeople], skeleton: Skeleton
) -> SinglePersonErrors:
    """Joint errors of the people of the single-person subset: those with objpos, scale and head size.

    `detected` are the detections of one method in the images of the dataset dicts (see the module), in their order.

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
        true_2d, annotated = _annotated_joints(annotations, skeleton)
        errors = np.full(annotated.shape, np.inf)
        found = chosen >= 0
        distances = np.linalg.norm(people.poses_2d[chosen[found]] - true_2d[found], axis=-1)
        errors[found] = distances / _head_sizes(annotations)[found, None]
        nothing = np.full((len(skeleton), 3), np.nan)
        poses_3d = np.stack([nothing if a.get("pose_3d") is None else a["pose_3d"] for a in annotations])
        parts.append(SinglePersonErrors(errors, annotated, found, poses_3d))
    if not parts:
        raise ValueError("nobody has objpos, scale and head_box or head_size; is this an MPII data set?")
    return SinglePersonErrors(*(np.concatenate(part) for part in zip(*parts, strict=True)))


def _is_single_person(annotation: Mapping[str, Any]) -> bool:
    placed = "objpos" in annotation and "scale" in annotation and "keypoints" in annotation
    return placed and ("head_box" in annotation or "head_size" in annotation) and annotation.get("single_person", True)


def _annotated_joints(annotations: Sequence[Mapping[str, Any]], skeleton: Skeleton) -> tuple[np.ndarray, np.ndarray]:
    """(N, J, 2) px and (N, J) bool: annotated (v >= 1), and no joint MPII leaves out (pelvis, thorax)."""
    keypoints = np.array([a["keypoints"] for a in annotations], dtype=np.float64).reshape(-1, len(skeleton), 3)
    counts = ~np.isin(skeleton.joints, _LEFT_OUT)
    return keypoints[..., :2], (keypoints[..., 2] >= 1) & counts


def _head_sizes(annotations: Sequence[Mapping[str, Any]]) -> np.ndarray:
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


def pckh_curve(single: SinglePersonErrors, thresholds: Sequence[float] = _DELTAS) -> PCKhCurve:
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


def report_mpii_single(
    records: Records,
    predictions: Predictions,
    skeleton: Skeleton,
    anchors: AnchorPoses | None = None,
    score_threshold: float = 0.0,
) -> Report:
    """PCKh@delta per joint and mean; with the model's anchors also against rarity. Arguments as in `report`."""
    metrics: dict[str, dict[str, float]] = {}
    sections: list[str] = []
    for method, detected in people_of_methods(predictions, score_threshold):
        single = single_person_errors(records, detected, skeleton)
        curve = pckh_curve(single, _PRINTED)
        half = _PRINTED.index(0.5)
        metrics[f"mpii_single_{method}"] = {
            "n_people": float(len(single.is_found)),
            "n_found": float(single.is_found.sum()),
            **{f"pckh_{d}": float(mean) for d, mean in zip(_PRINTED, curve.mean, strict=True)},
            "pckh_0.5_joint_mean": float(curve.joint_mean[half]),
            **{f"pckh_0.5_{j}": float(pckh) for j, pckh in zip(skeleton.joints, curve.per_joint[half], strict=True)},
        }
        sections.append(_single_section(method, single, curve, skeleton))
        if anchors is not None:
            rarity = rarity_curve(single, anchors)
            metrics[f"mpii_single_{method}"] |= _rarity_metrics(rarity)
            sections.append(_rarity_section(rarity))
    return Report(metrics, "\n".join(["# MPII single person\n", _single_protocol(skeleton), *sections]))


def _single_protocol(skeleton: Skeleton) -> str:
    return (
        "Poses are detected in the whole image. objpos and scale only select the detection of each person "
        "(one-to-one, the nearest within half the person's size, its own size 0.3 to 2 times the person's); a "
        "person without one counts as wrong in every joint. PCKh: error at most delta times 0.6 times the "
        f"head box's diagonal. {_joints_in_the_mean(skeleton)} The mean is over all annotated joints together.\n"
    )


def _joints_in_the_mean(skeleton: Skeleton) -> str:
    names = [joint for joint in skeleton.joints if joint not in _LEFT_OUT]
    text = f"{len(names)} joints are in the mean: {', '.join(names)}."
    if "head_top" not in names:
        text += " The head is one joint, the mean of MPII's upper neck and head top; MPII's own mean has both."
    return text


def _single_section(method: str, single: SinglePersonErrors, curve: PCKhCurve, skeleton: Skeleton) -> str:
    annotated = single.annotated.any(1)
    correct = 100.0 * ((single.errors <= 0.5) & single.annotated).sum(1)[annotated] / single.annotated.sum(1)[annotated]
    header = ["delta", "mean", *skeleton.joints]
    values = zip(curve.thresholds, curve.mean, curve.per_joint, strict=True)
    rows = [[f"{delta}", f"{mean:.1f}", *(f"{pckh:.1f}" for pckh in of_joints)] for delta, mean, of_joints in values]
    paper = ", ".join(f"{value} % at {delta}" for delta, value in _PAPER_PCKH.items())
    return (
        f"## {METHOD_LABELS[method]}\n\n"
        f"{len(single.is_found)} people, {int(single.is_found.sum())} found. Per-pose PCKh@0.5: "
        f"{mean_with_interval(correct)} % [95 % interval]. The paper, on its own validation set: {paper}.\n\n"
        + markdown_table(header, rows)
    )


def _rarity_metrics(rarity: RarityCurve) -> dict[str, float]:
    from scipy.stats import spearmanr

    varies = len(rarity.pckh) > 2 and np.ptp(rarity.pckh) > 0 and np.ptp(rarity.rarity_m) > 0
    correlation = float(np.asarray(spearmanr(rarity.rarity_m, rarity.pckh))[0]) if varies else float("nan")
    return {"n_with_rarity": float(len(rarity.pckh)), "rarity_rank_correlation": correlation}


def _rarity_section(rarity: RarityCurve) -> str:
    rows = [
        [f"{100 * part[0]:.0f} to {100 * part[-1]:.0f}", str(len(part)), mean_with_interval(pckh)]
        for part, pckh in zip(np.array_split(rarity.rarity_m, 5), np.array_split(rarity.pckh, 5), strict=True)
        if len(part)
    ]
    head = ["rarity: D to the nearest anchor (cm), fifths of the people", "n", "per-pose PCKh@0.5 (%)"]
    note = f"Rank correlation (Spearman) of rarity and PCKh: {_rarity_metrics(rarity)['rarity_rank_correlation']:.2f}\n"
    return markdown_table(head, rows) + "\n" + note


class Group(NamedTuple):
    """One group of people and what is detected there.

    Attributes:
        true_2d: (N, J, 2) px.
        annotated: (N, J) bool.
        head_sizes: (N,) px.
        pred_2d: (P, J, 2) px.
        scores: (P,).
    """

    true_2d: np.ndarray
    annotated: np.ndarray
    head_sizes: np.ndarray
    pred_2d: np.ndarray
    scores: np.ndarray


def groups_of(records: Records, detected: Sequence[PredictedPeople], skeleton: Skeleton) -> list[Group]:
    """The groups of a data set: annotations of an image with the same `group`, and the detections in its region.

    The region is the box around the squares of side 200 * scale px about each objpos; a detection lies in it
    where the centre of the box around its joints does. In the overlap of two regions it counts in both, as
    it would for a program that is run on each group's crop.

    Arguments as of `single_person_errors`.

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
            true_2d, annotated = _annotated_joints(known, skeleton)
            groups.append(Group(true_2d, annotated, _head_sizes(known), inside.poses_2d, inside.scores))
    if not groups:
        raise ValueError("no annotation has a 'group'; is this MPII's multi-person set?")
    return groups


def has_groups(records: Records) -> bool:
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
    """(P, J) bool: the predicted joints that are correct.

    Each prediction goes to the person for whom the largest share of annotated joints is within threshold *
    head size (PCKh), the first of equals; each person keeps the prediction with the largest share, again the
    first of equals, and if that is not zero its joints within the threshold are correct. Every other
    prediction is false in all its joints, and so is a joint that the person has not annotated.
    """
    distances = np.linalg.norm(group.pred_2d[:, None] - group.true_2d[None], axis=-1)  # (P, N, J)
    is_match = (distances <= threshold * group.head_sizes[:, None]) & group.annotated
    p, n = is_match.shape[:2]
    labels = np.zeros(group.pred_2d.shape[:2], dtype=bool)
    if not (p and n):
        return labels
    share = is_match.sum(-1) / np.maximum(group.annotated.sum(-1), 1)
    kept = np.where(np.arange(n) == share.argmax(1)[:, None], share, 0.0)
    best = kept.argmax(0)
    people = np.flatnonzero(kept.max(0) > 0)
    labels[best[people]] = is_match[best[people], people]
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
    means = _mean_over_joints(_precisions(groups, threshold, counts))
    low, high = np.percentile(means[np.isfinite(means)], [2.5, 97.5]) if np.isfinite(means).any() else (np.nan,) * 2
    return float(low), float(high)


def _mean_over_joints(precisions: np.ndarray) -> np.ndarray:
    """(...) mean of (..., J) over the joints that anybody has annotated; NaN where nobody has any."""
    known = ~np.isnan(precisions)
    sums, counts = np.where(known, precisions, 0).sum(-1), known.sum(-1)
    return np.divide(sums, counts, out=np.full(sums.shape, np.nan), where=counts > 0)


def _precisions(groups: Sequence[Group], threshold: float, counts: np.ndarray) -> np.ndarray:
    """(R, J) AP of R data sets in which a group occurs `counts` (R, G) times."""
    positives = counts @ np.stack([group.annotated.sum(0) for group in groups])  # (R, J)
    order = np.argsort(-np.concatenate([group.scores for group in groups]), kind="stable")
    labels = np.concatenate([group_labels(group, threshold) for group in groups])[order]
    of_rows = counts[:, np.repeat(np.arange(len(groups)), [len(group.scores) for group in groups])[order]]
    return np.stack([average_precisions(labels[:, j], of_rows, positives[:, j]) for j in range(labels.shape[1])], 1)


def average_precisions(labels: np.ndarray, counts: np.ndarray, positives: np.ndarray) -> np.ndarray:
    """Areas under precision-recall curves over all their points, precision made monotone (PASCAL VOC since 2010).

    Only the precisions after all copies of a correct prediction count: before them it is lower, and at a wrong one,
    where recall does not rise, lower than at the correct one before.

    Args:
        labels: (P,) bool, whether predictions are correct, best first.
        counts: (R, P), how often each occurs in R data sets.
        positives: (R,), how many there are to be found.

    Returns:
        (R,) in [0, 1]; NaN without positives.
    """
    seen = counts.cumsum(1)[:, labels]
    correct = counts[:, labels]
    precision = correct.cumsum(1) / np.maximum(seen, 1)
    best_from_here = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    areas = (correct * best_from_here).sum(1)  # recall rises by 1 / positives at each correct one
    return np.divide(areas, positives, out=np.full(len(areas), np.nan), where=positives > 0)


def report_mpii_multi(
    records: Records, predictions: Predictions, skeleton: Skeleton, score_threshold: float = 0.0
) -> Report:
    """mAP@0.5 and mAP@1 over the groups, and AP per joint. Arguments as in `report`."""
    metrics: dict[str, dict[str, float]] = {}
    rows: list[list[str]] = [["paper + PPI", *_PAPER_MAP.values()]]
    per_joint: dict[str, np.ndarray] = {}
    num_groups = 0
    for method, detected in people_of_methods(predictions, score_threshold):
        groups = groups_of(records, detected, skeleton)
        num_groups = len(groups)
        precisions = {d: 100 * joint_average_precisions(groups, d) for d in (0.5, 1.0)}
        per_joint[method] = precisions[0.5]
        n_people, n_detected = sum(len(g.true_2d) for g in groups), sum(len(g.pred_2d) for g in groups)
        metrics[f"mpii_multi_{method}"] = {
            "n_groups": float(num_groups),
            "n_people": float(n_people),
            "n_detected": float(n_detected),
            **{f"map_{d}": float(_mean_over_joints(ap)) for d, ap in precisions.items()},
            **{f"ap_0.5_{joint}": float(ap) for joint, ap in zip(skeleton.joints, precisions[0.5], strict=True)},
        }
        ends = {d: [f"{100 * end:.1f}" for end in mean_precision_interval(groups, d)] for d in precisions}
        cells = [f"{_mean_over_joints(ap):.1f} [{', '.join(ends[d])}]" for d, ap in precisions.items()]
        rows.append([METHOD_LABELS[method], *cells])
    header = ["", "mAP@0.5 (%)", "mAP@1 (%)"]
    joint_rows = [[j, *(f"{ap[i]:.1f}" for ap in per_joint.values())] for i, j in enumerate(skeleton.joints)]
    tables = [markdown_table(header, rows), markdown_table(["AP@0.5", *map(str.upper, per_joint)], joint_rows)]
    return Report(metrics, "\n".join(["# MPII multi-person\n", _multi_protocol(skeleton, num_groups), *tables]))


def _multi_protocol(skeleton: Skeleton, num_groups: int) -> str:
    return (
        f"{num_groups} groups; detections whose centre lies in a group's region. Each prediction goes to the person "
        "with the highest share of joints within the threshold, each person keeps the best prediction, all others "
        "are false positives. AP of each joint over all points of its precision-recall curve (VOC), then the mean "
        f"over joints [95 % bootstrap interval over groups]. {_joints_in_the_mean(skeleton)}\n"
    )

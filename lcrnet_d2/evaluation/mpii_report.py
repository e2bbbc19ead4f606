"""MPII results as Markdown: PCKh of single people, PCKh against rarity (Figure 6), AP of groups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..structures import AnchorPoses, Skeleton
from .mpii import PCKhCurve, RarityCurve, SinglePersonErrors, pckh_curve, rarity_curve, single_person_errors
from .mpii_groups import Group, groups_of, joint_average_precisions, mean_over_joints, mean_precision_interval
from .people import ImagePredictions
from .report import METHOD_LABELS, Report, detected_people, markdown_table, mean_with_interval, methods_in

__all__ = ["report_mpii_multi", "report_mpii_single"]

_PAPER_PCKH = {0.5: "about 75", 1.0: "about 90"}
_PAPER_MAP = {0.5: "around 49", 1.0: "near 60"}
_PRINTED = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)


def report_mpii_single(
    records: Sequence[Mapping[str, Any]],
    predictions: Sequence[ImagePredictions],
    skeleton: Skeleton,
    anchors: AnchorPoses | None = None,
    score_threshold: float = 0.0,
) -> Report:
    """PCKh@delta per joint and mean; with anchors also against rarity.

    Args:
        records: dataset dicts in the form of `mpii`.
        predictions: for the same images, in the same order.
        skeleton: names the joints.
        anchors: the model's; nothing is said of rarity without.
        score_threshold: detections under it are none.
    """
    metrics: dict[str, dict[str, float]] = {}
    sections: list[str] = []
    for method in methods_in(predictions):
        detected = [detected_people(p, method, score_threshold) for p in predictions]
        single = single_person_errors(records, detected, skeleton)
        curve = pckh_curve(single)
        at_half = dict(zip(skeleton.joints, _at(curve, 0.5)[1].tolist(), strict=True))
        metrics[f"mpii_single_{method}"] = {
            "n_people": float(len(single.is_found)),
            "n_found": float(single.is_found.sum()),
            **{f"pckh_{d}": _at(curve, d)[0] for d in _PRINTED},
            "pckh_0.5_joint_mean": float(curve.joint_mean[np.isclose(curve.thresholds, 0.5)][0]),
            **{f"pckh_0.5_{joint}": value for joint, value in at_half.items()},
        }
        sections.append(_single_section(method, single, curve, skeleton))
        if anchors is not None:
            rarity = rarity_curve(single, anchors)
            metrics[f"mpii_single_{method}"] |= _rarity_metrics(rarity)
            sections.append(_rarity_section(rarity))
    return Report(metrics, "\n".join(["# MPII single person\n", _single_protocol(skeleton), *sections]))


def report_mpii_multi(
    records: Sequence[Mapping[str, Any]],
    predictions: Sequence[ImagePredictions],
    skeleton: Skeleton,
    score_threshold: float = 0.0,
) -> Report:
    """mAP@0.5 and mAP@1 over the groups, and AP per joint. Arguments as of `report_mpii_single`."""
    metrics: dict[str, dict[str, float]] = {}
    rows: list[list[str]] = [["paper + PPI", *_PAPER_MAP.values()]]
    per_joint: dict[str, np.ndarray] = {}
    num_groups = 0
    for method in methods_in(predictions):
        detected = [detected_people(p, method, score_threshold) for p in predictions]
        groups = groups_of(records, detected, skeleton)
        num_groups = len(groups)
        precisions = {d: 100 * joint_average_precisions(groups, d) for d in (0.5, 1.0)}
        per_joint[method] = precisions[0.5]
        n_people, n_detected = sum(len(g.true_2d) for g in groups), sum(len(g.pred_2d) for g in groups)
        metrics[f"mpii_multi_{method}"] = {
            "n_groups": float(num_groups),
            "n_people": float(n_people),
            "n_detected": float(n_detected),
            **{f"map_{d}": float(mean_over_joints(ap)) for d, ap in precisions.items()},
            **{f"ap_0.5_{joint}": float(ap) for joint, ap in zip(skeleton.joints, precisions[0.5], strict=True)},
        }
        rows.append([METHOD_LABELS[method], *(_mean_precision(groups, d, ap) for d, ap in precisions.items())])
    header = ["", "mAP@0.5 (%)", "mAP@1 (%)"]
    joint_rows = [[j, *(f"{ap[i]:.1f}" for ap in per_joint.values())] for i, j in enumerate(skeleton.joints)]
    tables = [markdown_table(header, rows), markdown_table(["AP@0.5", *map(str.upper, per_joint)], joint_rows)]
    return Report(metrics, "\n".join(["# MPII multi-person\n", _multi_protocol(skeleton, num_groups), *tables]))


def _mean_precision(groups: Sequence[Group], delta: float, precisions: np.ndarray) -> str:
    low, high = mean_precision_interval(groups, delta)
    return f"{mean_over_joints(precisions):.1f} [{100 * low:.1f}, {100 * high:.1f}]"


def _at(curve: PCKhCurve, delta: float) -> tuple[float, np.ndarray]:
    row = int(np.abs(curve.thresholds - delta).argmin())
    return float(curve.mean[row]), curve.per_joint[row]


def _single_protocol(skeleton: Skeleton) -> str:
    return (
        "Poses are detected in the whole image. objpos and scale only select the detection of each person "
        "(one-to-one, the nearest within half the person's size, its own size 0.3 to 2 times the person's); a "
        "person without one counts as wrong in every joint. PCKh: error at most delta times 0.6 times the "
        f"head box's diagonal. {_joints_in_the_mean(skeleton)} The mean is over all annotated joints together.\n"
    )


def _multi_protocol(skeleton: Skeleton, num_groups: int) -> str:
    return (
        f"{num_groups} groups; detections whose centre lies in a group's region. Each prediction goes to the person "
        "with the highest share of joints within the threshold, each person keeps the best prediction, all others "
        "are false positives. AP of each joint over all points of its precision-recall curve (VOC), then the mean "
        f"over joints [95 % bootstrap interval over groups]. {_joints_in_the_mean(skeleton)}\n"
    )


def _joints_in_the_mean(skeleton: Skeleton) -> str:
    names = [joint for joint in skeleton.joints if joint not in ("pelvis", "thorax")]
    text = f"{len(names)} joints are in the mean: {', '.join(names)}."
    if "head_top" not in names:
        text += " The head is one joint, the mean of MPII's upper neck and head top; MPII's own mean has both."
    return text


def _single_section(method: str, single: SinglePersonErrors, curve: PCKhCurve, skeleton: Skeleton) -> str:
    annotated = single.annotated.any(1)
    correct = 100.0 * ((single.errors <= 0.5) & single.annotated).sum(1)[annotated] / single.annotated.sum(1)[annotated]
    header = ["delta", "mean", *skeleton.joints]
    rows = [[f"{d}", f"{_at(curve, d)[0]:.1f}", *(f"{value:.1f}" for value in _at(curve, d)[1])] for d in _PRINTED]
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

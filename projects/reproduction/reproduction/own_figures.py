"""Figures 5 and 6 of anybody's saved predictions, for tools/evaluate_predictions.py."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lcrnet_d2.evaluation import ImagePredictions
from lcrnet_d2.evaluation.human36m import PROTOCOLS as HUMAN36M
from lcrnet_d2.evaluation.human36m import select_images
from lcrnet_d2.evaluation.mpii import pckh_curve, rarity_curve, single_person_errors
from lcrnet_d2.evaluation.people import MIN_JOINTS_SEEN
from lcrnet_d2.evaluation.report import detected_people, methods_in
from lcrnet_d2.structures import AnchorPoses, Skeleton

from .figure5 import draw_figure_5, pair_found_people, pair_top_scored
from .figure6 import draw_figure_6

__all__ = ["draw_own_figure", "has_figure"]

_OF_PEOPLE = ("pck_3d", "mpi_inf_3dhp", "camera_space")


def has_figure(protocol: str) -> bool:
    """Whether Figure 5 or 6 can be drawn of a protocol."""
    return protocol == "mpii_single" or protocol in _OF_PEOPLE or protocol.startswith("human36m")


def draw_own_figure(
    protocol: str,
    records: Sequence[Mapping[str, Any]],
    predictions: Sequence[ImagePredictions],
    skeleton: Skeleton,
    folder: Path,
    *,
    anchors: AnchorPoses | None = None,
    score_threshold: float = 0.0,
    min_joints_seen: int = MIN_JOINTS_SEEN,
) -> Path:
    """Draws the figure that goes with a protocol: figure_5.png of those in 3D, figure_6.png of "mpii_single".

    Args:
        protocol: of `evaluation.PROTOCOL_NAMES`.
        records: dataset dicts.
        predictions: for the same images, in the same order.
        anchors: the model's, for the right part of Figure 6.
        score_threshold, min_joints_seen: as of `evaluation.build_protocol`.

    Raises:
        ValueError: a protocol without such a figure, or predictions of NMS or PPI only for Figure 5.
    """
    if not has_figure(protocol):
        raise ValueError(f"no figure goes with the protocol {protocol!r}; Figure 5 is of 3D, Figure 6 of mpii_single")
    if protocol == "mpii_single":
        curves, rarity = {}, {}
        for method in methods_in(predictions):
            detected = [detected_people(p, method, score_threshold) for p in predictions]
            single = single_person_errors(records, detected, skeleton)
            curves[method.upper()] = pckh_curve(single)
            if anchors is not None:
                rarity[method.upper()] = rarity_curve(single, anchors)
        draw_figure_6(curves, rarity, folder / "figure_6.png")
        return folder / "figure_6.png"
    if protocol in _OF_PEOPLE:
        thresholds = {"nms": score_threshold, "ppi": score_threshold}
        paired = pair_found_people(records, predictions, skeleton, thresholds, min_joints_seen)
    else:
        rows = _human36m_images(protocol, records)
        records = [records[row] for row in rows]
        paired = pair_top_scored(records, [predictions[row] for row in rows], skeleton)
    draw_figure_5(paired, records, skeleton, folder / "figure_5.png")
    return folder / "figure_5.png"


def _human36m_images(protocol: str, records: Sequence[Mapping[str, Any]]) -> list[int]:
    """Rows of the images that belong to the protocol, or to any for "human36m"."""
    names = [name for name in HUMAN36M if protocol in ("human36m", f"human36m_{name.lower()}")]
    rows = [select_images(records, one)[0] for name in names for one in HUMAN36M[name]]
    return np.unique(np.concatenate(rows)).tolist()

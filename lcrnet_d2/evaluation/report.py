"""What a benchmark's protocol gives: numbers by task for Detectron2, and Markdown that says how they were made."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from .metrics import bootstrap_interval
from .people import ImagePredictions, PredictedPeople, predictions_in_order

__all__ = [
    "METHODS",
    "METHOD_LABELS",
    "Protocol",
    "Report",
    "detected_people",
    "in_order_of",
    "markdown_table",
    "mean_with_interval",
    "methods_in",
]

METHODS = ("nms", "ppi", "refined")
#: As tables name them.
METHOD_LABELS = {"nms": "NMS", "ppi": "PPI", "refined": "PPI + heat maps"}
# From here on the interval of a mean is narrower than the last digit printed.
_SMALL_SET = 5000


class Report(NamedTuple):
    """A protocol's answer.

    Attributes:
        metrics: {task: {metric: number}}, the form Detectron2's evaluators return.
        markdown: the same as tables, each under the protocol it was measured with.
    """

    metrics: dict[str, dict[str, float]]
    markdown: str


#: A protocol: dataset dicts, and the predictions for them in the same order, to a report.
Protocol = Callable[[Sequence[Mapping[str, Any]], Sequence[ImagePredictions]], Report]


def in_order_of(
    records: Sequence[Mapping[str, Any]], predictions: Sequence[ImagePredictions], num_joints: int
) -> list[ImagePredictions]:
    """The predictions in the order of the dataset dicts; images without any get empty ones.

    Raises:
        ValueError: predictions for an image twice, or for one that is not in the data set.
    """
    images = [(r.get("image_id", r["file_name"]), r["file_name"], r["width"], r["height"]) for r in records]
    return predictions_in_order(images, predictions, num_joints)


def methods_in(predictions: Sequence[ImagePredictions]) -> tuple[str, ...]:
    """Those of `METHODS` that detect anybody at all; PPI where none does (poses.json holds PPI only)."""
    return tuple(m for m in METHODS if any(len(getattr(p, m) or ()) for p in predictions)) or ("ppi",)


def detected_people(predictions: ImagePredictions, method: str, score_threshold: float = 0.0) -> PredictedPeople:
    """The people one of `METHODS` finds in an image with at least that score; without heat maps "refined" is PPI."""
    found: PredictedPeople | None = getattr(predictions, method)
    people = predictions.ppi if found is None else found
    return people if score_threshold <= 0 else people[people.scores >= score_threshold]


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; all columns but the first are aligned right."""
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def mean_with_interval(values: np.ndarray, digits: int = 1) -> str:
    """ "63.2 [61.0, 65.4]": the mean of (N,) values and, of small sets, its 95 % bootstrap interval."""
    if not len(values):
        return "n/a"
    text = f"{values.mean():.{digits}f}"
    if len(values) >= _SMALL_SET:
        return text
    low, high = bootstrap_interval(values)
    return f"{text} [{low:.{digits}f}, {high:.{digits}f}]"

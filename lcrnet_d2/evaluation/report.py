"""What a benchmark's protocol takes and gives, and the Markdown of its report.

A protocol is a function of dataset dicts (in the form of `people.truth_from_dict`, with what the benchmark adds) and of
predictions for the same images in the same order. The protocols here are `report_<benchmark>`, with the arguments

    records, predictions  as above
    skeleton              names the J joints of both
    score_threshold       detections under it are none
    min_joints_seen       people with fewer joints seen are ignored; 0 where a data set does not know which are
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from .metrics import bootstrap_interval
from .people import ImagePredictions, PredictedPeople

__all__ = [
    "METHODS",
    "METHOD_LABELS",
    "Protocol",
    "Report",
    "detected_people",
    "in_order_of",
    "markdown_table",
    "mean_or_nan",
    "mean_with_interval",
    "methods_in",
    "people_of_methods",
]

METHODS = ("nms", "ppi", "refined")
#: As tables name them.
METHOD_LABELS = {"nms": "NMS", "ppi": "PPI", "refined": "PPI + heat maps"}
# From here on the interval of a mean is narrower than the last digit printed.
_SMALL_SET = 5000


#: Dataset dicts.
Records = Sequence[Mapping[str, Any]]
Predictions = Sequence[ImagePredictions]
#: {task: {metric: number}}, as Detectron2's evaluators return them.
Metrics = dict[str, dict[str, float]]


class Report(NamedTuple):
    """A protocol's answer.

    Attributes:
        metrics: numbers by task.
        markdown: the same as tables, each under the protocol it was measured with.
    """

    metrics: Metrics
    markdown: str


Protocol = Callable[[Records, Predictions], Report]


def in_order_of(records: Records, predictions: Predictions, num_joints: int) -> list[ImagePredictions]:
    """The predictions in the order of the dataset dicts; images without any get empty ones.

    Raises:
        ValueError: predictions for an image twice, or for one that is not in the data set.
    """
    by_id = {p.image_id: p for p in predictions}
    if len(by_id) < len(predictions):
        raise ValueError(f"{len(predictions)} predictions for {len(by_id)} images; each image must come once")
    images = [(r.get("image_id", r["file_name"]), r["file_name"], r["width"], r["height"]) for r in records]
    unknown = sorted(by_id.keys() - {image_id for image_id, *_ in images}, key=str)
    if unknown:
        raise ValueError(f"predictions for {len(unknown)} images that the data set lacks, e.g. image_id {unknown[0]!r}")
    nobody = PredictedPeople.nobody(num_joints)
    return [by_id.get(image[0]) or ImagePredictions(*image, nobody, nobody) for image in images]


def methods_in(predictions: Predictions) -> tuple[str, ...]:
    """Those of `METHODS` that detect anybody at all; PPI where none does (poses.json holds PPI only)."""
    return tuple(m for m in METHODS if any(len(getattr(p, m) or ()) for p in predictions)) or ("ppi",)


def detected_people(predictions: ImagePredictions, method: str, score_threshold: float = 0.0) -> PredictedPeople:
    """The people one of `METHODS` finds in an image with at least that score; without heat maps "refined" is PPI."""
    found: PredictedPeople | None = getattr(predictions, method)
    people = predictions.ppi if found is None else found
    return people if score_threshold <= 0 else people[people.scores >= score_threshold]


def people_of_methods(
    predictions: Predictions, score_threshold: float = 0.0
) -> Iterator[tuple[str, list[PredictedPeople]]]:
    """Each of `methods_in`, and the people it detects in every image."""
    for method in methods_in(predictions):
        yield method, [detected_people(p, method, score_threshold) for p in predictions]


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


def mean_or_nan(values: np.ndarray) -> float:
    """The mean of (N,) values, NaN of none."""
    return float(values.mean()) if len(values) else float("nan")

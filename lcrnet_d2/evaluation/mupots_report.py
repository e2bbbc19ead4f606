"""MuPoTS-3D results as Markdown, for predictions of images found by their file names."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePath

from ..structures import Skeleton
from .mupots import MuPoTSFrame, sequence_errors, summarize_sequences
from .people import ImagePredictions
from .report import METHOD_LABELS, Report, detected_people, markdown_table, methods_in

__all__ = ["frames_as_records", "report_mupots"]

_NAMES = {
    "n_people": "people",
    "n_matched": "matched",
    "recall": "recall (%)",
    "pck_all": "3DPCK all (%)",
    "pck_matched": "3DPCK matched (%)",
    "auc_all": "AUC all (%)",
    "auc_matched": "AUC matched (%)",
}
_PROTOCOL = (
    "MuPoTS-3D: people are matched in 2D, one-to-one, in the order of the annotations: most of 13 joints under 40 px "
    "off in x and y. Predictions are rescaled to the true bone lengths; root: pelvis (middle of the hips); "
    "14 joints, 3DPCK under 150 mm, AUC over 0, 5 ... 150 mm. all: people not matched are wrong; matched: they are "
    "left out. False positives cost nothing. Means are over sequences.\n"
)


def frames_as_records(frames: Sequence[MuPoTSFrame]) -> list[dict]:
    """Dataset dicts that name the frames, for `saved_predictions`; image_id is the file name."""
    return [{"file_name": f.file_name, "image_id": f.file_name, "width": 0, "height": 0} for f in frames]


def report_mupots(
    frames: Sequence[MuPoTSFrame],
    predictions: Sequence[ImagePredictions],
    skeleton: Skeleton,
    score_threshold: float = 0.0,
) -> Report:
    """3DPCK and AUC per sequence and their mean.

    Args:
        frames: see `mupots.read_mupots`.
        predictions: for the same images, in the same order (`report.in_order_of` of `frames_as_records`).
        skeleton: names the joints of the predictions.
        score_threshold: detections under it are none. They cost nothing here: 0 gives the best recall.
    """
    metrics, sections = {}, []
    for method in methods_in(predictions):
        detected = [detected_people(p, method, score_threshold) for p in predictions]
        rows = summarize_sequences(sequence_errors(frames, detected, skeleton))
        metrics[f"mupots_{method}"] = rows["mean"] | {
            f"{name}_{sequence}": value
            for sequence, row in rows.items()
            if sequence != "mean"
            for name, value in row.items()
        }
        cells = [
            [sequence, *(f"{row[n]:.0f}" if n.startswith("n_") else f"{row[n]:.1f}" for n in _NAMES)]
            for sequence, row in rows.items()
        ]
        sections.append(f"## {METHOD_LABELS[method]}\n\n" + markdown_table(["sequence", *_NAMES.values()], cells))
    count = f"{len(frames)} frames of {len({PurePath(f.file_name).parent for f in frames})} sequences.\n"
    return Report(metrics, "\n".join(["# MuPoTS-3D\n", _PROTOCOL, count, *sections]))

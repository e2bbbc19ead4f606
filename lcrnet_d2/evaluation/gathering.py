"""Predictions of all processes, each image once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from detectron2.utils import comm

from .people import ImagePredictions

__all__ = ["gather_predictions"]


def gather_predictions(predictions: Sequence[ImagePredictions], distributed: bool = True) -> list[ImagePredictions]:
    """All processes' predictions on the main process (an empty list on the others); of one image's, the first.

    Samplers that pad the last batch give an image to two processes.

    Args:
        predictions: this process's.
        distributed: False to leave the other processes alone.
    """
    shards: Any = [list(predictions)]
    if distributed:
        comm.synchronize()
        shards = comm.gather(list(predictions), dst=0)
    first: dict[int | str, ImagePredictions] = {}
    for prediction in (p for shard in shards for p in shard):
        first.setdefault(prediction.image_id, prediction)
    return list(first.values())

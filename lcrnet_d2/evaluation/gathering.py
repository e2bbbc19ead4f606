"""What every evaluator here does first: collect the people detected, then gather them, each image once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from detectron2.data import DatasetCatalog
from detectron2.evaluation import DatasetEvaluator
from detectron2.utils import comm

from ..structures import Skeleton
from .people import ImagePredictions, predictions_from_instances

__all__ = ["PredictionCollector", "gather_predictions"]


class PredictionCollector(DatasetEvaluator):
    """Keeps compact copies of a model's people on a registered data set; subclasses evaluate them.

    Raises:
        ValueError: the data set is not registered.
    """

    def __init__(self, dataset_name: str, skeleton: Skeleton, distributed: bool) -> None:
        if dataset_name not in DatasetCatalog.list():
            raise ValueError(f"data set {dataset_name!r} is not registered; known: {DatasetCatalog.list()}")
        self._dataset_name = dataset_name
        self._skeleton = skeleton
        self._distributed = distributed
        self.reset()

    def reset(self) -> None:
        self._predictions: list[ImagePredictions] = []

    def process(self, inputs: Sequence[Mapping[str, Any]], outputs: Sequence[Mapping[str, Any]]) -> None:
        """Keeps copies of a batch's people; `outputs` are the model's, in pixels of the original images."""
        for record, output in zip(inputs, outputs, strict=True):
            self._predictions.append(predictions_from_instances(record, output["instances"]))


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

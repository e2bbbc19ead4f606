"""Detectron2 evaluator of 2D + 3D people: NMS beside PPI, from one pass of the network (Sec. 3.5, 4)."""

from __future__ import annotations

import logging
from collections import OrderedDict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from detectron2.data import DatasetCatalog
from detectron2.utils import comm
from detectron2.utils.logger import create_small_table

from ..structures import AnchorPoses, Skeleton
from .dataset_metrics import evaluate_predictions, pair_by_image
from .gathering import PredictionCollector, gather_predictions
from .people import MIN_JOINTS_SEEN, ImagePredictions, ImageTruth, truth_from_dict
from .predictions_json import save_predictions
from .score_threshold import ScoreThreshold, choose_score_threshold

__all__ = ["MethodThresholds", "PoseEvaluator"]

_logger = logging.getLogger(__name__)


class MethodThresholds(NamedTuple):
    """What `PoseEvaluator.choose_thresholds` finds for each of the two methods."""

    nms: ScoreThreshold
    ppi: ScoreThreshold


class PoseEvaluator(PredictionCollector):
    """MPJPE, 3DPCK, recall, false positives and 2D PCK of NMS and PPI on a registered data set.

    On validation data `choose_thresholds` gives the score thresholds to build the test evaluator with:

        val = PoseEvaluator("people_val", BODY13)
        inference_on_dataset(model, val_loader, val)
        chosen = val.choose_thresholds(max_fp_per_image=0.2)
        test = PoseEvaluator("people_test", BODY13,
                             nms_score_threshold=chosen.nms.score, ppi_score_threshold=chosen.ppi.score)

    Args:
        dataset_name: in the DatasetCatalog; its dicts hold the ground truth (see `truth_from_dict`).
        skeleton: names the joints of model and data set.
        nms_score_threshold: score threshold of the NMS poses that count.
        ppi_score_threshold: score threshold of the PPI poses that count; a sum of scores, it may exceed 1.
        mean_pose: (J, 3) m, mean training pose: a baseline that is reported where given.
        anchors: the model's anchor poses: another baseline, reported where given.
        min_joints_seen: people with fewer joints seen are ignored; 0 where a data set does not know which are.
        distributed: gather the predictions of all processes.
        output_dir: where given, the predictions are written there as pose_predictions.json.
    """

    def __init__(
        self,
        dataset_name: str,
        skeleton: Skeleton,
        *,
        nms_score_threshold: float = 0.0,
        ppi_score_threshold: float = 0.0,
        mean_pose: np.ndarray | None = None,
        anchors: AnchorPoses | None = None,
        min_joints_seen: int = MIN_JOINTS_SEEN,
        distributed: bool = True,
        output_dir: str | Path | None = None,
    ) -> None:
        super().__init__(dataset_name, skeleton, distributed)
        self._nms_score_threshold = nms_score_threshold
        self._ppi_score_threshold = ppi_score_threshold
        self._mean_pose = mean_pose
        self._anchors = anchors
        self._min_joints_seen = min_joints_seen
        self._output_dir = None if output_dir is None else Path(output_dir)

    def reset(self) -> None:
        super().reset()
        self._gathered: list[ImagePredictions] | None = None

    def evaluate(self) -> dict[str, dict[str, float]]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """The results of `evaluate_predictions` on the main process, {} on the others.

        Images of the data set that were not processed count as without detections, as in COCO's evaluation.
        """
        self._gathered = gather_predictions(self._predictions, self._distributed)
        if self._distributed and not comm.is_main_process():
            return {}
        truths = self._truths()
        if len(self._gathered) < len(truths):
            _logger.warning(
                "%s: %d of %d images were not processed and count as without detections",
                self._dataset_name,
                len(truths) - len(self._gathered),
                len(truths),
            )
        if self._output_dir is not None:
            self._output_dir.mkdir(parents=True, exist_ok=True)
            save_predictions(self._output_dir / "pose_predictions.json", self._gathered, self._skeleton)
        results = evaluate_predictions(
            truths,
            self._gathered,
            self._skeleton,
            nms_score_threshold=self._nms_score_threshold,
            ppi_score_threshold=self._ppi_score_threshold,
            mean_pose=self._mean_pose,
            anchors=self._anchors,
        )
        for task, metrics in results.items():
            _logger.info("%s on %s:\n%s", task, self._dataset_name, create_small_table(metrics))
        return OrderedDict(results)

    def choose_thresholds(self, max_fp_per_image: float = 0.2) -> MethodThresholds:
        """The score thresholds of highest recall with at most so many false positives per image.

        To be called after `evaluate`, and on every process where there are several: all get the same answer.
        The thresholds this evaluator was built with have no influence.

        Raises:
            RuntimeError: `evaluate` has not been called.
        """
        if self._gathered is None:
            raise RuntimeError("choose_thresholds needs predictions: run inference_on_dataset with this evaluator")
        if not self._distributed:
            return self._chosen_here(self._gathered, max_fp_per_image)
        chosen = self._chosen_here(self._gathered, max_fp_per_image) if comm.is_main_process() else None
        of_all: list[Any] = comm.all_gather(chosen)
        return of_all[0]

    def _chosen_here(self, predictions: list[ImagePredictions], max_fp_per_image: float) -> MethodThresholds:
        truths = self._truths()
        by_image = pair_by_image(truths, predictions, len(self._skeleton))
        return MethodThresholds(
            nms=choose_score_threshold(truths, [p.nms for p in by_image], max_fp_per_image),
            ppi=choose_score_threshold(truths, [p.ppi for p in by_image], max_fp_per_image),
        )

    def _truths(self) -> list[ImageTruth]:
        records = DatasetCatalog.get(self._dataset_name)
        return [truth_from_dict(record, len(self._skeleton), self._min_joints_seen) for record in records]

"""NMS beside PPI over a data set, from one pass of the network (Sec. 3.5, 4), and what every evaluator shares.

Shapes: F people found, J joints. 2D in px, 3D in m; results in mm and percent.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from detectron2.data import DatasetCatalog
from detectron2.evaluation import DatasetEvaluator
from detectron2.utils import comm
from detectron2.utils.logger import create_small_table

from ..structures import AnchorPoses, Skeleton, centre_poses
from .depth_metrics import depth_metrics
from .matching import FoundPeople, ScoreThreshold, choose_score_threshold, find_people
from .metrics import mean_2d_error, mpjpe, pck_2d, pck_3d
from .people import (
    MIN_JOINTS_SEEN,
    ImagePredictions,
    ImageTruth,
    PredictedPeople,
    predictions_from_instances,
    truth_from_dict,
)
from .predictions import save_predictions
from .report import Metrics, Predictions, Records, detected_people, in_order_of, mean_or_nan

__all__ = ["MethodThresholds", "PoseEvaluator", "PredictionCollector", "evaluate_predictions"]

_logger = logging.getLogger(__name__)

_PCK_2D_THRESHOLD = 0.1  # of sqrt(box area)
_PLACED_AT_ONCE = 1000  # anchor poses are placed (R, C, J, 2) at a time: 20 MB for 200 classes


class PredictionCollector(DatasetEvaluator):
    """Keeps compact copies of a model's people on a registered data set, gathers and saves them.

    Subclasses give the `_results` of a data set's dicts and of the predictions for them, in that order.
    Images that were not processed count as without detections, as in COCO's evaluation.

    Args:
        dataset_name: in the DatasetCatalog; its dicts hold the ground truth (see `truth_from_dict`).
        skeleton: names the joints of model and data set.
        distributed: gather the predictions of all processes.
        output_dir: where given, the predictions are written there as pose_predictions.json.

    Raises:
        ValueError: the data set is not registered.
    """

    def __init__(
        self, dataset_name: str, skeleton: Skeleton, *, distributed: bool = True, output_dir: str | Path | None = None
    ) -> None:
        if dataset_name not in DatasetCatalog.list():
            raise ValueError(f"data set {dataset_name!r} is not registered; known: {DatasetCatalog.list()}")
        self._dataset_name = dataset_name
        self._skeleton = skeleton
        self._distributed = distributed
        self._output_dir = None if output_dir is None else Path(output_dir)
        self.reset()

    def reset(self) -> None:
        self._predictions: list[ImagePredictions] = []

    def process(self, inputs: Sequence[Mapping[str, Any]], outputs: Sequence[Mapping[str, Any]]) -> None:
        """Keeps copies of a batch's people; `outputs` are the model's, in pixels of the original images."""
        for record, output in zip(inputs, outputs, strict=True):
            self._predictions.append(predictions_from_instances(record, output["instances"]))

    def evaluate(self) -> Metrics:  # pyright: ignore[reportIncompatibleMethodOverride]
        """{task: {metric: number}} on the main process, {} on the others."""
        shards: Any = [self._predictions]
        if self._distributed:
            comm.synchronize()
            shards = comm.gather(self._predictions, dst=0)
            if not comm.is_main_process():
                return {}
        first: dict[int | str, ImagePredictions] = {}  # samplers that pad the last batch give an image to two processes
        for prediction in (p for shard in shards for p in shard):
            first.setdefault(prediction.image_id, prediction)
        gathered, records = list(first.values()), DatasetCatalog.get(self._dataset_name)
        if len(gathered) < len(records):
            _logger.warning(
                "%s: %d of %d images were not processed and count as without detections",
                *(self._dataset_name, len(records) - len(gathered), len(records)),
            )
        if self._output_dir is not None:  # first: hours of inference are not lost to data that a protocol refuses
            self._output_dir.mkdir(parents=True, exist_ok=True)
            save_predictions(self._output_dir / "pose_predictions.json", gathered, self._skeleton)
        return OrderedDict(self._results(records, in_order_of(records, gathered, len(self._skeleton))))

    def _results(self, records: Records, predictions: Predictions) -> Metrics:
        raise NotImplementedError


class MethodThresholds(NamedTuple):
    """What `PoseEvaluator.choose_thresholds` finds for each of the two methods."""

    nms: ScoreThreshold
    ppi: ScoreThreshold


class PoseEvaluator(PredictionCollector):
    """MPJPE, 3DPCK, recall, false positives and 2D PCK of NMS and PPI: the results of `evaluate_predictions`.

    On validation data `choose_thresholds` gives the score thresholds to build the test evaluator with:

        val = PoseEvaluator("people_val", BODY13)
        inference_on_dataset(model, val_loader, val)
        chosen = val.choose_thresholds(max_fp_per_image=0.2)
        test = PoseEvaluator("people_test", BODY13,
                             nms_score_threshold=chosen.nms.score, ppi_score_threshold=chosen.ppi.score)

    Args:
        nms_score_threshold: score threshold of the NMS poses that count.
        ppi_score_threshold: score threshold of the PPI poses that count; a sum of scores, it may exceed 1.
        mean_pose: (J, 3) m, mean training pose: a baseline that is reported where given.
        anchors: the model's anchor poses: another baseline, reported where given.
        min_joints_seen: people with fewer joints seen are ignored; 0 where a data set does not know which are.
        dataset_name, skeleton, distributed, output_dir: as of `PredictionCollector`.
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
        super().__init__(dataset_name, skeleton, distributed=distributed, output_dir=output_dir)
        self._options = {"nms_score_threshold": nms_score_threshold, "ppi_score_threshold": ppi_score_threshold}
        self._baselines: dict[str, Any] = {"mean_pose": mean_pose, "anchors": anchors}
        self._min_joints_seen = min_joints_seen

    def reset(self) -> None:
        super().reset()
        self._evaluated: tuple[list[ImageTruth], Predictions] | None = None

    def _results(self, records: Records, predictions: Predictions) -> Metrics:
        truths = [truth_from_dict(record, len(self._skeleton), self._min_joints_seen) for record in records]
        self._evaluated = truths, predictions
        results = evaluate_predictions(truths, predictions, self._skeleton, **self._options, **self._baselines)
        for task, metrics in results.items():
            _logger.info("%s on %s:\n%s", task, self._dataset_name, create_small_table(metrics))
        return results

    def choose_thresholds(self, max_fp_per_image: float = 0.2) -> MethodThresholds:
        """The score thresholds of highest recall with at most so many false positives per image.

        To be called after `evaluate`, and on every process where there are several: all get the same answer.
        The thresholds this evaluator was built with have no influence.

        Raises:
            RuntimeError: `evaluate` has not been called.
        """
        chosen = None
        if not self._distributed or comm.is_main_process():
            if self._evaluated is None:
                raise RuntimeError("choose_thresholds needs predictions: run inference_on_dataset with this evaluator")
            truths, predictions = self._evaluated
            # With heat maps the threshold is for the scores that they give.
            integrated = [p.ppi if p.refined is None else p.refined for p in predictions]
            chosen = MethodThresholds(
                nms=choose_score_threshold(truths, [p.nms for p in predictions], max_fp_per_image),
                ppi=choose_score_threshold(truths, integrated, max_fp_per_image),
            )
        of_all: list[Any] = comm.all_gather(chosen) if self._distributed else [chosen]
        return of_all[0]


def evaluate_predictions(
    truths: Sequence[ImageTruth],
    predictions: Predictions,
    skeleton: Skeleton,
    *,
    nms_score_threshold: float = 0.0,
    ppi_score_threshold: float = 0.0,
    mean_pose: np.ndarray | None = None,
    anchors: AnchorPoses | None = None,
) -> Metrics:
    """Compares NMS and PPI with the ground truth, each on its own and on the people both find.

    Who is found, missed or wrongly detected is decided by `matching.match_people`. Images without predictions have no
    detections. All metrics are means over people, NaN of nobody; the root of both 3D poses is the body centre.

    Args:
        truths: the data set.
        predictions: of the same images, in any order, once each.
        skeleton: names the J joints.
        nms_score_threshold, ppi_score_threshold: score threshold of NMS and of PPI that counts.
        mean_pose: (J, 3) m, the mean training pose, the weakest baseline.
        anchors: for the other baseline, the predicted class's anchor pose unregressed, in its box.

    Returns:
        "pose_ppi" and "pose_nms", each with
            n_images, n_people (counted), n_found, n_found_3d (of those, with a 3D pose),
            recall (% of the people counted), fp_per_image,
            mpjpe_mm, mpjpe_rigid_mm, mpjpe_similarity_mm, pck_3d_150mm (%) and those of `depth_metrics`: found
            people with a 3D pose,
            pck_2d (% of the annotated joints within 0.1 sqrt(box area)): found people,
            pck_2d_all: all people counted, those missed with 0;
        with heat maps "pose_refined", the same of PPI's people with refined joints;
        "common", on the people that all find: n_people, n_people_3d, and mpjpe_mm, mpjpe_rigid_mm,
            pck_3d_150mm, pck_2d, error_2d (% of sqrt(box area)) with the prefixes nms_, ppi_, refined_, anchor_ and
            mean_pose_ (3D only).

    Raises:
        ValueError: no images, predictions for an image twice, or for one that is not in the data set.
    """
    if not truths:
        raise ValueError("no images to evaluate on: the data set is empty")
    by_image = in_order_of([vars(truth) for truth in truths], predictions, len(skeleton))
    thresholds = {"ppi": ppi_score_threshold, "nms": nms_score_threshold}
    if any(p.refined is not None for p in by_image):
        thresholds["refined"] = ppi_score_threshold
    found = {
        method: find_people(truths, [detected_people(p, method, threshold) for p in by_image])
        for method, threshold in thresholds.items()
    }
    by_method = {f"pose_{method}": _method_metrics(truths, people, skeleton) for method, people in found.items()}
    return by_method | {"common": _common_metrics(found, skeleton, mean_pose, anchors)}


def _method_metrics(truths: Sequence[ImageTruth], found: FoundPeople, skeleton: Skeleton) -> dict[str, float]:
    n_people = sum(int(t.is_counted.sum()) for t in truths)
    n_found = len(found.keys)
    recall = n_found / n_people if n_people else float("nan")
    has_3d = found.measured_3d.any(1)
    pred, gt, measured = found.detected.poses_3d[has_3d], found.true_3d[has_3d], found.measured_3d[has_3d]
    errors = {
        **_metrics_3d(found.detected.poses_3d, found, skeleton),
        "mpjpe_similarity_mm": mean_or_nan(mpjpe(pred, gt, measured, align="similarity")),
        **depth_metrics(pred, gt, skeleton, measured),
        **_metrics_2d(found.detected.poses_2d, found),
    }
    return {
        "n_images": float(len(truths)),
        "n_people": float(n_people),
        "n_found": float(n_found),
        "n_found_3d": float(has_3d.sum()),
        "recall": 100 * recall,
        "fp_per_image": found.num_false_positives / len(truths),
        **errors,
        "pck_2d_all": errors["pck_2d"] * recall if n_found else 0 * recall,
    }


def _common_metrics(
    found: dict[str, FoundPeople], skeleton: Skeleton, mean_pose: np.ndarray | None, anchors: AnchorPoses | None
) -> dict[str, float]:
    row_of = {m: {tuple(key): row for row, key in enumerate(people.keys.tolist())} for m, people in found.items()}
    keys = [key for key in row_of["nms"] if all(key in rows for rows in row_of.values())]
    common = {m: people.rows(np.array([row_of[m][k] for k in keys], dtype=int)) for m, people in found.items()}
    nms = common["nms"]
    results = {"n_people": float(len(keys)), "n_people_3d": float(nms.measured_3d.any(1).sum())}
    poses = {m: (people.detected.poses_2d, people.detected.poses_3d) for m, people in common.items()}
    if anchors is not None:
        poses["anchor"] = _anchor_poses(anchors, nms.detected)
    for name, (poses_2d, poses_3d) in poses.items():
        metrics = {**_metrics_3d(poses_3d, nms, skeleton), **_metrics_2d(poses_2d, nms)}
        results.update({f"{name}_{metric}": value for metric, value in metrics.items()})
    if mean_pose is not None:
        metrics = _metrics_3d(np.broadcast_to(mean_pose, nms.true_3d.shape), nms, skeleton)
        results.update({f"mean_pose_{metric}": value for metric, value in metrics.items()})
    return results


def _anchor_poses(anchors: AnchorPoses, detected: PredictedPeople) -> tuple[np.ndarray, np.ndarray]:
    """(F, J, 2) px and (F, J, 3) m: the predicted class's anchor pose, in the box it was predicted for."""
    classes = torch.from_numpy(detected.classes).long()
    unknown = int((classes < 0).sum())
    if unknown:
        raise ValueError(f"{unknown} NMS poses come without class and box; leave out `anchors` to evaluate them")
    boxes = torch.from_numpy(detected.boxes).float()
    placed = [
        anchors.place(b)[torch.arange(len(b)), c]
        for b, c in zip(boxes.split(_PLACED_AT_ONCE), classes.split(_PLACED_AT_ONCE), strict=True)
    ]
    return torch.cat(placed).cpu().numpy(), anchors.poses_3d.cpu()[classes].numpy()


def _metrics_3d(poses_3d: np.ndarray, found: FoundPeople, skeleton: Skeleton) -> dict[str, float]:
    has_3d = found.measured_3d.any(1)
    pred = centre_poses(torch.from_numpy(poses_3d[has_3d].astype(np.float64)), skeleton)
    gt = centre_poses(torch.from_numpy(found.true_3d[has_3d]), skeleton)
    measured = found.measured_3d[has_3d]
    return {
        "mpjpe_mm": float(mpjpe(pred, gt, measured).mean()),
        "mpjpe_rigid_mm": float(mpjpe(pred, gt, measured, align="rigid").mean()),
        "pck_3d_150mm": 100 * float(pck_3d(pred, gt, measured, threshold_mm=150).mean()),
    }


def _metrics_2d(poses_2d: np.ndarray, found: FoundPeople) -> dict[str, float]:
    poses_2d = poses_2d.astype(np.float64)
    size = np.sqrt(np.prod(found.boxes[:, 2:] - found.boxes[:, :2], axis=1))
    shares = pck_2d(poses_2d, found.true_2d, size, found.annotated_2d, _PCK_2D_THRESHOLD)
    errors = mean_2d_error(poses_2d, found.true_2d, found.boxes, found.annotated_2d)
    return {"pck_2d": 100 * mean_or_nan(shares), "error_2d": 100 * mean_or_nan(errors)}

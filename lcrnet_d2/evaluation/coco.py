"""OKS AP of NMS and PPI over the joints that a skeleton shares with COCO, by pycocotools.

Shapes: J joints, M people annotated, N detected.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval, Params

from ..structures import COCO17, PIXEL_CENTRE, Skeleton
from .people import ImageTruth, PredictedPeople, truth_from_dict
from .pose_evaluator import PredictionCollector
from .report import (
    METHOD_LABELS,
    METHODS,
    Metrics,
    Predictions,
    Records,
    Report,
    detected_people,
    markdown_table,
    people_of_methods,
)

__all__ = ["COCOKeypointEvaluator", "coco_ground_truth", "keypoint_precisions", "oks_sigmas", "report_coco"]

_METRICS = ("AP", "AP50", "AP75", "APm", "APl")
# COCO's `area` is that of the person's outline. Where a data set has only boxes, this share of the box stands for
# it: mean of 1234 people of COCO val2017 (80 % of them between 0.35 and 0.68). The whole box would double the
# tolerance of OKS, which is a distance over the square root of that area.
_OUTLINE_OF_BOX = 0.52
_CATEGORY_ID = 1


class COCOKeypointEvaluator(PredictionCollector):
    """OKS AP of the joints a skeleton shares with COCO, for all methods from one pass of the network.

    Gives {"keypoints_nms": ..., "keypoints_ppi": ...}, with heat maps "keypoints_refined" too: `keypoint_precisions`.

    COCO has no head point, and no standard sigma for one: the head counts for nothing here. Joints annotated
    outside the image have v = 0, as COCO annotators leave them. Crowds and people without keypoints are
    ignored, and in partly annotated images so is every detection that matches nobody; AP is then a matter of
    recall and localisation only. An annotation's `area` (px^2, of the outline) is used where present, else 0.52 of its
    box. Arguments as of `PredictionCollector`.
    """

    def _results(self, records: Records, predictions: Predictions) -> Metrics:
        methods = [m for m in METHODS if m != "refined" or any(p.refined is not None for p in predictions)]
        detected = {method: [detected_people(p, method) for p in predictions] for method in methods}
        return keypoint_precisions(records, detected, self._skeleton)


def report_coco(records: Records, predictions: Predictions, skeleton: Skeleton, score_threshold: float = 0.0) -> Report:
    """OKS AP as of `COCOKeypointEvaluator`. Arguments as in `report`; a score threshold of 0 gives the best AP."""
    detected = dict(people_of_methods(predictions, score_threshold))
    metrics = keypoint_precisions(records, detected, skeleton)
    rows = [
        [METHOD_LABELS[m], *(f"{value:.1f}" for value in of_method.values())]
        for m, of_method in zip(detected, metrics.values(), strict=True)
    ]
    table = markdown_table(["", *_METRICS], rows)
    return Report(metrics, "\n".join(["# COCO keypoints\n", _protocol(records, skeleton), table]))


def _protocol(records: Records, skeleton: Skeleton) -> str:
    shared = [joint for joint in skeleton.joints if joint in COCO17.joints]
    without_area = [a.get("area") is None for record in records for a in record.get("annotations", [])]
    text = (
        f"{len(records)} images, {len(without_area)} annotations; percent. pycocotools, OKS 0.50 to 0.95, at most 20 "
        f"detections per image, COCO's sigmas; {len(shared)} joints: {', '.join(shared)}."
    )
    if any(without_area):
        share = 100 * float(np.mean(without_area))
        text += f" {share:.0f} % of the people come without an area: 0.52 of the box stands for it."
    return text + "\n"


def keypoint_precisions(
    records: Records, detected: Mapping[str, Sequence[PredictedPeople]], skeleton: Skeleton
) -> Metrics:
    """{"keypoints_<method>": {"AP", "AP50", "AP75", "APm", "APl"}} in percent; NaN if nobody is annotated or detected.

    Args:
        records: the data set's dicts.
        detected: by method, the people that count in each of these images.
        skeleton: names the J joints of both.
    """
    content = coco_ground_truth(records, skeleton)
    precisions: dict[str, dict[str, float]] = {}
    for method, people in detected.items():
        results = [
            result for number, of_image in enumerate(people, start=1) for result in _coco_results(number, of_image)
        ]
        values = _average_precisions(content, results, oks_sigmas(skeleton))
        precisions[f"keypoints_{method}"] = dict(zip(_METRICS, values, strict=True))
    return precisions


def _average_precisions(content: dict[str, Any], results: list[dict[str, Any]], sigmas: list[float]) -> list[float]:
    if not content["annotations"] or not results:  # pycocotools stumbles over both
        return [float("nan")] * len(_METRICS)
    with contextlib.redirect_stdout(io.StringIO()):
        truth: Any = COCO()  # typed for files alone
        truth.dataset = content
        truth.createIndex()
        evaluator = COCOeval(truth, truth.loadRes(results), "keypoints")
        evaluator.params.kpt_oks_sigmas = np.array(sigmas)
        evaluator.evaluate()
        evaluator.accumulate()
        evaluator.summarize()
    # pycocotools says -1 where there is nobody of a size
    return [100 * float(value) if value >= 0 else float("nan") for value in evaluator.stats[: len(_METRICS)]]


def oks_sigmas(skeleton: Skeleton) -> list[float]:
    """COCO's standard deviations of annotators, per joint; 1 for joints that COCO lacks: they have v = 0 in truth."""
    known = dict(zip(COCO17.joints, Params("keypoints").kpt_oks_sigmas.tolist(), strict=True))
    return [known.get(joint, 1.0) for joint in skeleton.joints]


def coco_ground_truth(records: Records, skeleton: Skeleton) -> dict[str, Any]:
    """Dataset dicts as the content of a COCO keypoint file, images numbered from 1; the dicts are left as they are.

    Args:
        records: dicts in the form of `truth_from_dict`.
        skeleton: names the J joints. Keypoints are pixel indices: 0.5 less than ours.
    """
    shared = np.isin(skeleton.joints, COCO17.joints)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number, record in enumerate(records, start=1):
        truth = truth_from_dict(record, len(skeleton))
        images.append({"id": number, "file_name": truth.file_name, "width": truth.width, "height": truth.height})
        areas = [annotation.get("area") for annotation in record.get("annotations", [])]
        annotations += _annotations(truth, areas, shared, number)
    for identity, annotation in enumerate(annotations, start=1):  # COCOeval takes id 0 for "no match"
        annotation["id"] = identity
    category = {"id": _CATEGORY_ID, "name": "person", "keypoints": list(skeleton.joints), "skeleton": []}
    return {"info": {}, "images": images, "annotations": annotations, "categories": [category]}


def _annotations(
    truth: ImageTruth, areas: Sequence[float | None], shared: np.ndarray, image_number: int
) -> list[dict[str, Any]]:
    """The image's people in COCO's form, and a crowd that covers it where it is only partly annotated."""
    counted = truth.annotated_2d & shared & ~truth.is_crowd[:, None]
    seen = np.full((*counted.shape, 1), 2.0)
    keypoints = np.concatenate([truth.poses_2d - PIXEL_CENTRE, seen], -1) * counted[..., None]
    rows = list(zip(truth.boxes.tolist(), areas, truth.is_crowd.tolist(), keypoints, strict=True))
    if truth.partly_annotated:
        nothing = np.zeros((counted.shape[1], 3))
        rows.append(([0.0, 0.0, float(truth.width), float(truth.height)], None, True, nothing))
    return [
        {
            "image_id": image_number,
            "category_id": _CATEGORY_ID,
            "bbox": [x1, y1, x2 - x1, y2 - y1],
            "area": _OUTLINE_OF_BOX * (x2 - x1) * (y2 - y1) if area is None else float(area),
            "iscrowd": int(crowd),
            "num_keypoints": int((pose[:, 2] > 0).sum()),
            "keypoints": pose.ravel().tolist(),
        }
        for (x1, y1, x2, y2), area, crowd, pose in rows
    ]


def _coco_results(image_number: int, people: PredictedPeople) -> list[dict[str, Any]]:
    poses_2d = people.poses_2d.astype(np.float64) - PIXEL_CENTRE
    keypoints = np.concatenate([poses_2d, np.ones((*poses_2d.shape[:2], 1))], -1)
    return [
        {"image_id": image_number, "category_id": _CATEGORY_ID, "score": score, "keypoints": pose.ravel().tolist()}
        for score, pose in zip(people.scores.tolist(), keypoints, strict=True)
    ]

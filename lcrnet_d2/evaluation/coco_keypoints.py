"""COCO-style keypoint AP of NMS and PPI through Detectron2's own COCOEvaluator.

Shapes: J joints, M people annotated, N detected.
"""

from __future__ import annotations

import json
import tempfile
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.evaluation import COCOEvaluator
from detectron2.structures import Boxes, Instances
from detectron2.utils import comm
from pycocotools.cocoeval import Params

from ..structures import COCO17, PIXEL_CENTRE, Skeleton
from .gathering import PredictionCollector, gather_predictions
from .people import ImagePredictions, ImageTruth, PredictedPeople, truth_from_dict
from .report import METHODS, detected_people

__all__ = ["COCOKeypointEvaluator", "coco_ground_truth", "keypoint_precisions", "oks_sigmas"]

_METRICS = ("AP", "AP50", "AP75", "APm", "APl")
# COCO's `area` is that of the person's outline. Where a data set has only boxes, this share of the box stands for
# it: mean of 1234 people of COCO val2017 (80 % of them between 0.35 and 0.68). The whole box would double the
# tolerance of OKS, which is a distance over the square root of that area.
_OUTLINE_OF_BOX = 0.52
_CATEGORY_ID = 1


class COCOKeypointEvaluator(PredictionCollector):
    """OKS AP of the joints a skeleton shares with COCO, for both methods from one pass of the network.

    Detectron2's COCOEvaluator is run twice, on copies of the predictions and on a ground-truth file of its
    own: used directly it would read `scores` of one method only, shift the predicted keypoints by half a
    pixel in place for whoever evaluates next, and trust a ground-truth file cached by an earlier run.

    COCO has no head point, and no standard sigma for one: the head counts for nothing here. Joints annotated
    outside the image have v = 0, as COCO annotators leave them. Crowds and people without keypoints are
    ignored, and in partly annotated images so is every detection that matches nobody; AP is then a matter of
    recall and localisation only.

    Args:
        dataset_name: in the DatasetCatalog; its dicts hold the ground truth (see `truth_from_dict`). An
            annotation's `area` (px^2, of the outline) is used where present, else 0.52 of its box.
        skeleton: names the joints of model and data set.
        distributed: gather the predictions of all processes.

    Raises:
        ValueError: the data set is not registered.
    """

    def __init__(self, dataset_name: str, skeleton: Skeleton, *, distributed: bool = True) -> None:
        super().__init__(dataset_name, skeleton, distributed)

    def evaluate(self) -> dict[str, dict[str, float]]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """{"keypoints_nms": ..., "keypoints_ppi": ...}, each AP, AP50, AP75, APm, APl in percent.

        With heat maps "keypoints_refined" too. NaN where nobody is annotated or detected; {} on all processes but the
        main one.
        """
        gathered = gather_predictions(self._predictions, self._distributed)
        if self._distributed and not comm.is_main_process():
            return {}
        methods = [m for m in METHODS if m != "refined" or any(p.refined is not None for p in gathered)]
        detected = {method: [(p, detected_people(p, method)) for p in gathered] for method in methods}
        return OrderedDict(keypoint_precisions(DatasetCatalog.get(self._dataset_name), detected, self._skeleton))


def keypoint_precisions(
    records: Sequence[Mapping[str, Any]],
    detected: Mapping[str, Sequence[tuple[ImagePredictions, PredictedPeople]]],
    skeleton: Skeleton,
) -> dict[str, dict[str, float]]:
    """OKS AP as `COCOKeypointEvaluator` gives it.

    Args:
        records: the data set's dicts.
        detected: by method, images and those of their people that count.
        skeleton: names the J joints of both.

    Returns:
        {"keypoints_<method>": {"AP": ...}} in percent; NaN where nobody is annotated or detected.

    Raises:
        ValueError: an image that is not in the data set.
    """
    ground_truth, numbers = coco_ground_truth(records, skeleton)
    sigmas = oks_sigmas(skeleton)
    return {
        f"keypoints_{method}": _average_precision(ground_truth, numbers, sigmas, images)
        for method, images in detected.items()
    }


def _average_precision(
    ground_truth: dict[str, Any],
    image_numbers: dict[int | str, int],
    sigmas: list[float],
    images: Sequence[tuple[ImagePredictions, PredictedPeople]],
) -> dict[str, float]:
    if not ground_truth["annotations"] or not images:  # COCOEvaluator stumbles over both
        return dict.fromkeys(_METRICS, float("nan"))
    evaluator = _coco_evaluator(ground_truth, sigmas)
    evaluator.reset()
    for image, people in images:
        if image.image_id not in image_numbers:
            raise ValueError(f"image_id {image.image_id!r} is not in the data set")
        instances = _instances(people, image.width, image.height)
        evaluator.process([{"image_id": image_numbers[image.image_id]}], [{"instances": instances}])
    metrics = evaluator.evaluate()["keypoints"]
    return {name: float(metrics[name]) for name in _METRICS}


def oks_sigmas(skeleton: Skeleton) -> list[float]:
    """COCO's standard deviations of annotators, per joint of a skeleton; 1 for joints that COCO lacks.

    Those have v = 0 in the ground truth, so their sigma never counts.
    """
    known = dict(zip(COCO17.joints, Params("keypoints").kpt_oks_sigmas.tolist(), strict=True))
    return [known.get(joint, 1.0) for joint in skeleton.joints]


def coco_ground_truth(
    records: Sequence[Mapping[str, Any]], skeleton: Skeleton
) -> tuple[dict[str, Any], dict[int | str, int]]:
    """Dataset dicts as the content of a COCO keypoint file; the dicts are left as they are.

    Args:
        records: dicts in the form of `truth_from_dict`.
        skeleton: names the J joints.

    Returns:
        The content (keypoints as pixel indices: 0.5 less than ours), and the number of each image in it by
        its image_id, which may be a string in ours.
    """
    shared = np.isin(skeleton.joints, COCO17.joints)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    numbers: dict[int | str, int] = {}
    for number, record in enumerate(records, start=1):
        truth = truth_from_dict(record, len(skeleton))
        numbers[truth.image_id] = number
        images.append({"id": number, "file_name": truth.file_name, "width": truth.width, "height": truth.height})
        areas = [annotation.get("area") for annotation in record.get("annotations", [])]
        annotations += _annotations(truth, areas, shared, number)
    for identity, annotation in enumerate(annotations, start=1):  # COCOeval takes id 0 for "no match"
        annotation["id"] = identity
    category = {"id": _CATEGORY_ID, "name": "person", "keypoints": list(skeleton.joints), "skeleton": []}
    return {"info": {}, "images": images, "annotations": annotations, "categories": [category]}, numbers


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


def _coco_evaluator(ground_truth: dict[str, Any], sigmas: list[float]) -> COCOEvaluator:
    """Detectron2's evaluator on a ground truth that is no registered data set."""
    name = "lcrnet_d2_coco_keypoints"
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "ground_truth.json"
        file.write_text(json.dumps(ground_truth))
        MetadataCatalog.get(name).set(json_file=str(file))
        try:
            return COCOEvaluator(
                name,
                tasks=("keypoints",),
                distributed=False,
                use_fast_impl=False,  # needs detectron2._C, and is unofficial
                kpt_oks_sigmas=sigmas,
            )
        finally:
            MetadataCatalog.remove(name)  # its attributes cannot be set twice


def _instances(people: PredictedPeople, width: int, height: int) -> Instances:
    """New `Instances` of one method's people (`cat` copies), the box being the one around all joints."""
    poses_2d = torch.from_numpy(people.poses_2d).float()
    n, j = poses_2d.shape[:2]
    corners = torch.cat([poses_2d.amin(1), poses_2d.amax(1)], -1) if n else poses_2d.new_zeros((0, 4))
    return Instances(
        (height, width),
        pred_boxes=Boxes(corners),
        scores=torch.from_numpy(people.scores).float(),
        # COCOEvaluator has no mapping of category ids for this ground truth: class = category
        pred_classes=torch.full((n,), _CATEGORY_ID),
        pred_keypoints=torch.cat([poses_2d, poses_2d.new_ones((n, j, 1))], -1),
    )

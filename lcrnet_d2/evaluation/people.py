"""What evaluation keeps of an image: the people annotated and the people detected, as small NumPy arrays.

Every array is a copy: evaluators that work in place (Detectron2's COCOEvaluator) do not disturb the others.

Shapes: M people annotated, N detected, J joints. 2D in continuous pixels of the original image.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from detectron2.structures import BoxMode, Instances

__all__ = [
    "MIN_JOINTS_SEEN",
    "ImagePredictions",
    "ImageTruth",
    "PredictedPeople",
    "predictions_from_instances",
    "truth_from_dict",
]

#: People with fewer joints seen (v = 2) inside the image are ignored: neither missed nor found.
MIN_JOINTS_SEEN = 4


@dataclass(frozen=True)
class PredictedPeople:
    """The people one method (PPI or NMS) finds in an image.

    Attributes:
        scores: (N,), any scale; only their order and the threshold matter.
        poses_2d: (N, J, 2) px.
        poses_3d: (N, J, 3) m.
        boxes: (N, 4) px, the box a class was predicted for (NMS), NaN where unknown.
        classes: (N,) predicted anchor pose, -1 where unknown.
    """

    scores: np.ndarray
    poses_2d: np.ndarray
    poses_3d: np.ndarray
    boxes: np.ndarray
    classes: np.ndarray

    def __len__(self) -> int:
        return len(self.scores)

    def __getitem__(self, rows: np.ndarray) -> PredictedPeople:
        """Some of the people: rows as a bool or index array."""
        fields = (self.scores, self.poses_2d, self.poses_3d, self.boxes, self.classes)
        return PredictedPeople(*(field[rows] for field in fields))

    @classmethod
    def nobody(cls, num_joints: int) -> PredictedPeople:
        return cls.without_seeds(np.zeros(0), np.zeros((0, num_joints, 2)), np.zeros((0, num_joints, 3)))

    @classmethod
    def without_seeds(cls, scores: np.ndarray, poses_2d: np.ndarray, poses_3d: np.ndarray) -> PredictedPeople:
        """People of whom only the pose is known, not the class and box it was predicted from."""
        n = len(scores)
        return cls(scores, poses_2d, poses_3d, np.full((n, 4), np.nan), np.full(n, -1))


@dataclass(frozen=True)
class ImagePredictions:
    """One image's people as pose proposals integration (PPI) and non-maximum suppression (NMS) give them (Sec. 3.5).

    Attributes:
        image_id: of the dataset dict.
        file_name: of the dataset dict.
        width, height: px.
        ppi: every mode of every group.
        nms: the best proposal of every group.
        refined: PPI's people with their joints moved to heat maps; None of a model that has none.
    """

    image_id: int | str
    file_name: str
    width: int
    height: int
    ppi: PredictedPeople
    nms: PredictedPeople
    refined: PredictedPeople | None = None


@dataclass(frozen=True)
class ImageTruth:
    """One image's annotations.

    Attributes:
        image_id, file_name, width, height: of the dataset dict; px.
        partly_annotated: people without annotation may be in the picture.
        boxes: (M, 4) px, x1, y1, x2, y2.
        is_crowd: (M,) bool.
        is_counted: (M,) bool: to be found. The others (crowds, people with too few joints seen, empty boxes)
            are ignored: not missed, and detections on them are no false positives.
        poses_2d: (M, J, 2) px, 0 where not annotated.
        annotated_2d: (M, J) bool: v >= 1 and inside the image.
        poses_3d: (M, J, 3) m, relative to the body centre; NaN for people without.
        measured_3d: (M, J) bool: v >= 1, inside the image or not; False for people without a 3D pose, True
            for those with a 3D pose and no keypoints. Joints completed by search (v = 0) are no ground truth.
    """

    image_id: int | str
    file_name: str
    width: int
    height: int
    partly_annotated: bool
    boxes: np.ndarray
    is_crowd: np.ndarray
    is_counted: np.ndarray
    poses_2d: np.ndarray
    annotated_2d: np.ndarray
    poses_3d: np.ndarray
    measured_3d: np.ndarray


def truth_from_dict(record: Mapping[str, Any], num_joints: int, min_joints_seen: int = MIN_JOINTS_SEEN) -> ImageTruth:
    """Ground truth of one Detectron2 dataset dict; the dict is left as it is.

    Args:
        record: file_name, height, width, image_id, optional partly_annotated, and annotations with bbox,
            bbox_mode, optional iscrowd, keypoints (flat x, y, v, continuous px) and pose_3d (J, 3) m.
        num_joints: J.
        min_joints_seen: see `MIN_JOINTS_SEEN`; 0 where a data set does not know which joints are seen.

    Raises:
        ValueError: keypoints or a 3D pose of another number of joints.
    """
    annotations = record.get("annotations", [])
    m, width, height = len(annotations), record["width"], record["height"]
    boxes, keypoints = np.zeros((m, 4)), np.zeros((m, num_joints, 3))
    poses_3d, measured_3d = np.full((m, num_joints, 3), np.nan), np.zeros((m, num_joints), dtype=bool)
    for i, annotation in enumerate(annotations):
        where = f"{record['file_name']}, annotation {i}"
        boxes[i] = BoxMode.convert(list(annotation["bbox"]), annotation["bbox_mode"], BoxMode.XYXY_ABS)
        if "keypoints" in annotation:
            keypoints[i] = _of_shape(annotation["keypoints"], (num_joints, 3), f"{where}: keypoints")
        if annotation.get("pose_3d") is not None:
            poses_3d[i] = _of_shape(annotation["pose_3d"], (num_joints, 3), f"{where}: pose_3d")
            measured_3d[i] = keypoints[i, :, 2] >= 1 if "keypoints" in annotation else True
    x, y, v = np.moveaxis(keypoints, -1, 0)
    annotated = (v >= 1) & (x >= 0) & (x <= width) & (y >= 0) & (y <= height)
    is_crowd = np.array([bool(a.get("iscrowd", 0)) for a in annotations], dtype=bool)
    seen_enough = (annotated & (v == 2)).sum(1) >= min_joints_seen
    has_box = (boxes[:, 2:] > boxes[:, :2]).all(1)
    return ImageTruth(
        image_id=record.get("image_id", record["file_name"]),
        file_name=record["file_name"],
        width=width,
        height=height,
        partly_annotated=bool(record.get("partly_annotated", False)),
        boxes=boxes,
        is_crowd=is_crowd,
        is_counted=~is_crowd & seen_enough & has_box & annotated.any(1),
        poses_2d=keypoints[..., :2],
        annotated_2d=annotated,
        poses_3d=poses_3d,
        measured_3d=measured_3d,
    )


def _of_shape(values: Any, shape: tuple[int, int], what: str) -> np.ndarray:
    array = np.asarray(values, dtype=np.float64)
    if array.size != shape[0] * shape[1]:
        raise ValueError(f"{what} holds {array.size} numbers, expected {shape[0]} joints x {shape[1]}")
    return array.reshape(shape)


def predictions_from_instances(record: Mapping[str, Any], instances: Instances) -> ImagePredictions:
    """Copies of a model's output for one image, after `detector_postprocess` (pixels of the original image).

    Args:
        record: the model's input for the image: image_id, file_name.
        instances: scores, pred_keypoints, pred_poses_3d (PPI), pred_groups, pred_anchors and, per row, the seed of its
            group: pred_seed_scores, pred_seed_keypoints and pred_seed_boxes divided by the image's width and height,
            pred_seed_poses_3d. The first row of a group is its NMS pose. With pred_integrated_scores,
            pred_integrated_keypoints (divided too) or pred_integrated_poses_3d, these are PPI's, and scores,
            pred_keypoints and pred_poses_3d those of heat maps and lifter.

    Raises:
        ValueError: a field is missing; the message names it.
    """
    needed = ("scores", "pred_keypoints", "pred_poses_3d", "pred_groups", "pred_anchors")
    seed = ("pred_seed_scores", "pred_seed_keypoints", "pred_seed_poses_3d", "pred_seed_boxes")
    missing = [name for name in needed + seed if not instances.has(name)]
    if missing:
        raise ValueError(f"the model's output for {record.get('file_name')} lacks {missing}; is it an LCR-Net?")
    height, width = instances.image_size
    size = np.array([width, height], dtype=np.float32)
    poses_2d = _copied(instances.pred_keypoints)[..., :2]
    scores, poses_3d = _copied(instances.scores), _copied(instances.pred_poses_3d)
    integrated_2d, integrated_3d = poses_2d, poses_3d
    integrated = instances.pred_integrated_scores if instances.has("pred_integrated_scores") else instances.scores
    if instances.has("pred_integrated_keypoints"):
        integrated_2d = _copied(instances.pred_integrated_keypoints) * size
    if instances.has("pred_integrated_poses_3d"):
        integrated_3d = _copied(instances.pred_integrated_poses_3d)
    is_refined = integrated_2d is not poses_2d or integrated_3d is not poses_3d
    first = np.sort(np.unique(_copied(instances.pred_groups), return_index=True)[1])
    return ImagePredictions(
        image_id=record.get("image_id", record["file_name"]),
        file_name=record["file_name"],
        width=width,
        height=height,
        ppi=PredictedPeople.without_seeds(_copied(integrated), integrated_2d, integrated_3d),
        nms=PredictedPeople(
            scores=_copied(instances.pred_seed_scores),
            poses_2d=_copied(instances.pred_seed_keypoints) * size,
            poses_3d=_copied(instances.pred_seed_poses_3d),
            boxes=_copied(instances.pred_seed_boxes) * np.tile(size, 2),
            classes=_copied(instances.pred_anchors),
        )[first],
        refined=PredictedPeople.without_seeds(scores, poses_2d, poses_3d) if is_refined else None,
    )


def _copied(values: torch.Tensor) -> np.ndarray:
    """float32 or integers; `astype` copies, where `.cpu()` shares memory with a tensor that is on the CPU already."""
    array = values.detach().cpu().numpy()
    return array.astype(np.float32 if array.dtype.kind == "f" else np.int64)

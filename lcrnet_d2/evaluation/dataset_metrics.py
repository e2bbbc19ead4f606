"""Metrics of predictions over a data set: pure, so that saved predictions can be judged without the network.

Shapes: F people found, J joints. 2D in px, 3D in m; results in mm and percent.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch

from ..structures import AnchorPoses, Skeleton, centre_poses
from .matching import match_people
from .metrics import mpjpe, pck_2d, pck_3d
from .people import ImagePredictions, ImageTruth, PredictedPeople, predictions_in_order
from .report import detected_people

__all__ = ["FoundPeople", "evaluate_predictions", "find_people", "pair_by_image"]

_PCK_2D_THRESHOLD = 0.1  # of sqrt(box area)
_PLACED_AT_ONCE = 1000  # anchor poses are placed (R, C, J, 2) at a time: 20 MB for 200 classes


class FoundPeople(NamedTuple):
    """The people one method finds, over all images.

    Attributes:
        keys: (F, 2) image and row of its annotations.
        detected: F detections, one for each.
        boxes, true_2d, annotated_2d, true_3d, measured_3d: the annotations, as in `ImageTruth`.
        num_false_positives: over all images.
    """

    keys: np.ndarray
    detected: PredictedPeople
    boxes: np.ndarray
    true_2d: np.ndarray
    annotated_2d: np.ndarray
    true_3d: np.ndarray
    measured_3d: np.ndarray
    num_false_positives: int

    def rows(self, index: np.ndarray) -> FoundPeople:
        """Some of the people; the false positives stay as they are."""
        per_person = {name: getattr(self, name)[index] for name in self._fields if name != "num_false_positives"}
        return self._replace(**per_person)


def evaluate_predictions(
    truths: Sequence[ImageTruth],
    predictions: Sequence[ImagePredictions],
    skeleton: Skeleton,
    *,
    nms_score_threshold: float = 0.0,
    ppi_score_threshold: float = 0.0,
    mean_pose: np.ndarray | None = None,
    anchors: AnchorPoses | None = None,
) -> dict[str, dict[str, float]]:
    """Compares NMS and PPI with the ground truth, each on its own and on the people both find.

    A detection counts from its method's score threshold on; who is found, missed or wrongly detected is
    decided by `match_people`. Images without predictions have no detections. All metrics are means over
    people; the root of both 3D poses is the body centre; NaN where there is nobody to average over.

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
            mpjpe_mm, mpjpe_rigid_mm, pck_3d_150mm (%): found people with a 3D pose,
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
    by_image = pair_by_image(truths, predictions, len(skeleton))
    ppi = find_people(truths, [_above(p.ppi, ppi_score_threshold) for p in by_image])
    nms = find_people(truths, [_above(p.nms, nms_score_threshold) for p in by_image])
    found = {"ppi": ppi, "nms": nms}
    if any(p.refined is not None for p in by_image):
        found["refined"] = find_people(truths, [detected_people(p, "refined", ppi_score_threshold) for p in by_image])
    by_method = {f"pose_{method}": _method_metrics(truths, people, skeleton) for method, people in found.items()}
    return by_method | {"common": _common_metrics(found, skeleton, mean_pose, anchors)}


def pair_by_image(
    truths: Sequence[ImageTruth], predictions: Sequence[ImagePredictions], num_joints: int
) -> list[ImagePredictions]:
    """The predictions in the order of the annotations; images without any get empty ones.

    Raises:
        ValueError: predictions for an image twice, or for one that is not in the data set.
    """
    images = [(t.image_id, t.file_name, t.width, t.height) for t in truths]
    return predictions_in_order(images, predictions, num_joints)


def find_people(truths: Sequence[ImageTruth], detected: Sequence[PredictedPeople]) -> FoundPeople:
    """Matches one method's detections, image by image, and gathers the pairs found.

    Args:
        truths: at least one image.
        detected: its detections, in the same order.
    """
    matches = [match_people(t, d.poses_2d) for t, d in zip(truths, detected, strict=True)]

    def gathered(name: str) -> np.ndarray:
        return np.concatenate([getattr(t, name)[m.people] for t, m in zip(truths, matches, strict=True)])

    people = [d[m.detections] for d, m in zip(detected, matches, strict=True)]
    fields = ("scores", "poses_2d", "poses_3d", "boxes", "classes")
    return FoundPeople(
        keys=np.concatenate([np.stack([np.full_like(m.people, i), m.people], 1) for i, m in enumerate(matches)]),
        detected=PredictedPeople(*(np.concatenate([getattr(p, name) for p in people]) for name in fields)),
        boxes=gathered("boxes"),
        true_2d=gathered("poses_2d"),
        annotated_2d=gathered("annotated_2d"),
        true_3d=gathered("poses_3d"),
        measured_3d=gathered("measured_3d"),
        num_false_positives=sum(int(m.is_false_positive.sum()) for m in matches),
    )


def _above(people: PredictedPeople, threshold: float) -> PredictedPeople:
    return people[people.scores >= threshold]


def _method_metrics(truths: Sequence[ImageTruth], found: FoundPeople, skeleton: Skeleton) -> dict[str, float]:
    n_people = sum(int(t.is_counted.sum()) for t in truths)
    n_found = len(found.keys)
    recall = n_found / n_people if n_people else float("nan")
    errors = {
        **_metrics_3d(found.detected.poses_3d, found, skeleton),
        **_metrics_2d(found.detected.poses_2d, found),
    }
    return {
        "n_images": float(len(truths)),
        "n_people": float(n_people),
        "n_found": float(n_found),
        "n_found_3d": float(found.measured_3d.any(1).sum()),
        "recall": 100 * recall,
        "fp_per_image": found.num_false_positives / len(truths),
        **errors,
        "pck_2d_all": errors["pck_2d"] * recall if n_found else 0 * recall,
    }


def _common_metrics(
    found: dict[str, FoundPeople],
    skeleton: Skeleton,
    mean_pose: np.ndarray | None,
    anchors: AnchorPoses | None,
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
    size = np.sqrt(np.prod(found.boxes[:, 2:] - found.boxes[:, :2], axis=1))
    shares = pck_2d(torch.from_numpy(poses_2d), found.true_2d, size, found.annotated_2d, _PCK_2D_THRESHOLD)
    distances = np.linalg.norm(poses_2d - found.true_2d, axis=-1) / np.maximum(size, 1e-9)[:, None]
    counts = found.annotated_2d.sum(1)
    errors = (distances * found.annotated_2d).sum(1)[counts > 0] / counts[counts > 0]
    return {
        "pck_2d": 100 * float(shares.mean()),
        "error_2d": 100 * float(errors.mean()) if len(errors) else float("nan"),
    }

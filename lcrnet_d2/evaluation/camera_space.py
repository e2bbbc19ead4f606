"""3D errors over sets of people: in camera space (MRPE, PCK_abs), and root-relative as MPI-INF-3DHP counts.

Shapes: F people found, N people to be found, J joints. 3D in m, camera axes; results in mm and percent.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import torch

from ..structures import Skeleton, centre_poses
from .dataset_metrics import FoundPeople, find_people
from .depth_metrics import depth_metrics, depth_table
from .metrics import auc_3d, pck_3d
from .people import MIN_JOINTS_SEEN, ImagePredictions, ImageTruth, PredictedPeople, truth_from_dict
from .report import METHOD_LABELS, Report, detected_people, markdown_table, mean_with_interval, methods_in

__all__ = ["CameraSpaceErrors", "Placement", "camera_space_errors", "report_3d_sets", "report_camera_space"]

#: (F, J, 2) px, (F, J, 3) m and a camera {fx, fy, cx, cy} in px to (F, 3) m, where each body centre stands.
Placement = Callable[[np.ndarray, np.ndarray, Mapping[str, float]], np.ndarray]

_PCK_ABS_MM = 150.0
_HIPS = ("right_hip", "left_hip")


class CameraSpaceErrors(NamedTuple):
    """F people.

    Attributes:
        root_mm: (F,) distance of the body centres; its mean is MRPE.
        root_xyz_mm: (F, 3) signed, predicted minus true, along the camera's axes.
        pck_abs: (F,) share of joints under 150 mm in camera space, nothing aligned, in [0, 1].
    """

    root_mm: np.ndarray
    root_xyz_mm: np.ndarray
    pck_abs: np.ndarray


def camera_space_errors(
    pred_3d: np.ndarray,
    pred_roots: np.ndarray,
    true_3d: np.ndarray,
    true_roots: np.ndarray,
    visible: np.ndarray | None = None,
    threshold_mm: float = _PCK_ABS_MM,
) -> CameraSpaceErrors:
    """Errors of poses where they stand:  |r - r'|  of the roots and  |(p_j + r) - (p'_j + r')|  of the joints.

    Args:
        pred_3d, true_3d: (F, J, 3) m, relative to the root.
        pred_roots, true_roots: (F, 3) m in camera space. A predicted root that is NaN (no distance explains
            the pose) is a NaN error and no joint is correct.
        visible: (F, J) bool, the joints that count; all if None.
        threshold_mm: a joint is correct under it.
    """
    offset = 1000 * (np.asarray(pred_roots, dtype=np.float64) - true_roots)
    pck = pck_3d(pred_3d + pred_roots[:, None], true_3d + true_roots[:, None], visible, threshold_mm=threshold_mm)
    return CameraSpaceErrors(np.linalg.norm(offset, axis=-1), offset, pck)


def report_camera_space(
    records: Sequence[Mapping[str, Any]],
    predictions: Sequence[ImagePredictions],
    skeleton: Skeleton,
    place: Placement,
    score_threshold: float = 0.0,
    min_joints_seen: int = MIN_JOINTS_SEEN,
) -> Report:
    """MRPE and PCK_abs of the people with a root_position in images with a camera.

    Who is found is decided in 2D (`matching.match_people`). MRPE is over those found whom `place` puts somewhere,
    n_placed of them; PCK_abs is given for all found and for all people: someone missed or not placed has no joint
    correct.

    Args:
        records: dataset dicts in the form of `people.truth_from_dict`, with camera {fx, fy, cx, cy} per image
            and root_position (3,) m per annotation.
        predictions: for the same images, in the same order.
        skeleton: names the joints.
        place: puts detections into the camera's space.
        score_threshold: detections under it are none.
        min_joints_seen: people with fewer joints seen are ignored; 0 where a data set does not know which are.

    Raises:
        ValueError: nobody has a root_position in an image with a camera.
    """
    kept = [i for i, record in enumerate(records) if "camera" in record]
    to_find = _people_in_cameras([records[i] for i in kept], len(skeleton), min_joints_seen)
    if not to_find.num_people:
        raise ValueError(
            f"nobody with {min_joints_seen} joints seen (v = 2) has a root_position in an image with a camera"
        )
    metrics, rows = {}, []
    for method in methods_in([predictions[i] for i in kept]):
        detected = [detected_people(predictions[i], method, score_threshold) for i in kept]
        errors = _errors_of_found(to_find, detected, place, skeleton)
        metrics[f"camera_space_{method}"] = _metrics(errors, to_find.num_people)
        rows.append([METHOD_LABELS[method], *_cells(errors, to_find.num_people)])
    header = ["", "placed / found / people", "MRPE (mm)", "PCK_abs found (%)", "PCK_abs all (%)"]
    protocol = (
        f"Camera space: root: body centre; {len(skeleton)} joints ({skeleton.name}); no alignment; people matched in "
        "2D; PCK_abs under 150 mm; means [95 % interval] over people, MRPE's over those placed. The camera is the data "
        "set's.\n"
    )
    return Report(metrics, "\n".join(["# Camera space\n", protocol, markdown_table(header, rows)]))


class _PeopleInCameras(NamedTuple):
    """Images with a camera: their dataset dicts, truths, and per image (M, 3) m roots and (M,) bool, who is to be
    found: counted, with a 3D pose and a root."""

    records: Sequence[Mapping[str, Any]]
    truths: list[ImageTruth]
    roots: list[np.ndarray]
    has_root: list[np.ndarray]

    @property
    def num_people(self) -> int:
        return sum(int(flags.sum()) for flags in self.has_root)


def _people_in_cameras(records: Sequence[Mapping[str, Any]], num_joints: int, min_joints_seen: int) -> _PeopleInCameras:
    truths = [truth_from_dict(record, num_joints, min_joints_seen) for record in records]
    roots = [
        np.array([a.get("root_position", (np.nan,) * 3) for a in r.get("annotations", [])]).reshape(-1, 3)
        for r in records
    ]
    has_root = [
        np.isfinite(root).all(1) & t.measured_3d.any(1) & t.is_counted for root, t in zip(roots, truths, strict=True)
    ]
    return _PeopleInCameras(records, truths, roots, has_root)


def _errors_of_found(
    to_find: _PeopleInCameras, detected: Sequence[PredictedPeople], place: Placement, skeleton: Skeleton
) -> CameraSpaceErrors:
    found = find_people(to_find.truths, detected)
    found = found.rows(np.array([to_find.has_root[i][a] for i, a in found.keys.tolist()], dtype=bool))
    return camera_space_errors(
        _centred(found.detected.poses_3d, skeleton),
        _placed(found, to_find.records, place, skeleton),
        _centred(found.true_3d, skeleton),
        np.array([to_find.roots[i][a] for i, a in found.keys.tolist()]).reshape(-1, 3),
        found.measured_3d,
    )


def _with_missed(errors: CameraSpaceErrors, n_people: int) -> np.ndarray:
    """(n_people,) PCK_abs of everyone, no joint of those missed being correct."""
    return np.concatenate([errors.pck_abs, np.zeros(n_people - len(errors.pck_abs))])


def _metrics(errors: CameraSpaceErrors, n_people: int) -> dict[str, float]:
    placed = np.isfinite(errors.root_mm)
    return {
        "n_people": float(n_people),
        "n_found": float(len(placed)),
        "n_placed": float(placed.sum()),
        "mrpe_mm": _mean(errors.root_mm[placed]),
        **{f"mrpe_{axis}_mm": _mean(np.abs(errors.root_xyz_mm[placed, i])) for i, axis in enumerate("xyz")},
        "pck_abs_150mm": 100 * _mean(errors.pck_abs),
        "pck_abs_150mm_all": 100 * _mean(_with_missed(errors, n_people)),
    }


def _cells(errors: CameraSpaceErrors, n_people: int) -> list[str]:
    root_mm = errors.root_mm[np.isfinite(errors.root_mm)]
    values = (root_mm, 100 * errors.pck_abs, 100 * _with_missed(errors, n_people))
    return [f"{len(root_mm)} / {len(errors.root_mm)} / {n_people}", *(mean_with_interval(v) for v in values)]


def report_3d_sets(
    records: Sequence[Mapping[str, Any]],
    predictions: Sequence[ImagePredictions],
    skeleton: Skeleton,
    root: Literal["body_centre", "pelvis"] = "body_centre",
    score_threshold: float = 0.0,
    min_joints_seen: int = MIN_JOINTS_SEEN,
) -> Report:
    """3DPCK and AUC of sets like MPI-INF-3DHP: over the people found, and over all, missed ones being wrong.

    Args:
        records: dataset dicts in the form of `people.truth_from_dict`.
        predictions: for the same images, in the same order.
        skeleton: names the joints.
        root: subtracted from both poses; "pelvis", the middle of the hips, is MPI-INF-3DHP's.
        score_threshold: detections under it are none.
        min_joints_seen: people with fewer joints seen are ignored; 0 where a data set does not know which are.

    Raises:
        ValueError: nobody has a 3D pose, or an unknown `root`.
    """
    if root not in ("body_centre", "pelvis"):
        raise ValueError(f"unknown root {root!r}; known are 'body_centre' and 'pelvis'")
    truths = [truth_from_dict(record, len(skeleton), min_joints_seen) for record in records]
    n_people = sum(int((t.is_counted & t.measured_3d.any(1)).sum()) for t in truths)
    if not n_people:
        raise ValueError(f"nobody with {min_joints_seen} joints seen (v = 2) has a 3D pose")
    metrics, rows, depth = {}, [], {}
    for method in methods_in(predictions):
        found = find_people(truths, [detected_people(p, method, score_threshold) for p in predictions])
        found = found.rows(np.flatnonzero(found.measured_3d.any(1)))
        pred, true = (_rooted(poses, skeleton, root) for poses in (found.detected.poses_3d, found.true_3d))
        missed = np.zeros(n_people - len(found.keys))
        shares = {
            "pck_3d_150mm": pck_3d(pred, true, found.measured_3d),
            "auc_3d": auc_3d(pred, true, found.measured_3d),
        }
        depth[METHOD_LABELS[method]] = depth_metrics(pred, true, skeleton, found.measured_3d)
        percent = {name: 100 * values for name, values in shares.items()}
        percent |= {f"{name}_all": np.concatenate([values, missed]) for name, values in percent.items()}
        metrics[f"pck_3d_{method}"] = {
            "n_people": float(n_people),
            "n_found": float(len(found.keys)),
            **{name: _mean(values) for name, values in percent.items()},
            **depth[METHOD_LABELS[method]],
        }
        cells = [mean_with_interval(values) for values in percent.values()]
        rows.append([METHOD_LABELS[method], f"{len(found.keys)} / {n_people}", *cells])
    header = ["", "found / people", "3DPCK found (%)", "AUC found (%)", "3DPCK all (%)", "AUC all (%)"]
    protocol = (
        f"3DPCK under 150 mm, AUC over 0, 5 ... 150 mm; root: {root.replace('_', ' ')}; {len(skeleton)} joints "
        f"({skeleton.name}); no alignment, no rescaling; people matched in 2D; means [95 % interval] over people.\n"
    )
    tables = [markdown_table(header, rows), depth_table(depth)]
    return Report(metrics, "\n".join(["# 3DPCK and AUC\n", protocol, *tables]))


def _placed(
    found: FoundPeople, records: Sequence[Mapping[str, Any]], place: Placement, skeleton: Skeleton
) -> np.ndarray:
    """(F, 3) m."""
    placed = np.full((len(found.keys), 3), np.nan)
    images = found.keys[:, 0]
    poses_3d = _centred(found.detected.poses_3d, skeleton)
    for image in np.unique(images):
        of_image = images == image
        placed[of_image] = place(found.detected.poses_2d[of_image], poses_3d[of_image], records[image]["camera"])
    return placed


def _centred(poses_3d: np.ndarray, skeleton: Skeleton) -> np.ndarray:
    return centre_poses(torch.from_numpy(poses_3d.astype(np.float64)), skeleton).numpy()


def _rooted(poses_3d: np.ndarray, skeleton: Skeleton, root: str) -> np.ndarray:
    if root == "body_centre":
        return _centred(poses_3d, skeleton)
    poses = poses_3d.astype(np.float64)
    return poses - poses[:, skeleton.indices(_HIPS)].mean(1, keepdims=True)


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else float("nan")

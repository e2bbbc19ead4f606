"""3D errors over sets of people: in camera space (MRPE, PCK_abs), and root-relative as MPI-INF-3DHP counts.

Shapes: F people found, N people to be found, J joints. 3D in m, camera axes; results in mm and percent.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

import numpy as np
import torch

from ..structures import Skeleton, centre_poses
from .depth_metrics import depth_metrics, depth_table
from .matching import FoundPeople, find_people
from .metrics import auc_3d, pck_3d
from .people import MIN_JOINTS_SEEN, truth_from_dict
from .report import (
    METHOD_LABELS,
    Predictions,
    Records,
    Report,
    markdown_table,
    mean_or_nan,
    mean_with_interval,
    people_of_methods,
)

__all__ = ["CameraSpaceErrors", "Placement", "camera_space_errors", "report_3d_sets", "report_camera_space"]

#: (F, J, 2) px, (F, J, 3) m and a camera {fx, fy, cx, cy} in px to (F, 3) m, where each body centre stands.
Placement = Callable[[np.ndarray, np.ndarray, Mapping[str, float]], np.ndarray]

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
) -> CameraSpaceErrors:
    """Errors of poses where they stand:  |r - r'|  of the roots and  |(p_j + r) - (p'_j + r')|  of the joints.

    Args:
        pred_3d, true_3d: (F, J, 3) m, relative to the root.
        pred_roots, true_roots: (F, 3) m in camera space. A predicted root that is NaN (no distance explains
            the pose) is a NaN error and no joint is correct.
        visible: (F, J) bool, the joints that count; all if None.
    """
    offset = 1000 * (np.asarray(pred_roots, dtype=np.float64) - true_roots)
    pck = pck_3d(pred_3d + pred_roots[:, None], true_3d + true_roots[:, None], visible, threshold_mm=150.0)
    return CameraSpaceErrors(np.linalg.norm(offset, axis=-1), offset, pck)


def report_camera_space(
    records: Records,
    predictions: Predictions,
    skeleton: Skeleton,
    place: Placement,
    score_threshold: float = 0.0,
    min_joints_seen: int = MIN_JOINTS_SEEN,
) -> Report:
    """MRPE and PCK_abs of the people with a root_position (3,) m in images with a camera {fx, fy, cx, cy}.

    Who is found is decided in 2D (`matching.match_people`). MRPE is over those found whom `place` puts somewhere,
    n_placed of them; PCK_abs is given for all found and for all people: someone missed or not placed has no joint
    correct. Arguments as in `report`.

    Raises:
        ValueError: nobody has a root_position in an image with a camera.
    """
    kept = [i for i, record in enumerate(records) if "camera" in record]
    records = [records[i] for i in kept]
    truths = [truth_from_dict(record, len(skeleton), min_joints_seen) for record in records]
    roots = [_roots(record) for record in records]
    to_find = [np.isfinite(r).all(1) & t.measured_3d.any(1) & t.is_counted for r, t in zip(roots, truths, strict=True)]
    n_people = sum(int(flags.sum()) for flags in to_find)
    if not n_people:
        raise ValueError(f"nobody with {min_joints_seen} joints seen has a root_position in an image with a camera")
    metrics, rows = {}, []
    for method, people in people_of_methods([predictions[i] for i in kept], score_threshold):
        found = find_people(truths, people)
        found = found.rows(np.array([to_find[i][a] for i, a in found.keys.tolist()], dtype=bool))
        errors = camera_space_errors(
            _centred(found.detected.poses_3d, skeleton),
            _placed(found, records, place, skeleton),
            _centred(found.true_3d, skeleton),
            np.array([roots[i][a] for i, a in found.keys.tolist()]).reshape(-1, 3),
            found.measured_3d,
        )
        of_found = 100 * errors.pck_abs
        of_all = np.concatenate([of_found, np.zeros(n_people - len(of_found))])
        is_placed = np.isfinite(errors.root_mm)
        root_mm, root_xyz_mm = errors.root_mm[is_placed], np.abs(errors.root_xyz_mm[is_placed])
        metrics[f"camera_space_{method}"] = {
            "n_people": float(n_people),
            "n_found": float(len(of_found)),
            "n_placed": float(len(root_mm)),
            "mrpe_mm": mean_or_nan(root_mm),
            **{f"mrpe_{axis}_mm": mean_or_nan(root_xyz_mm[:, i]) for i, axis in enumerate("xyz")},
            "pck_abs_150mm": mean_or_nan(of_found),
            "pck_abs_150mm_all": mean_or_nan(of_all),
        }
        cells = [mean_with_interval(values) for values in (root_mm, of_found, of_all)]
        rows.append([METHOD_LABELS[method], f"{len(root_mm)} / {len(of_found)} / {n_people}", *cells])
    header = ["", "placed / found / people", "MRPE (mm)", "PCK_abs found (%)", "PCK_abs all (%)"]
    protocol = (
        f"Camera space: root: body centre; {len(skeleton)} joints ({skeleton.name}); no alignment; people matched in "
        "2D; PCK_abs under 150 mm; means [95 % interval] over people, MRPE's over those placed. The camera is the data "
        "set's.\n"
    )
    return Report(metrics, "\n".join(["# Camera space\n", protocol, markdown_table(header, rows)]))


def report_3d_sets(
    records: Records,
    predictions: Predictions,
    skeleton: Skeleton,
    root: Literal["body_centre", "pelvis"] = "body_centre",
    score_threshold: float = 0.0,
    min_joints_seen: int = MIN_JOINTS_SEEN,
) -> Report:
    """3DPCK and AUC of sets like MPI-INF-3DHP: over the people found, and over all, missed ones being wrong.

    `root` is subtracted from both poses; "pelvis", the middle of the hips, is MPI-INF-3DHP's. Arguments as in `report`.

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
    for method, people in people_of_methods(predictions, score_threshold):
        found = find_people(truths, people)
        found = found.rows(np.flatnonzero(found.measured_3d.any(1)))
        pred, true = (_rooted(poses, skeleton, root) for poses in (found.detected.poses_3d, found.true_3d))
        missed = np.zeros(n_people - len(found.keys))
        percent = {
            "pck_3d_150mm": 100 * pck_3d(pred, true, found.measured_3d),
            "auc_3d": 100 * auc_3d(pred, true, found.measured_3d),
        }
        percent |= {f"{name}_all": np.concatenate([values, missed]) for name, values in percent.items()}
        depth[METHOD_LABELS[method]] = depth_metrics(pred, true, skeleton, found.measured_3d)
        metrics[f"pck_3d_{method}"] = {
            "n_people": float(n_people),
            "n_found": float(len(found.keys)),
            **{name: mean_or_nan(values) for name, values in percent.items()},
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


def _roots(record: Mapping[str, Any]) -> np.ndarray:
    """(M, 3) m, NaN for people without."""
    return np.array([a.get("root_position", (np.nan,) * 3) for a in record.get("annotations", [])]).reshape(-1, 3)


def _placed(found: FoundPeople, records: Records, place: Placement, skeleton: Skeleton) -> np.ndarray:
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

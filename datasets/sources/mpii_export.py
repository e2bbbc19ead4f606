"""Predictions in the file formats of the MPII benchmark, for its evaluation server.

Both files hold a Matlab structure array `pred` with

    pred(i).annorect(r).annopoints.point(p).x, .y, .id  (and .score in the multi-person file)

single person (pred_keypoints_mpii.mat): i runs over `RELEASE.annolist(RELEASE.img_train == 0)`, r over its
annorect as they are; people to be evaluated have 16 points with id 0 to 15, the others none.
multi-person (pred_keypoints_mpii_multi.mat): i runs over the groups as getMultiPersonGroups.m gives them, r
over the people predicted there. `mpii_submission` makes both of predictions. Pixels are counted from 1, as MPII's own
annotations count them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lcrnet_d2.structures import MPII16, PIXEL_CENTRE, Skeleton
from lcrnet_d2.structures.whole_files import whole_file

__all__ = ["export_multi_person", "export_single_person", "to_mpii16"]

# Head top = shoulders + 1.68 * (middle of head - shoulders), upper neck + 0.32, by least squares over the 2958
# people of MPII's usual validation split: 98.7 % of true head tops are then within half a head size of the one
# made of their middle of head. The middle itself, half a head away, never is.
_HEAD_TOP, _UPPER_NECK = 1.68, 0.32
_FIRST_PIXEL = 1  # Matlab's


def to_mpii16(poses_2d: np.ndarray, skeleton: Skeleton) -> np.ndarray:
    """(N, 16, 2) continuous px: MPII's joints from (N, J, 2) of a skeleton with one head point, its middle.

    Pelvis and thorax are the middles of hips and shoulders; upper neck and head top lie on the line from the
    shoulders' middle through the head.
    """
    poses = torch.as_tensor(np.asarray(poses_2d, dtype=np.float64))
    converted, _ = MPII16.convert_from(skeleton, poses)
    if not {"neck", "head_top"} <= set(skeleton.joints):
        thorax = converted[:, MPII16.index("thorax")]
        head = poses[:, skeleton.index("head")]
        converted[:, MPII16.index("head_top")] = thorax + _HEAD_TOP * (head - thorax)
        converted[:, MPII16.index("neck")] = thorax + _UPPER_NECK * (head - thorax)
    return converted.numpy()


def export_single_person(path: str | Path, images: Sequence[Sequence[np.ndarray | None]]) -> None:
    """Writes pred_keypoints_mpii.mat, whole or not at all.

    Args:
        path: the .mat file.
        images: for each test image and each of its annorect (16, 2) continuous px, None for a person who is
            not evaluated; NaN for one not found, which the benchmark counts as wrong.
    """
    pred = [_image([None if pose is None else _points(pose) for pose in people]) for people in images]
    _save(path, pred)


def export_multi_person(path: str | Path, groups: Sequence[tuple[np.ndarray, np.ndarray]]) -> None:
    """Writes pred_keypoints_mpii_multi.mat, whole or not at all.

    Args:
        path: the .mat file.
        groups: for each group (N, 16, 2) continuous px and (N,) scores; a joint's score is its person's.
    """
    pred = [_image([_points(p, float(s)) for p, s in zip(poses, scores, strict=True)]) for poses, scores in groups]
    _save(path, pred)


def _save(path: str | Path, pred: Sequence[Mapping[str, Any]]) -> None:
    from scipy.io import savemat

    with whole_file(path) as file:
        savemat(file, {"pred": _structs(pred, ("annorect",))})


def _image(people: Sequence[np.ndarray | None]) -> dict[str, Any]:
    points = [{"annopoints": _structs([], ("point",)) if p is None else {"point": p}} for p in people]
    return {"annorect": _structs(points, ("annopoints",))}


def _points(pose: np.ndarray, score: float | None = None) -> np.ndarray:
    scored: dict[str, Any] = {} if score is None else {"score": score}
    pixels = (np.asarray(pose, dtype=np.float64) - PIXEL_CENTRE + _FIRST_PIXEL).tolist()
    rows = [{"x": x, "y": y, "id": float(number), **scored} for number, (x, y) in enumerate(pixels)]
    return _structs(rows, ("x", "y", "id", *scored))


def _structs(rows: Sequence[Mapping[str, Any]], fields: Sequence[str]) -> np.ndarray:
    """A 1 x n structure array: a list of dicts would become a cell array, which the benchmark cannot index."""
    array = np.empty((1, len(rows)), dtype=[(field, object) for field in fields])
    for i, row in enumerate(rows):
        for field in fields:
            array[field][0, i] = row[field]
    return array

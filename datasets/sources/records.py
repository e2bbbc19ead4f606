"""What every reader needs: a person's 13 joints from the source's own, and the file at the end."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from detectron2.structures import BoxMode
from tqdm import tqdm

from lcrnet_d2.data.datasets.pose_json import PoseFileError, summary, write_pose_json
from lcrnet_d2.structures import BODY13, PIXEL_CENTRE, Skeleton, margin_box

__all__ = ["person_from_joints", "write_records"]

Result = dict[str, Any] | PoseFileError


def person_from_joints(points: np.ndarray, visibility: np.ndarray, source: Skeleton) -> dict[str, Any]:
    """An annotation of a dataset dict, its box the margin box of the annotated joints.

    Args:
        points: (J', 2) pixel indices, as the sources count; anything where not annotated.
        visibility: (J',) v of each joint: 2 seen, 1 hidden, 0 not annotated. At least one is annotated.
        source: names the J' joints.

    Returns:
        bbox, bbox_mode, category_id, iscrowd and the 13 keypoints, in continuous pixels (index + 0.5);
        unannotated joints are (0.5, 0.5, 0), which is 0, 0, 0 in the file.

    Raises:
        PoseFileError: an annotated coordinate is not finite.
    """
    annotated = visibility > 0
    if not np.isfinite(points[annotated]).all():
        raise PoseFileError("an annotated joint has a coordinate that is no number")
    places = torch.from_numpy(np.where(annotated[:, None], points, 0.0).astype(np.float64))
    body, body_visibility = BODY13.convert_from(source, places, torch.from_numpy(visibility.astype(np.int64)))
    keypoints = torch.cat([body + PIXEL_CENTRE, body_visibility[:, None].double()], 1)
    return {
        "bbox": margin_box(places[torch.from_numpy(annotated)] + PIXEL_CENTRE).tolist(),
        "bbox_mode": BoxMode.XYXY_ABS,
        "category_id": 0,
        "iscrowd": 0,
        "keypoints": keypoints.flatten().tolist(),
    }


def write_records(path: Path, results: Iterable[Result], info: dict[str, Any], total: int | None = None) -> int:
    """Writes what a reader yields to one JSON, with a progress bar; names what was left out.

    Args:
        path: the file to write; its folder is made.
        results: of a reader.
        info: provenance, put into the file's `info`.
        total: of the images, for the bar.

    Returns:
        Exit code: 0, or 1 if not one image was left, in which case nothing is written.
    """
    records, left_out = [], 0
    with tqdm(results, total=total, unit="image", desc=path.name) as bar:
        for result in bar:
            if isinstance(result, PoseFileError):
                left_out += 1
                bar.write(f"left out: {result}", file=sys.stderr)
            else:
                records.append(result)
    if not records:
        print(f"no image is left for {path}; nothing written", file=sys.stderr)
        return 1
    path.parent.mkdir(parents=True, exist_ok=True)
    write_pose_json(path, records, BODY13, info)
    print(f"{path}: {summary(records)}; {left_out} images left out")
    return 0

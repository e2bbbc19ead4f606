"""Detected people in the 2D files of other programs: COCO's results, and OpenPose's JSON per image.

Both hold 2D joints alone. Shapes: N people, J joints.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..detected_people import DetectedPeople
from ..structures import COCO17, OPENPOSE25, PIXEL_CENTRE
from ..structures.whole_files import short_name, write_json
from .pose_file import PosedImage
from .skeleton_conversion import convert_people, keypoint_visibility

__all__ = ["write_coco_results", "write_openpose"]


def write_coco_results(path: str | Path, images: Sequence[PosedImage]) -> None:
    """Writes a list as pycocotools' `loadRes` reads it, whole or not at all.

    image_id is the number that the file is called after (000000000139.jpg: 139), the number of a video's frame, or
    else the file's name; score is S of Eq. 7. Eyes and ears, which cannot be had, are 0, 0, 0.
    """
    entries = []
    for image in images:
        if image.people is None:
            continue
        stem = Path(image.file_name).stem
        image_id = image.frame if image.frame is not None else int(stem) if stem.isdecimal() else image.file_name
        people = convert_people(image.people, COCO17.name)
        rows = _rows(people, keypoint_visibility(people))
        for score, row in zip(people.scores.tolist(), rows, strict=True):
            entries.append({"image_id": image_id, "category_id": 1, "keypoints": row, "score": score})
    write_json(path, entries)


def write_openpose(folder: Path, images: Sequence[PosedImage]) -> None:
    """Writes a file per image into a folder, NAME_keypoints.json, as OpenPose's --write_json does for BODY_25.

    The third number of a joint is the person's confidence, 0 for a joint that cannot be had (eyes, ears, feet).
    """
    folder.mkdir(exist_ok=True)
    met: Counter[str] = Counter()
    for image in images:
        if image.people is None:
            continue
        people = convert_people(image.people, OPENPOSE25.name)
        known = keypoint_visibility(people) > 0
        rows = _rows(people, known * people.confidences[:, None])
        name = short_name(Path(image.file_name).stem) + ("" if image.frame is None else f"_{image.frame:012d}")
        met[name] += 1  # images of one name in several folders
        name += f"_{met[name]}" if met[name] > 1 else ""
        identities = [-1] * len(people) if people.identities is None else people.identities.tolist()
        persons = [
            {"person_id": [identity], "pose_keypoints_2d": row} for identity, row in zip(identities, rows, strict=True)
        ]
        write_json(folder / f"{name}_keypoints.json", {"version": 1.3, "people": persons})


def _rows(people: DetectedPeople, third: np.ndarray) -> list[list[Any]]:
    """Per person x, y, third of every joint; COCO pixel indices; 0, 0, 0 for joints that cannot be had."""
    places = people.keypoints_2d.astype(np.float64) - PIXEL_CENTRE
    rows = np.concatenate([places.round(3), third[..., None]], -1)
    rows[~np.isfinite(places).all(-1)] = 0
    return rows.reshape(len(people), -1).tolist()

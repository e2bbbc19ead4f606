"""Test sets of the synthetic experiments: more images than the demo tests on, and the same with people cut off."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from detectron2.data import DatasetCatalog, MetadataCatalog

from lcrnet_d2.data import read_image
from lcrnet_d2.data.datasets.pose_json import load_pose_json, write_pose_json
from lcrnet_d2.data.synthetic import SyntheticSet, register_synthetic_sets
from lcrnet_d2.structures import BODY13, Skeleton, pose_metadata
from lcrnet_d2.visualization import write_image

__all__ = ["TEST_SET", "TRUNCATED_SET", "cut_off", "register_sets"]

TEST_SET = "lcrnet_synthetic_reproduce"
TRUNCATED_SET = "lcrnet_synthetic_truncated"
_SYNTHETIC = SyntheticSet(TEST_SET, "test", 600)


def register_sets() -> None:
    """Registers both sets, unless the names are taken; they are made below datasets/reproduce on first use."""
    root = Path(os.environ.get("DETECTRON2_DATASETS", "datasets")).expanduser() / "reproduce"
    if TEST_SET not in DatasetCatalog.list():
        register_synthetic_sets(root, (_SYNTHETIC,))
    if TRUNCATED_SET not in DatasetCatalog.list():
        DatasetCatalog.register(TRUNCATED_SET, partial(_truncated, root / "truncated"))
        MetadataCatalog.get(TRUNCATED_SET).set(evaluator_type="lcrnet_pose", **pose_metadata(BODY13))


def _truncated(folder: Path) -> list[dict[str, Any]]:
    file = folder / "annotations.json"
    if not file.is_file():
        (folder / "images").mkdir(parents=True, exist_ok=True)
        records = []
        for record in DatasetCatalog.get(TEST_SET):
            name = f"images/{Path(record['file_name']).stem}.png"  # without another loss by compression
            image, cut = cut_off(read_image(record["file_name"], "RGB"), record, BODY13)
            write_image(folder / name, image)
            records.append(cut | {"file_name": name})
        write_pose_json(file, records, BODY13)
    return load_pose_json(file, folder, BODY13)


def cut_off(image: np.ndarray, record: dict[str, Any], skeleton: Skeleton) -> tuple[np.ndarray, dict[str, Any]]:
    """The picture down to the thighs of its largest person, and its dataset dict; joints below stay annotated.

    Args:
        image: (H, W, 3).
        record: dataset dict of the picture; it is left as it is.

    Returns:
        (h, W, 3) and a dict of height h. An image without people stays as it is.
    """
    height = record["height"]
    if record["annotations"]:
        poses = [np.reshape(a["keypoints"], (-1, 3)) for a in record["annotations"]]
        largest = max(poses, key=lambda pose: float(np.prod(np.ptp(pose[:, :2], axis=0))))
        hips, knees = skeleton.indices(("right_hip", "left_hip")), skeleton.indices(("right_knee", "left_knee"))
        thighs = float(largest[[*hips, *knees], 1].mean())
        height = int(np.clip(round(thighs), height // 3, height))
    return image[:height], record | {"height": height}

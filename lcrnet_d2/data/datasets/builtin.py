"""Registers pose files with Detectron2, so that configs can name them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog, MetadataCatalog

from ...structures import SKELETONS, Skeleton, pose_metadata
from .pose_json import load_pose_json

__all__ = ["register_pose_file", "register_pose_files"]


def register_pose_file(
    name: str, json_file: str | Path, image_root: str | Path, skeleton: Skeleton, max_images: int | None = None
) -> None:
    """Registers one annotation file of data/datasets/pose_json.py under a name; it is read when first used.

    Args:
        max_images: of more images, this many are drawn at random, the same ones every time; None keeps all.

    Raises:
        ValueError: the name already stands for another file.
    """
    source = {"json_file": str(json_file), "image_root": str(image_root), "max_images": max_images}
    if name in DatasetCatalog.list():
        known = MetadataCatalog.get(name)
        if {key: known.get(key) for key in source} != source:
            raise ValueError(f"data set {name!r} is already registered, for {known.get('json_file')}")
        return
    DatasetCatalog.register(name, lambda: _share(load_pose_json(json_file, image_root, skeleton), max_images))
    MetadataCatalog.get(name).set(**source, evaluator_type="lcrnet_pose", **pose_metadata(skeleton))


def _share(records: list[dict[str, Any]], max_images: int | None) -> list[dict[str, Any]]:
    """At most `max_images` of the images, in the order of the file."""
    if max_images is None or len(records) <= max_images:
        return records
    return [records[i] for i in sorted(np.random.default_rng(0).permutation(len(records))[:max_images])]


def register_pose_files(cfg: CfgNode) -> None:
    """Registers every [name, JSON file, image folder] or [name, JSON file, image folder, images at most]."""
    for entry in cfg.DATASETS.POSE_FILES:
        if len(entry) not in (3, 4):
            raise ValueError(
                f"DATASETS.POSE_FILES holds {entry}, expected [name, JSON file, image folder] and, if not all "
                "images are wanted, how many"
            )
        name, json_file, image_root, *max_images = entry
        skeleton = SKELETONS[cfg.MODEL.LCRNET.SKELETON]
        register_pose_file(name, json_file, image_root, skeleton, *max_images)

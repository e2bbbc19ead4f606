"""Registers pose files with Detectron2, so that configs can name them."""

from __future__ import annotations

from pathlib import Path

from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog, MetadataCatalog

from ...structures import SKELETONS, Skeleton, pose_metadata
from .pose_json import load_pose_json

__all__ = ["register_pose_file", "register_pose_files"]


def register_pose_file(name: str, json_file: str | Path, image_root: str | Path, skeleton: Skeleton) -> None:
    """Registers one annotation file of data/datasets/pose_json.py under a name; it is read when first used.

    Raises:
        ValueError: the name already stands for another file.
    """
    source = {"json_file": str(json_file), "image_root": str(image_root)}
    if name in DatasetCatalog.list():
        known = MetadataCatalog.get(name)
        if {key: known.get(key) for key in source} != source:
            raise ValueError(f"data set {name!r} is already registered, for {known.get('json_file')}")
        return
    DatasetCatalog.register(name, lambda: load_pose_json(json_file, image_root, skeleton))
    MetadataCatalog.get(name).set(**source, evaluator_type="lcrnet_pose", **pose_metadata(skeleton))


def register_pose_files(cfg: CfgNode) -> None:
    """Registers every [name, JSON file, image folder] of DATASETS.POSE_FILES."""
    for entry in cfg.DATASETS.POSE_FILES:
        if len(entry) != 3:
            raise ValueError(f"DATASETS.POSE_FILES holds {entry}, expected [name, JSON file, image folder]")
        name, json_file, image_root = entry
        register_pose_file(name, json_file, image_root, SKELETONS[cfg.MODEL.LCRNET.SKELETON])

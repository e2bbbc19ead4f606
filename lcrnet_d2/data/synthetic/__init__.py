"""The built-in synthetic sets for quick start and tests, by name: people of motion capture (mocap.cs.cmu.edu), drawn
with a known camera on first use."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from detectron2.data import DatasetCatalog, MetadataCatalog

from ...structures import BODY13, pose_metadata

__all__ = ["SYNTHETIC_SETS", "SyntheticSet", "register_synthetic_sets"]


@dataclass(frozen=True)
class SyntheticSet:
    """A record of the table below; image_size is (H, W)."""

    name: str
    split: str
    num_images: int
    seed: int = 0
    image_size: tuple[int, int] = (240, 320)

    def load(self, folder: Path) -> list[dict[str, Any]]:
        """Detectron2 dataset dicts of the set in a folder, made there first if need be."""
        from .dataset import synthetic_dataset_dicts  # draws: not loaded before somebody asks for images

        return synthetic_dataset_dicts(folder, self.split, self.num_images, self.seed, self.image_size)


SYNTHETIC_SETS = (
    SyntheticSet("lcrnet_synthetic_train", "train", 4000),
    SyntheticSet("lcrnet_synthetic_val", "val", 300),
    SyntheticSet("lcrnet_synthetic_test", "test", 300),
)


def register_synthetic_sets(root: str | Path | None = None, sets: tuple[SyntheticSet, ...] = SYNTHETIC_SETS) -> None:
    """Registers the sets with Detectron2, to be made below root/lcrnet_synthetic on first use.

    Args:
        root: $DETECTRON2_DATASETS, or "datasets", if None. Registering again moves the names to the new root.
    """
    if root is None:
        root = os.environ.get("DETECTRON2_DATASETS", "datasets")
    for record in sets:
        folder = Path(root).expanduser() / "lcrnet_synthetic" / record.split
        if record.name in DatasetCatalog:
            DatasetCatalog.remove(record.name)
            MetadataCatalog.remove(record.name)
        DatasetCatalog.register(record.name, lambda record=record, folder=folder: record.load(folder))
        files = {"json_file": str(folder / "annotations.json"), "image_root": str(folder)}
        MetadataCatalog.get(record.name).set(**files, evaluator_type="lcrnet_pose", **pose_metadata(BODY13))

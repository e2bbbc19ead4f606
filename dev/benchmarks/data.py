"""Contest: the dataset mapper against Detectron2's, reading annotations, drawing synthetic pictures, the demo."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from detectron2.data import DatasetMapper
from detectron2.data import transforms as T

from lcrnet_d2.data import LCRNetDatasetMapper, PoseTargets
from lcrnet_d2.data.datasets.pose_json import load_pose_json, write_pose_json
from lcrnet_d2.data.synthetic.dataset import scene_to_dataset_dict
from lcrnet_d2.data.synthetic.scene import make_scene
from lcrnet_d2.structures import BODY13, AnchorPoses

from . import stream
from .report import Table, compare
from .timing import Contender, Settings, alternate

__all__ = ["measure", "random_anchors"]

_PEOPLE = 100_000
_PEOPLE_AN_IMAGE = 4
_SEEDS = range(4)  # of augmentations: both flips and several sizes


def measure(settings: Settings) -> list[Table]:
    with tempfile.TemporaryDirectory() as folder:
        return [
            _mappers(Path(folder), settings),
            _annotations(Path(folder), settings),
            _synthetic(settings),
            stream.measure(settings),
        ]


def random_anchors(num_anchor_poses: int) -> AnchorPoses:
    """Full bodies of no particular shape."""
    k, joints = num_anchor_poses, len(BODY13)
    generator = torch.Generator().manual_seed(0)
    poses_2d = torch.rand(k, joints, 2, generator=generator)
    poses_3d = 0.3 * torch.randn(k, joints, 3, generator=generator)
    return AnchorPoses(poses_2d, poses_3d, BODY13, k, torch.ones(k, dtype=torch.long), torch.zeros(k))


def _mappers(folder: Path, settings: Settings) -> Table:
    record = _record(folder, (96, 128) if settings.quick else (480, 640))
    sizes = (64, 96) if settings.quick else (480, 512, 544, 576, 608, 640)
    augmentations = [T.ResizeShortestEdge(sizes, 1000, "choice"), T.RandomFlip()]
    flip = np.array(BODY13.flip_indices)
    theirs = DatasetMapper(
        True, augmentations=augmentations, image_format="BGR", use_keypoint=True, keypoint_hflip_indices=flip
    )
    targets = PoseTargets(random_anchors(100))
    ours = LCRNetDatasetMapper(True, augmentations=augmentations, image_format="BGR", skeleton=BODY13, targets=targets)
    contenders = [Contender("Detectron2's", _map(theirs, record)), Contender("ours", _map(ours, record))]
    height, width = record["height"], record["width"]
    people = len(record["annotations"])
    title = f"Mapper in training: a JPEG of {width} x {height} px, {people} people, {len(_SEEDS)} times"
    return compare(title, contenders, 2 * settings.rounds)[0]


def _map(mapper: Callable[[dict[str, Any]], Any], record: dict[str, Any]) -> Callable[[], None]:
    def run() -> None:
        for seed in _SEEDS:
            np.random.seed(seed)
            mapper(record)

    return run


def _annotations(folder: Path, settings: Settings) -> Table:
    people = 100 if settings.quick else _PEOPLE
    one = _record(folder, (96, 128))
    annotations = (one["annotations"] * _PEOPLE_AN_IMAGE)[:_PEOPLE_AN_IMAGE]
    file = folder / "poses.json"
    records = [
        {**one, "file_name": f"{i}.jpg", "image_id": i, "annotations": annotations}
        for i in range(people // _PEOPLE_AN_IMAGE)
    ]
    write_pose_json(file, records, BODY13)
    (timing,) = alternate([Contender("load", lambda: load_pose_json(file, folder, BODY13))], 1 + settings.rounds // 5)
    row = (people, file.stat().st_size / 1e6, timing.median, 1e6 * timing.median / people)
    return Table("Loading annotations", ("people", "MB of JSON", "s", "us a person"), [row])


def _synthetic(settings: Settings) -> Table:
    size, count = ((48, 64), 2) if settings.quick else ((240, 320), 20)

    def draw() -> None:
        for index in range(count):
            make_scene("train", 0, index, size)

    (timing,) = alternate([Contender("draw", draw)], max(2, settings.rounds // 5))
    row = (f"{size[1]} x {size[0]}", count / timing.median, 1e3 * timing.median / count)
    return Table("Synthetic pictures, drawn by one process", ("px", "pictures a second", "ms a picture"), [row])


def _record(folder: Path, size: tuple[int, int]) -> dict[str, Any]:
    """A synthetic picture with people, on disk."""
    scene = next(s for s in (make_scene("train", 0, i, size) for i in range(50)) if len(s.people) >= 2)
    file = folder / f"picture_{size[0]}.jpg"
    cv2.imwrite(str(file), scene.image)
    return scene_to_dataset_dict(scene, 0, str(file))

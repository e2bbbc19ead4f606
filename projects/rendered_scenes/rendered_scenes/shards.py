"""Rendered sets on disk: shards of pictures, each whole or not there, and one annotation file over all of them.

    folder/shards/00003/000300.jpg ... and annotations.json of the shard; folder/annotations.json of the whole set

A run that was stopped is started again with the same arguments and goes on with the first missing shard. One run at a
time per folder.
"""

from __future__ import annotations

import multiprocessing
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import cv2
from detectron2.structures import BoxMode
from tqdm import tqdm

from lcrnet_d2.data.datasets.pose_json import load_pose_json, write_pose_json
from lcrnet_d2.structures import BODY13
from lcrnet_d2.structures.bounded_files import read_json
from lcrnet_d2.structures.whole_files import partial_path, write_json

from .scene import RenderedPerson, RenderedScene, Studio

__all__ = ["ANNOTATIONS", "GENERATOR_VERSION", "SHARD_SIZE", "SetPlan", "render_set", "scene_to_dataset_dict"]

#: To be counted up whenever the scenes of a seed change.
GENERATOR_VERSION = 4
ANNOTATIONS = "annotations.json"
SHARD_SIZE = 100

_JPEG_QUALITY = 92
_PLAN = "plan.json"


@dataclass(frozen=True)
class SetPlan:
    """What the pictures of a set depend on.

    Attributes:
        split, count, seed: scenes 0 .. count - 1 of a split.
        material: names of the folders and archives that were used; ends up in the annotation file.
        shots: what the scenes show, see `SHOTS`.
    """

    split: str
    count: int
    seed: int
    material: dict[str, list[str]]
    shots: str = "whole"


def render_set(folder: str | Path, plan: SetPlan, make_studio: Callable[[], Studio], workers: int = 1) -> int:
    """Renders what is missing of a set, then writes the annotation file of the whole.

    Args:
        make_studio: called once in each process; picklable.
        workers: processes; with 1 nothing is started beside this one.

    Returns:
        how many pictures were rendered (those of shards that were there already are not).

    Raises:
        ValueError: the folder holds a set of another plan.
        RuntimeError: a worker process died.
    """
    folder = Path(folder)
    (folder / "shards").mkdir(parents=True, exist_ok=True)
    _keep_plan(folder, plan)
    starts = range(0, plan.count, SHARD_SIZE)
    missing = [start for start in starts if not _shard(folder, start).is_dir()]
    todo = [(start, min(SHARD_SIZE, plan.count - start)) for start in missing]
    total = sum(size for _, size in todo)
    with tqdm(total=total, desc=f"rendered {plan.split} pictures", unit="img", disable=total == 0) as bar:
        for size in _render(folder, plan, make_studio, todo, min(workers, len(todo)), bar.update):
            bar.update(size)
    records = []
    for start in starts:
        shard = _shard(folder, start)
        for record in load_pose_json(shard / ANNOTATIONS, folder, BODY13):
            records.append(record | {"file_name": str(Path(record["file_name"]).relative_to(folder.resolve()))})
    info = {"rendered": {"generator_version": GENERATOR_VERSION} | asdict(plan), "head": "middle of the head"}
    write_pose_json(folder / ANNOTATIONS, records, BODY13, info)
    return total


def scene_to_dataset_dict(scene: RenderedScene, image_id: int, file_name: str) -> dict[str, Any]:
    """The scene's annotations as a Detectron2 dataset dict."""
    camera = scene.camera
    intrinsics = {"fx": camera.fx, "fy": camera.fy, "cx": camera.cx, "cy": camera.cy}
    record = {"file_name": file_name, "height": camera.height, "width": camera.width, "image_id": image_id}
    return record | {"camera": intrinsics, "annotations": [_annotation(person) for person in scene.people]}


def _annotation(person: RenderedPerson) -> dict[str, Any]:
    found: dict[str, Any] = {"bbox": person.box.tolist(), "bbox_mode": BoxMode.XYXY_ABS, "category_id": 0}
    found |= {"iscrowd": int(person.barely_seen and not person.fills_picture), "area": person.num_pixels}
    if person.barely_seen:
        return found
    keypoints = [
        float(number) for (x, y), v in zip(person.keypoints, person.visibility, strict=True) for number in (x, y, v)
    ]
    pose = {"pose_3d": person.pose_3d, "pose_3d_source": "synthetic", "root_position": person.root_position.tolist()}
    return found | {"keypoints": keypoints} | pose


def _shard(folder: Path, start: int) -> Path:
    return folder / "shards" / f"{start // SHARD_SIZE:05d}"


def _keep_plan(folder: Path, plan: SetPlan) -> None:
    wanted = {"generator_version": GENERATOR_VERSION, "shard_size": SHARD_SIZE} | asdict(plan)
    path = folder / _PLAN
    if path.is_file():
        found = read_json(path)
        changed = [key for key, value in wanted.items() if found.get(key) != value]
        if changed:
            raise ValueError(f"{folder} holds a set with another {', '.join(changed)}; choose another folder")
        return
    write_json(path, wanted)


_studio: Studio | None = None  # of this process


def _open_studio(make_studio: Callable[[], Studio]) -> None:
    global _studio
    cv2.setNumThreads(1)
    _studio = make_studio()


def _render(
    folder: Path, plan: SetPlan, make_studio: Callable[[], Studio], todo: list, workers: int, on_picture: Callable
) -> Iterator[int]:
    """Renders the shards; yields the sizes of those made in other processes."""
    if workers <= 1:
        if todo:
            _open_studio(make_studio)
        for start, size in todo:
            _write_shard(folder, plan, start, size, on_picture)
        return
    write = partial(_write_shard_quietly, folder, plan)
    context = multiprocessing.get_context("spawn")  # OpenGL contexts and locks do not survive a fork
    try:
        with ProcessPoolExecutor(workers, context, initializer=_open_studio, initargs=(make_studio,)) as pool:
            yield from pool.map(write, *zip(*todo, strict=True))
    except BrokenProcessPool as error:
        raise RuntimeError("a process that renders died; start again to go on where it stopped") from error


def _write_shard_quietly(folder: Path, plan: SetPlan, start: int, size: int) -> int:
    _write_shard(folder, plan, start, size, lambda count: None)
    return size


def _write_shard(folder: Path, plan: SetPlan, start: int, size: int, on_picture: Callable[[int], object]) -> None:
    """A shard under another name that is renamed when it is whole."""
    assert _studio is not None
    final = _shard(folder, start)
    unfinished = partial_path(final)  # always the same: what a killed run left is replaced
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir()
    records = []
    for index in range(start, start + size):
        scene = _studio.scene(plan.split, plan.seed, index, plan.shots)
        name = f"{index:06d}.jpg"
        if not cv2.imwrite(str(unfinished / name), scene.image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY]):
            raise OSError(f"cannot write {unfinished / name}")
        records.append(scene_to_dataset_dict(scene, index, f"shards/{final.name}/{name}"))
        on_picture(1)
    write_pose_json(unfinished / ANNOTATIONS, records, BODY13)
    unfinished.rename(final)

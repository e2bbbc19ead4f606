"""Synthetic sets on disk: JPEGs and one annotation file, made by several processes, whole or not at all."""

from __future__ import annotations

import logging
import multiprocessing
import os
import shutil
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import cv2
from detectron2.structures import BoxMode
from detectron2.utils import comm
from tqdm import tqdm

from ...structures import BODY13
from ..datasets.pose_json import PoseFileError, load_pose_json, read_pose_info, write_pose_json
from .composition import SPLITS
from .scene import SyntheticScene, make_scene

__all__ = ["ANNOTATIONS", "GENERATOR_VERSION", "make_synthetic_set", "scene_to_dataset_dict", "synthetic_dataset_dicts"]

#: To be counted up whenever the scenes of a seed change, so that sets made before are made again.
GENERATOR_VERSION = 2

#: File name of the annotations in a set's folder.
ANNOTATIONS = "annotations.json"

_JPEG_QUALITY = 90
_IMAGES_WORTH_A_PROCESS = 150  # a new process spends about 4 s on imports, as long as 150 images take
_MOST_PROCESSES = 16  # unless asked for more: each holds about 0.7 GB of imports
_WAIT_S = 1800.0

_log = logging.getLogger(__name__)


def make_synthetic_set(
    folder: str | Path,
    split: str,
    num_images: int,
    seed: int,
    image_size: tuple[int, int] = (240, 320),
    num_workers: int | None = None,
) -> None:
    """Draws scenes 0 .. num_images - 1 of a split into folder/images and folder/annotations.json.

    The result does not depend on num_workers. A set that is there already is replaced, but only when the
    new one is complete.

    Args:
        split: one of composition.SPLITS; scenes of different splits never coincide.
        image_size: (H, W).
        num_workers: processes; as many as there are cores, up to 16, if None.

    Raises:
        ValueError: no such split, or num_images < 1.
        RuntimeError: the worker processes died.
    """
    if split not in SPLITS or num_images < 1:
        raise ValueError(f"synthetic set: {num_images} images of split {split!r}; splits are {SPLITS}")
    folder = Path(folder)
    with _whole_or_nothing(folder) as partial_folder:
        (partial_folder / "images").mkdir()
        write = partial(_write_scene, partial_folder, split, seed, image_size)
        if num_workers is None:
            num_workers = min(os.cpu_count() or 1, _MOST_PROCESSES)
        results = _map(write, num_images, num_workers)
        title = f"synthetic {split} images"
        dataset_dicts = list(tqdm(results, total=num_images, desc=title, unit="img", disable=num_images < 10))
        info = {"synthetic": _description(split, num_images, seed, image_size)}
        write_pose_json(partial_folder / ANNOTATIONS, dataset_dicts, BODY13, info)


def synthetic_dataset_dicts(
    folder: str | Path, split: str, num_images: int, seed: int, image_size: tuple[int, int] = (240, 320)
) -> list[dict[str, Any]]:
    """Detectron2 dataset dicts of a set, which is made first if it is missing or was made otherwise than asked.

    In a run of several processes rank 0 makes the set and the others wait for the finished folder. They do
    not meet at a barrier: it would hang where only some ranks ask (an evaluator that loads its truths on rank 0).

    Raises:
        TimeoutError: rank 0 has not delivered the set within half an hour.
    """
    folder = Path(folder)
    wanted = _description(split, num_images, seed, image_size)
    reason = _why_make(folder, wanted)
    if reason and comm.is_main_process():
        _log.info("Making %d synthetic images in %s: %s", num_images, folder, reason)
        make_synthetic_set(folder, split, num_images, seed, image_size)
    elif reason:
        _wait_for(folder, wanted)
    return load_pose_json(folder / ANNOTATIONS, folder, BODY13)


def scene_to_dataset_dict(scene: SyntheticScene, image_id: int, file_name: str) -> dict[str, Any]:
    """The scene's annotations as a Detectron2 dataset dict."""
    camera = scene.camera
    annotations = [
        {
            "bbox": person.box.tolist(),
            "bbox_mode": BoxMode.XYXY_ABS,
            "category_id": 0,
            "iscrowd": 0,
            "keypoints": [
                float(number)
                for (x, y), v in zip(person.keypoints, person.visibility, strict=True)
                for number in (x, y, v)
            ],
            "pose_3d": person.pose_3d,
            "pose_3d_source": "synthetic",
            "root_position": person.root_position.tolist(),
        }
        for person in scene.people
    ]
    intrinsics = {"fx": camera.fx, "fy": camera.fy, "cx": camera.cx, "cy": camera.cy}
    record = {"file_name": file_name, "height": camera.height, "width": camera.width, "image_id": image_id}
    return record | {"camera": intrinsics, "annotations": annotations}


def _description(split: str, num_images: int, seed: int, image_size: tuple[int, int]) -> dict[str, Any]:
    """What the images of a set depend on, as JSON gives it back."""
    asked = {"split": split, "num_images": num_images, "seed": seed, "image_size": list(image_size)}
    return {"generator_version": GENERATOR_VERSION} | asked


def _why_make(folder: Path, wanted: dict[str, Any]) -> str:
    """Why the set in `folder` cannot be used; empty if it can."""
    try:
        found = read_pose_info(folder / ANNOTATIONS).get("synthetic", {})
    except FileNotFoundError:
        return "there is none"
    except PoseFileError as error:
        return str(error)
    changed = [key for key, value in wanted.items() if found.get(key) != value]
    differences = "; ".join(f"{key} {found.get(key)!r}, not {wanted[key]!r}" for key in changed)
    return differences and f"the set there has {differences}"


def _wait_for(folder: Path, wanted: dict[str, Any]) -> None:
    deadline = time.monotonic() + _WAIT_S
    while reason := _why_make(folder, wanted):
        if time.monotonic() > deadline:
            raise TimeoutError(f"rank 0 has not made the synthetic set in {folder} within {_WAIT_S:.0f} s: {reason}")
        time.sleep(1.0)


@contextmanager
def _whole_or_nothing(folder: Path) -> Iterator[Path]:
    """An empty folder beside `folder` that takes its place on success and vanishes on failure."""
    partial_folder = folder.with_name(f".{folder.name}.{uuid.uuid4().hex}.part")
    partial_folder.mkdir(parents=True)
    try:
        yield partial_folder
        if folder.exists():
            replaced = partial_folder / "replaced"
            folder.rename(replaced)
            shutil.rmtree(replaced)
        partial_folder.rename(folder)
    finally:
        shutil.rmtree(partial_folder, ignore_errors=True)


def _map(write: partial[dict[str, Any]], num_images: int, num_workers: int) -> Iterator[dict[str, Any]]:
    """write(i) of every image in order, in worker processes where that pays.

    Workers are spawned, not forked: a fork inherits the locks of OpenCV's and PyTorch's threads.
    """
    workers = min(num_workers, num_images // _IMAGES_WORTH_A_PROCESS)
    if workers < 2 or multiprocessing.current_process().daemon:  # a daemon may have no children
        yield from map(write, range(num_images))
        return
    context = multiprocessing.get_context("spawn")
    try:
        with ProcessPoolExecutor(workers, context, initializer=cv2.setNumThreads, initargs=(1,)) as pool:
            yield from pool.map(write, range(num_images), chunksize=16)
    except BrokenProcessPool as error:
        raise RuntimeError(
            "the processes that draw synthetic images died; if the messages above speak of bootstrapping, put the "
            "script's own statements under `if __name__ == '__main__':`, or pass num_workers=1"
        ) from error


def _write_scene(folder: Path, split: str, seed: int, image_size: tuple[int, int], index: int) -> dict[str, Any]:
    scene = make_scene(split, seed, index, image_size)
    file_name = f"images/{index:06d}.jpg"
    if not cv2.imwrite(str(folder / file_name), scene.image, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY]):
        raise OSError(f"cannot write {folder / file_name}")
    return scene_to_dataset_dict(scene, index, file_name)

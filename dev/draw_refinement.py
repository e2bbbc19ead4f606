#!/usr/bin/env python3
"""People before (above) and after (below) their joints move to the heat maps: images drawn at random, none picked.

examples:
  dev/draw_refinement.py --input docs/samples --count 4 --seed 3 --output docs/images/refinement.jpg
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from draw_gallery import sheet
from lcrnet_d2.data import read_image
from lcrnet_d2.demo import DEFAULT_MODEL, find_images
from lcrnet_d2.detected_people import DetectedPeople
from lcrnet_d2.predictor import PosePredictor
from lcrnet_d2.visualization import draw_people_2d
from make_readme_pictures import write_jpeg

_CELL, _COLUMNS, _MARGIN = 360, 4, 0.15  # px; images in a row; of the people's box on each side


def main(argv: list[str] | None = None) -> None:
    args = parse_arguments(argv)
    predictor = PosePredictor(args.config_file)
    files = find_images(args.input)
    if len(files) < args.count:
        raise SystemExit(f"{len(files)} images in {' '.join(args.input)}: --count {args.count} is too many")
    chosen = sorted(np.random.default_rng(args.seed).choice(len(files), args.count, replace=False).tolist())
    pairs = [cells(predictor, files[i]) for i in chosen]
    rows = [pairs[i : i + _COLUMNS] for i in range(0, len(pairs), _COLUMNS)]
    write_jpeg(args.output, np.concatenate([sheet([pair[k] for pair in row]) for row in rows for k in (0, 1)]))
    print(", ".join(files[i].name for i in chosen))


def cells(predictor: PosePredictor, file: Path) -> tuple[np.ndarray, np.ndarray]:
    """Two (h, w, 3) RGB of at most _CELL: integrated and refined poses on the part of the image where people are."""
    image = read_image(file, "RGB")
    integrated, refined = before_and_after(predictor, image)
    x1, y1, x2, y2 = part_with_people(refined)
    part = np.ascontiguousarray(image[y1:y2, x1:x2])
    scale = _CELL / max(part.shape[:2])
    out = []
    for people in (integrated, refined):
        moved = replace(
            people,
            image_size=part.shape[:2],
            keypoints_2d=people.keypoints_2d - np.float32([x1, y1]),
            boxes=people.boxes - np.float32([x1, y1, x1, y1]),
            spreads_2d=np.zeros_like(people.spreads_2d),  # their discs would hide what moved
        )
        out.append(draw_people_2d(part, moved, scale)[:_CELL, :_CELL])
    return out[0], out[1]


@torch.no_grad()
def before_and_after(predictor: PosePredictor, image: np.ndarray) -> tuple[DetectedPeople, DetectedPeople]:
    """The same people, as PPI integrates them and as joint refinement leaves them.

    Raises:
        SystemExit: the model refines no joints.
    """
    outputs: list[dict] = []
    asked = predictor.network
    refined = predictor.asking(lambda inputs: outputs.extend(asked(inputs)) or outputs)(image, "RGB")
    found = outputs[0]["instances"]
    found = found[found.scores >= predictor.score_threshold]
    if not found.has("pred_integrated_keypoints"):
        raise SystemExit("the model does not refine joints: MODEL.LCRNET.JOINT_REFINEMENT.ENABLED is False")
    height, width = image.shape[:2]
    integrated = found.pred_integrated_keypoints.cpu().numpy() * np.float32([width, height])
    return replace(refined, keypoints_2d=integrated), refined


def part_with_people(people: DetectedPeople) -> tuple[int, int, int, int]:
    """x1, y1, x2, y2 px of all people's boxes with a margin, inside the image; the whole image without people."""
    height, width = people.image_size
    if not len(people):
        return 0, 0, width, height
    (x1, y1), (x2, y2) = people.boxes[:, :2].min(0), people.boxes[:, 2:].max(0)
    margin = _MARGIN * max(x2 - x1, y2 - y1)
    return (
        int(max(x1 - margin, 0)),
        int(max(y1 - margin, 0)),
        int(np.ceil(min(x2 + margin, width))),
        int(np.ceil(min(y2 + margin, height))),
    )


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config-file", default=DEFAULT_MODEL, help="of a model with joint refinement (%(default)s)")
    parser.add_argument("--input", nargs="+", required=True, help="images, patterns or folders")
    parser.add_argument("--count", type=int, default=4, help="how many images (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=3, help="of the choice (default: %(default)s)")
    parser.add_argument("--output", type=Path, required=True, metavar="IMAGE.jpg")
    return parser.parse_args(argv)


if __name__ == "__main__":
    main()

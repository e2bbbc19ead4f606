#!/usr/bin/env python
"""How much an LCR-Net of random weights changes where OpenCV resizes its images and not Pillow.

Detectron's code resizes with OpenCV, bilinearly; Detectron2's and this package's with Pillow, which averages where it
makes images smaller.

example:
  projects/released_models/compare_resizing.py photos/*.jpg
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import cv2
import numpy as np
import torch
from detectron2.data.transforms import ResizeShortestEdge
from detectron2.structures import pairwise_iou

sys.path.insert(0, str(Path(__file__).parent / "tests"))

from lcrnet_d2.data import read_image
from released_models.lcrnet_v2 import convert_lcrnet_v2
from released_models_support import built, lcrnet_v2_file


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", nargs="+", type=Path)
    images = [read_image(file, "BGR") for file in parser.parse_args().images]
    for kind, with_fpn in (("FPN", True), ("C4", False)):
        model = built(convert_lcrnet_v2(lcrnet_v2_file(with_fpn)))
        for image in images:
            by_pillow = ResizeShortestEdge(400, 900).get_transform(image).apply_image(image)
            by_opencv = cv2.resize(image, by_pillow.shape[1::-1], interpolation=cv2.INTER_LINEAR)
            regions, people = [], []
            for small in (by_pillow, by_opencv):
                pixels = torch.from_numpy(np.ascontiguousarray(small.transpose(2, 0, 1)))
                record = {"image": pixels, "height": image.shape[0], "width": image.shape[1]}
                batch = model.preprocess_image([record])
                regions.append(model.proposal_generator(batch, model.backbone(batch.tensor))[0][0].proposal_boxes)
                people.append(len(model([record])[0]["instances"]))
            same = (pairwise_iou(*regions).amax(1) > 0.9).sum().item()
            levels = np.abs(by_pillow.astype(int) - by_opencv)
            (height, width), (new_height, new_width) = image.shape[:2], by_pillow.shape[:2]
            print(
                f"{kind}, {width} x {height} to {new_width} x {new_height}: levels differ by {levels.mean():.2f}, "
                f"at most {levels.max()}; {same} of {len(regions[0])} regions; people {people}"
            )


if __name__ == "__main__":
    main()

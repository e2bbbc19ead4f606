"""Finds everyone's 2D and 3D pose in pictures; writes an annotated picture of each and one poses.json.

example:
  tools/demo.py --config-file configs/quick_schedules/lcrnet_lite0_demo.yaml \\
      --input photos/*.jpg --output output/photos --opts MODEL.WEIGHTS output/demo/model_final.pth
"""

from __future__ import annotations

import argparse
import glob
import logging
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from tqdm import tqdm

from lcrnet_d2.config import load_config
from lcrnet_d2.data import ImageFileError, read_image
from lcrnet_d2.pose_file import people_to_json, write_poses
from lcrnet_d2.predictor import PosePredictor
from lcrnet_d2.structures import SKELETONS
from lcrnet_d2.visualization import draw_people

IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp"}


def main(argv: list[str] | None = None) -> None:
    args = parse_arguments(argv)
    files = find_images(args.input)
    if not files:
        raise SystemExit(f"no images among {' '.join(args.input)}")
    check_writable(args.output)
    cfg = load_config(args.config_file, args.opts)
    for key in ("SCORE_THRESH_PPI", "SCORE_THRESH_NMS"):
        if args.confidence_threshold is not None:
            cfg.MODEL.LCRNET.INTEGRATION[key] = args.confidence_threshold
    detect(PosePredictor(cfg), files, args.output, cfg.MODEL.LCRNET.SKELETON)


def detect(predictor: PosePredictor, files: list[Path], output: Path, skeleton_name: str) -> None:
    """One picture per image in `output`, and poses.json with an entry for every image, read or not."""
    skeleton = SKELETONS[skeleton_name]
    entries: list[dict[str, Any]] = []
    try:
        for number, file in enumerate(tqdm(files, unit="image", desc="detecting")):
            entry: dict[str, Any] = {"file_name": str(file), "width": None, "height": None, "people": []}
            entries.append(entry)
            try:
                image = read_image(file, predictor.image_format)
            except (FileNotFoundError, ImageFileError) as error:
                logging.getLogger(__name__).error("%s", error)
                entry["error"] = str(error)
                continue
            instances = predictor([image])[0]
            entry |= {"width": image.shape[1], "height": image.shape[0], "people": people_to_json(instances)}
            rgb = image if predictor.image_format == "RGB" else np.ascontiguousarray(image[:, :, ::-1])
            write_picture(output / f"{number:04d}_{file.stem}.png", draw_people(rgb, instances, skeleton, None))
    finally:  # whatever stops it, what was found so far is kept
        write_poses(output / "poses.json", entries, skeleton)
    people = sum(len(entry["people"]) for entry in entries)
    print(f"{people} people in {len(files)} images; pictures and poses.json in {output}")


def write_picture(path: Path, picture: np.ndarray) -> None:
    """Writes an RGB picture; OpenCV only returns False where it cannot."""
    if not cv2.imwrite(str(path), picture[:, :, ::-1]):
        raise OSError(f"could not write the picture {path}")


def find_images(inputs: list[str]) -> list[Path]:
    """Files, patterns and folders to image files, in order."""
    files: list[Path] = []
    for name in inputs:
        path = Path(name).expanduser()
        if path.is_dir():
            files += sorted(p for p in path.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES)
        elif path.is_file():
            files.append(path)
        else:
            found = [Path(p) for p in sorted(glob.glob(str(path)))]
            files += found or [path]  # a file that is not there is reported like one that cannot be read
    return files


def check_writable(folder: Path) -> None:
    """Before any computing: can the results be written?"""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".write-test"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise SystemExit(f"cannot write to --output {folder}: {error}") from error


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config-file", required=True, help="YAML, or its name below configs/")
    parser.add_argument("--input", nargs="+", required=True, help="images, patterns or folders")
    parser.add_argument("--output", type=Path, required=True, help="folder for the results")
    parser.add_argument("--confidence-threshold", type=float, help="least score S of a person (default: the config's)")
    parser.add_argument("--opts", nargs=argparse.REMAINDER, default=[], help="config KEY VALUE pairs")
    return parser.parse_args(argv)


if __name__ == "__main__":
    main()

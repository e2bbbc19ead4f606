#!/usr/bin/env python3
"""Makes pictures of the documentation: people found with the 3D view, the anchor poses, the interactive page.

Without a config the people are the truth of synthetic scenes, with one the model finds them. The page needs Chromium
and the extra "dev" (playwright); without them its picture is left as it is, and said so.

examples:
  dev/make_readme_pictures.py
  dev/make_readme_pictures.py --config-file lcrnet_movenet_free --input docs/samples/000000541055.jpg \\
      --anchors lcrnet_d2/weights/lcrnet_movenet_free_anchors.npz
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import torch

sys.path.append(str(Path(__file__).resolve().parents[1] / "tools"))

from lcrnet_d2.data import read_image
from lcrnet_d2.data.anchor_clustering import cluster_poses, with_mirrored
from lcrnet_d2.data.synthetic.scene import SyntheticScene, make_scene
from lcrnet_d2.demo import check_writable, find_images
from lcrnet_d2.detected_people import DetectedPeople, points_in_image
from lcrnet_d2.outputs.html_viewer import write_html
from lcrnet_d2.placement import PinholeCamera
from lcrnet_d2.predictor import PosePredictor
from lcrnet_d2.structures import BODY13, AnchorPoses
from lcrnet_d2.structures.whole_files import whole_file
from lcrnet_d2.visualization import anchor_sheet, draw_people, encoded_jpeg

Detection = tuple[np.ndarray, DetectedPeople]

#: (seed, index) of the test split's scenes whose truth is drawn: people cut off, in front of each other, bent.
SCENES = ((1, 27), (1, 0), (1, 19))
_NUM_ANCHORS, _ANCHOR_SCENES = 24, 150
_LARGEST = 250_000  # bytes of a picture in the repository
_BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def main(argv: list[str] | None = None) -> None:
    args = parse_arguments(argv)
    check_writable(args.output)
    if args.config_file:
        detections = list(detect(args.config_file, args.weights, args.input))
    else:
        detections = [truth(make_scene("test", *scene, (480, 640))) for scene in SCENES]
    if not detections:
        raise SystemExit(f"no images among {' '.join(args.input)}")
    write_jpeg(args.output / "people.jpg", draw_people(*detections[-1]))
    anchors = AnchorPoses.load(args.anchors) if args.anchors else synthetic_anchors()
    write_jpeg(args.output / "anchors.jpg", anchor_sheet(anchors))
    screenshot = picture_of_page(detections)
    if screenshot is None:
        print("html_viewer.jpg is left as it is: no Chromium, or no playwright (pip install -e '.[dev]')")
    else:
        write_jpeg(args.output / "html_viewer.jpg", screenshot)


def detect(config_file: str, weights: str | None, inputs: list[str]) -> Iterator[Detection]:
    """What the model finds in images; a file that is broken or missing stops it: a README needs them all."""
    predictor = PosePredictor(config_file, weights)
    for file in find_images(inputs):
        image = read_image(file, "RGB")
        people = predictor(image, "RGB")
        yield image, people.placed(PinholeCamera.from_fov(people.image_size))


def truth(scene: SyntheticScene) -> Detection:
    """RGB image and true people of a synthetic scene, as a detection without doubt."""
    camera, people = scene.camera, scene.people
    size, n = (camera.height, camera.width), len(people)
    points = np.stack([person.keypoints for person in people]).astype(np.float32)
    found = DetectedPeople(
        skeleton=BODY13,
        image_size=size,
        scores=np.ones(n, np.float32),
        confidences=np.ones(n, np.float32),
        boxes=np.stack([person.box for person in people]).astype(np.float32),
        keypoints_2d=points,
        poses_3d=np.stack([person.pose_3d for person in people]).astype(np.float32),
        in_image=points_in_image(points, size),
        spreads_2d=np.zeros((n, len(BODY13)), np.float32),
        spreads_3d=np.zeros((n, len(BODY13)), np.float32),
        anchors=np.zeros(n, np.int64),
        translations=np.stack([person.root_position for person in people]).astype(np.float32),
        camera=PinholeCamera(camera.fx, camera.fy, camera.cx, camera.cy),
    )
    return np.ascontiguousarray(scene.image[..., ::-1]), found


def synthetic_anchors() -> AnchorPoses:
    """Anchor poses of the people in some small scenes, clustered as training does it."""
    scenes = (make_scene("train", 0, index, (60, 80)) for index in range(_ANCHOR_SCENES))
    people = [person for scene in scenes for person in scene.people]
    poses_2d = torch.tensor(np.stack([p.keypoints for p in people]), dtype=torch.float32)
    poses_3d = torch.tensor(np.stack([p.pose_3d for p in people]), dtype=torch.float32)
    return cluster_poses(*with_mirrored(poses_2d, poses_3d, BODY13), BODY13, _NUM_ANCHORS, False, seed=0)


def picture_of_page(detections: list[Detection]) -> np.ndarray | None:
    """(H, W, 3) RGB of the interactive page, a joint hovered; None where no browser can be had."""
    browser_file = next(filter(None, map(shutil.which, _BROWSERS)), None)
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        return None
    if browser_file is None:
        return None
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as driver:
        file = Path(folder) / "page.html"
        write_html([people for _, people in detections], [image for image, _ in detections], file, "LCR-Net")
        browser = driver.chromium.launch(executable_path=browser_file, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1200, "height": 760})
        page.goto(file.as_uri())
        page.wait_for_function("pictures.every(picture => picture.complete)")
        page.keyboard.press(".")
        for at in page.evaluate("placed.scene.slice(-1)"):  # nobody may have been found
            left, top = page.evaluate("(({left, top}) => [left, top])($('scene').getBoundingClientRect())")
            page.mouse.move(left + at["x"], top + at["y"])
        encoded = np.frombuffer(page.screenshot(), np.uint8)
        browser.close()
    return np.ascontiguousarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR)[..., ::-1])


def write_jpeg(path: Path, picture: np.ndarray) -> None:
    """At most 1600 px wide, in the best quality that stays below 250 kB."""
    width = min(picture.shape[1], 1600)
    small = cv2.resize(
        picture, (width, round(picture.shape[0] * width / picture.shape[1])), interpolation=cv2.INTER_AREA
    )
    for quality in (92, 85, 75, 60, 40):
        encoded = encoded_jpeg(small, quality)
        if len(encoded) < _LARGEST:
            break
    with whole_file(path) as file:
        file.write(encoded)
    print(f"{path}: {small.shape[1]} x {small.shape[0]}, {len(encoded) / 1000:.0f} kB, quality {quality}")


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--config-file", help="of the model that finds the people (default: the truth of synthetic scenes)"
    )
    parser.add_argument("--weights", help="of the model (default: the config's)")
    parser.add_argument(
        "--anchors", type=Path, help=".npz of its anchor poses (default: clustered from synthetic people)"
    )
    parser.add_argument("--input", nargs="+", default=[], help="images: the last for the 3D view, all for the page")
    parser.add_argument("--output", type=Path, default=Path("docs/images"), help="folder (docs/images)")
    args = parser.parse_args(argv)
    if bool(args.config_file) != bool(args.input):
        parser.error("--config-file and --input go together")
    return args


if __name__ == "__main__":
    main()

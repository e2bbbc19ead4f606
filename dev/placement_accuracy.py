#!/usr/bin/env python3
"""How well people are placed before the camera (Fig. 7 of the paper), on synthetic scenes whose cameras are known.

True 3D poses, 2D poses with noise: 1 to 4 people a picture of 320 x 240 px, mostly 2 to 6 m away, a third of them
cut by the border. Joints outside the picture get five times the noise of those inside. Prints a table, draws a figure.

example:
  dev/placement_accuracy.py --output docs/images/placement.png
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from lcrnet_d2.data.synthetic.composition import compose
from lcrnet_d2.detected_people import DetectedPeople, points_in_image
from lcrnet_d2.placement import PinholeCamera, place_people
from lcrnet_d2.structures import BODY13
from lcrnet_d2.visualization.figures import new_figure, save_figure

IMAGE_SIZE = (240, 320)
NOISES = (0.0, 1.0, 2.0, 4.0, 8.0)
OUTSIDE = 5.0  # times the noise inside


@dataclass(frozen=True)
class Scene:
    """camera: true; joints: (N, J, 3) m in its space; roots: (N, 3) m, the body centres."""

    camera: PinholeCamera
    joints: np.ndarray
    roots: np.ndarray


def main(argv: list[str] | None = None) -> None:
    args = parse_arguments(argv)
    scenes = make_scenes(args.scenes, args.seed)
    rng = np.random.default_rng(args.seed)
    people = sum(len(scene.roots) for scene in scenes)
    print(
        f"{people} people in {len(scenes)} scenes; error of the position as a share of the depth, median (95th centile)"
    )
    print("noise   as placed            all joints alike     default field of view")
    medians: dict[str, list[float]] = {"as placed": [], "all joints alike": [], "default field of view": []}
    for noise in NOISES:
        errors = {name: np.concatenate(rows) for name, rows in errors_of(scenes, noise, rng).items()}
        cells = [f"{100 * np.median(e):5.2f} % ({100 * np.quantile(e, 0.95):5.1f} %)" for e in errors.values()]
        print(f"{noise:3g} px  " + "   ".join(cells))
        for name, values in errors.items():
            medians[name].append(100 * float(np.median(values)))
    if args.output is not None:
        draw(medians, scenes, args.output)


def make_scenes(count: int, seed: int) -> list[Scene]:
    scenes = []
    for index in range(count):
        composition = compose(np.random.default_rng([seed, index]), IMAGE_SIZE)
        camera = composition.camera
        joints = np.stack([person.joints for person in composition.people])
        pinhole = PinholeCamera(camera.fx, camera.fy, camera.cx, camera.cy)
        scenes.append(Scene(pinhole, joints, joints[:, BODY13.torso].mean(1)))
    return scenes


def errors_of(scenes: list[Scene], noise: float, rng: np.random.Generator) -> dict[str, list[np.ndarray]]:
    """Way of placing -> per scene (N,) distance between true and recovered place, divided by the true depth."""
    errors: dict[str, list[np.ndarray]] = {"as placed": [], "all joints alike": [], "default field of view": []}
    for scene in scenes:
        people = seen(scene, noise, rng)
        points, poses = torch.from_numpy(people.keypoints_2d), torch.from_numpy(people.poses_3d)
        places = (
            people.placed(scene.camera).translations,
            place_people(points, poses, scene.camera).numpy(),
            people.placed(PinholeCamera.from_fov(IMAGE_SIZE)).translations,
        )
        for rows, place in zip(errors.values(), places, strict=True):
            rows.append(np.linalg.norm(place - scene.roots, axis=1) / scene.roots[:, 2])
    return errors


def seen(scene: Scene, noise: float, rng: np.random.Generator) -> DetectedPeople:
    """The scene's people, their 2D with `noise` px inside the picture and `OUTSIDE` times as much beyond it."""
    points = scene.camera.project(torch.from_numpy(scene.joints)).numpy()
    inside = points_in_image(points, IMAGE_SIZE)
    points = points + noise * np.where(inside, 1.0, OUTSIDE)[..., None] * rng.normal(size=points.shape)
    n, j = points.shape[:2]
    return DetectedPeople(
        skeleton=BODY13,
        image_size=IMAGE_SIZE,
        scores=np.ones(n),
        confidences=np.ones(n),
        boxes=np.concatenate([points.min(1), points.max(1)], -1),
        keypoints_2d=points,
        poses_3d=scene.joints - scene.roots[:, None],
        in_image=points_in_image(points, IMAGE_SIZE),
        spreads_2d=np.zeros((n, j)),
        spreads_3d=np.zeros((n, j)),
        anchors=np.zeros(n, dtype=np.int64),
    )


def draw(medians: dict[str, list[float]], scenes: list[Scene], path: Path) -> None:
    figure = new_figure(10, 4)
    left, right = figure.subplots(1, 2)
    for name, colour in (("as placed", "C0"), ("all joints alike", "C1")):
        left.plot(NOISES, medians[name], "o-", color=colour, label=name)
    left.axhline(3, color="0.6", linestyle="--", linewidth=1)
    left.set(xlabel="noise of the 2D joints (px; outside the picture x 5)", ylabel="median error (% of the depth)")
    left.legend(frameon=False)
    rng = np.random.default_rng(0)
    people = [seen(scene, 2.0, rng) for scene in scenes]
    true = np.concatenate([scene.roots[:, 2] for scene in scenes])
    known = np.concatenate([p.placed(s.camera).translations[:, 2] for p, s in zip(people, scenes, strict=True)])
    guessed = np.concatenate([p.placed(PinholeCamera.from_fov(IMAGE_SIZE)).translations[:, 2] for p in people])
    right.plot(true, guessed, ".", color="0.7", markersize=3, label="default field of view, 60 degrees")
    right.plot(true, known, ".", color="C0", markersize=3, label="known camera")
    limit = float(np.quantile(true, 0.99))
    right.plot([0, limit], [0, limit], color="0.3", linewidth=1)
    right.set(xlabel="true depth (m)", ylabel="recovered depth (m)", xlim=(0, limit), ylim=(0, 1.3 * limit))
    right.legend(frameon=False, markerscale=3)
    save_figure(figure, path)


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, help="figure, PNG")
    return parser.parse_args(argv)


if __name__ == "__main__":
    main()

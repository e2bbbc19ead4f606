#!/usr/bin/env python
"""Everyone's 2D and 3D pose in pictures with an exported model: onnxruntime, numpy and pillow, nothing else.

Copy this file to wherever the model goes. It prints JSON: joints, units and axes named, one entry per picture.

example:
  tools/run_onnx.py model.onnx photos/a.jpg photos/b.jpg > poses.json
"""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any, NamedTuple

import numpy as np
import onnxruntime
from PIL import Image, ImageOps

#: Of what tools/export_model.py writes: 2 takes batches.
VERSION = 2
#: Of joint refinement: px of a cell; deviations beyond which heat is another's; cells that a peak is wide; how often
#: those who lose a peak look again.
CELL, REACH, PEAK_RADIUS, LOOKS = 4, 3.0, 4, 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help=".onnx of tools/export_model.py")
    parser.add_argument("images", nargs="+")
    args = parser.parse_args()
    session, about = load(args.model)
    out = {"version": 1, **{key: about[key] for key in ("joint_names", "axes", "origin")}}
    out["units"] = {"keypoints_2d": "px", "pose_3d": "m"}
    out["images"] = []
    failed = False
    for file in args.images:
        try:
            image = read_rgb(file)
        except Exception as error:  # a broken picture is reported and skipped; Pillow raises whatever it trips over
            print(f"{file}: {error}", file=sys.stderr)
            failed = True
            continue
        people = find_people(session, about, image)
        out["images"].append({"file_name": file, "width": image.width, "height": image.height, "people": people})
    print(json.dumps(out, indent=1))
    sys.exit(failed)


def load(model: str) -> tuple[onnxruntime.InferenceSession, dict[str, Any]]:
    """The network, and what tools/export_model.py wrote about it; SystemExit for any other file."""
    try:
        session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
        about = json.loads(session.get_modelmeta().custom_metadata_map["lcrnet"])
    except KeyError:
        sys.exit(f"{model} was not written by tools/export_model.py: it has no metadata 'lcrnet'")
    except Exception as error:  # onnxruntime's own kinds have no common base
        sys.exit(f"cannot read the model {model}: {error}")
    if about["version"] != VERSION:
        sys.exit(f"{model} has version {about['version']}, this file reads {VERSION}: export the model again")
    return session, about


def read_rgb(file: str) -> Image.Image:
    """An 8-bit RGB picture, turned as its EXIF data says; 16-bit greys are scaled, what is transparent is white."""
    image = ImageOps.exif_transpose(Image.open(file))
    if image.mode.startswith("I"):  # convert() would saturate them
        image = Image.fromarray((np.asarray(image, dtype=np.float64) / 257).round().clip(0, 255).astype(np.uint8))
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")


def find_people(session: onnxruntime.InferenceSession, about: dict[str, Any], image: Image.Image) -> list[dict]:
    """People, best score first; keypoints are pixel indices of `image` (the centre of the first pixel is 0, 0)."""
    wanted = about["image"]
    scale = wanted["shorter_side"] / min(image.size)
    scale = min(scale, wanted["longer_side_at_most"] / max(image.size))
    size = tuple(int(side * scale + 0.5) for side in image.size)
    pixels = np.asarray(image.resize(size, Image.Resampling.BILINEAR))
    if wanted["channels"] == "BGR":
        pixels = pixels[:, :, ::-1]
    names = [output.name for output in session.get_outputs()]
    batch = np.ascontiguousarray(pixels.transpose(2, 0, 1)[None], dtype=np.float32)  # of one; all are of this image
    found = session.run(names, {"images": batch})
    proposals = dict(zip(names, found, strict=True))
    upper_body = proposals["classes"] >= about["num_anchor_poses"]
    rules = dict(about["integration"])
    last_pixel = np.array(size) / image.size if rules.pop("last_pixel_boxes", False) else 0.0
    people = []
    found = integrate(proposals, upper_body, size, **{**rules, "score_threshold": 0.0}, last_pixel=last_pixel)
    if "joint_refinement" in about:
        heat, offsets = proposals["joint_heat"][0], proposals["joint_offsets"][0]
        found = refine(found, heat, offsets, size, **about["joint_refinement"])
    for score, pose_2d, pose_3d, seed, _ in found:
        if score < rules["score_threshold"]:
            continue
        points = pose_2d * (np.array(image.size) / size)
        inside = ((points >= 0) & (points < image.size)).all(1)
        people.append(
            {
                "score": float(score),
                "confidence": float(proposals["confidences"][seed]),
                "keypoints_2d": (points - 0.5).round(3).tolist(),
                "pose_3d": pose_3d.round(5).tolist(),
                "in_image": inside.tolist(),
            }
        )
    return people


class Person(NamedTuple):
    """score; pose_2d (J, 2) px; pose_3d (J, 3) m; seed: a proposal; spread (J, 2) px, of what was averaged."""

    score: float
    pose_2d: np.ndarray
    pose_3d: np.ndarray
    seed: int
    spread: np.ndarray


def integrate(
    proposals: dict[str, np.ndarray],
    upper_body: np.ndarray,
    image_size: tuple[int, int],
    *,
    iou_threshold: float,
    t_3d: float,
    all_modes: bool,
    clip_boxes: bool,
    min_seed_score: float,
    min_mode_score: float,
    lower_body_weight: float,
    lower_body_joints: list[int],
    score_threshold: float,
    last_pixel: float | np.ndarray = 0.0,
) -> list[Person]:
    """Pose proposals integration (Sec. 3.5, Eq. 6 and 7), best first.

    Args:
        proposals: scores (P,), poses_2d (P, J, 2) px, poses_3d (P, J, 3) m.
        upper_body: (P,) bool, of upper-body classes.
        image_size: width and height, px.
        last_pixel: how wide and high a pixel is where 2D joints are indices of pixels, to the far edge of whose last
            boxes reach (released models: pixels of the image before it was resized); 0: joints are places.
    """
    scores, poses_2d, poses_3d = (proposals[name] for name in ("scores", "poses_2d", "poses_3d"))
    low, high = poses_2d.min(1), poses_2d.max(1)
    if clip_boxes:
        low, high = (corner.clip(0, np.float32(image_size) - np.float32(last_pixel)) for corner in (low, high))
    boxes = np.concatenate([low, np.maximum(high, low + 1 / 64) + last_pixel], 1)  # no side without length
    weights = np.repeat(scores[:, None], poses_2d.shape[1], 1)
    weights[np.ix_(upper_body, lower_body_joints)] *= lower_body_weight
    people = []
    left = np.argsort(-scores, kind="stable")
    while len(left):
        near = iou(boxes[left[0]], boxes[left]) > np.float32(iou_threshold)
        near[0] = True
        group, left = left[near], left[~near]
        modes = find_modes(scores[group], poses_3d[group], t_3d, min_seed_score)
        if not all_modes:
            modes = [max(modes, key=lambda mode: scores[group[mode]].sum())]
        for members in (group[mode] for mode in modes):
            total = scores[members].sum()
            if total > min_mode_score and total >= score_threshold:
                w = weights[members] / weights[members].sum(0)
                mean_2d, mean_3d = ((w[..., None] * p[members]).sum(0) for p in (poses_2d, poses_3d))
                squares = (poses_2d[members] - mean_2d) ** 2 * scores[members][:, None, None]
                spread = np.sqrt(squares.sum(0) / total)
                people.append(Person(float(total), mean_2d, mean_3d, int(group[0]), spread))
    return sorted(people, key=lambda person: -person.score)


def find_modes(scores: np.ndarray, poses_3d: np.ndarray, t_3d: float, min_seed_score: float) -> list[np.ndarray]:
    """The modes of a group, whose proposals are in order of score; a proposal may be in several."""
    modes: list[np.ndarray] = []
    waiting = np.ones(len(scores), bool)
    while waiting.any():
        seed = int(waiting.argmax())
        if modes and scores[seed] < min_seed_score:
            break
        members = np.linalg.norm(poses_3d - poses_3d[seed], axis=2).mean(1) < t_3d
        members[seed] = True
        waiting &= ~members
        modes.append(members.nonzero()[0])
    return modes


def refine(
    people: list[Person],
    heat: np.ndarray,
    offsets: np.ndarray,
    image_size: tuple[int, int],
    *,
    min_deviation: float,
    min_heat: float,
    usual_heat: float,
) -> list[Person]:
    """The people with their 2D joints moved to where the heat maps see them, and scored by what is seen.

    As lcrnet_d2/modeling/joint_refinement.py describes: every joint goes to its most probable cell, no two people to
    the same peak; the score counts (mean heat / usual_heat)^2.

    Args:
        heat: (J, h, w) in [0, 1]; offsets: (J, 2, h, w), dx and dy in cells.
        image_size: width and height, px.
    """
    if not people:
        return people
    poses = np.stack([person.pose_2d for person in people])
    sizes = 1.2 * np.sqrt(np.prod(poses.max(1) - poses.min(1), 1))
    least = np.maximum(min_deviation * sizes, CELL / 2)[:, None, None]
    deviations = np.maximum(np.stack([person.spread for person in people]), least)
    y, x = np.indices(heat.shape[1:]).reshape(2, -1)
    cells = np.stack([x, y], 1)
    scores = np.array([person.score for person in people])
    stays = np.log(min_heat) - 0.5 * REACH**2
    out, evidence = poses.copy(), np.zeros(poses.shape[:2])
    for joint in range(poses.shape[1]):
        away = (((cells + 0.5) * CELL - poses[:, joint, None]) / deviations[:, joint, None]) ** 2
        seen = heat[joint].ravel()
        with np.errstate(divide="ignore"):
            log_odds = np.log(np.where(seen >= min_heat, seen, 0)) - 0.5 * away.sum(2)
        log_odds[away.sum(2) > REACH**2] = -np.inf
        for looks_left in reversed(range(LOOKS)):
            best = log_odds.argmax(1)
            moves = np.isfinite(log_odds.max(1))
            near = is_near(cells[best][:, None], cells)  # (N, cells)
            rivals = near[:, best] & moves & moves[:, None] & ~np.eye(len(people), dtype=bool)
            elsewhere = np.where(near, -np.inf, log_odds).max(1).clip(stays)
            with np.errstate(invalid="ignore"):
                loss = (log_odds.max(1) - elsewhere) * scores
            for person in rivals.any(1).nonzero()[0]:
                before = [k for k in rivals[person].nonzero()[0] if (-loss[k], k) < (-loss[person], person)]
                if before:
                    winner = min(before, key=lambda k: (-loss[k], k))
                    log_odds[person, near[winner] if looks_left else slice(None)] = -np.inf
        best = log_odds.argmax(1)
        moves = np.isfinite(log_odds.max(1))
        places = (cells[best] + offsets[joint].reshape(2, -1)[:, best].T) * CELL
        out[moves, joint], evidence[moves, joint] = places[moves], seen[best][moves]
    if usual_heat > 0:
        inside = ((out >= 0) & (out < image_size)).all(2)
        scores = scores * ((evidence * inside).sum(1) / inside.sum(1).clip(1) / usual_heat) ** 2
    refined = [
        person._replace(score=float(s), pose_2d=pose) for person, s, pose in zip(people, scores, out, strict=True)
    ]
    return sorted(refined, key=lambda person: -person.score)


def is_near(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Whether cells (..., 2) are no further apart than a peak is wide."""
    return ((a - b) ** 2).sum(-1) <= PEAK_RADIUS**2


def iou(box: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """(P,) intersection over union of a box (4,) with boxes (P, 4)."""
    inter = np.prod(np.maximum(np.minimum(box[2:], boxes[:, 2:]) - np.maximum(box[:2], boxes[:, :2]), 0), 1)
    union = np.prod(box[2:] - box[:2]) + np.prod(boxes[:, 2:] - boxes[:, :2], 1) - inter
    return inter / union


if __name__ == "__main__":
    main()

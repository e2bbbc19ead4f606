"""One synthetic image with exact annotations: `make_scene` (shapes: H, W pixels, J joints)."""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, log

import cv2
import numpy as np

from ...structures import BODY13
from .background import paint_background
from .camera import Camera
from .composition import SPLITS, Composition, Person, compose
from .figure import JOINT_RADII, dressed_figure, random_colour
from .renderer import OBJECT_OWNER, Canvas, Limb, draw_board, draw_limb

__all__ = ["SyntheticPerson", "SyntheticScene", "annotate", "make_scene"]

_TOLERANCE = 0.03  # metres between the skin and JOINT_RADII: clothes, neighbouring limbs


@dataclass(frozen=True)
class SyntheticPerson:
    """One person, all of whose numbers follow from the drawn scene.

    Attributes:
        keypoints: (J, 2) continuous px, the projection of root_position + pose_3d; may lie outside the image.
        visibility: (J,) 2 where the joint's pixel shows this person's body around the joint; 1 where it is behind
            somebody, something or another part of the same body, or outside the image.
        pose_3d: (J, 3) metres, camera axes (x right, y down, z away), relative to the body centre.
        root_position: (3,) metres, the body centre in camera axes.
        box: (4,) x1 y1 x2 y2 px around the visible silhouette.
        num_pixels: of the visible silhouette.
    """

    keypoints: np.ndarray
    visibility: np.ndarray
    pose_3d: np.ndarray
    root_position: np.ndarray
    box: np.ndarray
    num_pixels: int


@dataclass(frozen=True)
class SyntheticScene:
    """image: (H, W, 3) uint8 BGR; people: those of whom at least one pixel is seen."""

    image: np.ndarray
    camera: Camera
    people: list[SyntheticPerson]


def make_scene(split: str, seed: int, index: int, image_size: tuple[int, int] = (240, 320)) -> SyntheticScene:
    """Scene `index` of a split; it depends on nothing but the arguments.

    Args:
        split: one of composition.SPLITS.
        image_size: (H, W).

    Raises:
        ValueError: no such split.
    """
    if split not in SPLITS:
        raise ValueError(f"no synthetic split {split!r}; there are {SPLITS}")
    rng = np.random.default_rng([seed, SPLITS.index(split), index])
    composition = compose(rng, image_size, split)
    camera, light = composition.camera, rng.normal(size=3) - [0, 1.5, 1.0]  # mostly from above and before
    background = paint_background(rng, camera) * _shadows(composition, rng.uniform(0, 0.6))[..., None]
    canvas = Canvas(camera, background, light / np.linalg.norm(light), rng.uniform(0.3, 0.9))
    for owner, person in enumerate(composition.people, start=1):
        for limb in dressed_figure(rng, *person):
            draw_limb(canvas, limb, owner)
    _draw_occluders(rng, canvas, min(person.joints[:, 2].mean() for person in composition.people))
    people = [annotate(person, owner, canvas) for owner, person in enumerate(composition.people, start=1)]
    return SyntheticScene(_photograph(rng, canvas.image), camera, [person for person in people if person is not None])


def annotate(person: Person, owner: int, canvas: Canvas) -> SyntheticPerson | None:
    """Annotation of a person after everything has been drawn; None if no pixel of the body is seen.

    3D is rounded to a micrometre before it is projected, so that written and computed numbers agree.
    """
    rows, columns = np.nonzero(canvas.owner == owner)
    if len(rows) == 0:
        return None
    root = person.joints[BODY13.torso].mean(0).round(6)
    pose_3d = (person.joints - root).round(6)
    joints = root + pose_3d
    keypoints = canvas.camera.project(joints)
    # A joint is seen if its pixel belongs to its owner and the surface there is no farther in front of it than the
    # limb is thick: a knee behind one's own other thigh is not.
    inside = canvas.camera.contains(keypoints)
    x, y = np.where(inside[:, None], keypoints, 0.0).astype(int).T
    in_front = joints[:, 2] - canvas.depth[y, x]
    seen = inside & (canvas.owner[y, x] == owner) & (in_front <= person.size * JOINT_RADII + _TOLERANCE)
    return SyntheticPerson(
        keypoints=keypoints,
        visibility=np.where(seen, 2, 1),
        pose_3d=pose_3d,
        root_position=root,
        box=np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1], float),
        num_pixels=len(rows),
    )


def _shadows(composition: Composition, strength: float) -> np.ndarray:
    """(H, W) float32 factors of the ground's brightness: below each bone, softened, it is darker by `strength`."""
    camera = composition.camera
    mask = np.zeros((camera.height, camera.width), np.uint8)
    for person in composition.people:
        on_ground = person.joints @ camera.rotation  # world axes
        on_ground[:, 1] = camera.above_ground
        on_ground = on_ground @ camera.rotation.T
        if on_ground[:, 2].min() < 0.3:
            continue
        pixels = np.round(np.clip(camera.project(on_ground), -4000, 4000) * 16).astype(int)
        thickness = max(int(0.12 * person.size * camera.fy / on_ground[:, 2].mean()), 1)
        for start, end in BODY13.bone_indices:
            cv2.line(mask, pixels[start].tolist(), pixels[end].tolist(), 255, thickness, cv2.LINE_AA, shift=4)
    return 1 - cv2.GaussianBlur(mask, (0, 0), 1.5).astype(np.float32) * np.float32(strength / 255)


def _draw_occluders(rng: np.random.Generator, canvas: Canvas, distance: float) -> None:
    """Up to 3 boards and poles standing on the ground, nearer and farther than people at `distance` metres."""
    camera = canvas.camera
    for _ in range(int(rng.choice(4, p=(0.45, 0.35, 0.15, 0.05)))):
        depth = max(distance * exp(rng.uniform(log(0.55), log(2.0))), 0.6)
        x = (camera.width * rng.uniform(0, 1) - camera.cx) / camera.fx * depth
        foot = camera.rotation @ [x, camera.above_ground, depth]
        if foot[2] < 0.5:
            continue
        if rng.random() < 0.5:
            half, height = rng.uniform(0.1, 0.35), rng.uniform(0.3, 1.0)
            corners = foot + [[-half, 0, 0], [half, 0, 0], [half, -height, 0], [-half, -height, 0]]
            draw_board(canvas, camera.project(corners), foot[2], random_colour(rng), OBJECT_OWNER)
        else:
            top = foot + camera.rotation @ [rng.normal(0, 0.2), -rng.uniform(0.6, 2.5), 0]
            radius = rng.uniform(0.02, 0.09)
            draw_limb(canvas, Limb(foot, top, (radius, 0.8 * radius), random_colour(rng)), OBJECT_OWNER)


def _photograph(rng: np.random.Generator, image: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8: gain, colour cast, blur, sensor noise and gamma of random strengths."""
    image = image * (rng.uniform(0.8, 1.35) * np.clip(rng.normal(1, 0.05, 3), 0.85, 1.15)).astype(np.float32)
    # 0.45 px at least: limbs have no smoothed edges of their own.
    image = cv2.GaussianBlur(image, (0, 0), 0.45 + rng.exponential(0.15))
    noise = rng.standard_normal(image.shape, np.float32)
    image += noise * np.float32(min(rng.exponential(0.01), 0.04))
    curve = 255 * (np.arange(256) / 255) ** np.exp(rng.normal(0, 0.15))
    return np.asarray(cv2.LUT(np.clip(image * 255, 0, 255).astype(np.uint8), np.round(curve).astype(np.uint8)))

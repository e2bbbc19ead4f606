"""One rendered picture with exact annotations."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lcrnet_d2.data.synthetic.camera import Camera
from lcrnet_d2.structures import BODY13

from .backgrounds import Backgrounds
from .gl_renderer import SUPERSAMPLING, Buffers, GLRenderer, Mesh
from .people import BodyShop, Person
from .photo import composite, light_of, photographed
from .placement import sample_camera, sample_image_size, sample_places
from .things import sample_thing

__all__ = ["SPLITS", "RenderedPerson", "RenderedScene", "Studio", "annotate"]

#: The position of a split is part of the seed of its scenes.
SPLITS = ("train", "val", "test")

_TOLERANCE = 0.03  # metres of clothes and bulges beyond JOINT_DEPTH
#: People of whom less is seen are left to neither side: marked as crowds, which training ignores.
_MIN_PIXELS = 60
_MIN_SEEN = 0.06
_THING_OWNERS = 100


@dataclass(frozen=True)
class RenderedPerson:
    """One person of whom something is seen.

    Attributes:
        keypoints: (J, 2) continuous px, the projection of root_position + pose_3d; may lie outside the picture.
        visibility: (J,) 2 where the joint's pixel shows this person's body around the joint, 1 elsewhere.
        pose_3d: (J, 3) metres, camera axes, relative to the body centre.
        root_position: (3,) metres, the body centre in camera axes.
        box: (4,) x1 y1 x2 y2 px around the visible silhouette.
        num_pixels: of the visible silhouette, in pixels of the picture.
        barely_seen: too little is seen to ask for this person or to call this place empty.
    """

    keypoints: np.ndarray
    visibility: np.ndarray
    pose_3d: np.ndarray
    root_position: np.ndarray
    box: np.ndarray
    num_pixels: float
    barely_seen: bool


@dataclass(frozen=True)
class RenderedScene:
    """image: (H, W, 3) uint8 RGB."""

    image: np.ndarray
    camera: Camera
    people: list[RenderedPerson]


class Studio:
    """Everything scenes are made with; one per process."""

    def __init__(self, shop: BodyShop, backgrounds: Backgrounds, renderer: GLRenderer) -> None:
        self._shop, self._backgrounds, self._renderer = shop, backgrounds, renderer

    def scene(self, split: str, seed: int, index: int) -> RenderedScene:
        """Scene `index` of a split; depends on nothing but the arguments and the studio's material.

        Raises:
            ValueError: no such split.
        """
        if split not in SPLITS:
            raise ValueError(f"no split {split!r} of rendered scenes; there are {SPLITS}")
        rng = np.random.default_rng([seed, SPLITS.index(split), index, 8])
        count = int(rng.choice(6, p=[0.46, 0.22, 0.13, 0.09, 0.06, 0.04])) + 1
        figures = [self._shop.person(rng) for _ in range(count)]
        extent = max(figures[0].extent, 0.55 * figures[0].height)
        camera, distance = sample_camera(rng, sample_image_size(rng), extent)
        places = sample_places(rng, camera, distance, count)
        people = [
            self._shop.place(figure, place, owner)
            for owner, (figure, place) in enumerate(zip(figures, places, strict=False), 1)
        ]
        things = _things(rng, camera, distance, [place.foot for place in places])
        background = self._backgrounds.sample(rng, camera)
        light = light_of(rng, background)
        contacts = np.concatenate([person.contacts for person in people])
        meshes = [mesh for person in people for mesh in person.meshes] + things
        buffers = self._renderer.draw(camera, meshes, light, contacts)
        image = photographed(rng, composite(buffers, background))
        found = (annotate(person, owner, camera, buffers) for owner, person in enumerate(people, 1))
        return RenderedScene(image, camera, [person for person in found if person is not None])


def annotate(person: Person, owner: int, camera: Camera, buffers: Buffers) -> RenderedPerson | None:
    """Annotation of a person after everything has been drawn; None if no pixel of them is seen.

    3D is rounded to a micrometre before it is projected, so that written and computed numbers agree.
    """
    mine = buffers.owner == owner
    num_pixels = float(mine.sum()) / SUPERSAMPLING**2
    if num_pixels == 0:
        return None
    joints = person.joints @ camera.rotation.T
    root = joints[BODY13.torso].mean(0).round(6)
    pose_3d = (joints - root).round(6)
    joints = root + pose_3d
    keypoints = camera.project(joints * [1, 1, 0] + np.maximum(joints * [0, 0, 1], [0, 0, 0.05]))
    seen = _seen(joints, keypoints, person.depths, mine, camera, buffers)
    rows, columns = np.nonzero(mine.any(1))[0], np.nonzero(mine.any(0))[0]
    box = np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]) / SUPERSAMPLING
    behind = bool((joints[:, 2] < 0.1).any())
    share = num_pixels / max(_expected_pixels(keypoints), 1.0)
    barely_seen = num_pixels < _MIN_PIXELS or share < _MIN_SEEN or behind
    return RenderedPerson(keypoints, np.where(seen, 2, 1), pose_3d, root, box, num_pixels, barely_seen)


def _expected_pixels(keypoints: np.ndarray) -> float:
    """About the area of an unhidden silhouette: a third of the box around the joints."""
    return float(np.prod(np.ptp(keypoints, axis=0))) / 3


def _seen(
    joints: np.ndarray, keypoints: np.ndarray, depths: np.ndarray, mine: np.ndarray, camera: Camera, buffers: Buffers
) -> np.ndarray:
    """(J,) bool: within a pixel of the joint the person's own surface shows, no farther in front of the joint than the
    limb is thick (a knee behind one's own other thigh is hidden)."""
    inside = camera.contains(keypoints)
    seen = np.zeros(len(joints), bool)
    reach = SUPERSAMPLING
    for index in np.flatnonzero(inside):
        column, row = (keypoints[index] * SUPERSAMPLING).astype(int)
        window = np.s_[max(row - reach, 0) : row + reach + 1, max(column - reach, 0) : column + reach + 1]
        in_front = joints[index, 2] - buffers.depth[window]
        seen[index] = (mine[window] & (in_front <= depths[index] + _TOLERANCE)).any()
    return seen


def _things(rng: np.random.Generator, camera: Camera, distance: float, feet: list[np.ndarray]) -> list[Mesh]:
    """Occluders in front of the people and clutter beside and behind them, in half of the pictures."""
    meshes: list[Mesh] = []
    count = int(rng.choice(4, p=[0.5, 0.25, 0.15, 0.1]))
    for number in range(count):
        in_front = rng.random() < 0.4
        away = distance * (rng.uniform(0.45, 0.8) if in_front else rng.uniform(0.9, 2.5))
        x = (rng.uniform(-0.05, 1.05) * camera.width - camera.cx) / camera.fx * away
        foot = np.array([x, camera.above_ground, away])
        if away > 0.8 and min(float(np.linalg.norm(foot - other)) for other in feet) > 0.5:
            meshes.append(sample_thing(rng, foot, _THING_OWNERS + number))
    return meshes

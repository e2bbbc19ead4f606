"""One rendered picture with exact annotations."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from lcrnet_d2.data.synthetic.camera import Camera
from lcrnet_d2.structures import BODY13

from .backgrounds import Backgrounds
from .gl_renderer import SUPERSAMPLING, Buffers, GLRenderer, Mesh
from .people import BodyShop, Person
from .photo import composite, light_of, photographed
from .placement import Place, sample_camera, sample_image_size, sample_places
from .shots import SHOTS, Shot, frame_close_up, frame_cut, frame_whole
from .things import sample_thing, seat, table_before

__all__ = ["SPLITS", "RenderedPerson", "RenderedScene", "Studio", "annotate"]

#: The position of a split is part of the seed of its scenes.
SPLITS = ("train", "val", "test")

_TOLERANCE = 0.03  # metres of clothes and bulges beyond JOINT_DEPTH
#: People of whom less is seen are left to neither side: marked as crowds, which training ignores.
_MIN_PIXELS = 60
_MIN_SEEN = 0.06
_FILLS_PICTURE = 1 / 6
_FURNITURE_OWNER, _THING_OWNERS = 98, 100
#: Of one to six people.
_COUNTS = (0.46, 0.22, 0.13, 0.09, 0.06, 0.04)


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
        barely_seen: too little is seen to ask for this person's pose.
        fills_picture: a sixth of the picture shows them: who is barely seen then is too near, and what is small in
            their box is nobody; elsewhere such a place is not to be called empty.
    """

    keypoints: np.ndarray
    visibility: np.ndarray
    pose_3d: np.ndarray
    root_position: np.ndarray
    box: np.ndarray
    num_pixels: float
    barely_seen: bool
    fills_picture: bool


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

    def scene(self, split: str, seed: int, index: int, shots: str = "whole") -> RenderedScene:
        """Scene `index` of a split; depends on nothing but the arguments and the studio's material.

        Raises:
            ValueError: no such split, no such kind of shots.
        """
        if split not in SPLITS or shots not in SHOTS:
            raise ValueError(f"no split {split!r} of {shots!r} shots; there are {SPLITS} of {tuple(SHOTS)}")
        rng = np.random.default_rng([seed, SPLITS.index(split), index, 8])
        shot = SHOTS[shots](rng)
        if shot.nobody:
            camera, distance = sample_camera(rng, sample_image_size(rng), partial(frame_whole, height=1.7), 1.7)
            people, places = [], []
        else:
            camera, distance, people, places = self._people(rng, shot)
        things = _furniture(rng, shot, camera, people[0]) if people else []
        things += _things(rng, camera, distance, [place.foot for place in places])
        background = self._backgrounds.sample(rng, camera)
        light = light_of(rng, background)
        contacts = np.concatenate([np.zeros((0, 3)), *(person.contacts for person in people)])
        meshes = [mesh for person in people for mesh in person.meshes] + things
        buffers = self._renderer.draw(camera, meshes, light, contacts)
        image = photographed(rng, composite(buffers, background))
        found = (annotate(person, owner, camera, buffers) for owner, person in enumerate(people, 1))
        return RenderedScene(image, camera, [person for person in found if person is not None])

    def _people(self, rng: np.random.Generator, shot: Shot) -> tuple[Camera, float, list[Person], list[Place]]:
        """The camera, the subject's distance, the people, the subject first, and their places."""
        count = int(rng.choice(6, p=_COUNTS)) + 1
        if shot.crowded:
            count = max(count, int(rng.integers(2, 4)))
        figures = [self._shop.person(rng, shot.seated and number == 0) for number in range(count)]
        subject = figures[0]
        extent = max(subject.extent, 0.55 * subject.height)
        looked_at = None
        if shot.framing == "close":
            framing, looked_at = frame_close_up(rng, extent, subject.joints)
            camera, distance = sample_camera(rng, sample_image_size(rng), lambda _: framing, extent)
        else:
            framed = frame_whole if shot.framing == "whole" else partial(frame_cut, framing=shot.framing)
            camera, distance = sample_camera(rng, sample_image_size(rng), partial(framed, height=extent), extent)
        places = sample_places(rng, camera, distance, count, shot.crowded)
        if shot.seated or shot.behind:
            places[0] = replace(places[0], heading=_towards_camera(rng, subject.joints))
        if looked_at is not None:
            places[0] = _moved_to_middle(places[0], subject.joints[looked_at])
        people = [
            self._shop.place(figure, place, owner)
            for owner, (figure, place) in enumerate(zip(figures, places, strict=False), 1)
        ]
        return camera, distance, people, places


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
    fills_picture = num_pixels > _FILLS_PICTURE * camera.width * camera.height
    visibility = np.where(seen, 2, 1)
    return RenderedPerson(keypoints, visibility, pose_3d, root, box, num_pixels, barely_seen, fills_picture)


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


def _forward(joints: np.ndarray) -> np.ndarray:
    """(3,) level, of length 1: where the knees are from the hips, or else where the body's front is."""
    hips, knees = (joints[BODY13.indices([f"left_{name}", f"right_{name}"])] for name in ("hip", "knee"))
    thighs = (knees.mean(0) - hips.mean(0)) * [1, 0, 1]
    to_right = (hips[1] - hips[0]) * [1, 0, 1]
    forward = thighs if np.linalg.norm(thighs) > 0.15 else np.array([-to_right[2], 0.0, to_right[0]])
    return forward / max(float(np.linalg.norm(forward)), 1e-6)


def _towards_camera(rng: np.random.Generator, joints: np.ndarray) -> float:
    """The heading with which somebody faces the camera, give or take 35 degrees."""
    x, _, z = _forward(joints)
    return float(np.arctan2(z, x) + np.pi / 2 + rng.normal(0, 0.6))


def _moved_to_middle(place: Place, joint: np.ndarray) -> Place:
    """The place at which a joint (3,) of the resting person comes to where their foot was to be."""
    return replace(place, foot=place.foot - (joint @ place.turn) * [1, 0, 1])


def _furniture(rng: np.random.Generator, shot: Shot, camera: Camera, subject: Person) -> list[Mesh]:
    """A seat under the subject and a table in front of them; a counter between them and the camera."""
    hips = subject.joints[BODY13.indices(["left_hip", "right_hip"])].mean(0)
    ground, forward = camera.above_ground, _forward(subject.joints)
    if shot.seated:
        meshes = [seat(rng, hips, forward, ground, _FURNITURE_OWNER)]
        if rng.random() < 0.75:
            knees = subject.joints[BODY13.indices(["left_knee", "right_knee"])]
            height = ground - min(hips[1], knees[:, 1].min()) + rng.uniform(0.12, 0.3)
            meshes.append(table_before(rng, hips, forward, ground, height, _FURNITURE_OWNER + 1))
        return meshes
    if not shot.behind or hips[2] < 1.2:
        return []
    towards = -hips * [1, 0, 1] / np.linalg.norm(hips * [1, 0, 1])
    return [table_before(rng, hips, towards, ground, rng.uniform(0.7, 1.15), _FURNITURE_OWNER)]


def _things(rng: np.random.Generator, camera: Camera, distance: float, feet: list[np.ndarray]) -> list[Mesh]:
    """Occluders in front of the people and clutter beside and behind them, in half of the pictures."""
    meshes: list[Mesh] = []
    count = int(rng.choice(4, p=[0.5, 0.25, 0.15, 0.1]))
    for number in range(count):
        in_front = rng.random() < 0.4
        away = distance * (rng.uniform(0.45, 0.8) if in_front else rng.uniform(0.9, 2.5))
        x = (rng.uniform(-0.05, 1.05) * camera.width - camera.cx) / camera.fx * away
        foot = np.array([x, camera.above_ground, away])
        if away > 0.8 and all(float(np.linalg.norm(foot - other)) > 0.5 for other in feet):
            meshes.append(sample_thing(rng, foot, _THING_OWNERS + number))
    return meshes

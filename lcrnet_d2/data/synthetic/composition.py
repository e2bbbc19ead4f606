"""Who and what stands where: 1 to 4 people on the ground before a camera, and things that may hide them.

World axes as in `camera`: x right, y down, z away; the camera is at the origin.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import cos, exp, log, pi, sin

import numpy as np

from .articulation import PosedBody, limb_spheres, sample_shape
from .camera import Camera, aim_camera, sample_height_above_ground
from .paints import fabric, random_colour
from .pose_sampling import sample_posed_body
from .renderer import OBJECT_OWNER, Box, RoundCone, axes_along

__all__ = ["Composition", "compose"]

_NUM_PEOPLE = ((1, 2, 3, 4), (0.22, 0.34, 0.26, 0.18))
_TRUNCATED = 0.3  # of the people may be cut by the image border
_MIN_SHARE = 0.36  # of the image height, the least stature of a person in the picture
_MIN_DEPTH = 0.45  # metres from the camera to the nearest point of a body
_ATTEMPTS = 20


@dataclass(frozen=True)
class Composition:
    """A camera, bodies in world axes, and things in camera axes."""

    camera: Camera
    bodies: list[PosedBody]
    things: list[Box | RoundCone]


def compose(rng: np.random.Generator, image_size: tuple[int, int]) -> Composition:
    """Draws a scene of at least one person, nobody inside anybody else."""
    camera, distance, placed = _first_person(rng, image_size)
    for _ in range(int(rng.choice(_NUM_PEOPLE[0], p=_NUM_PEOPLE[1])) - 1):
        standing, truncated = _sample_standing(rng), rng.random() < _TRUNCATED
        for _ in range(_ATTEMPTS):
            depth = distance * exp(rng.uniform(log(0.75), log(1.35)))
            person = standing.at(_ground_point(rng, camera, depth, placed, truncated))
            if _fits(camera, person.body, placed, truncated):
                placed.append(person)
                break
    seats = [_seat(rng, camera, person) for person in placed if person.seated]
    bodies = [person.body for person in placed]
    return Composition(camera, bodies, seats + _stray_things(rng, camera, bodies))


@dataclass(frozen=True)
class _Person:
    """A body in world axes, how it is turned, and whether it wants a seat."""

    body: PosedBody
    rotation: np.ndarray
    seated: bool

    def at(self, ground: np.ndarray) -> _Person:
        return _Person(self.body.moved(np.eye(3), ground), self.rotation, self.seated)


def _sample_standing(rng: np.random.Generator) -> _Person:
    """A random body at the world's origin, turned to any side."""
    body, posture = sample_posed_body(rng, sample_shape(rng))
    rotation = _facing(rng.uniform(0, 2 * pi))
    return _Person(body.moved(rotation, np.zeros(3)), rotation, posture.seated)


def _first_person(rng: np.random.Generator, image_size: tuple[int, int]) -> tuple[Camera, float, list[_Person]]:
    """A camera aimed at a person, their distance, and that person; aims again until the person fits.

    In a picture too narrow for anybody the last one drawn stays.
    """
    truncated, standing, attempt = rng.random() < _TRUNCATED, _sample_standing(rng), 0
    while True:
        share = exp(rng.uniform(log(0.55), log(1.6 if truncated else 0.97)))
        camera, distance = aim_camera(rng, image_size, sample_height_above_ground(rng), share)
        person = standing.at(_ground_point(rng, camera, distance, [], truncated))
        attempt += 1
        if attempt == 3 * _ATTEMPTS or _fits(camera, person.body, [], truncated):
            return camera, distance, [person]


def _ground_point(
    rng: np.random.Generator, camera: Camera, depth: float, others: list[_Person], truncated: bool
) -> np.ndarray:
    """(3,) where a person may stand, world axes: often beside somebody else, so that they hide each other."""
    if others and rng.random() < 0.55:
        other = camera.rotation @ others[rng.integers(len(others))].body.points["pelvis"]
        width = 0.45 * camera.fx / other[2]  # of a person at the other's distance
        column = float(camera.project(other)[0]) + rng.choice([-1, 1]) * rng.uniform(0.35, 1.6) * width
    else:
        margin = -0.04 if truncated else 0.08
        column = camera.width * rng.uniform(margin, 1 - margin)
    return np.array([(column - camera.cx) / camera.fx * depth, camera.above_ground, depth])


def _facing(yaw: float) -> np.ndarray:
    """(3, 3) body axes (left, up, front) to world axes; at yaw 0 the person faces the camera's side of the world."""
    c, s = cos(yaw), sin(yaw)
    return np.array([[c, 0.0, s], [0.0, 1.0, 0.0], [-s, 0.0, c]]) @ np.diag([1.0, -1.0, -1.0])


def _fits(camera: Camera, body: PosedBody, others: list[_Person], truncated: bool) -> bool:
    """Whether a body (world axes) may stand there."""
    points = body.all_points() @ camera.rotation.T
    if points[:, 2].min() < _MIN_DEPTH:
        return False
    if body.shape.stature * camera.fy / points[:, 2].mean() < _MIN_SHARE * camera.height:
        return False
    inside = camera.contains(camera.project(points)).mean()
    if inside == 1 if truncated else inside < 1:
        return False
    if inside < 0.35:
        return False
    return all(_apart(body, other.body) for other in others)


def _apart(body: PosedBody, other: PosedBody) -> bool:
    """Whether two bodies (world axes) leave 2 cm between them."""
    first, first_radii = limb_spheres(body)
    second, second_radii = limb_spheres(other)
    distances = np.sqrt(((first[:, None] - second) ** 2).sum(-1))
    return bool((distances > 1.15 * (first_radii[:, None] + second_radii) + 0.02).all())


def _seat(rng: np.random.Generator, camera: Camera, person: _Person) -> Box:
    """A block under the pelvis, as high as the underside of the thighs."""
    body, rotation = person.body, person.rotation
    height = max(camera.above_ground - body.points["pelvis"][1] - body.shape.thickness(0.05), 0.04)
    half_size = np.array([rng.uniform(0.17, 0.3), height / 2, rng.uniform(0.16, 0.2)])
    centre = body.points["pelvis"] - rotation[:, 2] * 0.02
    centre = np.array([centre[0], camera.above_ground - height / 2, centre[2]])
    paint = fabric(rng, random_colour(rng))
    return Box(camera.rotation @ centre, camera.rotation @ rotation, half_size, OBJECT_OWNER, paint)


def _stray_things(rng: np.random.Generator, camera: Camera, bodies: list[PosedBody]) -> list[Box | RoundCone]:
    """Up to 3 boxes, poles and limb-like sticks, before and behind the people but never inside them."""
    things: list[Box | RoundCone] = []
    nearest = min(body.points["pelvis"][2] for body in bodies)
    for _ in range(int(rng.choice(4, p=(0.45, 0.35, 0.15, 0.05)))):
        for _ in range(5):
            depth = nearest * exp(rng.uniform(log(0.55), log(2.0)))
            x = (camera.width * rng.uniform(0, 1) - camera.cx) / camera.fx * depth
            thing, reach = _thing(rng, camera, np.array([x, camera.above_ground, depth]))
            if depth - reach > 0.6 and all(_clear(np.array([x, depth]), reach, body) for body in bodies):
                things.append(thing)
                break
    return things


def _clear(place: np.ndarray, reach: float, body: PosedBody) -> bool:
    """Whether nothing of the body is within `reach` of a place (x, z) on the ground, 10 cm of flesh allowed for."""
    away = np.linalg.norm(body.all_points()[:, [0, 2]] - place, axis=1)
    return bool(away.min() > reach + 0.1)


def _thing(rng: np.random.Generator, camera: Camera, place: np.ndarray) -> tuple[Box | RoundCone, float]:
    """A box, a pole or a leaning stick standing at `place` (world axes), and how far it reaches sideways."""
    rotation = camera.rotation
    kind = rng.random()
    if kind < 0.55:
        half_size = np.array([rng.uniform(0.1, 0.4), rng.uniform(0.15, 0.55), rng.uniform(0.1, 0.3)])
        paint = fabric(rng, random_colour(rng))
        frame = rotation @ _facing(rng.uniform(0, pi))
        centre = rotation @ (place - [0, half_size[1], 0])
        return Box(centre, frame, half_size, OBJECT_OWNER, paint), float(np.hypot(half_size[0], half_size[2]))
    radius = rng.uniform(0.02, 0.09)
    leaning = rng.normal(0, 0.25, 2) if kind > 0.8 else np.zeros(2)
    length = rng.uniform(0.6, 1.6) if kind > 0.8 else rng.uniform(1.2, 3.0)
    end = place + np.array([leaning[0], -1.0, leaning[1]]) * length
    frame = rotation @ axes_along(end - place, np.array([0.0, 0.0, 1.0]))
    radii = (radius, radius * rng.uniform(0.6, 1.0))
    paint = fabric(rng, random_colour(rng))
    pole = RoundCone(rotation @ place, rotation @ end, frame, radii, (1.0, 1.0, 1.0), OBJECT_OWNER, paint)
    return pole, radius + float(np.abs(leaning).sum()) * length

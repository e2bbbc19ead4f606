"""People in one 3D scene on a ground plane, seen from any side; drawn by OpenCV, fast enough for video.

Shapes: N people, J joints. Metres, camera axes (x right, y down, z away), the camera at 0.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import cos, radians, sin

import cv2
import numpy as np

from ..detected_people import DetectedPeople
from ..placement import OrthographicCamera
from ..structures import Skeleton, bone_colour, person_colour
from .canvas import blend, disc, line, text_size, write
from .overlay import draw_joint, is_inferred, person_numbers

__all__ = ["FROM_CAMERA", "FROM_SIDE", "Scene", "View", "common_bounds", "draw_view", "scene_of"]

_PAPER, _GROUND, _GRID = (250, 250, 250), (238, 240, 242), (212, 216, 220)
_SHADOW, _WORDS = (176, 180, 184), (90, 94, 98)
_SPREAD_OPACITY = 0.28
_AROUND = 0.25  # m of ground around the people
_LEFT_OUT = 0.02  # of a video's frames, on each side of the block they share


@dataclass(frozen=True)
class Scene:
    """What a view draws.

    Attributes:
        joints: (N, J, 3) m.
        inferred: (N, J) bool, drawn hollow.
        spreads: (N, J) m, drawn as faint spheres.
        numbers: of the people, their names and colours.
        has_depth: False where only an orthographic camera is known: distances from it mean nothing.
    """

    skeleton: Skeleton
    joints: np.ndarray
    inferred: np.ndarray
    spreads: np.ndarray
    numbers: list[int]
    has_depth: bool = True

    def bounds(self) -> np.ndarray:
        """(2, 3) m: corners of the block around everyone and some ground, on a grid of half metres.

        The lower side is the ground: level, through the lowest joint, since the camera's tilt is not known.
        The grid keeps a video's view from trembling. Around 0 m where nobody is.
        """
        points = self.joints[np.isfinite(self.joints).all(-1)]
        if not len(points):
            points = np.array([[-0.5, -1.0, 3.0], [0.5, 1.0, 4.0]])
        low, high = points.min(0) - [_AROUND, 0.1, _AROUND], points.max(0) + [_AROUND, 0, _AROUND]
        snapped = np.stack([np.floor(2 * low) / 2, np.ceil(2 * high) / 2])
        snapped[1, 1] = high[1]
        return snapped


@dataclass(frozen=True)
class View:
    """Where a scene is seen from.

    Attributes:
        azimuth: degrees about the vertical: 0 along the camera's view, 90 from its right, so that what is far is
            on the right.
        elevation: degrees above the horizon.
    """

    title: str
    azimuth: float
    elevation: float

    def rotation(self) -> np.ndarray:
        """(3, 3): rows are the right, down and away axes of the view in camera axes."""
        a, e = radians(self.azimuth), radians(self.elevation)
        turn = np.array([[cos(a), 0, sin(a)], [0, 1, 0], [-sin(a), 0, cos(a)]])
        tilt = np.array([[1, 0, 0], [0, cos(e), -sin(e)], [0, sin(e), cos(e)]])
        return tilt @ turn


FROM_CAMERA = View("from the camera", 0, 10)
FROM_SIDE = View("from the side", 80, 14)


@dataclass(frozen=True)
class _Projection:
    """px = scale * (x, y) / (1 + z / distance) + shift, of points in the axes of the view around `centre`."""

    rotation: np.ndarray
    centre: np.ndarray
    distance: float
    scale: float
    shift: np.ndarray

    @classmethod
    def fitting(cls, view: View, bounds: np.ndarray, size: tuple[int, int]) -> _Projection:
        """The block `bounds` (2, 3) fills the middle of a canvas of (height, width) px."""
        height, width = size
        rotation, centre = view.rotation(), bounds.mean(0)
        distance = 1.6 * float(np.linalg.norm(bounds[1] - bounds[0]))
        corners = np.array(np.meshgrid(*bounds.T)).reshape(3, -1).T
        raw = cls(rotation, centre, distance, 1.0, np.zeros(2))
        seen, _ = raw(corners)
        low, high = seen.min(0), seen.max(0)
        box = np.array([[0.05 * width, 0.11 * height], [0.93 * width, 0.94 * height]])
        scale = float(((box[1] - box[0]) / (high - low)).min())
        return cls(rotation, centre, distance, scale, box.mean(0) - scale * (low + high) / 2)

    def __call__(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(..., 2) px and (...) px per metre there, of (..., 3) m; larger is nearer."""
        turned = (points - self.centre) @ self.rotation.T
        per_metre = self.scale / (1 + turned[..., 2] / self.distance)
        return turned[..., :2] * per_metre[..., None] + self.shift, per_metre


def scene_of(people: DetectedPeople) -> Scene:
    """The scene of the people who have a place; placed before the default camera if they have none yet."""
    people = people.placed_by_default()
    has_place = np.flatnonzero(np.isfinite(people.in_camera()).any((1, 2)))
    standing = people[has_place]
    has_depth = not isinstance(people.camera, OrthographicCamera)
    numbers = [person_numbers(people)[i] for i in has_place]
    return Scene(people.skeleton, standing.in_camera(), is_inferred(standing), standing.spreads_3d, numbers, has_depth)


def common_bounds(scenes: Iterable[Scene]) -> np.ndarray | None:
    """(2, 3) m: one block for all frames of a video, so that its view stands still; None where nobody is in them.

    Who is beyond it in no more than a fiftieth of the frames, mostly a false detection tens of metres away that would
    make dots of everybody else, may leave the canvas.
    """
    blocks = [scene.bounds() for scene in scenes if np.isfinite(scene.joints).all(-1).any()]
    if not blocks:
        return None
    low, high = np.stack(blocks, 1)
    least = np.quantile(low, _LEFT_OUT, axis=0, method="lower")
    return np.stack([least, np.quantile(high, 1 - _LEFT_OUT, axis=0, method="higher")])


def draw_view(scene: Scene, view: View, size: tuple[int, int], bounds: np.ndarray | None = None) -> np.ndarray:
    """(height, width, 3) uint8 RGB of the scene.

    Ground with a grid, the people's shadows straight below them; bones red on the right and blue on the left, joints
    in the person's colour, hollow where inferred; spreads as faint spheres. Figures along the grid: metres from the
    camera.

    Args:
        size: (height, width) px.
        bounds: (2, 3) m, the block to show (`Scene.bounds`); the same for all frames holds a video's view still.
    """
    bounds = scene.bounds() if bounds is None else bounds
    canvas = np.full((*size, 3), _PAPER, np.uint8)
    projection = _Projection.fitting(view, bounds, size)
    width = max(2, round(size[0] / 190))
    _ground(canvas, projection, bounds, scene.has_depth)
    on_ground = scene.joints.copy()
    on_ground[..., 1] = bounds[1, 1]
    for pose in on_ground:
        points, _ = projection(pose)
        for a, b in scene.skeleton.bone_indices:
            line(canvas, points[a], points[b], _SHADOW, width)
    _people(canvas, projection, scene, width)
    write(canvas, view.title, (0.03 * size[1], 0.02 * size[0]), max(11, round(size[0] / 30)), _WORDS)
    return canvas


def _ground(canvas: np.ndarray, projection: _Projection, bounds: np.ndarray, has_depth: bool) -> None:
    (x1, _, z1), (x2, y, z2) = bounds
    step = _grid_step(max(x2 - x1, z2 - z1))
    corners, _ = projection(np.array([[x1, y, z1], [x2, y, z1], [x2, y, z2], [x1, y, z2]]))
    cv2.fillConvexPoly(canvas, np.rint(corners).astype(np.int32), _GROUND, cv2.LINE_AA)
    grid = [[[x, y, z1], [x, y, z2]] for x in _multiples(x1, x2, step)]
    for ends in grid + [[[x1, y, z], [x2, y, z]] for z in _multiples(z1, z2, step)]:
        (start, end), _ = projection(np.array(ends))
        line(canvas, start, end, _GRID, 1)
    if has_depth:
        depths = _multiples(max(z1, 0), z2, max(step, 1))
        _depths(canvas, depths, projection(np.stack([np.full_like(depths, x2), 0 * depths + y, depths], -1))[0])


def _depths(canvas: np.ndarray, depths: np.ndarray, places: np.ndarray) -> None:
    """Metres (D,) from the camera at (D, 2) px on the edge of the ground, those that have room."""
    size, last = max(10, round(canvas.shape[0] / 42)), np.full(2, -np.inf)
    for depth, place in zip(depths, places, strict=True):
        label = f"{depth:g} m"
        if np.abs(place - last).max() > 1.3 * size:
            write(canvas, label, (place[0] + 4 - text_size(label, size)[0] / 3, place[1] + 3), size, _WORDS)
            last = place


def _grid_step(extent: float) -> float:
    """Metres between lines: no more than 12 of them."""
    return next(step for step in (0.5, 1, 2, 5, 10, 20, 50, 100, 1000, 1e9) if extent / step <= 12)


def _multiples(low: float, high: float, step: float) -> np.ndarray:
    return np.arange(np.ceil(low / step - 1e-6), np.floor(high / step + 1e-6) + 1) * step


def _people(canvas: np.ndarray, projection: _Projection, scene: Scene, width: int) -> None:
    """Spheres of spread, then bones and joints from the farthest to the nearest, then numbers above heads."""
    points, per_metre = projection(scene.joints.astype(np.float64))
    layer = canvas.copy()
    for pose, radii, number in zip(points, scene.spreads * per_metre, scene.numbers, strict=True):
        for point, radius in zip(pose, radii, strict=True):
            disc(layer, point, radius, person_colour(number))
    blend(canvas, layer, _SPREAD_OPACITY)
    bones = list(zip(scene.skeleton.bone_indices, scene.skeleton.bones, strict=True))
    parts = [(per_metre[i, [a, b]].mean(), i, (a, b), bone) for i in range(len(points)) for (a, b), bone in bones]
    parts += [(nearness + 1e-6, i, (j, j), None) for i in range(len(points)) for j, nearness in enumerate(per_metre[i])]
    known_parts = (part for part in parts if np.isfinite(part[0]))  # NaN would scramble the order of all
    for _, i, (a, b), bone in sorted(known_parts, key=lambda part: part[0]):
        if bone is None:
            colour = person_colour(scene.numbers[i])
            draw_joint(canvas, points[i, a], colour, width, hollow=bool(scene.inferred[i, a]))
        else:
            dashed = bool(scene.inferred[i, a] or scene.inferred[i, b])
            line(canvas, points[i, a], points[i, b], bone_colour(bone), width, dashed=dashed)
    _numbers(canvas, points, scene.numbers, 5 * width)


def _numbers(canvas: np.ndarray, points: np.ndarray, numbers: list[int], size: int) -> None:
    for pose, number in zip(points, numbers, strict=True):
        known = pose[np.isfinite(pose).all(1)]
        if len(known):
            top = known[known[:, 1].argmin()]
            words, height = text_size(str(number), size)
            write(canvas, str(number), (top[0] - words / 2, top[1] - 1.6 * height), size, person_colour(number))

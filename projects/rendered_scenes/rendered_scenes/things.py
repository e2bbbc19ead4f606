"""What stands in the way: boxes, posts, balls, tables and benches, in plain shapes."""

from __future__ import annotations

from typing import Any

import numpy as np

from .body_model import incidence, vertex_normals
from .gl_renderer import Mesh
from .outfits import cloth_colour

__all__ = ["sample_thing", "seat", "table_before"]

_CUBE = np.array([[x, y, z] for x in (-0.5, 0.5) for y in (-1.0, 0.0) for z in (-0.5, 0.5)])  # stands on y = 0, y down
_SIDES = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]


def sample_thing(rng: np.random.Generator, foot: np.ndarray, owner: int) -> Mesh:
    """A thing that stands with its middle at `foot` (3,) world metres (y down)."""
    kind = rng.choice(["box", "post", "table", "bench", "ball", "board"], p=[0.24, 0.2, 0.2, 0.14, 0.1, 0.12])
    if kind == "box":
        parts = [_box(rng.uniform([0.25, 0.25, 0.25], [1.0, 1.1, 0.8]), np.zeros(3))]
    elif kind == "board":
        parts = [_box(np.array([rng.uniform(0.6, 2.2), rng.uniform(0.5, 1.2), 0.06]), np.zeros(3))]
    elif kind == "post":
        parts = [_revolved([(rng.uniform(0.03, 0.2), 0.0), (rng.uniform(0.03, 0.2), rng.uniform(0.5, 3.0))])]
    elif kind == "ball":
        radius = rng.uniform(0.1, 0.35)
        angles = np.linspace(-np.pi / 2, np.pi / 2, 9)
        parts = [_revolved([(radius * np.cos(a) + 1e-4, radius * (1 + np.sin(a))) for a in angles])]
    else:
        parts = _table(rng, kind == "bench")
    return _mesh(rng, *_joined(parts), foot, owner, rng.uniform(0, 2 * np.pi))


def seat(rng: np.random.Generator, hips: np.ndarray, forward: np.ndarray, ground: float, owner: int) -> Mesh:
    """A stool or a chair under somebody.

    Args:
        hips: (3,) world metres, between the hip joints; forward: (3,) level, of length 1, along the thighs.
        ground: y of the ground.
    """
    height = max(ground - hips[1] - 0.11, 0.1)  # the skin is 0.1 m below the joints
    width = rng.uniform(0.4, 0.6)
    parts = [_box(np.array([width, height, 0.42]), np.zeros(3))]
    if rng.random() < 0.6:
        parts.append(_box(np.array([width, height + rng.uniform(0.35, 0.6), 0.05]), np.array([0.0, 0.0, -0.22])))
    foot = np.array([hips[0], ground, hips[2]]) + 0.03 * forward
    return _mesh(rng, *_joined(parts), foot, owner, _angle(forward))


def table_before(
    rng: np.random.Generator, middle: np.ndarray, forward: np.ndarray, ground: float, height: float, owner: int
) -> Mesh:
    """A table, or a counter closed down to the ground, across the way `forward` (3,) from `middle` (3,) metres."""
    width, depth = rng.uniform(0.8, 2.0), rng.uniform(0.4, 0.8)
    parts = _table_of(width, depth, height)
    if rng.random() < 0.4:
        parts = [_box(np.array([width, height, depth]), np.zeros(3))]
    foot = np.array([middle[0], ground, middle[2]]) + (rng.uniform(0.25, 0.4) + depth / 2) * forward
    return _mesh(rng, *_joined(parts), foot, owner, _angle(forward))


def _angle(forward: np.ndarray) -> float:
    """Radians by which `_mesh` turns what faces z so that it faces `forward`."""
    return float(np.arctan2(forward[0], forward[2]))


def _joined(parts: list[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    vertices, faces, offset = [], [], 0
    for points, triangles in parts:
        vertices.append(points)
        faces.append(triangles + offset)
        offset += len(points)
    return np.concatenate(vertices), np.concatenate(faces)


def _mesh(
    rng: np.random.Generator, rest: np.ndarray, faces: np.ndarray, foot: np.ndarray, owner: int, angle: float
) -> Mesh:
    c, s = np.cos(angle), np.sin(angle)
    vertices = rest @ np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]]).T + foot
    normals = vertex_normals(vertices, faces, incidence(faces, len(vertices)))
    uniforms: dict[str, Any] = {
        "first": tuple(cloth_colour(rng)),
        "other": tuple(cloth_colour(rng)),
        "pattern": int(rng.choice(5, p=[0.35, 0.12, 0.25, 0.18, 0.1])),
        "patternScale": float(np.exp(rng.uniform(np.log(2), np.log(20)))),
        "seed": tuple(rng.uniform(0, 50, 3)),
    }
    return Mesh("thing", vertices, normals, rest, faces, owner, uniforms=uniforms)


def _box(size: np.ndarray, foot: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Corners are not shared between sides, so that edges are sharp; `foot` is the middle of the lower side."""
    corners = _CUBE * size + foot
    vertices = np.concatenate([corners[list(side)] for side in _SIDES])
    first = 4 * np.arange(6)[:, None]
    faces = np.concatenate([first + [0, 1, 2], first + [0, 2, 3]]).astype(np.int32)
    return vertices, _outwards(vertices, faces, corners.mean(0))


def _outwards(vertices: np.ndarray, faces: np.ndarray, middle: np.ndarray) -> np.ndarray:
    """Faces of a convex shape, turned so that their normals point away from its middle."""
    a, b, c = (vertices[faces[:, k]] for k in range(3))
    inwards = np.einsum("fk,fk->f", np.cross(b - a, c - a), (a + b + c) / 3 - middle) < 0
    return np.where(inwards[:, None], faces[:, ::-1], faces).astype(np.int32)


def _revolved(profile: list[tuple[float, float]], around: int = 20) -> tuple[np.ndarray, np.ndarray]:
    """A convex body of revolution from (radius, height) pairs, closed at the top."""
    angle = np.linspace(0, 2 * np.pi, around, endpoint=False)
    rings = [np.stack([r * np.cos(angle), np.full(around, -h), r * np.sin(angle)], 1) for r, h in profile]
    vertices = np.concatenate([*rings, [[0.0, -profile[-1][1], 0.0]]])
    faces = []
    for ring in range(len(profile) - 1):
        for i in range(around):
            a, b = ring * around + i, ring * around + (i + 1) % around
            faces += [[a, b, a + around], [b, b + around, a + around]]
    top = (len(profile) - 1) * around
    faces += [[top + i, top + (i + 1) % around, len(vertices) - 1] for i in range(around)]
    return vertices, _outwards(vertices, np.array(faces, np.int32), vertices.mean(0))


def _table(rng: np.random.Generator, is_bench: bool) -> list[tuple[np.ndarray, np.ndarray]]:
    height = rng.uniform(0.38, 0.5) if is_bench else rng.uniform(0.65, 1.0)
    width, depth = rng.uniform(0.7, 1.8), rng.uniform(0.3, 0.45) if is_bench else rng.uniform(0.5, 0.9)
    return _table_of(width, depth, height)


def _table_of(width: float, depth: float, height: float) -> list[tuple[np.ndarray, np.ndarray]]:
    parts = [_box(np.array([width, 0.05, depth]), np.array([0.0, -height, 0.0]))]
    for x in (-0.46, 0.46):
        for z in (-0.44, 0.44):
            parts.append(_box(np.array([0.05, height, 0.05]), np.array([x * width, 0.0, z * depth])))
    return parts

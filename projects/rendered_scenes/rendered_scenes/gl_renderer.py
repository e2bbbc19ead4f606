"""Draws people, things and their shadows with OpenGL, off screen (EGL), into colour, depth and owner buffers."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from lcrnet_d2.data.synthetic.camera import Camera

from . import shaders
from .extra import require

__all__ = ["Buffers", "GLRenderer", "Lighting", "Mesh"]

#: Pixels are drawn so many times larger along each side and averaged.
SUPERSAMPLING = 2

_SHADOW_SIZE = 1024
_MAX_CONTACTS = 48


@dataclass(frozen=True)
class Lighting:
    """Colours are linear RGB.

    Attributes:
        towards: (3,) unit vector to the sun, world axes (y down).
        sun, sky, ground: (3,) light of the sun, from above and from below.
        shadow: 0 to 1, how dark shadows on the ground are.
    """

    towards: np.ndarray
    sun: np.ndarray
    sky: np.ndarray
    ground: np.ndarray
    shadow: float


@dataclass(frozen=True)
class Mesh:
    """Triangles in world axes with what the shader needs.

    Attributes:
        program: "person" or "thing".
        vertices, normals, rest: (V, 3); rest is where patterns are anchored.
        faces: (F, 3) int32.
        owner: number in the owner buffer, at least 1.
        arm: (V, 2) of people only, see regions.py.
        uniforms: of the program.
    """

    program: str
    vertices: np.ndarray
    normals: np.ndarray
    rest: np.ndarray
    faces: np.ndarray
    owner: int
    arm: np.ndarray | None = None
    uniforms: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Buffers:
    """At SUPERSAMPLING times the picture's size.

    Attributes:
        colour: (SH, SW, 4) uint8 RGB and coverage.
        depth: (SH, SW) metres along z, 0 where nothing is.
        owner: (SH, SW) int, 0 where there is only ground or nothing.
    """

    colour: np.ndarray
    depth: np.ndarray
    owner: np.ndarray


class GLRenderer:
    """One OpenGL context; not to be shared between threads or processes.

    Raises:
        ImportError: moderngl is not installed.
        RuntimeError: no OpenGL; names the system packages.
    """

    def __init__(self) -> None:
        moderngl = require("moderngl")
        os.environ.setdefault("LP_NUM_THREADS", "0")  # Mesa draws in this thread: one process, one core
        try:
            self._context = moderngl.create_context(standalone=True, backend="egl", require=330)
        except Exception as error:  # moderngl and glcontext raise bare Exceptions
            raise RuntimeError(
                f"no OpenGL 3.3 through EGL ({error}); on Debian or Ubuntu: apt-get install libegl1 libgl1-mesa-dri"
            ) from error
        ctx = self._context
        self._programs = {
            "person": ctx.program(shaders.PERSON_VERTEX, shaders.PERSON_FRAGMENT),
            "person shadow": ctx.program(shaders.PERSON_VERTEX, shaders.SHADOW_FRAGMENT),
            "thing": ctx.program(shaders.THING_VERTEX, shaders.THING_FRAGMENT),
            "thing shadow": ctx.program(shaders.THING_VERTEX, shaders.SHADOW_FRAGMENT),
            "ground": ctx.program(shaders.THING_VERTEX, shaders.GROUND_FRAGMENT),
        }
        self._shadow_map = ctx.depth_texture((_SHADOW_SIZE, _SHADOW_SIZE))
        self._shadow_map.compare_func = ""
        self._shadow_target = ctx.framebuffer(depth_attachment=self._shadow_map)
        self._targets: dict[tuple[int, int], Any] = {}

    def draw(self, camera: Camera, meshes: Sequence[Mesh], light: Lighting, contacts: np.ndarray) -> Buffers:
        """All meshes, and their shadows on the ground.

        Args:
            contacts: (N, 3) x, z and height above the ground of points of bodies near it, metres; the first
                48 darken the ground below them.
        """
        ctx = self._context
        shared = _shared_uniforms(camera, meshes, light)
        ctx.enable(ctx.DEPTH_TEST)
        ctx.disable(ctx.BLEND | ctx.CULL_FACE)
        arrays = [self._upload(mesh) for mesh in meshes]
        self._shadow_target.use()
        self._shadow_target.clear(depth=1.0)
        for mesh, (_, shadow) in zip(meshes, arrays, strict=True):
            self._render(shadow, f"{mesh.program} shadow", shared | mesh.uniforms | {"forShadow": 1})
        target = self._target(camera.width * SUPERSAMPLING, camera.height * SUPERSAMPLING)
        target.use()
        target.clear(0.0, 0.0, 0.0, 0.0, depth=1.0)
        self._shadow_map.use(0)
        ground = self._upload(_ground(camera.above_ground), "ground")[0]
        points = np.zeros((_MAX_CONTACTS, 3), "f4")
        points[: len(contacts)] = contacts[:_MAX_CONTACTS]
        on_ground = {"shadowStrength": light.shadow, "contacts": points}
        on_ground["numContacts"] = min(len(contacts), _MAX_CONTACTS)
        self._render(ground, "ground", shared | on_ground | {"forShadow": 0})
        for mesh, (array, _) in zip(meshes, arrays, strict=True):
            uniforms = {"forShadow": 0, "owner": float(mesh.owner)}
            self._render(array, mesh.program, shared | mesh.uniforms | uniforms)
        for made in (ground, *(entry for pair in arrays for entry in pair)):
            for thing in made:  # moderngl frees nothing by itself: 1.3 MB a picture
                thing.release()
        return self._read(target)

    def _upload(self, mesh: Mesh, program: str | None = None) -> tuple[Any, ...]:
        """A vertex array for drawing and one for the shadow map."""
        ctx = self._context
        columns = [mesh.vertices, mesh.normals, mesh.rest] + ([] if mesh.arm is None else [mesh.arm])
        data = ctx.buffer(np.concatenate(columns, 1).astype("f4").tobytes())
        layout, names = "3f 3f 3f", ["position", "normal", "rest"]
        if mesh.arm is not None:
            layout, names = layout + " 2f", [*names, "arm"]
        index = ctx.buffer(mesh.faces.astype("i4").tobytes())
        arrays = []
        for name in [program] if program else [mesh.program, f"{mesh.program} shadow"]:
            used = [n if n in self._programs[name] else None for n in names]
            formats = [f if n else f"{int(f[0]) * 4}x" for f, n in zip(layout.split(), used, strict=True)]
            content = [(data, " ".join(formats), *[n for n in used if n])]
            arrays.append((ctx.vertex_array(self._programs[name], content, index), data, index))
        return tuple(arrays)

    def _render(self, array: tuple[Any, Any, Any], program: str, uniforms: dict[str, Any]) -> None:
        members = self._programs[program]
        for name, value in uniforms.items():
            if name in members:
                if isinstance(value, np.ndarray):  # compilers drop elements at the end that nothing reads
                    size = members[name].array_length * members[name].dimension
                    members[name].write(value.astype("f4").ravel()[:size].tobytes())
                else:
                    members[name].value = value
        array[0].render()

    def _target(self, width: int, height: int) -> Any:
        if (width, height) not in self._targets:
            ctx = self._context
            colour = ctx.texture((width, height), 4)
            aux = ctx.texture((width, height), 2, dtype="f4")
            depth = ctx.depth_renderbuffer((width, height))
            self._targets[width, height] = ctx.framebuffer([colour, aux], depth)
        return self._targets[width, height]

    def _read(self, target: Any) -> Buffers:
        width, height = target.size
        colour = np.frombuffer(target.read(components=4, attachment=0), np.uint8).reshape(height, width, 4)
        aux = np.frombuffer(target.read(components=2, attachment=1, dtype="f4"), np.float32)
        aux = aux.reshape(height, width, 2)
        return Buffers(colour, aux[..., 0], aux[..., 1].astype(int))


def _shared_uniforms(camera: Camera, meshes: Sequence[Mesh], light: Lighting) -> dict[str, Any]:
    """Of all programs."""
    return {
        "cameraRotation": camera.rotation.T,
        "intrinsics": (camera.fx, camera.fy, camera.cx, camera.cy),
        "imageSize": (camera.width, camera.height),
        "sunMatrix": _sun_matrix(meshes, light.towards).T,
        "sunTowards": tuple(light.towards),
        "sunColour": tuple(light.sun),
        "skyColour": tuple(light.sky),
        "groundColour": tuple(light.ground),
        "shadowTexel": 1 / _SHADOW_SIZE,
        "shadowMap": 0,
    }


def _sun_matrix(meshes: Sequence[Mesh], towards: np.ndarray) -> np.ndarray:
    """(4, 4) orthographic view from the sun onto the nearer meshes (up to 12 m away)."""
    near = [mesh.vertices for mesh in meshes if mesh.vertices[:, 2].min() < 12.0]
    points = np.concatenate(near or [mesh.vertices for mesh in meshes] or [np.zeros((1, 3))])
    centre = (points.min(0) + points.max(0)) / 2
    radius = float(np.linalg.norm(np.ptp(points, axis=0))) / 2 + 0.3
    helper = np.array([0.0, 0.0, 1.0]) if abs(towards[2]) < 0.9 else np.array([1.0, 0.0, 0.0])
    across = np.cross(helper, towards)
    across /= np.linalg.norm(across)
    axes = np.stack([across, np.cross(towards, across), -towards])
    matrix = np.eye(4)
    matrix[:3, :3] = axes / radius
    matrix[:3, 3] = -axes @ centre / radius
    return matrix


def _ground(below_camera: float) -> Mesh:
    x, z = np.array([-60.0, 60.0, 60.0, -60.0]), np.array([0.05, 0.05, 120.0, 120.0])
    vertices = np.stack([x, np.full(4, below_camera), z], 1)
    normals = np.tile([0.0, -1.0, 0.0], (4, 1))
    faces = np.array([[0, 1, 2], [0, 2, 3]], np.int32)
    return Mesh("ground", vertices, normals, vertices, faces, 0)

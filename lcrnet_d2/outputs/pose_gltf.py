"""Everyone's motion as one glTF (people.glb): skeletons that move, drawn as lines, in metres, y up.

Written by pygltflib (an extra: pip install pygltflib). The bodies are those of the BVH files.
Shapes: F frames, B nodes of a body.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from ..structures.whole_files import whole_file
from .pose_bvh import NODES, Motion, body_motion

__all__ = ["write_gltf"]

_LINES = 1  # of mesh.primitive.mode
_TYPES = {(): "SCALAR", (3,): "VEC3", (4,): "VEC4", (4, 4): "MAT4"}


def write_gltf(path: str | Path, motions: Mapping[int, Motion], fps: float) -> None:
    """Writes `people.glb`, whole or not at all. Before and after their frames people stand still.

    Args:
        motions: of each person, of `motions_by_identity`, with frames.
        fps: frames per second.

    Raises:
        ImportError: pygltflib is not installed; ValueError: see `body_motion`.
    """
    document = _Document()
    for identity, motion in motions.items():
        document.add(f"person {identity}", motion, fps)
    with whole_file(path) as file:
        file.write(document.content())


class _Document:
    """A glTF that grows by a person at a time: nodes, a skin and a mesh of lines, and channels of one animation."""

    def __init__(self) -> None:
        import pygltflib

        self._types: Any = pygltflib
        self._blob = bytearray()
        self._shown: list[int] = []
        self._file = pygltflib.GLTF2(scene=0, scenes=[pygltflib.Scene(nodes=self._shown)])
        self._file.animations = [pygltflib.Animation(name="motion")]

    def add(self, name: str, motion: Motion, fps: float) -> None:
        body = body_motion(motion.poses_3d)
        first = len(self._file.nodes)
        parents = {node.name: node.parent for node in NODES}
        parents |= {tip: tip.removesuffix(" end") for tip in body.offsets if tip.endswith(" end")}
        names = list(parents)
        rest = np.zeros((len(names), 3))
        for b, (node, parent) in enumerate(parents.items()):  # parents come first
            rest[b] = body.offsets[node] + (rest[names.index(parent)] if parent else 0)
            children = [first + names.index(child) for child, of in parents.items() if of == node]
            place = body.offsets[node].tolist()
            self._file.nodes.append(self._types.Node(name=node, translation=place, children=children))
        bones = np.array([[names.index(parent), b] for b, parent in enumerate(parents.values()) if parent])
        self._add_lines(name, first, rest, bones)
        times = self._array(motion.frames / fps)
        self._animate(first, "translation", times, body.places)
        for node in NODES:
            turns = Rotation.from_matrix(body.rotations[node.name]).as_quat()
            self._animate(first + names.index(node.name), "rotation", times, _continuous(turns))

    def _add_lines(self, name: str, first: int, rest: np.ndarray, bones: np.ndarray) -> None:
        """A mesh of the bones at rest that follows its nodes, and what holds both."""
        types, file, count = self._types, self._file, len(rest)
        inverse = np.tile(np.eye(4), (count, 1, 1))
        inverse[:, 3, :3] = -rest  # columns follow each other
        joints = np.zeros((count, 4))
        joints[:, 0] = np.arange(count)
        attributes = types.Attributes(
            POSITION=self._array(rest),
            JOINTS_0=self._array(joints, np.uint16),
            WEIGHTS_0=self._array(np.tile([1.0, 0, 0, 0], (count, 1))),
        )
        primitive = types.Primitive(attributes=attributes, indices=self._array(bones.ravel(), np.uint16), mode=_LINES)
        file.meshes.append(types.Mesh(name=name, primitives=[primitive]))
        nodes = list(range(first, first + count))
        file.skins.append(types.Skin(name=name, joints=nodes, skeleton=first, inverseBindMatrices=self._array(inverse)))
        file.nodes.append(types.Node(name=name, mesh=len(file.meshes) - 1, skin=len(file.skins) - 1))
        self._shown += [first, first + count]

    def _animate(self, node: int, what: str, times: int, values: np.ndarray) -> None:
        animation = self._file.animations[0]
        animation.samplers.append(self._types.AnimationSampler(input=times, output=self._array(values)))
        target = self._types.AnimationChannelTarget(node=node, path=what)
        animation.channels.append(self._types.AnimationChannel(sampler=len(animation.samplers) - 1, target=target))

    def _array(self, values: np.ndarray, dtype: type = np.float32) -> int:
        """Puts an array into the file's bytes; the number of its accessor."""
        array = np.ascontiguousarray(values, dtype=dtype)
        types, flat = self._types, array.reshape(len(array), -1)
        view = types.BufferView(buffer=0, byteOffset=len(self._blob), byteLength=array.nbytes)
        accessor = types.Accessor(
            bufferView=len(self._file.bufferViews),
            componentType=types.FLOAT if dtype is np.float32 else types.UNSIGNED_SHORT,
            count=len(array),
            type=_TYPES[array.shape[1:]],
            min=flat.min(0).tolist(),
            max=flat.max(0).tolist(),
        )
        self._file.bufferViews.append(view)
        self._file.accessors.append(accessor)
        self._blob += array.tobytes() + b"\0" * (-array.nbytes % 4)
        return len(self._file.accessors) - 1

    def content(self) -> bytes:
        self._file.buffers = [self._types.Buffer(byteLength=len(self._blob))]
        self._file.set_binary_blob(bytes(self._blob))
        return b"".join(self._file.save_to_bytes())


def _continuous(turns: np.ndarray) -> np.ndarray:
    """(F, 4) quaternions, q or -q, whichever is nearer to the one before: between them is interpolated."""
    back = (turns[1:] * turns[:-1]).sum(1) < 0
    return turns * np.where(np.r_[False, np.logical_xor.accumulate(back)], -1.0, 1.0)[:, None]

"""Human bodies: anny's surface and rig (CC0 data), as numpy arrays, and how a body is posed.

Body axes: x to the person's left, y up, z to the front; metres. Shapes: V vertices, B bones, J joints of BODY13.
Vertices are those of MakeHuman's base mesh, helper geometry included, as clothes are bound to it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.sparse import csr_matrix

from lcrnet_d2.structures import BODY13

from .extra import require

__all__ = ["BodyModel", "Phenotype", "PosedSurface", "RestBody", "vertex_normals"]

_SIDES = {"L": "left", "R": "right"}
_RIG = "makehuman-noexpression-notoes-nobreasts"
_JOINT_BONES = {
    **{"ankle": "foot", "knee": "lowerleg01", "hip": "upperleg01"},
    **{"wrist": "wrist", "elbow": "lowerarm01", "shoulder": "upperarm01"},
}
#: Annotators of photos click hips farther out than the joint centres lie: distance of the hips over torso + leg is 0.22
#: in LSPE and 0.17 between the bones of this rig; each is moved outwards by this share of their distance.
_HIPS_APART = 0.1


@dataclass(frozen=True)
class Phenotype:
    """Shape parameters of anny, each from 0 to 1 (age: 0 newborn, 1/3 small child, 2/3 young adult, 1 old)."""

    gender: float
    age: float
    muscle: float
    weight: float
    height: float
    proportions: float

    @classmethod
    def sample(cls, rng: np.random.Generator) -> Phenotype:
        """Mostly adults of moderate build; one in six is a child from about 4 years."""
        child = rng.random() < 1 / 6
        age = rng.uniform(0.36, 0.6) if child else rng.uniform(0.62, 0.95)
        gender = float(rng.integers(2)) * 0.8 + rng.uniform(0, 0.2)  # 0 male, 1 female
        height = float(np.clip(rng.normal(0.43 if gender < 0.5 else 0.38, 0.09), 0.1, 0.75))
        muscle, weight = np.clip(rng.normal([0.55, 0.45], [0.17, 0.17]), 0.08, 0.95).tolist()
        return cls(gender, age, muscle, weight, height, rng.uniform(0.3, 0.9))


@dataclass(frozen=True)
class RestBody:
    """A person's surface in the rig's rest pose (arms half lowered).

    Attributes:
        vertices: (V, 3).
        bone_heads: (B, 3).
    """

    vertices: np.ndarray
    bone_heads: np.ndarray


@dataclass(frozen=True)
class PosedSurface:
    """vertices: (V, 3); joints: (J, 3) of BODY13; transforms: (B, 3, 4) from rest to posed, of every bone."""

    vertices: np.ndarray
    joints: np.ndarray
    transforms: np.ndarray


class BodyModel:
    """anny's body with MakeHuman's rig without face and toe bones.

    Attributes:
        template: (V, 3) the mean body, at rest.
        faces: (F, 3) triangles of the skin, eyes included.
        bones: B names; parents: (B,) indices, -1 for the root (parents come first).
        weights: (V, B) sparse skinning weights, rows add up to 1.

    Raises:
        ImportError: anny is not installed.
    """

    def __init__(self) -> None:
        anny, torch = require("anny"), require("torch")
        topology = require("anny.models.model_data").TopologyConfig(
            "makehuman", remove_unattached_vertices=False, triangulate_faces=True, tongue=False
        )
        self._anny = anny.Anny(rig=_RIG, topology=topology)
        with torch.no_grad():
            self.template = _to_y_up(self._anny.template_vertices.numpy())
            self._template_heads = _to_y_up(self._anny.template_bone_heads.numpy())
            shapes = _to_y_up(self._anny.blendshapes.numpy()).astype(np.float32)
            self._shapes = shapes.reshape(len(shapes), -1)
            self._head_shapes = _to_y_up(self._anny.bone_heads_blendshapes.numpy())
            index, weight = self._anny.vertex_bone_indices.numpy(), self._anny.vertex_bone_weights.numpy()
        self._anny.blendshapes = self._anny.blendshapes[:0]  # 64 MB not needed any more
        self.faces = self._anny.faces.numpy().astype(np.int32)
        self.bones: list[str] = list(self._anny.bone_labels)
        self.parents: list[int] = list(self._anny.bone_parents)
        rows = np.repeat(np.arange(len(index)), index.shape[1])
        shape = (len(index), len(self.bones))
        self.weights = csr_matrix((weight.ravel(), (rows, index.ravel())), shape=shape, dtype=np.float32)
        self.weights.eliminate_zeros()
        points = _annotated_points()
        ears = (points["left_ear"] + points["right_ear"]) / 2
        self._head_point = 0.75 * ears + 0.25 * points["nose"]
        self._toes = {s: (points[f"{n}_big_toe"] + points[f"{n}_small_toe"]) / 2 for s, n in _SIDES.items()}

    def bone(self, name: str) -> int:
        return self.bones.index(name)

    def template_head(self, bone: str) -> np.ndarray:
        """(3,) where a bone of the template begins."""
        return self._template_heads[self.bone(bone)]

    def shape(self, phenotype: Phenotype) -> RestBody:
        """The body of a phenotype at rest."""
        values = {key: float(value) for key, value in vars(phenotype).items()}
        coefficients = self._anny.get_phenotype_blendshape_coefficients(**values).numpy()[0]
        vertices = self.template + (coefficients.astype(np.float32) @ self._shapes).reshape(-1, 3)
        heads = self._template_heads + np.tensordot(coefficients, self._head_shapes, 1)
        return RestBody(vertices.astype(np.float32), heads)

    def pose(self, rest: RestBody, turns: np.ndarray) -> PosedSurface:
        """Linear blend skinning.

        Args:
            turns: (B, 3, 3) rotation of each bone from rest, in body axes (not relative to its parent).

        Returns:
            the surface with the root bone where it is at rest.
        """
        heads = rest.bone_heads.copy()
        for bone, parent in enumerate(self.parents):
            if parent >= 0:
                heads[bone] = heads[parent] + turns[parent] @ (rest.bone_heads[bone] - rest.bone_heads[parent])
        moves = heads - np.einsum("bij,bj->bi", turns, rest.bone_heads)
        transforms = np.concatenate([turns, moves[..., None]], -1).astype(np.float32)
        vertices = self.skin(self.weights, rest.vertices, transforms)
        return PosedSurface(vertices, self._joints(heads, vertices), transforms)

    def ball_of_foot(self, rest: RestBody, side: str) -> np.ndarray:
        """(3,) where the toes begin: below the middle of the toes, at 0.72 of the way from the ankle ("L" or "R")."""
        ankle, toes = rest.bone_heads[self.bone(f"foot.{side}")], self._toes[side] @ rest.vertices
        return ankle + (toes - ankle) * np.array([0.72, 1.0, 0.72])

    @staticmethod
    def skin(weights: csr_matrix, points: np.ndarray, transforms: np.ndarray) -> np.ndarray:
        """(N, 3) points (N, 3) moved by the weighted (N, B) mean of the transforms (B, 3, 4)."""
        blended = (weights @ transforms.reshape(len(transforms), 12)).reshape(-1, 3, 4)
        return np.einsum("nij,nj->ni", blended[..., :3], points) + blended[..., 3]

    def _joints(self, heads: np.ndarray, vertices: np.ndarray) -> np.ndarray:
        joints = np.empty((len(BODY13), 3))
        for index, name in enumerate(BODY13.joints):
            if name == "head":
                joints[index] = self._head_point @ vertices
            else:
                side, part = name.split("_")
                joints[index] = heads[self.bone(f"{_JOINT_BONES[part]}.{side[0].upper()}")]
        right, left = BODY13.indices(["right_hip", "left_hip"])
        outwards = _HIPS_APART * (joints[left] - joints[right])
        joints[left] += outwards
        joints[right] -= outwards
        return joints

    @cached_property
    def normals_of(self) -> csr_matrix:
        """(V, F) incidence of vertices and faces, for `vertex_normals`."""
        return incidence(self.faces, len(self.template))


def incidence(faces: np.ndarray, num_vertices: int) -> csr_matrix:
    """(V, F) float32, 1 where a face has the vertex."""
    columns = np.repeat(np.arange(len(faces)), 3)
    ones = np.ones(faces.size, np.float32)
    return csr_matrix((ones, (faces.ravel(), columns)), shape=(num_vertices, len(faces)))


def vertex_normals(vertices: np.ndarray, faces: np.ndarray, of_faces: csr_matrix) -> np.ndarray:
    """(V, 3) float32 unit normals, faces weighted by their area; `of_faces` is the incidence (V, F)."""
    a, b, c = (vertices[faces[:, k]] for k in range(3))
    normals = of_faces @ np.cross(b - a, c - a)
    return (normals / (np.linalg.norm(normals, axis=1, keepdims=True) + 1e-12)).astype(np.float32)


def _to_y_up(points: np.ndarray) -> np.ndarray:
    """(..., 3) from anny's axes (x left, y back, z up) to body axes."""
    return np.stack([points[..., 0], points[..., 2], -points[..., 1]], -1)


def _annotated_points() -> dict[str, np.ndarray]:
    """Name of a COCO keypoint -> (V,) weights of the vertices whose mean it is."""
    path = require("anny.paths").get_anny_root_dir() / "data" / "keypoints" / "coco.pth"
    points = require("torch").load(path, weights_only=True)
    return {name: weights.numpy().astype(np.float32) for name, weights in points.items()}

"""A person of a scene: body, pose, clothes and place, as meshes and as joints in world axes (y down)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix

from lcrnet_d2.structures import BODY13

from .body_model import BodyModel, Phenotype, PosedSurface, RestBody, incidence, vertex_normals
from .garments import Garment, Wardrobe
from .gl_renderer import Mesh
from .motions import Motions
from .outfits import COVER_HAIR, COVER_SHOES, COVER_SUIT, sample_outfit, without_painted
from .placement import Place
from .regions import arm_coordinates
from .retarget import bone_turns

__all__ = ["JOINT_DEPTH", "BodyShop", "Person", "RestingPerson"]

#: Metres from a joint to the skin of an adult of 1.7 m, at most.
JOINT_DEPTH = {"ankle": 0.06, "knee": 0.08, "hip": 0.16, "wrist": 0.045, "elbow": 0.06, "shoulder": 0.09, "head": 0.14}

_BODY_TO_WORLD = np.diag([1.0, -1.0, -1.0])  # half a turn about x: who faces +z faces the camera
_CONTACTS = 6  # points of a body that darken the ground below it
_HIGHEST_LIFT = 0.6  # metres; what was recorded higher up stood on a ladder or a wall


@dataclass(frozen=True)
class Person:
    """meshes: the body and what is worn over it; joints: (J, 3) world metres; depths: (J,) metres from a joint to the
    skin; contacts: (C, 3) x, z and height."""

    meshes: list[Mesh]
    joints: np.ndarray
    depths: np.ndarray
    contacts: np.ndarray


@dataclass(frozen=True)
class RestingPerson:
    """A posed and dressed body that has no place yet.

    Attributes:
        meshes: world axes, turned to face the camera, standing on y = 0 at x = z = 0.
        joints: (J, 3).
        height: metres of the body at rest, upright.
        extent: metres from the ground to the highest point as posed.
    """

    meshes: list[Mesh]
    joints: np.ndarray
    height: float
    extent: float


@dataclass(frozen=True)
class _Layer:
    """What all people share of the body (a garment's too): patterns' places (N, 3), arms (N, 2), faces."""

    rest: np.ndarray
    arm: np.ndarray
    faces: np.ndarray
    of_faces: csr_matrix


class BodyShop:
    """Makes people; holds what all have in common."""

    def __init__(self, model: BodyModel, motions: Motions, wardrobe: Wardrobe | None = None) -> None:
        self._model, self._motions, self._wardrobe = model, motions, wardrobe
        arm = arm_coordinates(model)
        self._skin = _Layer(model.template.astype(np.float32), arm, model.faces, model.normals_of)
        self._used = np.unique(model.faces)
        self._layer_of = cache(self._new_layer)
        sitting = motions.weights * motions.seated()
        self._sitting = sitting / sitting.sum() if sitting.any() else motions.weights

    def person(self, rng: np.random.Generator, seated: bool = False) -> RestingPerson:
        """A random body in a random pose, of those that sit if there are any and `seated` asks for it, dressed."""
        model, motions = self._model, self._motions
        phenotype = Phenotype.sample(rng)
        rest = model.shape(phenotype)
        index = int(rng.choice(len(motions), p=self._sitting if seated else motions.weights))
        surface = model.pose(rest, bone_turns(model, rest, motions.matrices(index)))
        meshes = self._dressed(rng, rest, surface, phenotype.gender > 0.5)
        joints = surface.joints @ _BODY_TO_WORLD
        height = float(np.ptp(rest.vertices[self._used, 1]))
        points = surface.vertices[self._used] @ _BODY_TO_WORLD
        lift = motions.lift[index] * height / 1.75
        middle = joints[BODY13.torso].mean(0)
        move = -np.array([middle[0], points[:, 1].max() + lift * (lift < _HIGHEST_LIFT), middle[2]])
        meshes = [replace(mesh, vertices=mesh.vertices + move.astype(np.float32)) for mesh in meshes]
        return RestingPerson(meshes, joints + move, height, float(-(points[:, 1].min() + move[1])))

    def place(self, person: RestingPerson, place: Place, owner: int) -> Person:
        """The person at a place, drawn under a number in the owner buffer."""
        turn = place.turn
        meshes = [
            replace(mesh, vertices=mesh.vertices @ turn + place.foot, normals=mesh.normals @ turn, owner=owner)
            for mesh in person.meshes
        ]
        depths = np.array([JOINT_DEPTH[name.split("_")[-1]] for name in BODY13.joints]) * person.height / 1.7
        contacts = _contacts(meshes[0].vertices[self._used], place.foot[1])
        return Person(meshes, person.joints @ turn + place.foot, depths, contacts)

    def _dressed(self, rng: np.random.Generator, rest: RestBody, surface: PosedSurface, female: bool) -> list[Mesh]:
        uniforms = sample_outfit(rng, female)
        worn = self._choose(rng, female)
        hidden = np.zeros(len(rest.vertices), bool)
        meshes = []
        for garment, cover in worn:
            uniforms = without_painted(uniforms, cover)
            hidden |= garment.hidden
            places = self._model.skin(garment.skin_weights, garment.fit(rest.vertices), surface.transforms)
            meshes.append((self._layer_of(garment.name), places, cover))
        faces = self._model.faces[~hidden[self._model.faces].all(1)]
        body = self._mesh(replace(self._skin, faces=faces), self._skin, surface.vertices, uniforms | {"garment": 0})
        return [body, *(self._mesh(layer, layer, p, uniforms | {"garment": cover}) for layer, p, cover in meshes)]

    @staticmethod
    def _mesh(drawn: _Layer, whole: _Layer, places: np.ndarray, uniforms: dict[str, Any]) -> Mesh:
        """Normals are of the whole surface, also where only a part is drawn."""
        vertices = places @ _BODY_TO_WORLD
        normals = vertex_normals(vertices, whole.faces, whole.of_faces)
        return Mesh("person", vertices, normals, whole.rest, drawn.faces, 0, whole.arm, uniforms)

    def _choose(self, rng: np.random.Generator, female: bool) -> list[tuple[Garment, int]]:
        """Sewn garments of half of the people, and what the shader is to take them for."""
        wardrobe = self._wardrobe
        if wardrobe is None:
            return []
        if rng.random() < 0.12:
            female = not female  # most cuts suit everyone
        wanted = [
            (COVER_SUIT, "female suit" if female else "male suit", 0.5),
            (COVER_SHOES, "shoes", 0.5),
            (COVER_HAIR, "hair", 0.75 if female else 0.5),
        ]
        chosen = [(wardrobe.choose(rng, kind), cover) for cover, kind, share in wanted if rng.random() < share]
        return [(garment, cover) for garment, cover in chosen if garment is not None]

    def _new_layer(self, name: str) -> _Layer:
        assert self._wardrobe is not None
        garment = next(g for there in self._wardrobe.by_kind.values() for g in there if g.name == name)
        rest = garment.fit(self._model.template)
        arm = (garment.anchors @ self._skin.arm).astype(np.float32)
        return _Layer(rest, arm, garment.faces, incidence(garment.faces, len(rest)))


def _contacts(vertices: np.ndarray, ground: float) -> np.ndarray:
    """(C, 3) x, z and height of low points of a body, spread over it."""
    height = ground - vertices[:, 1]
    low = np.flatnonzero(height < max(height.min(), 0.0) + 0.12)
    order = low[np.lexsort((vertices[low, 2], np.round(vertices[low, 0], 1)))]
    chosen = order[np.linspace(0, len(order) - 1, _CONTACTS).astype(int)]
    return np.stack([vertices[chosen, 0], vertices[chosen, 2], np.maximum(height[chosen], 0)], 1)

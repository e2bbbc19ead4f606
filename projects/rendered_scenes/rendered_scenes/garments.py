"""MakeHuman's clothes, shoes and hair (.mhclo + .obj), fitted to a body and posed with it.

A vertex of a garment hangs on three vertices of the base mesh: their weighted mean plus an offset that grows with the
body. Shapes: V vertices of the base mesh, N of the garment, B bones.
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from scipy.sparse import csr_matrix, diags

from .body_model import BodyModel

__all__ = ["KINDS", "Garment", "Wardrobe", "parse_garment"]

#: Folders of the archive, or how names begin, and what lies in them.
KINDS = {"female_": "female suit", "male_": "male suit", "shoes": "shoes", "fedora": "hat"}

_MAX_BYTES = 32 * 2**20


@dataclass(frozen=True)
class Garment:
    """One garment.

    Attributes:
        name: of the .mhclo file.
        kind: a value of KINDS, or "hair".
        anchors: (N, V) sparse weights of the base mesh's vertices.
        offsets: (N, 3), in units of `scales`.
        scales: per axis x y z, two vertices of the base mesh and their distance along the axis in units of offsets.
        faces: (F, 3) int32 triangles.
        hidden: (V,) bool, vertices of the body that it covers.
        skin_weights: (N, B) sparse, rows add up to 1.
    """

    name: str
    kind: str
    anchors: csr_matrix
    offsets: np.ndarray
    scales: tuple[tuple[int, int, float], ...]
    faces: np.ndarray
    hidden: np.ndarray
    skin_weights: csr_matrix

    def fit(self, body: np.ndarray) -> np.ndarray:
        """(N, 3) places on a body's vertices (V, 3) in the rest pose."""
        scale = [abs(body[a, k] - body[b, k]) / length for k, (a, b, length) in enumerate(self.scales)]
        return (self.anchors @ body + self.offsets * scale).astype(np.float32)


class Wardrobe:
    """All garments of an archive, by kind.

    Raises:
        ValueError: no garments in it, or one that cannot be read; names it.
    """

    def __init__(self, path: Path, model: BodyModel) -> None:
        self.by_kind: dict[str, list[Garment]] = {}
        with zipfile.ZipFile(path) as archive:
            texts = {i.filename: i for i in archive.infolist() if i.file_size < _MAX_BYTES}
            for name in sorted(texts):
                if not name.endswith(".mhclo"):
                    continue
                shape = name.removesuffix(".mhclo") + ".obj"
                if shape not in texts:
                    raise ValueError(f"{path}: {name} without {shape}")
                clothes, mesh = (archive.read(n).decode("latin-1") for n in (name, shape))
                garment = parse_garment(name, clothes, mesh, model)
                self.by_kind.setdefault(garment.kind, []).append(garment)
        if not self.by_kind:
            raise ValueError(f"{path}: no .mhclo in it")

    def choose(self, rng: np.random.Generator, kind: str) -> Garment | None:
        """One of a kind, or None where there is none."""
        there = self.by_kind.get(kind, [])
        return there[rng.integers(len(there))] if there else None


def parse_garment(name: str, clothes: str, mesh: str, model: BodyModel) -> Garment:
    """A garment from the text of its .mhclo and its .obj.

    Raises:
        ValueError: another base mesh, or vertices that do not fit each other.
    """
    num_body = len(model.template)
    scales: dict[str, tuple[int, int, float]] = {}
    rows: list[list[float]] = []
    hidden = np.zeros(num_body, bool)
    section = ""
    for line in clothes.splitlines():
        words = line.split()
        if not words:
            continue
        if words[0] in ("x_scale", "y_scale", "z_scale"):
            scales[words[0][0]] = (int(words[1]), int(words[2]), float(words[3]))
        elif words[0] in ("verts", "delete_verts"):
            section = words[0]
        elif section == "verts" and _is_number(words[0]):
            rows.append([float(word) for word in words])
        elif section == "delete_verts":
            _hide(hidden, words)
    if set(scales) != set("xyz") or not rows:
        raise ValueError(f"{name}: no vertices or no scales in it")
    index, weight, offsets = _bindings(rows)
    faces, num_vertices = _triangles(mesh)
    if num_vertices != len(rows) or index.max() >= num_body:
        raise ValueError(f"{name}: {len(rows)} bindings for {num_vertices} vertices, or of another base mesh")
    where = (np.repeat(np.arange(len(rows)), 3), index.ravel())
    anchors = csr_matrix((weight.ravel(), where), shape=(len(rows), num_body), dtype=np.float32)
    positive = csr_matrix((np.maximum(weight, 0).ravel(), where), shape=anchors.shape) @ model.weights
    skin = csr_matrix(diags(1 / np.asarray(positive.sum(1)).ravel()) @ positive, dtype=np.float32)
    return Garment(name, _kind(name), anchors, offsets, tuple(scales[a] for a in "xyz"), faces, hidden, skin)


def _kind(name: str) -> str:
    stem = PurePosixPath(name).stem
    return next((kind for start, kind in KINDS.items() if stem.startswith(start)), "hair")


def _is_number(word: str) -> bool:
    return word.lstrip("-").replace(".", "", 1).isdigit()


def _hide(hidden: np.ndarray, words: list[str]) -> None:
    """Marks vertices of "12 - 17 20 31 - 40"."""
    previous, to = -1, False
    for word in words:
        if word == "-":
            to = True
        elif word.isdigit():
            number = int(word)
            hidden[previous if to else number : number + 1] = True
            previous, to = number, False


def _bindings(rows: list[list[float]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(N, 3) vertices, weights and offsets; a row of one number is bound to that vertex alone."""
    whole = np.array([row if len(row) == 9 else [row[0]] * 3 + [1, 0, 0, 0, 0, 0] for row in rows])
    return whole[:, :3].astype(int), whole[:, 3:6], whole[:, 6:9]


def _triangles(mesh: str) -> tuple[np.ndarray, int]:
    """(F, 3) int32 triangles of an .obj, and how many vertices it has."""
    faces, count = [], 0
    for line in mesh.splitlines():
        if line.startswith("v "):
            count += 1
        elif line.startswith("f "):
            corners = [int(word.split("/")[0]) - 1 for word in line.split()[1:]]
            faces += [[corners[0], corners[k], corners[k + 1]] for k in range(1, len(corners) - 1)]
    return np.array(faces, np.int32).reshape(-1, 3), count

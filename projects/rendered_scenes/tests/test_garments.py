"""A garment of four vertices, read from text, hangs on the body and moves with it."""

from __future__ import annotations

import numpy as np
import pytest

from rendered_scenes.garments import parse_garment
from rendered_scenes.scene import Studio

CLOTHES = """
# comment
x_scale 0 1 2.0
y_scale 0 1 2.0
z_scale 0 1 2.0
material patch.mhmat
verts 0
10 11 12 0.5 0.25 0.25 0.0 0.0 0.0
10 11 12 0.5 0.25 0.25 1.0 0.0 0.0
   13
20 21 22 1.5 -0.25 -0.25 0.0 0.0 0.0

delete_verts
30 - 33 40
"""
MESH = """
v 0 0 0
v 1 0 0
v 0 1 0
v 1 1 0
f 1/1 2/2 4/4 3/3
"""


def test_a_garment_hangs_on_the_base_mesh(studio: Studio) -> None:
    model = studio._shop._model
    garment = parse_garment("clothes/male_patch.mhclo", CLOTHES, MESH, model)
    body = model.template
    placed = garment.fit(body)
    mean = 0.5 * body[10] + 0.25 * body[11] + 0.25 * body[12]
    np.testing.assert_allclose(placed[0], mean, atol=1e-6)
    np.testing.assert_allclose(placed[1] - placed[0], [abs(body[0, 0] - body[1, 0]) / 2, 0, 0], atol=1e-6)
    np.testing.assert_allclose(placed[2], body[13], atol=1e-6)
    assert garment.kind == "male suit"
    assert garment.faces.tolist() == [[0, 1, 3], [0, 3, 2]]
    assert np.flatnonzero(garment.hidden).tolist() == [30, 31, 32, 33, 40]
    np.testing.assert_allclose(garment.skin_weights.sum(1), 1, atol=1e-5)


def test_it_moves_as_one_with_a_body_moved_as_a_whole(studio: Studio) -> None:
    model = studio._shop._model
    garment = parse_garment("clothes/male_patch.mhclo", CLOTHES, MESH, model)
    turn = np.array([[0.0, 0, 1], [0, 1, 0], [-1, 0, 0]])
    transforms = np.tile(np.concatenate([turn, [[1.0], [2.0], [3.0]]], 1), (len(model.bones), 1, 1))
    placed = garment.fit(model.template)
    moved = model.skin(garment.skin_weights, placed, transforms.astype(np.float32))
    np.testing.assert_allclose(moved, placed @ turn.T + [1, 2, 3], atol=1e-5)


def test_bindings_that_do_not_fit_the_mesh_are_refused(studio: Studio) -> None:
    with pytest.raises(ValueError, match="patch.mhclo: 4 bindings for 3 vertices"):
        parse_garment("patch.mhclo", CLOTHES, MESH.replace("v 1 1 0\n", ""), studio._shop._model)

"""Annotations fit the drawn pixels; scenes depend on their index alone."""

from __future__ import annotations

import numpy as np
import pytest

from lcrnet_d2.data.synthetic.camera import Camera
from lcrnet_d2.structures import BODY13
from rendered_scenes.gl_renderer import SUPERSAMPLING, Lighting
from rendered_scenes.placement import Place
from rendered_scenes.scene import Studio, annotate
from rendered_scenes.things import _box, _mesh

CAMERA = Camera(300.0, 300.0, 128.0, 128.0, 256, 256, np.eye(3), above_ground=1.0)
DAY = Lighting(np.array([0.0, -1.0, 0.0]), np.ones(3), np.ones(3), np.ones(3) * 0.5, 0.5)


def test_joints_project_onto_the_silhouette(studio: Studio) -> None:
    for seed in range(4):
        figure = studio._shop.person(np.random.default_rng(seed))
        person = studio._shop.place(figure, Place(np.array([0.0, 1.0, 4.0]), 0.7 * seed), owner=1)
        buffers = studio._renderer.draw(CAMERA, person.meshes, DAY, person.contacts)
        found = annotate(person, 1, CAMERA, buffers)
        assert found is not None and not found.barely_seen
        columns, rows = (found.keypoints * SUPERSAMPLING).astype(int).T
        on_it = buffers.owner[rows, columns] == 1
        assert on_it.all(), [BODY13.joints[i] for i in np.flatnonzero(~on_it)]
        np.testing.assert_allclose(found.pose_3d[BODY13.torso].mean(0), 0, atol=1e-5)
        np.testing.assert_allclose(CAMERA.project(found.root_position + found.pose_3d), found.keypoints, atol=1e-6)


def test_what_a_box_hides_is_hidden(studio: Studio) -> None:
    figure = studio._shop.person(np.random.default_rng(0))
    person = studio._shop.place(figure, Place(np.array([0.0, 1.0, 4.0]), 0.0), owner=1)
    points, faces = _box(np.array([3.0, 0.6, 0.1]), np.zeros(3))  # a wall of 0.6 m, 1 m nearer
    wall = _mesh(np.random.default_rng(0), points, faces, np.array([0.0, 1.0, 3.0]), 100)
    wall = type(wall)("thing", points + [0.0, 1.0, 3.0], wall.normals, points, faces, 100, uniforms=wall.uniforms)
    free, hidden = (
        annotate(person, 1, CAMERA, studio._renderer.draw(CAMERA, meshes, DAY, person.contacts))
        for meshes in (person.meshes, [*person.meshes, wall])
    )
    assert free is not None and hidden is not None
    ankles = BODY13.indices(["left_ankle", "right_ankle"])
    assert (free.visibility[ankles] == 2).all()
    assert (hidden.visibility[ankles] == 1).all()
    assert hidden.visibility[BODY13.index("head")] == 2
    assert hidden.box[3] < free.box[3] - 20 and hidden.num_pixels < free.num_pixels


def test_joints_outside_the_picture_are_hidden(studio: Studio) -> None:
    figure = studio._shop.person(np.random.default_rng(3))
    person = studio._shop.place(figure, Place(np.array([0.0, 1.0, 1.2]), 0.0), owner=1)
    found = annotate(person, 1, CAMERA, studio._renderer.draw(CAMERA, person.meshes, DAY, person.contacts))
    assert found is not None
    outside = ~CAMERA.contains(found.keypoints)
    assert outside.any() and (found.visibility[outside] == 1).all()


def test_a_scene_depends_on_split_seed_and_index_alone(studio: Studio) -> None:
    first, other = studio.scene("train", 5, 11), studio.scene("train", 5, 12)
    again = studio.scene("train", 5, 11)
    np.testing.assert_array_equal(first.image, again.image)
    assert len(first.people) == len(again.people)
    for a, b in zip(first.people, again.people, strict=True):
        np.testing.assert_array_equal(a.keypoints, b.keypoints)
        np.testing.assert_array_equal(a.visibility, b.visibility)
    assert first.image.shape != other.image.shape or (first.image != other.image).any()


def test_an_unknown_split_is_refused(studio: Studio) -> None:
    with pytest.raises(ValueError, match="no split 'dev'"):
        studio.scene("dev", 0, 0)

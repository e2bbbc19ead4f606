"""Annotations fit the drawn pixels; scenes depend on their index alone."""

from __future__ import annotations

import numpy as np
import pytest

from lcrnet_d2.data.synthetic.camera import Camera
from lcrnet_d2.structures import BODY13
from rendered_scenes.gl_renderer import SUPERSAMPLING, Lighting
from rendered_scenes.placement import Place
from rendered_scenes.scene import RenderedScene, Studio, _forward, _furniture, _moved_to_middle, annotate
from rendered_scenes.shards import scene_to_dataset_dict
from rendered_scenes.shots import Shot
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
    wall = _mesh(np.random.default_rng(0), points, faces, np.array([0.0, 1.0, 3.0]), 100, 0.0)
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
    with pytest.raises(ValueError, match="of 'selfies' shots"):
        studio.scene("train", 0, 0, "selfies")


def test_everyday_scenes_cut_people_come_close_and_show_nobody(studio: Studio) -> None:
    scenes = [studio.scene("train", 3, index, "everyday") for index in range(40)]
    subjects = [scene.people[0] for scene in scenes if scene.people]
    assert any(not scene.people for scene in scenes)
    cut = [(~scene.camera.contains(scene.people[0].keypoints)).any() for scene in scenes if scene.people]
    assert np.mean(cut) > 0.35
    heights = np.array([person.box[3] - person.box[1] for person in subjects])
    assert (heights < 120).any() and (heights > 250).any()


def test_seated_people_face_the_camera_above_a_seat(studio: Studio) -> None:
    """The made-up motions have nobody who sits: all poses are drawn from, and furniture is where the hips are."""
    shot = Shot(seated=True)
    for seed in range(5):
        rng = np.random.default_rng(seed)
        camera, _, people, _ = studio._people(rng, shot)
        chair = _furniture(rng, shot, camera, people[0])[0]
        hips = people[0].joints[BODY13.indices(["left_hip", "right_hip"])].mean(0)
        middle = (chair.vertices.min(0) + chair.vertices.max(0)) / 2
        assert np.linalg.norm((middle - hips)[[0, 2]]) < 0.35
        assert chair.vertices[:, 1].max() == pytest.approx(camera.above_ground, abs=1e-6)
        assert _forward(people[0].joints)[2] < 0.6  # towards the camera, give or take


def test_a_face_close_by_is_a_person_without_a_pose(studio: Studio) -> None:
    """Not a crowd, whose insides training ignores: small boxes on a cheek are background."""
    figure = studio._shop.person(np.random.default_rng(2))
    head = figure.joints[BODY13.index("head")]
    place = _moved_to_middle(Place(np.array([0.0, -head[1], 0.5]), 0.3), head)
    camera = Camera(1200.0, 1200.0, 128.0, 128.0, 256, 256, np.eye(3), above_ground=float(-head[1]))
    person = studio._shop.place(figure, place, owner=1)
    found = annotate(person, 1, camera, studio._renderer.draw(camera, person.meshes, DAY, person.contacts))
    assert found is not None and found.barely_seen and found.fills_picture
    scene = RenderedScene(np.zeros((256, 256, 3), np.uint8), camera, [found])
    (annotation,) = scene_to_dataset_dict(scene, 0, "0.jpg")["annotations"]
    assert annotation["iscrowd"] == 0 and "keypoints" not in annotation

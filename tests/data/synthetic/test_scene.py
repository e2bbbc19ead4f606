from __future__ import annotations

import numpy as np
import pytest
import torch

from lcrnet_d2.data.synthetic.camera import Camera
from lcrnet_d2.data.synthetic.composition import Person
from lcrnet_d2.data.synthetic.figure import dressed_figure
from lcrnet_d2.data.synthetic.renderer import OBJECT_OWNER, Canvas, draw_board, draw_limb
from lcrnet_d2.data.synthetic.scene import SyntheticScene, annotate, make_scene
from lcrnet_d2.structures import BODY13, body_centre

CAMERA = Camera(fx=240, fy=240, cx=160, cy=120, height=240, width=320, rotation=np.eye(3), above_ground=1.0)
#: Somebody upright who faces the camera, arms away from the body; x to the person's left, y down, m from the pelvis.
UPRIGHT = {
    "ankle": [0.12, 0.85, 0.0], "knee": [0.11, 0.42, 0.0], "hip": [0.1, 0.0, 0.0],
    "wrist": [0.5, 0.0, 0.0], "elbow": [0.38, -0.25, 0.0], "shoulder": [0.18, -0.5, 0.0], "head": [0.0, -0.72, 0.0],
}  # fmt: skip


@pytest.fixture(scope="module")
def scenes() -> list[SyntheticScene]:
    return [make_scene("train", 5, index) for index in range(15)]


def upright(degrees: float, place: list[float]) -> Person:
    """The person turned about the vertical (90: looks to the right of the image) and put somewhere, m."""
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    joints = []
    for name in BODY13.joints:
        x, y, z = UPRIGHT[name.split("_")[-1]]
        joints.append([-x if name.startswith("right") else x, y, z])
    return Person(np.array(joints) @ np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]]) + place, 1.0)


def drawn(*people: Person) -> Canvas:
    canvas = Canvas(CAMERA, np.zeros((240, 320, 3), np.float32), np.array([0.0, 0.0, -1.0]), 0.5)
    rng = np.random.default_rng(0)
    for owner, person in enumerate(people, start=1):
        for limb in dressed_figure(rng, *person):
            draw_limb(canvas, limb, owner)
    return canvas


def annotated(person: Person, owner: int, canvas: Canvas):
    found = annotate(person, owner, canvas)
    assert found is not None
    return found


def test_2d_is_the_projection_of_root_plus_centred_3d(scenes: list[SyntheticScene]) -> None:
    for scene in scenes:
        camera = scene.camera
        for person in scene.people:
            x, y, z = (person.root_position + person.pose_3d).T
            pixels = np.stack([camera.fx * x / z + camera.cx, camera.fy * y / z + camera.cy], 1)
            assert person.keypoints == pytest.approx(pixels, abs=1e-3)
            assert body_centre(torch.from_numpy(person.pose_3d), BODY13).abs().max() < 2e-6


def test_pictures_and_boxes(scenes: list[SyntheticScene]) -> None:
    for scene in scenes:
        assert scene.image.shape == (240, 320, 3) and scene.image.dtype == np.uint8
        assert scene.image.std() > 3
        assert 1 <= len(scene.people) <= 4
        for person in scene.people:
            x1, y1, x2, y2 = person.box
            assert 0 <= x1 < x2 <= 320 and 0 <= y1 < y2 <= 240
            assert person.num_pixels <= (x2 - x1) * (y2 - y1)
            seen = person.keypoints[person.visibility == 2]
            # A joint that is seen is inside the silhouette, hence inside its box.
            assert (seen >= [x1, y1]).all() and (seen <= [x2, y2]).all()


def test_a_set_has_hard_and_easy_people(scenes: list[SyntheticScene]) -> None:
    people = [person for scene in scenes for person in scene.people]
    visibility = np.stack([person.visibility for person in people])
    assert set(np.unique(visibility)) == {1, 2}
    assert 0.45 < (visibility == 2).mean() < 0.85
    heights = np.array([(person.box[3] - person.box[1]) / 240 for person in people])
    assert heights.min() < 0.4 and heights.max() > 0.8


def test_a_scene_depends_on_split_seed_and_index_alone() -> None:
    first, again = make_scene("val", 1, 3), make_scene("val", 1, 3)
    assert np.array_equal(first.image, again.image)
    assert all(np.array_equal(a.keypoints, b.keypoints) for a, b in zip(first.people, again.people, strict=True))
    for other in (("test", 1, 3), ("val", 2, 3), ("val", 1, 4)):
        assert not np.array_equal(first.image, make_scene(*other).image)


def test_everything_of_somebody_alone_who_faces_the_camera_is_seen() -> None:
    person = upright(0, [0, 0, 4.0])
    assert (annotated(person, 1, drawn(person)).visibility == 2).all()


def test_joints_behind_somebody_else_or_something_are_hidden() -> None:
    near, far = upright(0, [0.1, 0, 3.0]), upright(0, [0, 0, 4.0])
    alone = annotated(far, 1, drawn(far))
    behind_a_person = annotated(far, 2, drawn(near, far))
    assert 0 < (behind_a_person.visibility == 2).sum() < 13
    canvas = drawn(far)
    below = CAMERA.project(np.array([0, 0.2, 4.0]))[1]  # thighs and all below
    draw_board(canvas, np.array([[0, below], [319, below], [319, 239], [0, 239]]), 3.0, np.ones(3), OBJECT_OWNER)
    behind_a_table = annotated(far, 1, canvas)
    hidden = behind_a_table.keypoints[:, 1] > below
    assert hidden.sum() == 4 and np.array_equal(behind_a_table.visibility, np.where(hidden, 1, 2))
    assert behind_a_table.box[3] < alone.box[3]  # the box is around what is seen


def test_joints_behind_another_part_of_the_body_are_hidden() -> None:
    person = upright(90, [0, 0, 4.0])
    found = annotated(person, 1, drawn(person))
    depths = dict(zip(BODY13.joints, found.pose_3d[:, 2], strict=True))
    seen = dict(zip(BODY13.joints, found.visibility == 2, strict=True))
    far, near = sorted(("right_knee", "left_knee"), key=lambda joint: -depths[joint])
    assert seen[near] and not seen[far]


def test_joints_outside_the_image_are_hidden_and_keep_their_place() -> None:
    person = upright(0, [0, 0, 1.3])  # 1.7 m at 1.3 m: more than the image holds
    found = annotated(person, 1, drawn(person))
    outside = ~CAMERA.contains(found.keypoints)
    assert outside.any() and (found.visibility[outside] == 1).all()
    assert found.keypoints[outside, 1].max() > 240 or found.keypoints[outside, 1].min() < 0


def test_people_of_whom_nothing_is_seen_are_not_annotated() -> None:
    person = upright(0, [0, 0, 4.0])
    canvas = drawn(person)
    draw_board(canvas, np.array([[0, 0], [319, 0], [319, 239], [0, 239]]), 2.0, np.ones(3), OBJECT_OWNER)
    assert annotate(person, 1, canvas) is None


def test_the_face_tells_front_from_back() -> None:
    """The head's middle, at 2 m: the skin of the face before, hair behind."""
    patches = []
    for degrees in (0, 180):
        person = upright(degrees, [0, 0.2, 2.0])
        x, y = CAMERA.project(person.joints[BODY13.index("head")]).astype(int)
        patches.append(drawn(person).image[y - 6 : y + 7, x - 6 : x + 7])
    assert np.abs(patches[0] - patches[1]).mean() > 0.05

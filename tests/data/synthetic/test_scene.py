import numpy as np
import pytest
import torch

from lcrnet_d2.data.synthetic.articulation import PosedBody, sample_shape
from lcrnet_d2.data.synthetic.camera import Camera
from lcrnet_d2.data.synthetic.figure import dress, sample_outfit
from lcrnet_d2.data.synthetic.pose_sampling import sample_posed_body
from lcrnet_d2.data.synthetic.renderer import OBJECT_OWNER, Box, Buffers, draw
from lcrnet_d2.data.synthetic.scene import SyntheticScene, annotate, make_scene
from lcrnet_d2.structures import BODY13, body_centre

CAMERA = Camera(fx=240, fy=240, cx=160, cy=120, height=240, width=320, rotation=np.eye(3), above_ground=1.0)
FACING = np.diag([1.0, -1.0, -1.0])  # towards the camera
FROM_THE_SIDE = np.array([[0.0, 0, 1], [0, -1, 0], [1, 0, 0]])  # the person looks to the right of the picture


@pytest.fixture(scope="module")
def scenes() -> list[SyntheticScene]:
    return [make_scene("train", 5, index) for index in range(25)]


def walker(seed: int = 11) -> PosedBody:
    rng = np.random.default_rng(seed)
    return sample_posed_body(rng, sample_shape(rng))[0]


def drawn(*bodies: PosedBody, things: tuple[Box, ...] = ()) -> Buffers:
    buffers, rng = Buffers(CAMERA), np.random.default_rng(0)
    for owner, body in enumerate(bodies, start=1):
        for part in dress(body, sample_outfit(rng, body), owner):
            draw(buffers, part)
    for thing in things:
        draw(buffers, thing)
    return buffers


def test_2d_is_the_projection_of_root_plus_3d(scenes):
    for scene in scenes:
        camera = scene.camera
        for person in scene.people:
            x, y, z = (person.root_position + person.pose_3d).T
            pixels = np.stack([camera.fx * x / z + camera.cx, camera.fy * y / z + camera.cy], 1)
            assert person.keypoints == pytest.approx(pixels, abs=1e-3)


def test_3d_is_relative_to_the_body_centre(scenes):
    for person in (person for scene in scenes for person in scene.people):
        assert body_centre(torch.from_numpy(person.pose_3d), BODY13).abs().max() < 2e-6
        assert person.pose_3d.shape == (13, 3)


def test_pictures_and_boxes(scenes):
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


def test_a_set_has_hard_and_easy_people(scenes):
    people = [person for scene in scenes for person in scene.people]
    visibility = np.stack([person.visibility for person in people])
    assert set(np.unique(visibility)) == {1, 2}
    assert 0.45 < (visibility == 2).mean() < 0.85
    heights = np.array([(person.box[3] - person.box[1]) / 240 for person in people])
    assert heights.min() < 0.4 and heights.max() > 0.8


def test_a_scene_depends_on_split_seed_and_index_alone():
    first, again = make_scene("val", 1, 3), make_scene("val", 1, 3)
    assert np.array_equal(first.image, again.image)
    assert all(np.array_equal(a.keypoints, b.keypoints) for a, b in zip(first.people, again.people, strict=True))
    for other in (("test", 1, 3), ("val", 2, 3), ("val", 1, 4)):
        assert not np.array_equal(first.image, make_scene(*other).image)


def test_image_size_is_height_and_width():
    scene = make_scene("train", 0, 0, image_size=(128, 96))
    assert scene.image.shape == (128, 96, 3)
    assert (scene.camera.height, scene.camera.width) == (128, 96)


def test_unknown_splits_are_named():
    with pytest.raises(ValueError, match="'dev'.*train"):
        make_scene("dev", 0, 0)


def test_joints_behind_somebody_else_or_something_are_hidden():
    body = walker()
    near, far = body.moved(FACING, np.array([0, 1.0, 3.0])), body.moved(FACING, np.array([0, 1.0, 4.5]))
    alone = annotate(far, 1, drawn(far))
    assert (alone.visibility == 2).sum() >= 9
    behind_a_person = annotate(far, 2, drawn(near, far))
    assert (behind_a_person.visibility == 2).sum() < (alone.visibility == 2).sum()
    table = Box(np.array([0, 1.0, 4.0]), np.eye(3), np.array([1.0, 1.0, 0.02]), OBJECT_OWNER, lambda p: 0 * p)
    behind_a_table = annotate(far, 1, drawn(far, things=(table,)))
    below = behind_a_table.keypoints[:, 1] > CAMERA.project(np.array([0, 0.0, 4.02]))[1] + 1
    assert below.any() and (behind_a_table.visibility[below] == 1).all()
    assert np.array_equal(behind_a_table.visibility[~below], alone.visibility[~below])
    assert behind_a_table.box[3] < alone.box[3]  # the box is around what is seen


def test_joints_behind_another_part_of_the_body_are_hidden():
    body = walker().moved(FROM_THE_SIDE, np.array([0, 1.0, 4.0]))
    person = annotate(body, 1, drawn(body))
    depths = dict(zip(BODY13.joints, person.pose_3d[:, 2], strict=True))
    seen = dict(zip(BODY13.joints, person.visibility == 2, strict=True))
    far, near = sorted(("right_hip", "left_hip"), key=lambda joint: -depths[joint])
    assert seen[near] and not seen[far]


def test_joints_outside_the_image_are_hidden_and_keep_their_place():
    body = walker().moved(FACING, np.array([0, 1.0, 1.6]))  # 1.7 m at 1.6 m: more than the picture holds
    person = annotate(body, 1, drawn(body))
    outside = ~CAMERA.contains(person.keypoints)
    assert outside.any() and (person.visibility[outside] == 1).all()
    assert person.keypoints[outside, 1].max() > 240 or person.keypoints[outside, 1].min() < 0


def test_people_of_whom_nothing_is_seen_are_not_annotated():
    body = walker().moved(FACING, np.array([0, 1.0, 4.0]))
    wall = Box(np.array([0, 0, 2.0]), np.eye(3), np.array([3.0, 3.0, 0.05]), OBJECT_OWNER, lambda p: 0 * p)
    assert annotate(body, 1, drawn(body, things=(wall,))) is None


def test_the_face_tells_front_from_back():
    body = walker()
    back = np.diag([-1.0, -1.0, 1.0])
    patches = []
    for rotation in (FACING, back):
        placed = body.moved(rotation, np.array([0, 1.0, 2.0]))
        buffers = drawn(placed)
        x, y = CAMERA.project(placed.points["head"]).astype(int)
        patches.append(buffers.albedo[y - 6 : y + 7, x - 6 : x + 7])
    assert np.abs(patches[0] - patches[1]).mean() > 0.05

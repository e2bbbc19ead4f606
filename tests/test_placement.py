from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lcrnet_d2.data.synthetic.composition import compose
from lcrnet_d2.placement import OrthographicCamera, PinholeCamera, place_people
from lcrnet_d2.structures import BODY13
from tests_support import random_poses


@settings(max_examples=30)
@given(
    seed=st.integers(0, 100),
    x=st.floats(-3, 3),
    y=st.floats(-1, 1),
    z=st.floats(2, 15),
    focal=st.floats(200, 2000),
)
def test_true_poses_are_placed_where_they_were(seed: int, x: float, y: float, z: float, focal: float) -> None:
    """Also far outside the image: nothing is clipped."""
    camera = PinholeCamera(focal, focal * 1.1, 320.0, 230.0)
    root = torch.tensor([x, y, z])
    poses = random_poses(3, seed)
    placed = place_people(camera.project(poses + root), poses, camera)
    torch.testing.assert_close(placed, root.expand(3, 3), rtol=1e-3, atol=1e-3 * z)


def test_no_people_and_a_person_without_extent() -> None:
    camera = PinholeCamera.from_fov((480, 640))
    assert place_people(torch.zeros(0, 13, 2), torch.zeros(0, 13, 3), camera).shape == (0, 3)
    assert place_people(torch.full((1, 13, 2), 9.0), torch.zeros(1, 13, 3), camera).isnan().all()
    assert place_people(torch.full((1, 13, 2), torch.nan), random_poses(1, 0), camera).isnan().all()


def test_default_field_of_view() -> None:
    """60 degrees over 640 px: half of it is 320 px at tan 30 degrees = 0.577 of the focal length."""
    assert abs(PinholeCamera.from_fov((480, 640)).fx - 554.26) < 0.01


def synthetic_people(count: int) -> list[tuple[PinholeCamera, torch.Tensor, torch.Tensor]]:
    """Cameras, body-centred poses (N, J, 3) m and body centres (N, 3) m of composed scenes, a third of people cut."""
    scenes = []
    for seed in range(count):
        scene = compose(np.random.default_rng(seed), (240, 320))
        joints = torch.from_numpy(np.stack([person.joints for person in scene.people]))
        camera = PinholeCamera(scene.camera.fx, scene.camera.fy, scene.camera.cx, scene.camera.cy)
        roots = joints[:, BODY13.torso].mean(1)
        scenes.append((camera, joints - roots[:, None], roots))
    return scenes


def test_synthetic_scenes_with_known_cameras_and_true_poses_within_3_per_cent_of_the_depth() -> None:
    """2D as a file holds it, rounded to whole px."""
    errors, cut = [], 0
    for camera, poses, roots in synthetic_people(40):
        seen = camera.project(poses + roots[:, None])
        cut += int(((seen < 0) | (seen >= torch.tensor([320, 240]))).any(-1).any(-1).sum())
        errors.append((place_people(seen.round(), poses, camera) - roots).norm(dim=1) / roots[:, 2])
    assert cut > 10 and torch.cat(errors).max() < 0.03


def test_joints_may_count_differently_or_not_be_known() -> None:
    """A joint without weight, or that is not known, changes nothing; whatever the weights, true poses fit exactly."""
    camera, root = PinholeCamera.from_fov((480, 640)), torch.tensor([0.5, 0.2, 5.0])
    poses = random_poses(4, seed=1)
    seen = camera.project(poses + root)
    weights = torch.rand(4, 13, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(place_people(seen, poses, camera, weights), root.expand(4, 3), rtol=1e-3, atol=1e-3)
    wrong, unknown, ignored = seen.clone(), seen.clone(), torch.ones(4, 13)
    wrong[:, 3] += 300
    unknown[:, 3] = torch.nan
    ignored[:, 3] = 0
    expected = place_people(seen, poses, camera, ignored)
    torch.testing.assert_close(place_people(wrong, poses, camera, ignored), expected)
    torch.testing.assert_close(place_people(unknown, poses, camera), expected)
    orthographic = OrthographicCamera(100.0, 320.0, 240.0)
    flat = orthographic.project(poses + root)
    flat[:, 3] = torch.nan
    torch.testing.assert_close(place_people(flat, poses, orthographic), (root * torch.tensor([1, 1, 0.0])).expand(4, 3))


def test_nobody_stands_behind_the_camera() -> None:
    """2D turned by half a turn, as a left-right and head-foot mix-up gives, fits a body 4 m behind the camera."""
    camera, pose = PinholeCamera(500, 500, 160, 120), random_poses(1, seed=0)
    seen = camera.project(pose + torch.tensor([0.0, 0.0, 4.0]))
    turned = torch.tensor([320.0, 240.0]) - seen
    placed = place_people(torch.cat([seen, turned]), pose.repeat(2, 1, 1), camera)
    assert placed[0, 2] == pytest.approx(4, abs=1e-4) and placed[1].isnan().all()


def test_joints_that_are_not_known_do_not_change_the_fitted_scale() -> None:
    """Neither where both are missing, as COCO's eyes after a conversion, nor where the 2D alone is."""
    poses = random_poses(3, seed=1)
    seen = 80 * poses[..., :2] + 50
    whole = OrthographicCamera.fitted(seen, poses, (100, 100))
    assert whole.pixels_per_metre == pytest.approx(80, rel=1e-5)
    seen[:, 2], poses[:, 2], seen[0, 5] = torch.nan, torch.nan, torch.nan
    assert OrthographicCamera.fitted(seen, poses, (100, 100)).pixels_per_metre == pytest.approx(80, rel=1e-5)


def test_a_batch_places_everybody_as_if_alone() -> None:
    camera, poses = PinholeCamera.from_fov((480, 640)), random_poses(5, seed=2)
    seen = camera.project(poses + torch.tensor([0.0, 0.0, 4.0])) + torch.randn(5, 13, 2)
    for place in (camera, OrthographicCamera(90.0, 320.0, 240.0)):
        alone = torch.cat([place_people(seen[i : i + 1], poses[i : i + 1], place) for i in range(5)])
        torch.testing.assert_close(place_people(seen, poses, place), alone)


def test_an_orthographic_camera_is_fitted_to_how_large_people_appear() -> None:
    poses = random_poses(3, seed=0)
    true = OrthographicCamera(80.0, 320.0, 240.0)
    places = torch.tensor([[-1.0, 0.2, 0.0], [0.0, 0.0, 0.0], [1.5, 0.1, 0.0]])
    seen = true.project(poses + places[:, None])
    camera = OrthographicCamera.fitted(seen, poses, (480, 640))
    assert camera.pixels_per_metre == pytest.approx(80, rel=1e-5) and (camera.cx, camera.cy) == (320, 240)
    torch.testing.assert_close(place_people(seen, poses, camera), places, rtol=1e-4, atol=1e-5)
    nobody = OrthographicCamera.fitted(seen[:0], poses[:0], (480, 640))
    assert place_people(seen[:0], poses[:0], nobody).shape == (0, 3) and nobody.pixels_per_metre > 0
    assert place_people(torch.full((1, 13, 2), torch.nan), poses[:1], camera).isnan().all()


@pytest.mark.parametrize("fov", [0.0, -60.0, 180.0, float("nan")])
def test_a_field_of_view_lies_between_0_and_180_degrees(fov: float) -> None:
    with pytest.raises(ValueError, match="field of view"):
        PinholeCamera.from_fov((480, 640), fov)

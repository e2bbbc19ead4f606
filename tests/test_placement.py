from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests_support import random_poses

from lcrnet_d2.placement import PinholeCamera, place_people


@settings(max_examples=30, deadline=None)
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


def test_noise_of_two_pixels_moves_a_person_by_a_few_per_cent() -> None:
    camera = PinholeCamera.from_fov((480, 640))
    poses = random_poses(50, seed=0)
    root = torch.tensor([0.5, 0.2, 5.0])
    seen = camera.project(poses + root) + 2 * torch.randn(50, 13, 2, generator=torch.Generator().manual_seed(0))
    error = (place_people(seen, poses, camera) - root).norm(dim=1) / root.norm()
    assert error.mean() < 0.03


def test_no_people_and_a_person_without_extent() -> None:
    camera = PinholeCamera.from_fov((480, 640))
    assert place_people(torch.zeros(0, 13, 2), torch.zeros(0, 13, 3), camera).shape == (0, 3)
    assert place_people(torch.full((1, 13, 2), 9.0), torch.zeros(1, 13, 3), camera).isnan().all()
    assert place_people(torch.full((1, 13, 2), torch.nan), random_poses(1, 0), camera).isnan().all()


def test_default_field_of_view() -> None:
    """60 degrees over 640 px: half of it is 320 px at tan 30 degrees = 0.577 of the focal length."""
    assert abs(PinholeCamera.from_fov((480, 640)).fx - 554.26) < 0.01

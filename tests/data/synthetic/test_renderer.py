from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lcrnet_d2.data.synthetic.camera import Camera
from lcrnet_d2.data.synthetic.renderer import OBJECT_OWNER, Canvas, Limb, draw_board, draw_limb

CAMERA = Camera(fx=60, fy=60, cx=32, cy=24, height=48, width=64, rotation=np.eye(3), above_ground=1.5)
RED = np.array([0.0, 0.0, 1.0])
TOWARDS_CAMERA = np.array([0.0, 0.0, -1.0])


def canvas() -> Canvas:
    return Canvas(CAMERA, np.zeros((48, 64, 3), np.float32), TOWARDS_CAMERA, contrast=0.5)


def ball(centre: list[float], radius: float) -> Limb:
    return Limb(np.array(centre), np.array(centre), (radius, radius), RED)


def depth_of_many_balls(limb: Limb, count: int = 400) -> np.ndarray:
    """The slow obvious twin: the nearest of many balls along the axis, hit by the ray of every pixel."""
    x = (np.arange(CAMERA.width) + 0.5 - CAMERA.cx) / CAMERA.fx
    y = (np.arange(CAMERA.height) + 0.5 - CAMERA.cy) / CAMERA.fy
    rays = np.stack([*np.meshgrid(x, y), np.ones((CAMERA.height, CAMERA.width))], -1)
    nearest = np.full(rays.shape[:2], np.inf)
    for share in np.linspace(0, 1, count):
        centre = (1 - share) * limb.start + share * limb.end
        radius = (1 - share) * limb.radii[0] + share * limb.radii[1]
        a, b, c = (rays**2).sum(-1), rays @ centre, centre @ centre - radius**2
        inside = b * b - a * c
        nearest = np.where(inside > 0, np.minimum(nearest, (b - np.sqrt(np.maximum(inside, 0))) / a), nearest)
    return nearest


def test_a_ball_is_nearest_and_brightest_in_its_middle() -> None:
    drawn = canvas()
    draw_limb(drawn, ball([0.5 / 60 * 3, 0.5 / 60 * 3, 3.0], 0.5), owner=1)  # its middle is that of pixel (32, 24)
    assert drawn.depth[24, 32] == pytest.approx(2.5, abs=1e-4) and drawn.depth.min() == drawn.depth[24, 32]
    assert drawn.image[24, 32] == pytest.approx([0, 0, 1], abs=1e-3)  # the lamp is at the camera
    # 0.5 m at 3 m are 10 px: 9 px from the middle the normal leans by 64 degrees, 1 - 0.5 * (0.5 - 0.5 * cos 64).
    assert drawn.image[24, 41, 2] == pytest.approx(0.859, abs=1e-2)
    assert drawn.owner[24, 32] == 1 and drawn.owner[24, 43] == 0 and np.isinf(drawn.depth[0, 0])


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=12, deadline=None)
def test_limbs_across_the_view_have_the_depth_of_many_balls(seed: int) -> None:
    """Up to a radius of 0.15 m at 3 to 5 m: the drawn discs stand for balls seen from far away, off by 20 mm there."""
    rng = np.random.default_rng(seed)
    start = rng.uniform([-0.8, -0.6, 3], [0, 0.6, 5])
    limb = Limb(start, start + rng.uniform([0.3, -0.3, -0.3], [0.8, 0.3, 0.3]), tuple(rng.uniform(0.05, 0.15, 2)), RED)
    drawn = canvas()
    draw_limb(drawn, limb, owner=1)
    expected = depth_of_many_balls(limb)
    both = np.isfinite(expected) & (drawn.owner == 1)
    either = np.isfinite(expected) | (drawn.owner == 1)
    assert both.sum() > 0.8 * either.sum()
    assert np.median(np.abs(drawn.depth[both] - expected[both])) < 0.025


def test_what_is_nearer_hides_what_is_farther_in_any_order() -> None:
    near, far = ball([0, 0, 2.0], 0.2), ball([0.1, 0, 3.0], 0.6)
    images = []
    for order in ([(near, 1), (far, 2)], [(far, 2), (near, 1)]):
        drawn = canvas()
        for limb, owner in order:
            draw_limb(drawn, limb, owner)
        assert drawn.owner[24, 32] == 1 and drawn.owner[24, 44] == 2
        images.append(drawn.image)
    assert np.array_equal(*images)


def test_a_board_covers_its_corners_at_one_depth() -> None:
    drawn = canvas()
    draw_limb(drawn, ball([0, 0, 3.0], 0.5), owner=1)
    draw_board(drawn, np.array([[10, 24], [60, 24], [60, 40], [10, 40]]), 2.0, RED, OBJECT_OWNER)
    assert (drawn.owner[24:41, 10:61] == OBJECT_OWNER).all() and (drawn.depth[24:41, 10:61] == 2).all()
    assert drawn.owner[20, 32] == 1


@pytest.mark.parametrize("centre", [[0, 0, 0.1], [0, 0, -2.0], [30.0, 0, 3.0]])
def test_what_is_behind_the_camera_or_outside_the_image_is_not_drawn(centre: list[float]) -> None:
    drawn = canvas()
    draw_limb(drawn, ball(centre, 0.3), owner=1)
    assert (drawn.owner == 0).all()

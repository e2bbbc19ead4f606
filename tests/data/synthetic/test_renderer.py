import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lcrnet_d2.data.synthetic.camera import Camera
from lcrnet_d2.data.synthetic.paints import plain
from lcrnet_d2.data.synthetic.renderer import OBJECT_OWNER, Box, Buffers, RoundCone, axes_along, draw

CAMERA = Camera(fx=60, fy=60, cx=32, cy=24, height=48, width=64, rotation=np.eye(3), above_ground=1.5)
RED = plain(np.array([0.0, 0.0, 1.0]))
FRONT = np.array([0.0, 0.0, 1.0])


def ball(centre, radius, owner=1):
    return RoundCone(np.array(centre), np.array(centre), np.eye(3), (radius, radius), (1.0, 1.0, 1.0), owner, RED)


def cone(start, end, radii, stretch=(1.0, 1.0, 1.0)):
    start, end = np.array(start), np.array(end)
    return RoundCone(start, end, axes_along(end - start, FRONT), radii, stretch, 1, RED)


def depth_by_many_ellipsoids(primitive: RoundCone, count: int = 1500) -> np.ndarray:
    """The slow obvious twin: the nearest of many ellipsoids along the axis, one by one, at every pixel, in float64."""
    x = (np.arange(CAMERA.width) + 0.5 - CAMERA.cx) / CAMERA.fx
    y = (np.arange(CAMERA.height) + 0.5 - CAMERA.cy) / CAMERA.fy
    rays = np.stack([*np.meshgrid(x, y), np.ones((CAMERA.height, CAMERA.width))], -1)
    to_local = primitive.frame.T / np.array(primitive.stretch)[:, None]
    directions = rays @ to_local.T
    nearest = np.full(rays.shape[:2], np.inf)
    for share in np.linspace(0, 1, count):
        centre = to_local @ ((1 - share) * primitive.start + share * primitive.end)
        radius = (1 - share) * primitive.radii[0] + share * primitive.radii[1]
        a, b, c = (directions**2).sum(-1), directions @ centre, centre @ centre - radius**2
        inside = b * b - a * c
        nearest = np.where(inside > 0, np.minimum(nearest, (b - np.sqrt(np.maximum(inside, 0))) / a), nearest)
    return nearest


def test_a_ball_on_the_axis_is_nearest_in_its_middle():
    buffers = Buffers(CAMERA)
    draw(buffers, ball([0.5 / 60 * 3, 0.5 / 60 * 3, 3.0], 0.5))  # its middle is the centre of pixel (32, 24)
    assert buffers.depth[24, 32] == pytest.approx(2.5, abs=1e-4)
    assert buffers.depth.min() == buffers.depth[24, 32]
    assert buffers.normal[24, 32] == pytest.approx([0, 0, -0.5], abs=0.02)  # towards the camera
    assert buffers.albedo[24, 32].tolist() == [0, 0, 1]
    assert buffers.owner[0, 0] == 0 and np.isinf(buffers.depth[0, 0])


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=12)
def test_round_cones_have_the_depth_of_many_ellipsoids(seed):
    rng = np.random.default_rng(seed)
    start, end = rng.uniform([-1, -0.8, 2], [1, 0.8, 5], (2, 3))
    primitive = cone(start, end, tuple(rng.uniform(0.1, 0.4, 2).tolist()), tuple(rng.uniform(0.5, 1.5, 3).tolist()))
    buffers = Buffers(CAMERA)
    draw(buffers, primitive)
    expected = depth_by_many_ellipsoids(primitive)
    both = np.isfinite(expected) & np.isfinite(buffers.depth)
    assert both.any() or not np.isfinite(expected).any()
    # At the outline a ray grazes: there a pixel may be in one and not the other, or differ by centimetres.
    assert (np.isfinite(expected) != np.isfinite(buffers.depth)).sum() <= max(2, 0.02 * both.sum())
    error = np.abs(expected[both] - buffers.depth[both])
    assert not both.any() or np.median(error) < 1e-3
    assert (error > 5e-3).sum() <= max(2, 0.03 * both.sum())


def test_a_ball_that_holds_the_other_hides_it():
    buffers, alone = Buffers(CAMERA), Buffers(CAMERA)
    draw(buffers, cone([0, 0, 3.0], [0, 0.05, 3.0], (0.1, 0.4)))
    draw(alone, ball([0, 0.05, 3.0], 0.4))
    assert np.array_equal(buffers.owner, alone.owner)
    seen = alone.owner > 0
    assert buffers.depth[seen] == pytest.approx(alone.depth[seen], abs=1e-3)


@pytest.mark.parametrize("nearer_first", [True, False])
def test_what_is_nearer_hides_what_is_farther_in_either_order(nearer_first):
    buffers = Buffers(CAMERA)
    parts = [ball([0, 0, 2.0], 0.2, owner=1), ball([0, 0, 4.0], 1.0, owner=2)]
    for part in parts if nearer_first else parts[::-1]:
        draw(buffers, part)
    assert buffers.owner[24, 32] == 1
    assert buffers.owner[24, 32 + 10] == 2  # beside the near ball (60 * 0.2 / 2 = 6 px), within the far one (15 px)


def test_a_box_shows_its_front_face():
    buffers = Buffers(CAMERA)
    draw(buffers, Box(np.array([0, 0, 3.0]), np.eye(3), np.array([0.5, 0.25, 1.0]), OBJECT_OWNER, RED))
    rows, columns = np.nonzero(buffers.owner == OBJECT_OWNER)
    # The front face is at 2 m: 60 * 0.5 / 2 = 15 px to the sides, 7.5 px up and down.
    assert (columns.min(), columns.max()) == (32 - 15, 32 + 14)
    assert rows.max() - rows.min() + 1 in (14, 15)
    assert buffers.depth[24, 32] == pytest.approx(2.0, abs=1e-5)
    assert buffers.normal[24, 32] == pytest.approx([0, 0, -1])


def test_what_reaches_behind_the_camera_or_is_out_of_sight_draws_nothing():
    buffers = Buffers(CAMERA)
    for centre in ([0, 0, 0.2], [0, 0, -3.0], [9.0, 0, 3.0]):
        draw(buffers, ball(centre, 0.4))
    assert not buffers.owner.any()


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=30)
def test_axes_are_orthonormal_and_right_handed_even_when_front_is_along_the_limb(seed):
    direction = np.random.default_rng(seed).normal(size=3)
    for front in (direction, FRONT):
        axes = axes_along(direction, front)
        assert axes.T @ axes == pytest.approx(np.eye(3), abs=1e-6)
        assert np.linalg.det(axes) == pytest.approx(1)
        assert axes[:, 1] == pytest.approx(direction / np.linalg.norm(direction))

import numpy as np
import pytest

from lcrnet_d2.data.synthetic.camera import Camera, aim_camera

LEVEL = Camera(fx=100, fy=100, cx=50, cy=40, height=80, width=100, rotation=np.eye(3), above_ground=1.5)


def test_projection_by_hand():
    # 1 m to the right and 0.5 m down at 2 m: 100 * 0.5 + 50 and 100 * 0.25 + 40.
    assert LEVEL.project(np.array([1.0, 0.5, 2.0])) == pytest.approx([100, 65])
    assert LEVEL.project(np.zeros((0, 3))).shape == (0, 2)


def test_the_first_pixel_is_inside_and_the_width_is_outside():
    pixels = np.array([[0, 0], [99.99, 79.99], [100, 40], [50, -0.01]])
    assert LEVEL.contains(pixels).tolist() == [True, True, False, False]


def test_rays_go_through_pixel_centres():
    columns, rows = LEVEL.columns_rows()
    point = np.array([columns[7], rows[9], 1.0]) * 3.0
    assert LEVEL.project(point) == pytest.approx([7.5, 9.5], abs=1e-4)


def test_an_aimed_camera_sees_an_adult_as_tall_as_asked_and_near_the_middle():
    rng = np.random.default_rng(0)
    for _ in range(50):
        camera, distance = aim_camera(rng, (240, 320), 1.6, subject_share=0.6)
        ground = np.array([0, camera.above_ground, distance])
        feet, middle, head = (camera.project(camera.rotation @ (ground - [0, up, 0])) for up in (0, 0.9, 1.7))
        assert np.linalg.norm(head - feet) / 240 == pytest.approx(0.6, abs=0.12)  # seen from above it is shorter
        assert feet[1] > head[1]
        assert abs(middle[1] - 120) < 0.2 * 240
        assert camera.rotation @ camera.rotation.T == pytest.approx(np.eye(3), abs=1e-12)

import numpy as np
import pytest

from lcrnet_d2.data.synthetic.articulation import sample_shape
from lcrnet_d2.data.synthetic.background import paint_background, smooth_noise
from lcrnet_d2.data.synthetic.camera import Camera
from lcrnet_d2.data.synthetic.lighting import Light, cast_shadows, degrade, shade
from lcrnet_d2.data.synthetic.paints import plain
from lcrnet_d2.data.synthetic.pose_sampling import sample_posed_body
from lcrnet_d2.data.synthetic.renderer import Buffers, RoundCone, draw

CAMERA = Camera(fx=80, fy=80, cx=50, cy=40, height=80, width=100, rotation=np.eye(3), above_ground=1.5)
FROM_THE_LEFT = Light(np.array([-0.8, -0.6, 0.0]), np.ones(3), np.full(3, 0.2), shadow=0.8)


def test_the_side_towards_the_lamp_is_brighter_and_the_background_stays():
    buffers = Buffers(CAMERA)
    grey = plain(np.full(3, 0.5))
    middle = np.array([0, 0, 4.0])
    draw(buffers, RoundCone(middle, middle, np.eye(3), (1.0, 1.0), (1.0, 1.0, 1.0), 1, grey))
    image = shade(buffers, FROM_THE_LEFT, np.full((80, 100, 3), 0.3, np.float32))
    assert image[40, 40].mean() > 2 * image[40, 60].mean()
    assert image[0, 0].tolist() == pytest.approx([0.3] * 3)


def test_shadows_fall_away_from_the_lamp():
    rng = np.random.default_rng(0)
    body = sample_posed_body(rng, sample_shape(rng))[0]
    body = body.moved(np.diag([1.0, -1.0, -1.0]), np.array([0, 1.5, 5.0]))
    shadow = cast_shadows([body], CAMERA, FROM_THE_LEFT)
    columns = np.nonzero(shadow > 0.3)[1]
    assert shadow.shape == (80, 100) and shadow.min() >= 0 and shadow.max() <= 0.8 + 1e-6
    assert columns.mean() > CAMERA.project(body.points["pelvis"])[0]
    assert not cast_shadows([], CAMERA, FROM_THE_LEFT).any()


def test_the_ground_is_darkened_by_shadows_and_the_sky_is_not():
    everywhere = np.ones((80, 100), np.float32)
    dark = paint_background(np.random.default_rng(4), CAMERA, everywhere)
    light = paint_background(np.random.default_rng(4), CAMERA, None)
    assert not dark[44:].any() and light[44:].any()  # the horizon of a level camera is at cy = 40
    assert np.array_equal(dark[:38], light[:38])


def test_a_camera_that_looks_up_sees_no_ground():
    up = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])  # world y down: straight up
    camera = Camera(80, 80, 50, 40, 80, 100, up, 1.5)
    image = paint_background(np.random.default_rng(0), camera, np.ones((80, 100), np.float32))
    assert image.shape == (80, 100, 3) and image.any()


def test_smooth_noise_is_smooth_and_bounded():
    noise = smooth_noise(np.random.default_rng(0), (60, 90), 4, 2)
    assert noise.shape == (60, 90, 2) and np.abs(noise).max() <= 1
    assert np.abs(np.diff(noise, axis=1)).max() < 0.15  # 2 / (90 / 4) = 0.09 per pixel at most


def test_degraded_pictures_still_show_what_was_there():
    image = np.zeros((60, 80, 3), np.float32)
    image[:, 40:] = 0.8
    for seed in range(20):
        pixels = degrade(np.random.default_rng(seed), image)
        assert pixels.dtype == np.uint8 and pixels.shape == image.shape
        assert pixels[:, 45:].mean() - pixels[:, :35].mean() > 60

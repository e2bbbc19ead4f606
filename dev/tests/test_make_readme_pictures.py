from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

import make_readme_pictures
from lcrnet_d2.data.synthetic.scene import make_scene


def test_the_truth_of_a_scene_is_a_detection_in_its_own_place() -> None:
    scene = make_scene("test", 0, 0, (120, 160))
    image, people = make_readme_pictures.truth(scene)
    np.testing.assert_array_equal(image[..., ::-1], scene.image)
    assert len(people) == len(scene.people)
    np.testing.assert_allclose(scene.camera.project(people.in_camera()), people.keypoints_2d, atol=0.01)


def test_pictures_stay_small(tmp_path: Path) -> None:
    """Noise of 1800 x 600 px is 1 MB as a JPEG of quality 92."""
    noise = np.random.default_rng(0).integers(0, 255, (600, 1800, 3), np.uint8)
    make_readme_pictures.write_jpeg(tmp_path / "noise.jpg", cv2.GaussianBlur(noise, (0, 0), 2))
    assert (tmp_path / "noise.jpg").stat().st_size < 250_000
    assert cv2.imread(str(tmp_path / "noise.jpg")).shape == (533, 1600, 3)


def test_a_config_without_images_is_refused(capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit):
        make_readme_pictures.main(["--config-file", "x.yaml"])
    assert "go together" in capsys.readouterr().err

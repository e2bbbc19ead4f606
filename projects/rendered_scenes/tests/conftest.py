"""One studio for all tests of rendered scenes: a handful of made-up motions, a photo, a panorama; no real data."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from rendered_scenes.scene import Studio
from rendered_scenes.studio import StudioMaker
from rendered_support import some_motions


@pytest.fixture(scope="session")
def studio_maker(tmp_path_factory: pytest.TempPathFactory) -> StudioMaker:
    folder: Path = tmp_path_factory.mktemp("material")
    rng = np.random.default_rng(1)
    for name, shape in (("photos/wall.jpg", (300, 400, 3)), ("panoramas/sky.png", (64, 128, 3))):
        (folder / name).parent.mkdir()
        cv2.imwrite(str(folder / name), rng.integers(90, 160, shape, dtype=np.uint8))
    some_motions().save(folder / "motions.npz")
    return StudioMaker(folder / "motions.npz", (folder / "photos",), (folder / "panoramas",))


@pytest.fixture(scope="session")
def studio(studio_maker: StudioMaker) -> Studio:
    pytest.importorskip("anny", reason="projects/rendered_scenes/requirements.txt is not installed")
    pytest.importorskip("moderngl", reason="projects/rendered_scenes/requirements.txt is not installed")
    try:
        return studio_maker()
    except RuntimeError as error:
        if "no OpenGL" not in str(error):
            raise
        pytest.skip(str(error))

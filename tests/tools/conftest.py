"""A trained model that knows nothing, and what to look for people in."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from lcrnet_d2 import demo
from lcrnet_d2.structures import AnchorPoses
from model_support import save_random_model


@pytest.fixture
def no_log_handlers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Detectron2's handlers would keep the log from `caplog`, here and in the tests that follow."""
    monkeypatch.setattr(demo, "setup_logger", lambda name: None)


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory, anchors: AnchorPoses) -> Path:
    return save_random_model(tmp_path_factory.mktemp("weights"), anchors)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for name, shape in {"a.jpg": (80, 120, 3), "grey.png": (90, 60)}.items():
        cv2.imwrite(str(folder / name), rng.integers(0, 255, shape, np.uint8))
    (folder / "broken.jpg").write_bytes(b"no image")
    (folder / "notes.txt").write_text("not asked for")
    return folder


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """Eight frames of drifting noise at 10 frames per second."""
    path = tmp_path / "a clip.mp4"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 10, (120, 80))
    noise = cv2.resize(np.random.default_rng(0).integers(0, 255, (12, 20, 3), np.uint8), (140, 80))
    for shift in range(8):
        writer.write(noise[:, shift : shift + 120])
    writer.release()
    return path

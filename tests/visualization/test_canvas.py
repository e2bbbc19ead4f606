from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from lcrnet_d2.visualization import encoded_jpeg, write_image

RED = np.full((4, 6, 3), (200, 30, 10), np.uint8)


def test_colours_come_back_as_rgb(tmp_path: Path) -> None:
    write_image(tmp_path / "a.png", RED)
    assert cv2.imread(str(tmp_path / "a.png"))[0, 0].tolist() == [10, 30, 200]
    jpeg = cv2.imdecode(np.frombuffer(encoded_jpeg(RED, 95), np.uint8), cv2.IMREAD_COLOR)
    assert jpeg.shape == RED.shape and jpeg[0, 0, 2] > 180


def test_a_full_disk_leaves_the_former_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.png"
    write_image(path, RED)
    before = path.read_bytes()

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match=r"could not write the image .*a\.png: .*No space left"):
        write_image(path, 255 - RED)
    assert path.read_bytes() == before and [p.name for p in tmp_path.iterdir()] == ["a.png"]


@pytest.mark.parametrize("name", ["missing/a.png", "a.unknown", "a"])
def test_what_cannot_be_written_is_named(name: str, tmp_path: Path) -> None:
    with pytest.raises(OSError, match=f"could not write the image .*{name}"):
        write_image(tmp_path / name, RED)
    assert not list(tmp_path.iterdir())

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lcrnet_d2.data import ImageFileError, read_image

COLOURS = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255]], [[10, 20, 30], [40, 50, 60], [70, 80, 90]]], np.uint8)


def test_colours_and_channel_order(tmp_path: Path) -> None:
    Image.fromarray(COLOURS).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_image(tmp_path / "a.png", "RGB"), COLOURS)
    np.testing.assert_array_equal(read_image(tmp_path / "a.png", "BGR"), COLOURS[:, :, ::-1])


def test_grey_is_expanded(tmp_path: Path) -> None:
    Image.fromarray(COLOURS[..., 0]).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), np.repeat(COLOURS[..., :1], 3, 2))


def test_sixteen_bits_are_scaled_not_saturated(tmp_path: Path) -> None:
    Image.fromarray(np.array([[0, 257 * 100], [257 * 200, 65535]], np.uint16)).save(tmp_path / "a.png")
    assert read_image(tmp_path / "a.png")[..., 0].tolist() == [[0, 100], [200, 255]]


def test_transparency_becomes_white(tmp_path: Path) -> None:
    rgba = np.dstack([COLOURS, np.array([[0, 255, 255], [255, 255, 255]], np.uint8)])
    Image.fromarray(rgba).save(tmp_path / "a.png")
    out = read_image(tmp_path / "a.png", "RGB")
    assert out[0, 0].tolist() == [255, 255, 255] and out[0, 1].tolist() == [0, 255, 0]


def test_exif_rotation_is_applied(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: rows are columns
    Image.fromarray(COLOURS).save(tmp_path / "a.png", exif=exif)
    assert read_image(tmp_path / "a.png", "RGB").shape == (3, 2, 3)


@pytest.mark.parametrize("content", ["truncated", "text", "empty"])
def test_broken_files_are_named(content: str, tmp_path: Path) -> None:
    path = tmp_path / "broken.jpg"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)).save(path)
    path.write_bytes({"truncated": path.read_bytes()[:600], "text": b"hello", "empty": b""}[content])
    with pytest.raises(ImageFileError, match=r"broken\.jpg"):
        read_image(path)
    with pytest.raises(FileNotFoundError, match=r"none\.jpg"):
        read_image(tmp_path / "none.jpg")

from __future__ import annotations

import sys
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


@pytest.mark.parametrize(("white", "expected"), [(1.0, [[0, 51], [204, 255]]), (255.0, [[0, 51], [204, 255]])])
def test_floats_are_scaled_by_what_is_white(white: float, expected: list, tmp_path: Path) -> None:
    Image.fromarray(np.array([[0, 0.2], [0.8, 1]], np.float32) * np.float32(white)).save(tmp_path / "a.tif")
    assert read_image(tmp_path / "a.tif")[..., 0].tolist() == expected


@pytest.mark.parametrize(
    "values",
    [np.array([[0, 4000.0]], np.float32), np.array([[-1, 1.0]], np.float32), np.array([[0, np.nan]], np.float32)]
    + [np.array([[0, 70_000]], np.int32), np.array([[-5, 9]], np.int32)],
)
def test_greys_whose_white_cannot_be_known_are_refused(values: np.ndarray, tmp_path: Path) -> None:
    Image.fromarray(values).save(tmp_path / "a.tif")
    with pytest.raises(ImageFileError, match=r"a\.tif: grey values from .* which of them is white"):
        read_image(tmp_path / "a.tif")


@pytest.mark.parametrize("suffix", ["gif", "webp", "png", "avif"])
def test_an_animation_is_no_image(suffix: str, tmp_path: Path) -> None:
    first, second = Image.new("RGB", (60, 40), (255, 0, 0)), Image.new("RGB", (60, 40), (0, 255, 0))
    first.save(tmp_path / f"still.{suffix}")
    assert read_image(tmp_path / f"still.{suffix}").shape == (40, 60, 3)
    first.save(tmp_path / f"a.{suffix}", save_all=True, append_images=[second], duration=100)
    with pytest.raises(ImageFileError, match=rf"a\.{suffix}: an animation of 2 frames"):
        read_image(tmp_path / f"a.{suffix}")


def test_of_several_pages_or_previews_the_first_is_read(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def save(name: str) -> None:
        first, second = Image.fromarray(COLOURS), Image.new("RGB", (3, 2))
        first.save(tmp_path / name, save_all=True, append_images=[second])

    save("a.mpo")  # telephones add previews
    assert read_image(tmp_path / "a.mpo").shape == (2, 3, 3) and not caplog.text
    save("a.tif")
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif", "RGB"), COLOURS)
    assert "a.tif has 2 pages; the first is read" in caplog.text


def test_heic_is_read_or_its_library_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    heif = pytest.importorskip("pillow_heif")
    heif.from_pillow(Image.new("RGB", (64, 48), (200, 30, 30))).save(tmp_path / "a.heic")
    assert read_image(tmp_path / "a.heic", "RGB")[24, 32].tolist() == pytest.approx([200, 30, 30], abs=4)
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    monkeypatch.delitem(Image.OPEN, "HEIF")
    with pytest.raises(ImageFileError, match=r"a\.heic: HEIC needs a library: pip install pillow-heif"):
        read_image(tmp_path / "a.heic")


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
    reason = ": the file is empty" if content == "empty" else ""
    with pytest.raises(ImageFileError, match=rf"broken\.jpg{reason}"):
        read_image(path)
    with pytest.raises(FileNotFoundError, match=r"none\.jpg"):
        read_image(tmp_path / "none.jpg")

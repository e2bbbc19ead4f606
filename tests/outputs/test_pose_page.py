from __future__ import annotations

import gc
import weakref
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lcrnet_d2.detected_people import DetectedPeople
from lcrnet_d2.outputs.pose_page import PosePage
from lcrnet_d2.structures import BODY13

NOBODY = DetectedPeople.nobody(BODY13, (8, 8))
IMAGE = np.zeros((8, 8, 3), np.uint8)


@pytest.mark.parametrize(("count", "kept"), [(4, [0, 1, 2, 3]), (5, [0, 2, 4]), (9, [0, 4, 8]), (12, [0, 4, 8])])
def test_frames_are_thinned_evenly(count: int, kept: list[int], tmp_path: Path) -> None:
    page = PosePage(most_frames=4)
    for number in range(count):
        page.add(NOBODY, IMAGE, f"frame-{number}.")
    page.write(tmp_path / "page.html", "a page")
    text = (tmp_path / "page.html").read_text()
    assert [number for number in range(count) if f"frame-{number}." in text] == kept


def test_photos_are_kept_as_small_as_the_page_shows_them(tmp_path: Path) -> None:
    """200 of them, 12 megapixels each, would take 7 GB."""
    page, photo = PosePage(), np.zeros((1200, 1920, 3), np.uint8)
    kept = weakref.ref(photo)
    page.add(replace(NOBODY, image_size=(1200, 1920)), photo, "photo")
    del photo
    gc.collect()
    assert kept() is None
    page.write(tmp_path / "page.html", "a page")
    assert '"width":1920,"height":1200' in (tmp_path / "page.html").read_text()


def test_no_frames_no_page(tmp_path: Path) -> None:
    PosePage().write(tmp_path / "page.html", "a page")
    assert not (tmp_path / "page.html").exists()

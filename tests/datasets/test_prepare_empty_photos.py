from __future__ import annotations

from pathlib import Path

from PIL import Image

import prepare_empty_photos
from lcrnet_d2.data.datasets.pose_json import load_pose_json
from lcrnet_d2.structures import BODY13


def test_photos_become_images_without_people_and_broken_ones_are_left_out(tmp_path: Path) -> None:
    Image.new("RGB", (40, 30)).save(tmp_path / "wide.jpg")
    Image.new("RGB", (20, 50)).save(tmp_path / "high.PNG")
    (tmp_path / "broken.jpg").write_bytes(b"no photo")
    (tmp_path / "notes.txt").write_text("not asked for")
    assert prepare_empty_photos.main([str(tmp_path), "--output", str(tmp_path / "out.json")]) == 0
    records = load_pose_json(tmp_path / "out.json", tmp_path, BODY13)
    assert {(Path(r["file_name"]).name, r["width"], r["height"]) for r in records} == {
        ("wide.jpg", 40, 30),
        ("high.PNG", 20, 50),
    }
    assert all(r["annotations"] == [] for r in records)
    assert len({r["image_id"] for r in records}) == 2


def test_a_folder_without_photos_is_said(tmp_path: Path) -> None:
    assert prepare_empty_photos.main([str(tmp_path), "--output", str(tmp_path / "out.json")]) == 1

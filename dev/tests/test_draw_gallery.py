from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

import draw_gallery
from lcrnet_d2.data.datasets.pose_json import write_pose_json
from lcrnet_d2.outputs.pose_file import PosedImage, write_poses
from lcrnet_d2.structures import BODY13
from people_support import standing_people

GREY = (120, 120, 120)


def annotated(number: int, *, poses: bool = True) -> dict[str, Any]:
    person: dict[str, Any] = {"bbox": [40.0, 20.0, 80.0, 220.0], "bbox_mode": 0, "category_id": 0, "iscrowd": 0}
    if poses:
        person["keypoints"] = np.concatenate([standing_people(x=60).keypoints_2d[0], np.full((13, 1), 2)], -1)
    return {"image_id": number, "file_name": f"{number}.png", "height": 240, "width": 320, "annotations": [person]}


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    """Five black pictures; in four a person is annotated on the left, and one was found in the middle of all."""
    for number in range(5):
        cv2.imwrite(str(tmp_path / f"{number}.png"), np.zeros((240, 320, 3), np.uint8))
    write_pose_json(tmp_path / "truth.json", [annotated(i, poses=i != 2) for i in range(5)], BODY13)
    write_poses(tmp_path / "poses.json", [PosedImage(f"{i}.png", standing_people()) for i in range(5)], BODY13)
    return [str(tmp_path / "poses.json"), str(tmp_path / "truth.json"), "--image-root", str(tmp_path)]


def test_photos_are_drawn_at_random_and_the_same_again(files: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    out = str(Path(files[0]).parent / "gallery.png")
    chosen = []
    for seed in (1, 1, 2, 3, 4):
        assert draw_gallery.main([*files, "--count", "2", "--seed", str(seed), "--output", out]) == 0
        chosen.append(capsys.readouterr().out)
    assert chosen[0] == chosen[1] and len(set(chosen)) > 1
    assert "2.png" not in "".join(chosen)  # nobody's joints are annotated there


@pytest.mark.parametrize("without", [True, False])
def test_annotated_is_grey_and_photos_may_be_left_out(files: list[str], without: bool) -> None:
    out = Path(files[0]).parent / "gallery.png"
    option = ["--without-photos"] if without else []
    assert draw_gallery.main([*files, "--count", "4", "--output", str(out), *option]) == 0
    picture = cv2.imread(str(out))
    assert picture is not None and picture.shape == (278, 4 * 368, 3)  # photos of 4 : 3, 360 px wide, and 8 px between
    cell = picture[:270, :360]
    spine = cell[:, 50:90]  # the annotated person's body, at x = 60 of 320
    assert (spine == GREY).all(-1).any()
    corner = cell[-1, -1].tolist()
    assert corner == ([232, 236, 236] if without else [0, 0, 0])


def test_more_photos_than_there_are(files: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert draw_gallery.main([*files, "--count", "5", "--output", "gallery.png"]) == 1
    assert "4 images with annotated poses" in capsys.readouterr().err

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

import check_pose_file
from lcrnet_d2.structures import BODY13
from tests_support import write_tiny_set


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Six pictures of 160 x 120, five people with 3D."""
    return write_tiny_set(tmp_path / "set")


def changed(file: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))
    return file


def check(file: Path, *more: str) -> int:
    return check_pose_file.main([str(file), "--images", str(file.parent), *more])


def test_a_file_in_order(file: Path, capsys: pytest.CaptureFixture) -> None:
    def hide(content: dict[str, Any]) -> None:
        content["annotations"][0]["keypoints"][3 * BODY13.index("head") + 2] = 0
        content["annotations"][1]["keypoints"][3 * BODY13.index("head") + 2] = 1

    assert check(changed(file, hide)) == 0
    told = capsys.readouterr().out
    assert "6 images, 5 people (3D: 5 measured)" in told and "nothing wrong was found" in told
    (head,) = [line.split() for line in told.splitlines() if line.startswith("head")]
    assert head[1:4] == ["60.0", "20.0", "20.0"]
    assert "5 of them have enough joints" in told


def test_a_file_that_cannot_be_read_says_why(file: Path) -> None:
    file.write_text(file.read_text()[:-100])
    with pytest.raises(SystemExit, match="not a whole JSON"):
        check(file)
    with pytest.raises(SystemExit, match="no annotation file at"):
        check(file.with_name("none.json"))


def test_joints_nowhere_and_people_twice_are_named(file: Path, capsys: pytest.CaptureFixture) -> None:
    def spoil(content: dict[str, Any]) -> None:
        first, last = content["annotations"][0], content["annotations"][-1]
        content["annotations"].append(last | {"id": 99})
        for key in ("pose_3d", "pose_3d_source"):
            del first[key]
        first["keypoints"][:3] = [0, 0, 2]

    assert check(changed(file, spoil)) == 1
    told = capsys.readouterr().err
    assert "1 of its joints are marked as annotated at 0, 0" in told and "it is the same as person" in told


def test_a_category_that_nobody_defines_is_named(file: Path) -> None:
    with pytest.raises(SystemExit, match=r"annotations\[0\] .*category_id is 3, that of the person 1"):
        check(changed(file, lambda content: content["annotations"][0].update(category_id=3)))


def mirrored(axis: int) -> Callable[[dict[str, Any]], None]:
    def change(content: dict[str, Any]) -> None:
        for person in content["annotations"]:
            pose = np.array(person["pose_3d"])
            pose[:, axis] *= -1
            person["pose_3d"] = pose.tolist()

    return change


@pytest.mark.parametrize(("axis", "name"), [(0, "with -x"), (1, "with -y")])
def test_wrong_axes_are_named(file: Path, axis: int, name: str, capsys: pytest.CaptureFixture) -> None:
    assert check(changed(file, mirrored(axis))) == 1
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "camera axes" in line]
    assert f"{name} 1.00" in line


def box_of_another_form(content: dict[str, Any]) -> None:
    """Half its size, as if it were given by centre and size."""
    x, y, w, h = content["annotations"][0]["bbox"]
    content["annotations"][0]["bbox"] = [x + 0.6 * w, y + 0.6 * h, w, h]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c["images"][2].update(width=120), "2.png: it is 160 x 120 px, the file says 120 x 120"),
        (
            lambda c: c["annotations"][0].update(bbox=[500, 20, 30, 40]),
            "1.png: person 0: its box [500.0, 20.0, 530.0, 60.0] (x1, y1, x2, y2) has no part",
        ),
        (box_of_another_form, "1.png: person 0: "),
    ],
)
def test_what_is_wrong_is_named(file: Path, change: Callable, message: str, capsys: pytest.CaptureFixture) -> None:
    assert check(changed(file, change)) == 1
    assert message in capsys.readouterr().err


def test_pictures_that_are_not_there_and_a_limit(file: Path, capsys: pytest.CaptureFixture) -> None:
    for number in (1, 2, 3):
        (file.parent / f"{number}.png").unlink()
    cv2.imwrite(str(file.parent / "5.png"), np.zeros((60, 80, 3), np.uint8))
    assert check(file, "--show", "2") == 1
    told = capsys.readouterr()
    assert "4 problems, 2 shown" in told.out
    assert told.err.count("no image at") == 2


def test_people_without_keypoints_are_no_problem(file: Path, capsys: pytest.CaptureFixture) -> None:
    def boxes_alone(content: dict[str, Any]) -> None:
        for person in content["annotations"]:
            for key in ("keypoints", "pose_3d", "pose_3d_source"):
                person.pop(key)

    assert check(changed(file, boxes_alone)) == 0
    assert "nobody has keypoints" in capsys.readouterr().out

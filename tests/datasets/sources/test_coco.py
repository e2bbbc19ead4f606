from __future__ import annotations

import json
import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import prepare_coco
from lcrnet_d2.data.datasets.pose_json import PoseFileError, load_pose_json
from lcrnet_d2.structures import BODY13, COCO17
from sources.coco import read_coco
from tests_support import REAL_DATA, needs_real_data


def content() -> dict[str, Any]:
    """A person with a nose and an ear of the face and a hidden left wrist; one without joints; a crowd."""
    seen = {"nose": (10, 5, 2), "left_ear": (14, 7, 2), "left_wrist": (30, 40, 1), "right_hip": (12, 50, 2)}
    keypoints = [v for joint in COCO17.joints for v in seen.get(joint, (0, 0, 0))]
    person = {"image_id": 7, "iscrowd": 0, "bbox": [8, 3, 24, 50], "area": 612.5}
    return {
        "images": [{"id": i, "file_name": f"{i}.jpg", "width": 64, "height": 80} for i in (7, 8)],
        "annotations": [
            {"id": 1, **person, "keypoints": keypoints, "num_keypoints": 4},
            {"id": 2, **person, "keypoints": [0] * 51, "num_keypoints": 0},
            {"id": 3, **person, "iscrowd": 1, "keypoints": [0] * 51},
        ],
        "categories": [{"id": 1, "name": "person", "keypoints": list(COCO17.joints)}],
    }


def prepared(folder: Path, data: Any, *more: str) -> list[dict[str, Any]]:
    (folder / "in.json").write_text(json.dumps(data))
    assert prepare_coco.main([str(folder / "in.json"), "--output", str(folder / "out.json"), *more]) == 0
    return load_pose_json(folder / "out.json", folder, BODY13)


def test_people_crowds_and_background(tmp_path: Path) -> None:
    seven, eight = prepared(tmp_path, content())
    assert eight["annotations"] == []  # background, kept
    person, without, crowd = seven["annotations"]
    assert person["bbox"] == [8, 3, 32, 53] and person["area"] == 612.5  # COCO's own box
    assert (person["iscrowd"], without["iscrowd"], crowd["iscrowd"]) == (0, 0, 1)
    assert "keypoints" not in without and "pose_3d" not in person
    keypoints = np.array(person["keypoints"]).reshape(-1, 3)
    assert keypoints[BODY13.index("head")].tolist() == [12.5, 6.5, 2]  # mean of nose and ear, + 0.5
    assert keypoints[BODY13.index("left_wrist")].tolist() == [30.5, 40.5, 1]  # v as in COCO
    assert keypoints[BODY13.index("right_ankle"), 2] == 0
    assert (keypoints[:, 2] > 0).sum() == 3


def test_what_cannot_be_meant_is_left_out_and_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A dog, something of a category nobody defines, the first person again, and joints "seen" at 0, 0."""
    data = content()
    data["categories"].append({"id": 2, "name": "dog"})
    first = data["annotations"][0] | {"category_id": 1}
    first["keypoints"] = first["keypoints"][:-3] + [0, 0, 2]
    extra = [first | {"id": 10 + k, "category_id": of} for k, of in enumerate((1, 1, 2, 3, 3))]
    data["annotations"] = [*extra, *data["annotations"][1:]]
    seven, _ = prepared(tmp_path, data)
    assert len(seven["annotations"]) == 3
    keypoints = np.reshape(seven["annotations"][0]["keypoints"], (-1, 3))
    assert (keypoints[:, 2] > 0).sum() == 3  # without the ankle at 0, 0
    told = [record.getMessage().partition(", the first at")[0] for record in caplog.records]
    assert sorted(told) == [
        "left out: 1 annotations of 'dog'",
        "left out: 1 annotations that are there already",
        "left out: 1 people's joints at 0, 0 that are marked as annotated",
        "left out: 2 annotations of the unknown category 3",
    ]


def test_of_several_categories_with_joints_one_is_chosen(tmp_path: Path) -> None:
    data = content()
    data["categories"].append(data["categories"][0] | {"id": 2, "name": "child"})
    data["annotations"] = [a | {"category_id": 1 + (a["id"] == 2)} for a in data["annotations"]]
    with pytest.raises(PoseFileError, match="say which is the person: --category NAME"):
        prepared(tmp_path, data)
    (tmp_path / "in.json").write_text(json.dumps(data))
    assert [len(r["annotations"]) for r in prepared(tmp_path, data, "--category", "child")] == [1, 0]


def test_a_refusal_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "in.json").write_text(json.dumps(_changed(keypoints=[1, 2, 2])))
    monkeypatch.setattr(
        "sys.argv", ["prepare_coco.py", str(tmp_path / "in.json"), "--output", str(tmp_path / "o.json")]
    )
    with pytest.raises(SystemExit, match=r"\A.*annotation 1: keypoints.*\Z"):
        runpy.run_path(prepare_coco.__file__, run_name="__main__")


def test_two_pictures_of_one_number_are_refused(tmp_path: Path) -> None:
    data = content()
    data["images"][1]["id"] = 7
    with pytest.raises(PoseFileError, match="id 7 occurs twice"):
        prepared(tmp_path, data)


def test_pictures_that_are_not_there_are_left_out(tmp_path: Path, capsys) -> None:
    (tmp_path / "8.jpg").touch()
    records = prepared(tmp_path, content(), "--images", str(tmp_path))
    assert [r["image_id"] for r in records] == [8]
    assert "7.jpg" in capsys.readouterr().err


def _changed(**changes: Any) -> dict[str, Any]:
    data = content()
    data["annotations"][0] |= changes
    return data


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (_changed(image_id=9), "annotation 1: image_id 9"),
        (_changed(keypoints=[1, 2, 2] * 13), "annotation 1: keypoints are 39 numbers"),
        (_changed(keypoints=[1, 2, 3] * 17), "annotation 1: a visibility"),
        (_changed(keypoints=[float("nan"), 2, 2] * 17), "annotation 1: an annotated joint"),
        (_changed(bbox=[1, 2, -3, 4]), "annotation 1: bbox"),
        (content() | {"categories": [{"keypoints": list(BODY13.joints)}]}, "COCO's 17"),
        (_changed(keypoints=[[1, 2, 2]] * 17), r"keypoints are lists of the shape \(17, 3\), expected one list of 51"),
        ({"images": []}, "expected COCO's lists"),
        ([], "expected an object with images and annotations"),
        (content() | {"images": [{"id": 7, "file_name": "7.jpg"}]}, r"7\.jpg has no \['height', 'width'\]"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_written(tmp_path: Path, data: Any, message: str) -> None:
    with pytest.raises(PoseFileError, match=message):
        prepared(tmp_path, data)
    assert not (tmp_path / "out.json").exists()


def test_a_cut_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "in.json").write_text(json.dumps(content())[:-20])
    with pytest.raises(PoseFileError, match="not a whole JSON"):
        read_coco(tmp_path / "in.json")
    with pytest.raises(FileNotFoundError):
        read_coco(tmp_path / "none.json")


@needs_real_data
def test_the_real_set(tmp_path: Path) -> None:
    """46 pictures, 248 annotations of which 7 are crowds; the people with a COCO keypoint keep theirs."""
    path = REAL_DATA / "coco" / "person_keypoints.json"
    original = json.loads(path.read_text())["annotations"]
    records = [r for r in read_coco(path, path.parent / "images") if isinstance(r, dict)]
    people = [p for r in records for p in r["annotations"]]
    assert (len(records), len(people), sum(p["iscrowd"] for p in people)) == (46, 248, 7)
    assert sum("keypoints" in p for p in people) == sum(a["num_keypoints"] > 0 for a in original) == 149

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog
from pycocotools.coco import COCO

from lcrnet_d2.data.datasets.builtin import register_pose_file
from lcrnet_d2.data.datasets.pose_json import PoseFileError, load_pose_json, read_pose_info, write_pose_json
from lcrnet_d2.structures import BODY13, COCO17
from tests_support import write_tiny_set


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return write_tiny_set(tmp_path)


def test_writing_what_was_loaded_changes_nothing(file: Path) -> None:
    first = load_pose_json(file, file.parent, BODY13)
    write_pose_json(file.parent / "again.json", first, BODY13, info={"seed": 3})
    second = load_pose_json(file.parent / "again.json", file.parent, BODY13)
    assert len(first) == 6 and not first[0]["annotations"]  # images without people stay
    for a, b in zip(first, second, strict=True):
        for p, q in zip(a["annotations"], b["annotations"], strict=True):
            np.testing.assert_allclose(p["keypoints"], q["keypoints"], atol=1e-4)
            np.testing.assert_allclose(p["pose_3d"], q["pose_3d"], atol=1e-6)
            np.testing.assert_allclose(p["bbox"], q["bbox"])
    assert read_pose_info(file.parent / "again.json")["seed"] == 3


def test_pixels_move_by_half_once(file: Path) -> None:
    on_disk = json.loads(file.read_text())["annotations"][0]["keypoints"]
    in_memory = load_pose_json(file, file.parent, BODY13)[1]["annotations"][0]["keypoints"]
    assert in_memory[0] == pytest.approx(on_disk[0] + 0.5) and in_memory[2] == on_disk[2]
    assert load_pose_json(file, file.parent, BODY13)[1]["annotations"][0]["keypoints"] == in_memory


def test_pycocotools_reads_it_too(file: Path) -> None:
    coco = COCO(str(file))
    assert len(coco.getImgIds()) == 6 and coco.loadCats([1])[0]["keypoints"] == list(BODY13.joints)


#: Message -> what happens to annotations[2], or to images[2].
DAMAGES: dict[str, Callable[[dict[str, Any], dict[str, Any]], object]] = {
    r"images\[2\]: partly_annotated is 'false'": lambda a, i: i.update(partly_annotated="false"),  # would count as true
    r"images\[2\]: camera is \[1, 2, 3, 4\]": lambda a, i: i.update(camera=[1, 2, 3, 4]),
    r"images\[2\]: id is \[1\]": lambda a, i: i.update(id=[1]),
    "keypoints hold 0, 0, 0 beside a pose_3d": lambda a, i: a["keypoints"].__setitem__(slice(3, 6), [0, 0, 0]),
    "iscrowd is None": lambda a, i: a.update(iscrowd=None),
    "area are not numbers": lambda a, i: a.update(area="large"),
    "root_position hold NaN": lambda a, i: a.update(root_position=[1, 2, float("nan")]),
    r"annotations\[2\] \(id 3\): keypoints hold NaN": lambda a, i: a["keypoints"].__setitem__(4, float("nan")),
    "pose_3d hold NaN or infinite": lambda a, i: a["pose_3d"][3].__setitem__(1, float("inf")),
    "pose_3d spans .* is it in mm": lambda a, i: a.update(pose_3d=(np.array(a["pose_3d"]) * 1000).tolist()),
    "pose_3d must be relative to the body centre": lambda a, i: a.update(pose_3d=(np.array(a["pose_3d"]) + 1).tolist()),
    r"keypoints have shape \(36,\), expected \(39,\)": lambda a, i: a.update(keypoints=a["keypoints"][:-3]),
    "visibility that is not 0, 1 or 2": lambda a, i: a["keypoints"].__setitem__(2, 7),
    "pose_3d_source is 'guessed'": lambda a, i: a.update(pose_3d_source="guessed"),
    "image_id 77 is not among the images": lambda a, i: a.update(image_id=77),
    "bbox has a negative size": lambda a, i: a["bbox"].__setitem__(2, -1),
    "bbox are not numbers": lambda a, i: a["bbox"].__setitem__(0, "a"),
}


@pytest.mark.parametrize("message", DAMAGES)
def test_what_is_wrong_is_named_with_file_annotation_and_field(message: str, file: Path) -> None:
    content = json.loads(file.read_text())
    DAMAGES[message](content["annotations"][2], content["images"][2])
    file.write_text(json.dumps(content))
    with pytest.raises(PoseFileError, match=message) as error:
        load_pose_json(file, file.parent, BODY13)
    assert str(file) in str(error.value)


def test_other_joints_another_version_and_half_a_file_are_refused(file: Path) -> None:
    with pytest.raises(PoseFileError, match="expected those of COCO17"):
        load_pose_json(file, file.parent, COCO17)
    whole = file.read_text()
    file.write_text(whole.replace('"version": 1', '"version": 9'))
    with pytest.raises(PoseFileError, match="version is 9"):
        load_pose_json(file, file.parent, BODY13)
    file.write_text(whole[: len(whole) // 2])
    with pytest.raises(PoseFileError, match="not a whole JSON file"):
        load_pose_json(file, file.parent, BODY13)
    with pytest.raises(FileNotFoundError, match=r"none\.json"):
        load_pose_json(file.parent / "none.json", file.parent, BODY13)


def test_registering_twice_is_fine_another_file_under_the_name_is_not(file: Path) -> None:
    register_pose_file("tiny_for_registering", file, file.parent, BODY13)
    register_pose_file("tiny_for_registering", file, file.parent, BODY13)
    assert len(DatasetCatalog.get("tiny_for_registering")) == 6
    assert MetadataCatalog.get("tiny_for_registering").keypoint_names == list(BODY13.joints)
    with pytest.raises(ValueError, match="already registered"):
        register_pose_file("tiny_for_registering", file, file.parent / "elsewhere", BODY13)


def test_standard_deviations_are_kept_and_checked(file: Path) -> None:
    content = json.loads(file.read_text())
    std = [[0.01, 0.02, 0.125]] * 13
    content["annotations"][2]["pose_3d_std"] = std
    file.write_text(json.dumps(content))
    records = load_pose_json(file, file.parent, BODY13)
    write_pose_json(file.parent / "again.json", records, BODY13)
    for path in (file, file.parent / "again.json"):
        people = [a for r in load_pose_json(path, file.parent, BODY13) for a in r["annotations"]]
        np.testing.assert_allclose(people[2]["pose_3d_std"], std, atol=1e-6)
        assert people[2]["pose_3d_std"].dtype == np.float32 and "pose_3d_std" not in people[1]
    for bad, message in (
        ([[0.1, 0.1]] * 13, "shape"),
        ([[-0.1, 0.1, 0.1]] * 13, "below 0"),
        ([[None] * 3] * 13, "NaN"),
    ):
        content["annotations"][2]["pose_3d_std"] = bad
        file.write_text(json.dumps(content))
        with pytest.raises(PoseFileError, match=rf"annotations\[2\].*pose_3d_std.*{message}"):
            load_pose_json(file, file.parent, BODY13)
    del content["annotations"][2]["pose_3d"]
    content["annotations"][2]["pose_3d_std"] = std
    file.write_text(json.dumps(content))
    with pytest.raises(PoseFileError, match="without a pose_3d"):
        load_pose_json(file, file.parent, BODY13)

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog
from pycocotools.coco import COCO

from lcrnet_d2.data.datasets.builtin import register_pose_file
from lcrnet_d2.data.datasets.pose_json import PoseFileError, load_pose_json, read_pose_info, summary, write_pose_json
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


def _annotation(content: dict[str, Any]) -> dict[str, Any]:
    return content["annotations"][2]


def _damage_nan(c: dict[str, Any]) -> None:
    _annotation(c)["keypoints"][4] = float("nan")


def _damage_infinite_3d(c: dict[str, Any]) -> None:
    _annotation(c)["pose_3d"][3][1] = float("inf")


def _damage_millimetres(c: dict[str, Any]) -> None:
    _annotation(c)["pose_3d"] = (np.array(_annotation(c)["pose_3d"]) * 1000).tolist()


def _damage_off_centre(c: dict[str, Any]) -> None:
    _annotation(c)["pose_3d"] = (np.array(_annotation(c)["pose_3d"]) + 0.1).tolist()


def _damage_joint_count(c: dict[str, Any]) -> None:
    _annotation(c)["keypoints"] = _annotation(c)["keypoints"][:-3]


def _damage_visibility(c: dict[str, Any]) -> None:
    _annotation(c)["keypoints"][2] = 7


def _damage_source(c: dict[str, Any]) -> None:
    _annotation(c)["pose_3d_source"] = "guessed"


def _damage_image(c: dict[str, Any]) -> None:
    _annotation(c)["image_id"] = 77


def _damage_box(c: dict[str, Any]) -> None:
    _annotation(c)["bbox"][2] = -1


def _damage_text(c: dict[str, Any]) -> None:
    _annotation(c)["bbox"] = ["a", 1, 2, 3]


def _damage_incomplete(c: dict[str, Any]) -> None:
    _annotation(c)["keypoints"][3:6] = [0, 0, 0]


def _damage_crowd(c: dict[str, Any]) -> None:
    _annotation(c)["iscrowd"] = None


def _damage_area(c: dict[str, Any]) -> None:
    _annotation(c)["area"] = "large"


def _damage_root(c: dict[str, Any]) -> None:
    _annotation(c)["root_position"] = [1, 2, float("nan")]


def _damage_camera(c: dict[str, Any]) -> None:
    c["images"][2]["camera"] = [1, 2, 3, 4]


def _damage_id(c: dict[str, Any]) -> None:
    c["images"][2]["id"] = [1]


def _damage_flag(c: dict[str, Any]) -> None:
    c["images"][2]["partly_annotated"] = "false"  # a text that would count as true


DAMAGES = {
    _damage_flag: r"images\[2\]: partly_annotated is 'false'",
    _damage_incomplete: "keypoints hold 0, 0, 0 beside a pose_3d",
    _damage_crowd: "iscrowd is None",
    _damage_area: r"area are not numbers",
    _damage_root: "root_position hold NaN",
    _damage_camera: r"images\[2\]: camera is \[1, 2, 3, 4\]",
    _damage_id: r"images\[2\]: id is \[1\]",
    _damage_nan: r"annotations\[2\] \(id 3\): keypoints hold NaN",
    _damage_infinite_3d: r"annotations\[2\] \(id 3\): pose_3d hold NaN or infinite",
    _damage_millimetres: r"annotations\[2\] \(id 3\): pose_3d spans .* is it in mm",
    _damage_off_centre: r"annotations\[2\] \(id 3\): pose_3d must be relative to the body centre",
    _damage_joint_count: r"keypoints have shape \(36,\), expected \(39,\)",
    _damage_visibility: "visibility that is not 0, 1 or 2",
    _damage_source: "pose_3d_source is 'guessed'",
    _damage_image: "image_id 77 is not among the images",
    _damage_box: "bbox has a negative size",
    _damage_text: "bbox are not numbers",
}


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda f: f.__name__)
def test_what_is_wrong_is_named_with_file_annotation_and_field(damage: Any, file: Path) -> None:
    content = json.loads(file.read_text())
    damage(content)
    file.write_text(json.dumps(content))
    with pytest.raises(PoseFileError, match=DAMAGES[damage]) as error:
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


def test_file_names_cannot_leave_the_image_folder(file: Path) -> None:
    content = json.loads(file.read_text())
    content["images"][0]["file_name"] = "../../etc/passwd"
    file.write_text(json.dumps(content))
    with pytest.raises(PoseFileError, match="leads out of"):
        load_pose_json(file, file.parent, BODY13)


def test_registering_twice_is_fine_another_file_under_the_name_is_not(file: Path) -> None:
    register_pose_file("tiny_for_registering", file, file.parent, BODY13)
    register_pose_file("tiny_for_registering", file, file.parent, BODY13)
    assert len(DatasetCatalog.get("tiny_for_registering")) == 6
    assert MetadataCatalog.get("tiny_for_registering").keypoint_names == list(BODY13.joints)
    with pytest.raises(ValueError, match="already registered"):
        register_pose_file("tiny_for_registering", file, file.parent / "elsewhere", BODY13)


def test_summary(file: Path) -> None:
    assert summary(load_pose_json(file, file.parent, BODY13)) == "6 images, 5 people (3D: 5 measured), 0 crowds"


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

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

import poses_2d_to_json
from lcrnet_d2.structures import BODY13, COCO17, MPII16
from tests_support import standing_pose

J = len(BODY13)


def mpii_file(path: Path, people: int = 3) -> Path:
    """The standing person at 100 px per metre, each in a picture; all but the last belong to the training part."""
    pose, _ = MPII16.convert_from(BODY13, standing_pose())
    row = ",".join(f"{value:.3f}" for value in (100 * pose[:, :2] + 149.5).flatten().tolist())  # pixel indices
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("train_joints.csv", "".join(f"{n}.jpg,{row}\n" for n in range(people - 1)))
        archive.writestr("test_joints.csv", f"last.jpg,{row}\n")
    return path


def coco_file(path: Path) -> Path:
    """Two people of the first image, one of the second (val); the last has 7 annotated points."""
    xy = np.arange(3 * 17 * 2, dtype=np.int16).reshape(3, 17, 2)
    vis = np.full((3, 17), 2, np.uint8)
    vis[2, 7:] = 0
    images = {"image_index": np.array([0, 0, 1]), "image_id": np.array([9, 25]), "is_val": np.array([False, True])}
    np.savez(path, xy=xy, vis=vis, bbox=np.tile([1.0, 2, 3, 4], (3, 1)), wh=np.array([[640, 480], [50, 60]]), **images)
    return path


def test_mpii(tmp_path: Path) -> None:
    source, out = str(mpii_file(tmp_path / "csv.zip")), tmp_path / "mpii.json"
    poses_2d_to_json.main([source, "--part", "val", "--output", str(out)])
    content = json.loads(out.read_text())
    assert [image["file_name"] for image in content["images"]] == ["last.jpg"]
    keypoints = np.reshape(content["annotations"][0]["keypoints"], (J, 3))
    hip = 100 * standing_pose().numpy()[BODY13.index("left_hip"), :2] + 149.5
    assert keypoints[BODY13.index("left_hip")] == pytest.approx([*hip, 2], abs=1e-3)
    x1, y1, w, h = content["annotations"][0]["bbox"]  # holds the joints' pixel centres
    left, (right, bottom) = keypoints[:, 0].min() + 0.5, keypoints[:, :2].max(0) + 0.5
    assert [x1, x1 + w, y1 + h] == pytest.approx([left, right, bottom], abs=1e-3)
    assert (keypoints[:, 2] == 2).all()


def test_coco_parts_and_the_least_number_of_points(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    source, out = str(coco_file(tmp_path / "coco.npz")), tmp_path / "coco.json"
    poses_2d_to_json.main([source, "--part", "train", "--output", str(out)])
    content = json.loads(out.read_text())
    assert [(i["file_name"], i["width"], i["height"]) for i in content["images"]] == [("000000000009.jpg", 640, 480)]
    assert content["annotations"][1]["bbox"] == [1, 2, 3, 4]
    ankle = content["annotations"][0]["keypoints"][3 * BODY13.index("left_ankle") :][:3]
    assert ankle == [2 * COCO17.index("left_ankle"), 2 * COCO17.index("left_ankle") + 1, 2]
    poses_2d_to_json.main([source, "--part", "val", "--output", str(out)])
    ankle = json.loads(out.read_text())["annotations"][0]["keypoints"][3 * BODY13.index("left_ankle") :][:3]
    assert ankle == [0, 0, 0]  # not annotated
    poses_2d_to_json.main([source, "--min-annotated", "8", "--output", str(out)])
    assert "2 of 3 people in 1 images" in capsys.readouterr().out


def test_another_file_is_refused_by_name(tmp_path: Path) -> None:
    np.savez(tmp_path / "other.npz", poses_3d=np.zeros(3))
    with pytest.raises(ValueError, match=r"other.npz holds no 2D poses .*xy"):
        poses_2d_to_json.read_poses(tmp_path / "other.npz")
    (tmp_path / "cut.zip").write_bytes(mpii_file(tmp_path / "csv.zip").read_bytes()[:-60])
    with pytest.raises(ValueError, match="cut.zip holds no 2D poses"):
        poses_2d_to_json.read_poses(tmp_path / "cut.zip")
    with pytest.raises(ValueError, match="unknown kind of file; known are"):
        poses_2d_to_json.read_poses(Path(__file__))
    with pytest.raises(FileNotFoundError, match="no 2D poses at"):
        poses_2d_to_json.read_poses(tmp_path / "absent.zip")

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy.io import savemat

import prepare_lspe
from lcrnet_d2.data.datasets.pose_json import PoseFileError, load_pose_json
from lcrnet_d2.structures import BODY13, LSP14
from sources.lspe import read_lspe, read_lspe_joints
from tests_support import REAL_DATA, needs_real_data


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Three pictures of 40 x 60. Joint j of person i is at (2 j, 3 j + i); in picture 2 the head top is missing."""
    joints = np.zeros((14, 3, 3))
    for i in range(3):
        joints[:, :, i] = np.stack([2.0 * np.arange(14), 3.0 * np.arange(14) + i, np.ones(14)], 1)
        (tmp_path / "images").mkdir(exist_ok=True)
        cv2.imwrite(str(tmp_path / "images" / f"im{i + 1:05d}.jpg"), np.zeros((60, 40, 3), np.uint8))
    joints[LSP14.index("head_top"), :, 1] = (0.0, -26.1, 0.0)
    savemat(tmp_path / "joints.mat", {"joints": joints})
    return tmp_path


def prepared(root: Path, *more: str) -> list[dict]:
    assert prepare_lspe.main([str(root), "--output", str(root / "out.json"), *more]) == 0
    return load_pose_json(root / "out.json", root / "images", BODY13)


def test_places_boxes_and_the_flag(root: Path) -> None:
    records = prepared(root)
    assert [Path(r["file_name"]).name for r in records] == ["im00001.jpg", "im00002.jpg", "im00003.jpg"]
    assert all(r["partly_annotated"] and (r["width"], r["height"]) == (40, 60) for r in records)
    person = records[2]["annotations"][0]
    keypoints = np.array(person["keypoints"]).reshape(-1, 3)
    # LSP's joint 6 is the right wrist: pixel (12, 20), whose middle is (12.5, 20.5).
    assert keypoints[BODY13.index("right_wrist")].tolist() == [12.5, 20.5, 2]
    # The head: the mean of neck (24, 38) and head top (26, 41).
    assert keypoints[BODY13.index("head")].tolist() == [25.5, 40.0, 2]
    # Joints span 26 x 39 from (0.5, 2.5): 10 % of it on each side.
    assert np.allclose(person["bbox"], [0.5 - 2.6, 2.5 - 3.9, 26.5 + 2.6, 41.5 + 3.9])


def test_what_is_not_annotated_is_nowhere(root: Path) -> None:
    person = prepared(root)[1]["annotations"][0]
    keypoints = np.array(person["keypoints"]).reshape(-1, 3)
    assert keypoints[BODY13.index("head")].tolist() == [0.5, 0.5, 0]  # 0, 0, 0 in the file
    assert (keypoints[:, 2] > 0).sum() == 12
    # Its coordinates are not in the box: neck (24, 37) is the last of the others.
    assert np.allclose(person["bbox"][3], 37.5 + 3.6)


def test_a_range_of_pictures(root: Path) -> None:
    assert [r["image_id"] for r in prepared(root, "--images", "2-3")] == [2, 3]
    assert [r["image_id"] for r in prepared(root, "--images", "1")] == [1]
    with pytest.raises(PoseFileError, match="1 to 3"):
        prepared(root, "--images", "3-4")
    with pytest.raises(SystemExit):
        prepared(root, "--images", "2..3")


def test_missing_and_broken_pictures_are_named(root: Path, capsys) -> None:
    (root / "images" / "im00001.jpg").unlink()
    (root / "images" / "im00002.jpg").write_bytes(b"no picture")
    assert [r["image_id"] for r in prepared(root)] == [3]
    told = capsys.readouterr()
    assert "im00001.jpg" in told.err and "im00002.jpg" in told.err and "2 images left out" in told.out


def _lsp(joints: np.ndarray) -> dict:
    return {"joints": joints.transpose(1, 0, 2)}


def _nan(joints: np.ndarray) -> dict:
    joints[3, 0, 2] = np.nan
    return {"joints": joints}


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (_lsp, "LSP, not LSPE"),
        (_nan, "picture 3 has a joint that is no number"),
        (lambda joints: {"joints": 2 * joints}, "third row"),
        (lambda joints: {"RELEASE": joints}, "holds"),
        (lambda joints: {"joints": "text"}, "expected"),
    ],
)
def test_files_of_other_sets_are_refused(root: Path, changed, message: str) -> None:
    savemat(root / "joints.mat", changed(read_lspe_joints(root / "joints.mat").transpose(1, 2, 0)))
    with pytest.raises(PoseFileError, match=message):
        prepared(root)
    assert not (root / "out.json").exists()


@pytest.mark.parametrize("size", [0, 100, 500])
def test_a_cut_file_is_refused(root: Path, size: int) -> None:
    (root / "joints.mat").write_bytes((root / "joints.mat").read_bytes()[:size])
    with pytest.raises(PoseFileError, match=r"joints\.mat"):
        prepared(root)


@needs_real_data
def test_the_real_set() -> None:
    """Meaningless places: the corner of the photo the picture was cut from. 0 stays 0: no "+1" of Matlab's."""
    folder = REAL_DATA / "lspe"
    people = read_lspe_joints(folder / "joints.mat")
    corners = np.array([p[p[:, 2] == 0][0, :2] for p in people if (p[:, 2] == 0).any()])
    assert (corners.max(1) == 0).all() and len(corners) > 2000
    records = list(read_lspe(folder / "joints.mat", folder / "images", range(1, 101)))
    assert len(records) == 100 and all(isinstance(r, dict) and len(r["annotations"]) == 1 for r in records)

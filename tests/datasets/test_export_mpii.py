"""From MPII's files and saved predictions to what its server takes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from scipy.io import loadmat, savemat

import export_mpii
from lcrnet_d2.evaluation import ImagePredictions, PredictedPeople, save_predictions
from lcrnet_d2.structures import BODY13, MPII16
from mpii_support import cells, joints_at, rect
from sources.mpii import scene_records
from sources.mpii_files import read_release_mat


@pytest.fixture
def release(tmp_path: Path) -> list[str]:
    """a.jpg is a training picture of the people of the test picture t.jpg: two in a group, one alone. u.jpg: nobody."""
    annolist = [
        {"image": {"name": "a.jpg"}, "annorect": [rect(x, True) for x in (80, 160, 300)], "vididx": 1},
        {"image": {"name": "u.jpg"}, "annorect": [], "vididx": []},
        {"image": {"name": "t.jpg"}, "annorect": [rect(x, False) for x in (80, 160, 300)], "vididx": []},
    ]
    nobody = np.zeros((0, 0))
    single = cells(np.array([[3]]), nobody, np.array([[3]])).T
    content = {"annolist": np.array(annolist, dtype=object), "img_train": [1, 0, 0], "single_person": single}
    savemat(tmp_path / "mpii.mat", {"RELEASE": content})
    savemat(tmp_path / "groups.mat", {"groups": cells(nobody, nobody, cells(np.array([[1.0, 2.0]])))})
    return [str(tmp_path / "mpii.mat"), "--groups", str(tmp_path / "groups.mat")]


@pytest.fixture
def predictions(tmp_path: Path, release: list[str]) -> str:
    """Of t.jpg: PPI finds what this package's reader made of a.jpg's annotations, NMS only the first."""
    cv2.imwrite(str(tmp_path / "a.jpg"), np.zeros((200, 400, 3), np.uint8))
    (record,) = scene_records(read_release_mat(Path(release[0])), tmp_path, False)
    poses_2d = np.array([np.reshape(a["keypoints"], (13, 3))[:, :2] for a in record["annotations"]])
    everyone = PredictedPeople.without_seeds(np.array([0.9, 0.8, 0.7]), poses_2d, np.zeros((3, 13, 3)))
    image = ImagePredictions("t", "somewhere/t.jpg", 400, 200, everyone, everyone[np.array([0])])
    save_predictions(tmp_path / "saved.json", [image], BODY13)
    return str(tmp_path / "saved.json")


def points_of(person: Any) -> np.ndarray:
    """(16, 2) of a person in the file, (0, 2) without points."""
    structs = person["point"][0, 0] if person.size else np.empty((1, 0), dtype=[("x", "O"), ("y", "O"), ("id", "O")])
    assert [p["id"].item() for p in structs[0]] == list(range(structs.shape[1]))
    return np.array([[p["x"].item(), p["y"].item()] for p in structs[0]]).reshape(-1, 2)


def test_annotations_that_are_predicted_go_back_as_they_came(
    tmp_path: Path, release: list[str], predictions: str, capsys: pytest.CaptureFixture[str]
) -> None:
    export_mpii.main([*release, "--predictions", predictions, "--output", str(tmp_path / "out")])
    single = loadmat(tmp_path / "out" / "pred_keypoints_mpii.mat")["pred"]["annorect"][0]
    assert [people.size for people in single] == [0, 3]  # u.jpg, t.jpg
    alone = [points_of(person) for person in single[1]["annopoints"][0]]
    assert [len(points) for points in alone] == [0, 0, 16]
    limbs = [MPII16.index(joint) for joint in BODY13.joints if joint != "head"]
    np.testing.assert_allclose(alone[2][limbs], joints_at(300)[limbs], atol=0.01)  # the predictions' digits
    (group,) = loadmat(tmp_path / "out" / "pred_keypoints_mpii_multi.mat")["pred"]["annorect"][0]
    people = [points_of(person) for person in group["annopoints"][0]]
    for points, x in zip(people, (80, 160), strict=True):
        np.testing.assert_allclose(points[limbs], joints_at(x)[limbs], atol=0.01)
    printed = capsys.readouterr().out
    assert "predictions of 1 of 2 test pictures" in printed and "1 of 1 single people found" in printed
    assert "2 detections in 1 groups" in printed


def test_nms_may_find_others_and_groups_may_be_left_out(tmp_path: Path, release: list[str], predictions: str) -> None:
    arguments = [release[0], "--predictions", predictions, "--output", str(tmp_path / "out"), "--method", "nms"]
    export_mpii.main(arguments)
    (file,) = (tmp_path / "out").iterdir()
    alone = loadmat(file)["pred"]["annorect"][0, 1]["annopoints"][0, 2]
    assert np.isnan(points_of(alone)).all() and len(points_of(alone)) == 16
    with pytest.raises(SystemExit, match="nobody of NMS with a score of 2"):
        export_mpii.main([*arguments, "--score-threshold", "2"])

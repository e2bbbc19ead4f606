"""Single people and groups of MPII: from the two Matlab files to the evaluators."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from scipy.io import savemat

import prepare_mpii
from lcrnet_d2.data.datasets.pose_json import PoseFileError, load_pose_json
from lcrnet_d2.evaluation.mpii import report_mpii_multi, report_mpii_single
from lcrnet_d2.evaluation.people import ImagePredictions, PredictedPeople
from lcrnet_d2.structures import BODY13
from mpii_support import cells, rect
from sources.mpii_files import read_mpii, read_release_mat


def release() -> dict[str, Any]:
    """a: 1 stands alone, 2 and 3 are a group, so are 1 and 4, but 1 alone takes that one away. b: nobody. t: test."""
    annolist = [
        {"image": {"name": "a.jpg"}, "annorect": [rect(x) for x in (60, 200, 240, 330)], "vididx": 1},
        {"image": {"name": "b.jpg"}, "annorect": [], "vididx": 1},
        {"image": {"name": "t.jpg"}, "annorect": [rect(80, False), rect(200, False), rect(280, False)], "vididx": []},
    ]
    single = cells(np.array([[1]]), np.zeros((0, 0)), np.array([[3]])).T
    return {"annolist": np.array(annolist, dtype=object), "img_train": [1, 1, 0], "single_person": single}


def groups() -> np.ndarray:
    two = cells(np.array([[1, 4]]), np.array([[2, 3]]))
    return cells(two, np.zeros((0, 0)), cells(np.array([[1.0, 2.0]])))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    savemat(tmp_path / "mpii.mat", {"RELEASE": release()})
    savemat(tmp_path / "groups_v12.mat", {"groups": groups()})
    (tmp_path / "images").mkdir()
    for name in "abt":
        cv2.imwrite(str(tmp_path / "images" / f"{name}.jpg"), np.zeros((200, 400, 3), np.uint8))
    return tmp_path


def prepared(folder: Path, part: str) -> list[dict[str, Any]]:
    arguments = [str(folder / "mpii.mat"), "--images", str(folder / "images"), "--output", str(folder / "out")]
    assert prepare_mpii.main([*arguments, "--num-validation", "0", "--groups", str(folder / "groups_v12.mat")]) == 0
    return load_pose_json(folder / "out" / f"{part}.json", folder / "images", BODY13)


def test_who_is_alone_and_who_is_in_a_group(folder: Path) -> None:
    a, b = prepared(folder, "train")
    people = a["annotations"]
    assert [p["single_person"] for p in people] == [True, False, False, False]
    assert [p.get("group") for p in people] == [None, 2, 2, None]
    assert people[0]["head_size"] == pytest.approx(0.6 * 30)
    assert b["annotations"] == []


def test_pictures_of_the_test_set_have_places_and_groups_alone(folder: Path) -> None:
    (picture,) = prepared(folder, "test")
    people = picture["annotations"]
    assert [p.get("group") for p in people] == [1, 1, None]
    assert [p["single_person"] for p in people] == [False, False, True]
    assert all("keypoints" not in p and p["scale"] == 0.8 for p in people) and people[1]["objpos"] == [199, 114]


def test_from_the_files_to_the_evaluators(folder: Path) -> None:
    """Everyone found, the second 10 px too far right: 10 / 18 of the head size, wrong at 0.5 and right at 0.6."""
    records = prepared(folder, "train")
    found = np.array([np.reshape(p["keypoints"], (-1, 3))[:, :2] for p in records[0]["annotations"]])
    found[1, :, 0] += 10
    everyone = PredictedPeople.without_seeds(np.array([0.9, 0.8, 0.7, 0.6]), found, np.zeros((4, len(BODY13), 3)))
    nobody = everyone[np.zeros(4, dtype=bool)]
    predictions = [
        ImagePredictions(r["image_id"], r["file_name"], 400, 200, people, people)
        for r, people in zip(records, (everyone, nobody), strict=True)
    ]
    single = report_mpii_single(records, predictions, BODY13).metrics["mpii_single_ppi"]
    assert (single["n_people"], single["n_found"], single["pckh_0.5"]) == (1, 1, 100)
    multi = report_mpii_multi(records, predictions, BODY13).metrics["mpii_multi_ppi"]
    # People 2 and 3 are the one group; 2 comes first and is wrong: precision 1/2 at recall 1/2.
    assert (multi["n_groups"], multi["n_people"], multi["n_detected"]) == (1, 2, 2)
    assert multi["map_0.5"] == pytest.approx(25) and multi["map_1.0"] == 100


def test_a_release_without_the_list_says_nothing_of_single_people(folder: Path) -> None:
    content = release()
    del content["single_person"]
    savemat(folder / "mpii.mat", {"RELEASE": content})
    scenes = read_mpii(folder / "mpii.mat")
    assert [p.single_person for p in scenes[0].people] == [None] * 4
    with pytest.raises(PoseFileError, match="has no single_person, which decides the groups"):
        read_mpii(folder / "mpii.mat", folder / "groups_v12.mat")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"other": 1}, "no cell array 'groups'"),
        ({"groups": np.ones((1, 3))}, "no cell array 'groups'"),
        ({"groups": groups()[:, :2]}, r"has 2 pictures, .*mpii\.mat has 3"),
        ({"groups": cells(np.array([[1, 2]]), [], [])}, r"groups\{1\} is no cell array"),
        ({"groups": cells(cells(np.array([[2, 5]])), [], [])}, r"annolist\(1\): its subsets name person 5, of 4"),
        ({"groups": cells(cells(np.array([[0, 2]])), [], [])}, r"groups\{1\}: \[0, 2\] are no numbers"),
        ({"groups": cells(cells(np.array([[2, 3]]), np.array([[3, 4]])), [], [])}, "person 3 is in two groups"),
    ],
)
def test_other_groups_are_refused_by_name(folder: Path, content: dict[str, Any], message: str) -> None:
    savemat(folder / "groups_v12.mat", content)
    with pytest.raises(PoseFileError, match=message):
        read_mpii(folder / "mpii.mat", folder / "groups_v12.mat")


def test_a_cut_file_of_groups_and_none_at_all(folder: Path) -> None:
    file = folder / "groups_v12.mat"
    file.write_bytes(file.read_bytes()[:200])
    with pytest.raises(PoseFileError, match=r"groups_v12\.mat is not a whole"):
        read_mpii(folder / "mpii.mat", file)
    with pytest.raises(FileNotFoundError):
        read_mpii(folder / "mpii.mat", folder / "none.mat")


def test_groups_belong_to_the_release(folder: Path) -> None:
    (folder / "people.json").write_text("[]")
    with pytest.raises(PoseFileError, match=r"numbers the people of MPII's \.mat"):
        read_mpii(folder / "people.json", folder / "groups_v12.mat")


def test_a_release_of_one_picture(tmp_path: Path) -> None:
    """scipy gives a single cell without its array around it."""
    entry = {"image": {"name": "a.jpg"}, "annorect": [rect(60), rect(200)], "vididx": 1}
    content = {"annolist": [entry], "img_train": [1], "single_person": cells(np.array([[2]]))}
    savemat(tmp_path / "mpii.mat", {"RELEASE": content})
    (scene,) = read_release_mat(tmp_path / "mpii.mat")
    assert [p.single_person for p in scene.people] == [False, True]
    assert torch.equal(torch.from_numpy(scene.people[0].joints[:, 2]), torch.full((16,), 2.0, dtype=torch.float64))

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from scipy.io import savemat

import prepare_mpii
from lcrnet_d2.data.datasets.pose_json import PoseFileError, load_pose_json
from lcrnet_d2.evaluation.mpii import single_person_errors
from lcrnet_d2.evaluation.people import PredictedPeople
from lcrnet_d2.structures import BODY13, MPII16
from sources.mpii import Scene, scene_records, split_by_video
from sources.mpii_files import read_mpii
from tests_support import REAL_DATA, needs_real_data

h5py = pytest.importorskip("h5py", reason='pip install "lcrnet_d2[datasets]"')
RIGHT_WRIST, NECK, HEAD_TOP = MPII16.indices(["right_wrist", "neck", "head_top"])


def point(number: int, x: float, y: float, is_visible: Any) -> dict[str, Any]:
    return {"id": number, "x": x, "y": y, "is_visible": is_visible}


def release() -> dict[str, Any]:
    """Four pictures as Matlab writes them; numbers, texts and empties where the original has them.

    a: one person with joints, one with a place alone. b: nobody. c: one person (a struct, no array), of another
    video. d: of the test set.
    """
    joints = [point(RIGHT_WRIST, 30, 40, 0), point(NECK, 20, 10, []), point(HEAD_TOP, 22, 4, []), point(0, 25, 70, "1")]
    place = {"scale": 0.2, "objpos": {"x": 24, "y": 40}}
    head = {"x1": 18, "y1": 3, "x2": 26, "y2": 12}
    people = np.array([{**head, **place, "annopoints": {"point": joints}}, place | {"annopoints": []}], dtype=object)
    one = {**place, "annopoints": {"point": point(RIGHT_WRIST, 5.5, 6, 1)}}
    annolist = [
        {"image": {"name": "a.jpg"}, "annorect": people, "vididx": 1, "frame_sec": 4},
        {"image": {"name": "b.jpg"}, "annorect": [], "vididx": 1, "frame_sec": 9},
        {"image": {"name": "c.jpg"}, "annorect": one, "vididx": 2, "frame_sec": 2},
        {"image": {"name": "d.jpg"}, "annorect": place, "vididx": [], "frame_sec": []},
    ]
    return {"annolist": np.array(annolist, dtype=object), "img_train": [1, 1, 1, 0], "version": "12"}


@pytest.fixture
def images(tmp_path: Path) -> Path:
    (tmp_path / "images").mkdir()
    for name in "abcd":
        cv2.imwrite(str(tmp_path / "images" / f"{name}.jpg"), np.zeros((80, 60, 3), np.uint8))
    return tmp_path / "images"


def prepared(folder: Path, file: str, *more: str) -> tuple[int, dict[str, dict[str, Any]]]:
    """Exit code, and {part/picture: record}."""
    arguments = [str(folder / file), "--images", str(folder / "images"), "--output", str(folder / "out"), *more]
    code = prepare_mpii.main(arguments)
    files = (folder / "out").glob("*.json")
    records = [(f.stem, r) for f in files for r in load_pose_json(f, folder / "images", BODY13)]
    return code, {f"{part}/{Path(r['file_name']).stem}": r for part, r in records}


def test_the_release(tmp_path: Path, images: Path) -> None:
    savemat(tmp_path / "mpii.mat", {"RELEASE": release()})
    code, records = prepared(tmp_path, "mpii.mat", "--num-validation", "1")
    # Video 1 has two pictures, video 2 one: for one validation picture only video 2 fits.
    assert code == 0 and sorted(records) == ["train/a", "train/b", "val/c"]
    assert records["train/b"]["annotations"] == [] and records["train/b"]["partly_annotated"]  # no background
    person, without = records["train/a"]["annotations"]
    keypoints = np.array(person["keypoints"]).reshape(-1, 3)
    assert keypoints[BODY13.index("right_wrist")].tolist() == [29.5, 39.5, 1]  # MPII counts from 1
    assert keypoints[BODY13.index("head")].tolist() == [20.5, 6.5, 2]
    assert keypoints[BODY13.index("right_ankle")].tolist() == [24.5, 69.5, 2]
    assert (keypoints[:, 2] > 0).sum() == 3
    assert (person["objpos"], person["scale"], person["head_box"]) == ([23, 39], 0.2, [17, 2, 25, 11])
    assert person["head_size"] == pytest.approx(0.6 * (8**2 + 9**2) ** 0.5) and "head_size" not in without
    # 0.2 * 200 = 40 px around (23, 39) for the one without joints.
    assert "keypoints" not in without and without["bbox"] == [3.5, 19.5, 43.5, 59.5]
    assert "partly_annotated" not in records["train/a"]
    _, records = prepared(tmp_path, "mpii.mat", "--num-validation", "1", "--partly-annotated")
    assert all(record["partly_annotated"] for record in records.values())


def test_known_predictions_get_mmposes_pckh(tmp_path: Path, images: Path) -> None:
    """mmpose adds 1 to its predictions, which count from 0, and compares them with MPII's numbers as they are."""
    savemat(tmp_path / "mpii.mat", {"RELEASE": release()})
    records = [r for r in scene_records(read_mpii(tmp_path / "mpii.mat"), images, False) if isinstance(r, dict)]
    joints, raw = BODY13.indices(["right_wrist", "right_ankle"]), np.array([[30.0, 40.0], [25.0, 70.0]])
    predicted = np.array([[31.5, 44.0], [24.0, 73.0]])  # counted from 0
    head = 0.6 * (8**2 + 9**2) ** 0.5
    theirs = np.linalg.norm(predicted + 1 - raw, axis=1) / head
    pose = np.full((1, 13, 2), 40.0)
    pose[0, BODY13.index("head")], pose[0, joints] = (10.0, 10.0), predicted + 0.5
    detected = PredictedPeople.without_seeds(np.ones(1), pose, np.zeros((1, 13, 3)))
    ours = single_person_errors(records[:1], [detected], BODY13)
    np.testing.assert_allclose(ours.errors[0, joints], theirs)


def test_videos_never_cross() -> None:
    """100 videos of 1 to 4 pictures; exactly as many validation pictures as asked for."""
    scenes = [Scene(f"{v}_{i}.jpg", v) for v in range(100) for i in range(1 + v % 4)]
    for seed in range(5):
        train, val = split_by_video(scenes, 60, seed)
        assert len(val) == 60 and len(train) + len(val) == len(scenes)
        assert not {s.video for s in train} & {s.video for s in val}
    assert split_by_video(scenes, 60, 1) == split_by_video(scenes, 60, 1) != split_by_video(scenes, 60, 2)
    assert split_by_video([], 60) == ([], [])


def people() -> list[dict[str, Any]]:
    """Two people in a.jpg, one in c.jpg; all joints but the pelvis of the first annotated."""
    entries = []
    for i, image in enumerate(("a.jpg", "c.jpg", "a.jpg")):
        joints = [[2.0 * j + i + 1, 3.0 * j + 1] for j in range(16)]
        visible = [0 if (i, j) == (0, 6) else 1 for j in range(16)]
        entries.append({"image": image, "joints": joints, "joints_vis": visible, "center": [24, 40], "scale": 0.2})
    return entries


def write_h5(path: Path, entries: list[dict[str, Any]], size: int = 16) -> None:
    """As the stacked hourglass has it: center moved down by 15 px * scale, scale enlarged by a quarter."""
    with h5py.File(path, "w") as file:
        file["imgname"] = np.array([e["image"].encode() for e in entries])
        parts = np.array([e["joints"] for e in entries]) * np.array([e["joints_vis"] for e in entries])[..., None]
        file["part"] = parts[:, :size]
        file["visible"] = np.array([e["joints_vis"] for e in entries])[:, :size]
        file["center"] = np.array([[e["center"][0], e["center"][1] + 15 * e["scale"]] for e in entries])
        file["scale"] = np.array([1.25 * e["scale"] for e in entries])


def test_json_and_h5_give_the_same(tmp_path: Path, images: Path) -> None:
    (tmp_path / "people.json").write_text(json.dumps(people()))
    write_h5(tmp_path / "people.h5", people())
    (tmp_path / "val.txt").write_text("c.jpg\nz.jpg\n")
    code, records = prepared(tmp_path, "people.json", "--validation-images", str(tmp_path / "val.txt"))
    assert code == 0 and sorted(records) == ["train/a", "val/c"]
    first, second = records["train/a"]["annotations"]
    wrist = 3 * BODY13.index("right_wrist")
    assert first["keypoints"][wrist : wrist + 3] == [20.5, 30.5, 2]
    assert second["keypoints"][wrist : wrist + 3] == [22.5, 30.5, 2]
    _, from_h5 = prepared(tmp_path, "people.h5", "--validation-images", str(tmp_path / "val.txt"))
    for name, record in records.items():
        for one, other in zip(record["annotations"], from_h5[name]["annotations"], strict=True):
            assert np.allclose(one["keypoints"], other["keypoints"]) and np.allclose(one["bbox"], other["bbox"])
            assert np.allclose(one["objpos"], other["objpos"]) and np.isclose(one["scale"], other["scale"])
            assert one["head_size"] == pytest.approx(25 * 0.2) and other["head_size"] == pytest.approx(25 * 0.2)


def test_a_list_of_other_pictures_is_refused(tmp_path: Path, images: Path) -> None:
    """It would put every picture into the training set, silently."""
    (tmp_path / "people.json").write_text(json.dumps(people()))
    (tmp_path / "val.txt").write_text("images/c.jpg\n")
    with pytest.raises(PoseFileError, match=r"images/c\.jpg.*a\.jpg"):
        prepared(tmp_path, "people.json", "--validation-images", str(tmp_path / "val.txt"))


@pytest.mark.parametrize(
    ("flag", "v"), [(0, 1), (0.0, 1), ("0", 1), (False, 1), (1, 2), (1.0, 2), ("1", 2), ([], 2), ("", 2)]
)
def test_hidden_however_the_flag_is_written(tmp_path: Path, flag: Any, v: int) -> None:
    content = release()
    content["annolist"][2]["annorect"]["annopoints"]["point"]["is_visible"] = flag
    savemat(tmp_path / "mpii.mat", {"RELEASE": content})
    (person,) = read_mpii(tmp_path / "mpii.mat")[2].people
    assert person.joints[RIGHT_WRIST].tolist() == [4.5, 5, v]


@pytest.mark.parametrize("file", ["people.json", "people.h5"])
def test_without_videos_a_list_is_asked_for(tmp_path: Path, images: Path, file: str) -> None:
    (tmp_path / "people.json").write_text(json.dumps(people()))
    write_h5(tmp_path / "people.h5", people())
    with pytest.raises(PoseFileError, match="list of validation images"):
        prepared(tmp_path, file)
    assert not (tmp_path / "out").exists()


def test_a_picture_that_is_not_there_is_named(tmp_path: Path, images: Path, capsys) -> None:
    (images / "a.jpg").unlink()
    (tmp_path / "people.json").write_text(json.dumps(people()))
    (tmp_path / "val.txt").touch()
    _, records = prepared(tmp_path, "people.json", "--validation-images", str(tmp_path / "val.txt"))
    assert sorted(records) == ["train/c"] and "a.jpg" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda r: r.pop("annolist"), r"no RELEASE with \['annolist'\]"),
        (lambda r: r.update(img_train=[1, 1]), "4 entries in annolist, 2 in img_train"),
        (lambda r: r["annolist"][1].pop("image"), r"annolist\(2\): no image name"),
        (lambda r: r["annolist"][2]["annorect"]["annopoints"]["point"].update(id=16), r"annolist\(3\): joint id 16"),
    ],
)
def test_another_mat_is_refused(tmp_path: Path, change, message: str) -> None:
    content = release()
    change(content)
    savemat(tmp_path / "mpii.mat", {"RELEASE": content})
    with pytest.raises(PoseFileError, match=message):
        read_mpii(tmp_path / "mpii.mat")


def test_cut_and_foreign_files_are_refused(tmp_path: Path) -> None:
    savemat(tmp_path / "a.mat", {"RELEASE": release()})
    (tmp_path / "a.json").write_text(json.dumps(people()))
    write_h5(tmp_path / "a.h5", people())
    for file in [tmp_path / "a.mat", tmp_path / "a.json", tmp_path / "a.h5"]:
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
        with pytest.raises(PoseFileError, match="whole"):
            read_mpii(file)
    savemat(tmp_path / "lsp.mat", {"joints": np.zeros((14, 3, 4))})
    with pytest.raises(PoseFileError, match="not MPII's release"):
        read_mpii(tmp_path / "lsp.mat")
    write_h5(tmp_path / "few.h5", people(), size=14)
    with pytest.raises(PoseFileError, match="part, visible"):
        read_mpii(tmp_path / "few.h5")
    for content, message in (({}, "list of people"), ([{"image": "a.jpg"}], "person 0 has no"), (None, "list")):
        (tmp_path / "other.json").write_text(json.dumps(content))
        with pytest.raises(PoseFileError, match=message):
            read_mpii(tmp_path / "other.json")
    with pytest.raises(PoseFileError, match="expected one of"):
        read_mpii(tmp_path / "a.csv")
    with pytest.raises(FileNotFoundError):
        read_mpii(tmp_path / "none.mat")


@needs_real_data
def test_the_real_h5() -> None:
    """2,958 people; 13 joints of 12.0 annotated each on average; objpos whole numbers again."""
    scenes = read_mpii(REAL_DATA / "mpii" / "valid.h5")
    records = [r for r in scene_records(scenes, Path(), False, lambda path: (1280, 720)) if isinstance(r, dict)]
    everyone = [p for r in records for p in r["annotations"]]
    assert (len(records), len(everyone)) == (2729, 2958)
    with h5py.File(REAL_DATA / "mpii" / "valid.h5") as file:
        head_sizes = np.asarray(file["normalize"])  # in the file's order; people of a picture follow each other
    assert sorted(p["head_size"] for p in everyone) == pytest.approx(sorted(head_sizes))
    objpos = np.array([p["objpos"] for p in everyone])
    assert np.abs(objpos - objpos.round()).max() < 1e-6
    v = np.array([p["keypoints"] for p in everyone]).reshape(-1, len(BODY13), 3)[..., 2]
    assert np.isclose((v > 0).sum(1).mean(), 12.0, atol=0.01)

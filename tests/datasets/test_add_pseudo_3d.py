import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import add_pseudo_3d
from lcrnet_d2.data.datasets.pose_json import load_pose_json
from lcrnet_d2.mocap import PoseBase, PseudoPoseSearch, random_views
from lcrnet_d2.mocap.lifter import Lifter
from lcrnet_d2.structures import BODY13
from sources.mocap.take import Take
from sources.mocap.takes import pose_base_of
from tests_support import random_poses, standing_pose

J = len(BODY13)


@pytest.fixture
def mocap(tmp_path: Path) -> Path:
    poses = random_poses(20, seed=0).double().numpy()
    pose_base_of([Take(poses, np.arange(20), 120.0, "02_01.amc")]).save(tmp_path / "mocap.npz")
    return tmp_path / "mocap.npz"


@pytest.fixture
def poses_json(tmp_path: Path, mocap: Path) -> Path:
    """Five people: projections of the base with one ankle missing; the last three are special."""
    views = random_views(PoseBase.load(mocap).poses_3d, 5, torch.Generator().manual_seed(9))
    people = []
    for i, pose in enumerate(views.poses_2d(slice(None)).double() * 100 + 200):
        keypoints = torch.cat([pose, torch.full((J, 1), 2.0)], 1)
        keypoints[0] = 0
        people.append({"id": i, "image_id": 1, "keypoints": keypoints.flatten().tolist(), "bbox": [0, 0, 9, 9]})
    people[2]["keypoints"][3 * 4 + 2 :: 3] = [0] * (J - 4)  # all but ankles and knees
    people[3] |= {"pose_3d": [[7.0, 7.0, 7.0]] * J, "pose_3d_source": "measured"}
    people[4] |= {"iscrowd": 1}
    content = {
        "info": {"description": "kept"},
        "images": [{"id": 1, "file_name": "a.jpg", "width": 640, "height": 480}],
        "annotations": people,
        "categories": [{"id": 1, "name": "person", "keypoints": list(BODY13.joints)}],
    }
    path = tmp_path / "poses.json"
    path.write_text(json.dumps(content))
    return path


def run(poses: Path, mocap: Path, output: Path, *more: str) -> list[dict[str, Any]]:
    arguments = [str(poses), "--mocap", str(mocap), "--output", str(output), "--views", "2e3", "--device", "cpu", *more]
    assert add_pseudo_3d.main(arguments) == 0
    return json.loads(output.read_text())["annotations"]


def test_people_get_3d_and_their_missing_joint(tmp_path: Path, mocap: Path, poses_json: Path, capsys) -> None:
    before = json.loads(poses_json.read_text())["annotations"]
    after = run(poses_json, mocap, tmp_path / "out.json")
    for i in (0, 1):
        assert np.shape(after[i]["pose_3d"]) == (J, 3) and after[i]["pose_3d_source"] == "pseudo"
        assert after[i]["keypoints"][3:] == before[i]["keypoints"][3:]
        assert after[i]["keypoints"][2] == 0 and after[i]["keypoints"][0] > 50  # completed, and said so
        assert np.abs(np.array(after[i]["pose_3d"])[BODY13.torso].mean(0)).max() < 1e-4
        assert 0 <= after[i]["pose_3d_error"] < 0.2
    assert "pose_3d" not in after[2]
    assert after[3] == before[3] and after[4] == before[4]
    assert "3 people: 2 with 3D, 1 with too few joints, 0 rejected" in capsys.readouterr().out
    assert list(tmp_path.glob("*progress*")) == []


def test_running_on_its_own_output_changes_nothing(tmp_path: Path, mocap: Path, poses_json: Path) -> None:
    once = run(poses_json, mocap, tmp_path / "once.json")
    assert run(tmp_path / "once.json", mocap, tmp_path / "twice.json") == once


def test_a_strict_threshold_takes_pseudo_3d_away(tmp_path: Path, mocap: Path, poses_json: Path, capsys) -> None:
    run(poses_json, mocap, tmp_path / "out.json")
    strict = run(tmp_path / "out.json", mocap, tmp_path / "strict.json", "--max-error", "1e-9")
    assert not any("pose_3d" in a for a in strict[:3]) and "pose_3d" in strict[3]
    assert strict[0]["keypoints"][:3] == [0, 0, 0]  # not annotated again: the completed place went with the 3D
    assert "2 rejected" in capsys.readouterr().out


def test_the_file_says_what_was_searched(tmp_path: Path, mocap: Path, poses_json: Path) -> None:
    run(poses_json, mocap, tmp_path / "out.json", "--max-error", "0.5", "--roll", "-20", "20")
    info = json.loads((tmp_path / "out.json").read_text())["info"]
    assert info["description"] == "kept"
    searched = {"mocap": "mocap.npz", "views": 2000, "seed": 0, "max_error": 0.5}
    assert info["pseudo_3d"] == searched | {"elevation": [-15.0, 45.0], "roll": [-20.0, 20.0]}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pose_3d": [[0.0] * 3] * J}, r"annotations\[1\] \(id 1\).*pose_3d_source"),
        ({"keypoints": [1.0, 2.0, 2.0]}, r"annotations\[1\] \(id 1\).*no list of 39 numbers"),
        ({"keypoints": [None] * 3 * J}, r"annotations\[1\] \(id 1\).*no list of 39 numbers"),
    ],
)
def test_people_that_cannot_be_are_named(
    tmp_path: Path, mocap: Path, poses_json: Path, change: dict[str, Any], message: str
) -> None:
    """3D of unknown origin may be measured: it must not be written over."""
    content = json.loads(poses_json.read_text())
    content["annotations"][1] |= change
    poses_json.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=message):
        run(poses_json, mocap, tmp_path / "out.json")


def test_killed_and_started_again(tmp_path: Path, mocap: Path, poses_json: Path, monkeypatch) -> None:
    whole = run(poses_json, mocap, tmp_path / "whole.json")
    monkeypatch.setattr(PseudoPoseSearch, "batches", lambda self, annotated: [torch.tensor([0]), torch.tensor([1])])
    search, searched = PseudoPoseSearch.nearest_views, []

    def killed_at_second(self, poses_2d, annotated):
        searched.append(len(annotated))
        if len(searched) == 2:
            raise KeyboardInterrupt
        return search(self, poses_2d, annotated)

    monkeypatch.setattr(PseudoPoseSearch, "nearest_views", killed_at_second)
    with pytest.raises(KeyboardInterrupt):
        run(poses_json, mocap, tmp_path / "out.json")
    assert not (tmp_path / "out.json").exists() and (tmp_path / "out.json.progress.npz").exists()
    assert run(poses_json, mocap, tmp_path / "out.json") == whole
    assert len(searched) == 3  # the first batch once, the second twice


def test_progress_of_other_views_is_not_used(tmp_path: Path, mocap: Path, poses_json: Path, capsys) -> None:
    whole = run(poses_json, mocap, tmp_path / "whole.json")
    np.savez(tmp_path / "out.json.progress.npz", digest="other", done=np.ones(3, bool), view_index=np.zeros(3, int))
    assert run(poses_json, mocap, tmp_path / "out.json") == whole
    assert "starting anew" in capsys.readouterr().err


def test_other_joints_are_refused(tmp_path: Path, mocap: Path, poses_json: Path) -> None:
    content = copy.deepcopy(json.loads(poses_json.read_text()))
    content["categories"][0]["keypoints"][0] = "tail"
    poses_json.write_text(json.dumps(content))
    with pytest.raises(ValueError, match="its joints are"):
        run(poses_json, mocap, tmp_path / "out.json")


def test_parts_searched_apart_are_put_together(tmp_path: Path, mocap: Path, poses_json: Path, monkeypatch) -> None:
    whole = run(poses_json, mocap, tmp_path / "whole.json")
    arguments = [str(poses_json), "--mocap", str(mocap), "--output", str(tmp_path / "out.json"), "--views", "2e3"]
    for part in ("0/2", "1/2"):
        assert add_pseudo_3d.main([*arguments, "--device", "cpu", "--shard", part]) == 0
        assert not (tmp_path / "out.json").exists()
    monkeypatch.setattr(PseudoPoseSearch, "nearest_views", lambda *_: pytest.fail("all of them have been searched"))
    assert run(poses_json, mocap, tmp_path / "out.json") == whole
    assert list(tmp_path.glob("*progress*")) == []


@pytest.fixture
def lifter(tmp_path: Path) -> Path:
    """Untrained but for its answer, a standing person of whom each coordinate is uncertain by 0.05 m."""
    network = Lifter(BODY13, width=16)
    with torch.no_grad():
        network.last.weight.zero_()
        answer = torch.zeros(J, 8)
        answer[:, :3] = standing_pose()
        answer[:, 3:6] = np.log(0.05)
        answer[:, 6:] = standing_pose()[:, :2] / 0.4
        network.last.bias.copy_(answer.flatten())
    network.save(tmp_path / "lifter.npz")
    return tmp_path / "lifter.npz"


def lift(poses: Path, lifter: Path, output: Path, *more: str) -> list[dict[str, Any]]:
    assert add_pseudo_3d.main([str(poses), "--lifter", str(lifter), "--output", str(output), *more]) == 0
    return json.loads(output.read_text())["annotations"]


def test_lifted_people_get_3d_its_uncertainty_and_their_missing_joint(
    tmp_path: Path, lifter: Path, poses_json: Path, capsys
) -> None:
    before = json.loads(poses_json.read_text())["annotations"]
    after = lift(poses_json, lifter, tmp_path / "out.json", "--max-error", "9")
    for i in (0, 1):
        np.testing.assert_allclose(after[i]["pose_3d_std"], np.full((J, 3), 0.05), atol=1e-3)
        assert after[i]["pose_3d_source"] == "pseudo" and after[i]["pose_3d_error"] > 0
        assert after[i]["keypoints"][3:] == before[i]["keypoints"][3:]
        assert after[i]["keypoints"][2] == 0 and after[i]["keypoints"][0] > 50
    assert "pose_3d" not in after[2] and after[3] == before[3] and after[4] == before[4]
    assert "3 people: 2 with 3D, 1 with too few joints, 0 rejected" in capsys.readouterr().out
    info = json.loads((tmp_path / "out.json").read_text())["info"]["pseudo_3d"]
    assert info == {"lifter": "lifter.npz", "noise": 0.03, "max_std": 0.15, "max_error": 9.0}
    content = json.loads((tmp_path / "out.json").read_text()) | {"annotations": after[:3]}
    (tmp_path / "read.json").write_text(json.dumps(content))
    read = load_pose_json(tmp_path / "read.json", tmp_path, BODY13)[0]["annotations"]
    assert read[0]["pose_3d_std"].shape == (J, 3) and "pose_3d_std" not in read[2]


@pytest.mark.parametrize("gate", [("--max-std", "0.04"), ("--max-error", "0.0001")])
def test_who_is_too_uncertain_or_does_not_fit_stays_without_3d(
    tmp_path: Path, lifter: Path, poses_json: Path, gate: tuple[str, str], capsys
) -> None:
    lift(poses_json, lifter, tmp_path / "out.json", "--max-error", "9")
    after = lift(tmp_path / "out.json", lifter, tmp_path / "strict.json", "--max-error", "9", *gate)
    assert not any("pose_3d" in a or "pose_3d_std" in a for a in after[:3])
    assert after[0]["keypoints"][:3] == [0, 0, 0]
    assert "2 rejected" in capsys.readouterr().out


def test_a_perfect_lift_has_no_error_through_the_images_own_camera(tmp_path: Path, lifter: Path) -> None:
    """The standing person 3 m before a camera that looks at (200, 100), seen by it and by one of 60 degrees."""
    content: dict[str, Any] = {"categories": [{"keypoints": list(BODY13.joints)}], "annotations": []}
    place = standing_pose() + torch.tensor([0.5, 0.2, 3.0])
    points = place[:, :2] / place[:, 2:] * 500 + torch.tensor([200.0, 100.0])
    keypoints = torch.cat([points, torch.full((J, 1), 2.0)], 1).flatten().tolist()
    camera = {"fx": 500.0, "fy": 500.0, "cx": 200.0, "cy": 100.0}
    content["images"] = [
        {"id": 0, "width": 640, "height": 480, "camera": camera},
        {"id": 1, "width": 640, "height": 480},
    ]
    content["annotations"] = [{"image_id": i, "keypoints": keypoints} for i in (0, 1)]
    (tmp_path / "in.json").write_text(json.dumps(content))
    after = lift(tmp_path / "in.json", lifter, tmp_path / "out.json")
    assert after[0]["pose_3d_error"] < 2e-3 < after[1]["pose_3d_error"]  # half precision

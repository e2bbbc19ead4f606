from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import train_lifter
from lcrnet_d2.mocap.lifter import Lifter
from lcrnet_d2.structures import BODY13
from sources.mocap.take import Take
from sources.mocap.takes import pose_base_of
from tests_support import random_poses, write_tiny_set


@pytest.fixture
def mocap(tmp_path: Path) -> Path:
    """Two takes, of which the second one's name puts it among the held-out ones."""
    poses = random_poses(60, seed=0).double().numpy()
    names = ("02_01.amc", "02_08.amc")
    assert [sum(name.encode()) % 12 == 0 for name in names] == [False, True]
    takes = [Take(part, np.arange(30), 120.0, name) for part, name in zip(np.split(poses, 2), names, strict=True)]
    pose_base_of(takes).save(tmp_path / "mocap.npz")
    return tmp_path / "mocap.npz"


def run(mocap: Path, output: Path, *more: str) -> Lifter:
    arguments = ["--mocap", str(mocap), "--output", str(output), "--width", "64", "--batch", "64", *more]
    assert train_lifter.main(arguments) == 0
    return Lifter.load(output)


def test_it_learns_and_knows_how_well(mocap: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    people = write_tiny_set(tmp_path / "set", num_images=20)
    lifter = run(mocap, tmp_path / "lifter.npz", "--steps", "200", "--check", str(people), "--bodies", str(people))
    keypoints, poses_3d, sizes = train_lifter.exact_people(people)
    lifted = lifter.lift(keypoints[..., :2], torch.ones(keypoints.shape[:2]), sizes)
    error = lifted.poses_3d - poses_3d
    same_for_all = poses_3d.mean(0) - poses_3d
    assert error.norm(dim=-1).mean() < 0.9 * same_for_all.norm(dim=-1).mean()
    assert 0.3 < float((error.abs() < lifted.std).float().mean()) < 0.99
    out = capsys.readouterr().out
    assert "step 200" in out and "MPJPE" in out and "30 poses, 30 of other takes to calibrate on" in out


def test_the_same_seed_gives_the_same_weights(mocap: Path, tmp_path: Path) -> None:
    first, second = (run(mocap, tmp_path / f"{i}.npz", "--steps", "5").state_dict() for i in (0, 1))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_a_base_without_held_out_takes_is_refused(tmp_path: Path) -> None:
    poses = random_poses(10, seed=0).double().numpy()
    pose_base_of([Take(poses, np.arange(10), 120.0, "02_01.amc")]).save(tmp_path / "mocap.npz")
    with pytest.raises(SystemExit, match="one take in 12"):
        run(tmp_path / "mocap.npz", tmp_path / "lifter.npz")


def test_pseudo_3d_is_no_truth(mocap: Path, tmp_path: Path) -> None:
    path = write_tiny_set(tmp_path / "set")
    content = json.loads(path.read_text())
    for person in content["annotations"]:
        person["pose_3d_source"] = "pseudo"
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match="nobody in it has measured or synthetic 3D"):
        train_lifter.exact_people(path)


def test_calibration_undoes_a_wrong_scale(mocap: Path) -> None:
    people = train_lifter.PerspectivePeople(random_poses(20, seed=0), torch.ones(20), torch.zeros(0, 0), BODY13)
    seen = people.sample(500, torch.Generator().manual_seed(0))
    torch.manual_seed(0)
    lifter = Lifter(BODY13, 32).eval()
    train_lifter.calibrate(lifter, seen)
    torch.testing.assert_close(train_lifter.calibrate(lifter, seen), torch.ones(3), atol=1e-4, rtol=0)

"""The studies of lifters behind docs/notes/pseudo_3d.md, on small bases and an untrained lifter."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import lifter_by_action
import pseudo_3d_exact
from lcrnet_d2.mocap import LiftedPoses, Lifter
from lcrnet_d2.structures import BODY13
from sources.mocap.take import Take
from sources.mocap.takes import pose_base_of
from tests_support import random_poses, write_tiny_set


@pytest.fixture
def mocap(tmp_path: Path) -> Path:
    names = ("02_01.amc", "02_02.amc", "HDM_tr_squat1Reps_043_120.amc")
    takes = [Take(random_poses(20, seed).double().numpy(), np.arange(20), 120.0, n) for seed, n in enumerate(names)]
    pose_base_of(takes).save(tmp_path / "mocap.npz")
    return tmp_path / "mocap.npz"


@pytest.fixture
def lifter(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    Lifter(BODY13, 16).save(tmp_path / "lifter.npz")
    return tmp_path / "lifter.npz"


def test_search_and_lifter_side_by_side(tmp_path: Path, mocap: Path, lifter: Path, capsys) -> None:
    people = write_tiny_set(tmp_path / "set", num_images=8)
    options = ["--mocap", str(mocap), "--views", "2000", "--lifters", str(lifter), "--noise", "0.01"]
    assert pseudo_3d_exact.main([str(people), *options]) == 0
    out = capsys.readouterr().out
    assert out.count("| search | 7 |") == out.count("| lifter | 7 |") == 3  # all, inside, seen: the same joints here
    assert "nothing to complete" in out


def test_errors_in_units_of_their_standard_deviation() -> None:
    """Half of the joints off by their std of 0.1 m, half by 0.3 m: root mean square sqrt((1 + 9) / 2) = 2.24."""
    error = torch.full((1, 4, 3), 0.0999)
    error[:, 2:] = 0.3
    lifted = LiftedPoses(error, torch.full((1, 4, 3), 0.1), torch.zeros(1, 4, 2))
    text = pseudo_3d_exact.calibrated(lifted, torch.zeros(1, 4, 3), torch.ones(1, 4, dtype=torch.bool))
    assert "standard deviations 100, 100, 100 mm" in text and "2.24, 2.24, 2.24" in text
    assert "50 % within one, 50 % within two" in text and "missing" not in text


def test_people_and_actions_have_rows(tmp_path: Path, mocap: Path, lifter: Path, capsys) -> None:
    index = tmp_path / "index.txt"
    index.write_text("02_01\twalk, veer left\n02_02\trun/jog\n")
    options = ["--index", str(index), "--lifters", str(lifter), "--queries", "20", "--min-poses", "20"]
    assert lifter_by_action.main([str(mocap), *options]) == 0
    rows = [line.split(" | ")[:2] for line in capsys.readouterr().out.splitlines()[2:] if line]
    assert rows == [["| CMU_02", "40"], ["| HDM05_tr", "20"], ["| run", "20"], ["| squat", "20"], ["| walk", "20"]]

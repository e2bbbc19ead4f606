"""The command: what it makes of takes, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lcrnet_d2.structures import BODY13
from render_scenes import motions_of, parse_arguments, prepare_motions
from rendered_scenes.limb_parts import PARTS
from rendered_scenes.limb_turns import TurnTake


def take_of(poses: np.ndarray) -> TurnTake:
    turns = np.tile(np.eye(3), (len(poses), len(PARTS), 1, 1))
    return TurnTake(turns, poses, np.arange(len(poses)) / 10, "CMU_01", "01_01.amc")


def test_poses_that_are_there_already_are_left_out_wherever_the_person_stood() -> None:
    pose = np.random.default_rng(0).normal(0, 0.4, (len(BODY13), 3))
    other = pose.copy()
    other[BODY13.index("left_wrist")] += [0, -1.0, 0]  # 1 m / 13 joints: more than 50 mm on average
    motions = motions_of([take_of(np.stack([pose, pose + [2.0, 0, 3.0], other]))])
    assert len(motions) == 2
    np.testing.assert_allclose(motions.lift, [0.0, 0.2], atol=1e-6)
    np.testing.assert_allclose(motions.poses_3d[:, BODY13.torso].mean(1), 0, atol=1e-6)
    np.testing.assert_allclose(motions.turns[:, 0], [[0, 0, 0, 1]] * 2, atol=1e-6)


def test_no_take_of_the_split_is_said(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="no ASF/AMC take of the test split"):
        prepare_motions(tmp_path / "motions.npz", "test", [tmp_path])


def test_nonsense_counts_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse_arguments(["out", "--split", "train", "--count", "0", "--mocap", "x"])
    assert "--count" in capsys.readouterr().err

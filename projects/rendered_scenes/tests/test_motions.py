"""Whose motions go where."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lcrnet_d2.structures import BODY13
from rendered_scenes.motions import Motions, split_of
from rendered_support import some_motions


@pytest.mark.parametrize("subject", ["CMU_16", "CMU_55", "CMU_127", "HDM05_tr"])
def test_held_out_people_are_in_the_test_split_only(subject: str) -> None:
    assert split_of(subject, "any/take_01.amc") == "test"


def test_takes_of_the_others_are_in_train_or_val_whatever_folder_they_lie_in() -> None:
    names = [f"35_{number:02d}.amc" for number in range(1, 60)]
    splits = [split_of("CMU_35", name) for name in names]
    for folder in ("a/b.tar.xz:cmu/35/", "a/cmu.zip:"):
        assert splits == [split_of("CMU_35", folder + name) for name in names]
    assert set(splits) == {"train", "val"} and splits.count("val") < len(names) / 4


def test_motions_survive_their_file(tmp_path: Path) -> None:
    motions = some_motions()
    motions.save(tmp_path / "m.npz")
    back = Motions.load(tmp_path / "m.npz")
    np.testing.assert_array_equal(back.turns, motions.turns)
    np.testing.assert_allclose(back.matrices(0)[0], np.eye(3), atol=1e-6)


def test_a_damaged_file_is_refused_by_name(tmp_path: Path) -> None:
    file = tmp_path / "m.npz"
    some_motions().save(file)
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(ValueError, match=r"m\.npz"):
        Motions.load(file)


def test_who_sits() -> None:
    """Trunk upright, thighs level and shanks down; not who stands, nor who lies with the knees drawn up."""
    standing, lying = np.zeros((2, len(BODY13), 3), np.float32)
    for joint, height in (("shoulder", 1.4), ("hip", 0.9), ("knee", 0.5), ("ankle", 0.1)):
        standing[BODY13.indices([f"left_{joint}", f"right_{joint}"]), 1] = -height
    sitting = standing.copy()
    lower = BODY13.indices(["left_knee", "right_knee", "left_ankle", "right_ankle"])
    sitting[lower] += np.array([0.0, -0.4, -0.4], np.float32)  # 0.4 m forwards and up
    lying[..., [0, 1, 2]] = sitting[..., [0, 2, 1]]
    poses = np.stack([standing, sitting, lying])
    assert replace(some_motions(), poses_3d=poses).seated().tolist() == [False, True, False]

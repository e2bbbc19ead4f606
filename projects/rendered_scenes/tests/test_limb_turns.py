"""Turns of limbs rebuild the directions between the recorded joints."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from lcrnet_d2.structures import BODY13
from rendered_scenes.limb_parts import PARTS
from rendered_scenes.limb_turns import CANONICAL_DIRECTIONS, TurnTake, read_turns
from sources.mocap.take import BrokenTakeError
from tests_support import REAL_DATA, needs_real_data

_BONES = {"femur": ("hip", "knee"), "tibia": ("knee", "ankle"), "humerus": ("shoulder", "elbow")}


def test_a_missing_folder_is_reported(tmp_path: Path) -> None:
    (found,) = read_turns([tmp_path / "none"], 10)
    assert isinstance(found, BrokenTakeError)


@needs_real_data
def test_turns_of_cmu_point_along_the_recorded_limbs() -> None:
    takes = read_turns([REAL_DATA / "mocap" / "cmu_asfamc.tar.xz"], 2)
    take = next(take for take in takes if isinstance(take, TurnTake))
    assert take.turns.shape[1:] == (len(PARTS), 3, 3)
    assert take.lift.min() >= 0
    for side, name in (("l", "left"), ("r", "right")):
        for part, (start, end) in _BONES.items():
            bone = take.poses_3d[:, BODY13.index(f"{name}_{end}")] - take.poses_3d[:, BODY13.index(f"{name}_{start}")]
            turned = take.turns[:, PARTS.index(side + part)] @ CANONICAL_DIRECTIONS[side + part]
            direction = turned * [1, -1, -1]  # y up to camera axes
            np.testing.assert_allclose(direction, bone / np.linalg.norm(bone, axis=1, keepdims=True), atol=1e-5)

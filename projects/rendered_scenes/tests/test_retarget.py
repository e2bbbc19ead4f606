"""Limbs of the posed body point where the motion says."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from lcrnet_d2.structures import BODY13
from rendered_scenes.body_model import Phenotype
from rendered_scenes.limb_parts import PARTS
from rendered_scenes.retarget import bone_turns
from rendered_scenes.scene import Studio


@pytest.mark.parametrize("seed", range(4))
def test_limbs_follow_the_motion_whatever_the_body(studio: Studio, seed: int) -> None:
    rng = np.random.default_rng(seed)
    model = studio._shop._model
    turns = Rotation.random(len(PARTS), random_state=seed).as_matrix()
    rest = model.shape(Phenotype.sample(rng))
    joints = dict(zip(BODY13.joints, model.pose(rest, bone_turns(model, rest, turns)).joints, strict=True))
    for side, out in (("left", 1.0), ("right", -1.0)):
        limbs = (("tibia", "knee", "ankle", [0, -1, 0]), ("radius", "elbow", "wrist", [out, 0, 0]))
        for part, start, end, canonical in limbs:
            direction = joints[f"{side}_{end}"] - joints[f"{side}_{start}"]
            wanted = turns[PARTS.index(side[0] + part)] @ canonical
            angle = np.degrees(np.arccos(np.clip(direction @ wanted / np.linalg.norm(direction), -1, 1)))
            assert angle < 3, f"{side} {part} is off by {angle:.1f} degrees"


def test_children_are_smaller_and_all_stand_on_their_feet(studio: Studio) -> None:
    model = studio._shop._model
    common = {"gender": 0.5, "muscle": 0.5, "weight": 0.5, "height": 0.5, "proportions": 0.5}
    heights = [np.ptp(model.shape(Phenotype(age=age, **common)).vertices[studio._shop._used, 1]) for age in (0.4, 0.7)]
    assert 1.2 < heights[0] < 1.65 < heights[1] < 2.0

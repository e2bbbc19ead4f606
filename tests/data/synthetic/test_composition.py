from __future__ import annotations

import numpy as np
import pytest

from lcrnet_d2.data.synthetic.composition import SPLITS, Composition, compose, poses_of_split
from lcrnet_d2.data.synthetic.figure import JOINT_RADII
from lcrnet_d2.structures import BODY13


@pytest.fixture(scope="module")
def compositions() -> list[Composition]:
    return [compose(np.random.default_rng([9, index]), (240, 320)) for index in range(60)]


def test_poses_are_of_people_and_no_split_has_those_of_another() -> None:
    poses = {split: poses_of_split(split) for split in SPLITS}
    assert all(len(p) >= 40 and p.shape[1:] == (13, 3) for p in poses.values())
    everything = np.concatenate(list(poses.values()))
    assert len(np.unique(everything.round(3).reshape(len(everything), -1), axis=0)) == len(everything)
    thigh = np.linalg.norm(everything[:, BODY13.index("left_hip")] - everything[:, BODY13.index("left_knee")], axis=1)
    assert thigh.min() > 0.3 and thigh.max() < 0.55
    assert np.abs(everything[:, BODY13.torso].mean(1)).max() < 1e-3  # body-centred


def test_nobody_is_inside_somebody_else(compositions: list[Composition]) -> None:
    for _, people in compositions:
        for i, person in enumerate(people):
            for other in people[:i]:
                assert np.linalg.norm(person.joints[:, None] - other.joints, axis=-1).min() > 0.2


def test_people_stand_on_the_ground(compositions: list[Composition]) -> None:
    for camera, people in compositions:
        for joints, size in people:
            lowest = ((joints @ camera.rotation)[:, 1] + size * JOINT_RADII).max()
            assert lowest == pytest.approx(camera.above_ground)


def test_people_look_to_all_sides_and_are_one_to_four(compositions: list[Composition]) -> None:
    joints = np.stack([person.joints for _, people in compositions for person in people])
    left = joints[:, BODY13.index("left_shoulder")] - joints[:, BODY13.index("right_shoulder")]
    quarters = np.histogram(np.arctan2(left[:, 2], left[:, 0]), 4, (-np.pi, np.pi))[0] / len(joints)
    assert (quarters > 0.12).all()
    assert {len(people) for _, people in compositions} == {1, 2, 3, 4}


def test_about_a_quarter_are_cut_by_the_border_and_nobody_is_tiny(compositions: list[Composition]) -> None:
    cut, shares = [], []
    for camera, people in compositions:
        for joints, size in people:
            cut.append(not camera.contains(camera.project(joints)).all())
            shares.append(1.7 * size * camera.fy / joints[:, 2].mean() / 240)
    assert 0.12 < np.mean(cut) < 0.45
    assert min(shares) >= 0.36


def test_an_image_too_narrow_for_anybody_still_gets_somebody() -> None:
    assert len(compose(np.random.default_rng(0), (200, 12)).people) >= 1

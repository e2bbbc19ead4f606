import numpy as np
import pytest

from lcrnet_d2.data.synthetic.articulation import limb_spheres
from lcrnet_d2.data.synthetic.composition import compose


@pytest.fixture(scope="module")
def compositions():
    return [compose(np.random.default_rng([9, index]), (240, 320)) for index in range(60)]


def test_nobody_is_inside_somebody_else(compositions):
    for composition in compositions:
        bodies = [limb_spheres(body) for body in composition.bodies]
        for i, (first, first_radii) in enumerate(bodies):
            for second, second_radii in bodies[:i]:
                gap = np.linalg.norm(first[:, None] - second, axis=-1) - first_radii[:, None] - second_radii
                assert gap.min() > 0


def test_people_stand_on_the_ground_or_jump(compositions):
    clearances = [c.camera.above_ground - body.all_points()[:, 1].max() for c in compositions for body in c.bodies]
    assert min(clearances) > -0.01 and max(clearances) < 0.7
    assert np.mean(np.array(clearances) < 0.12) > 0.75


def test_people_look_to_all_sides_and_are_one_to_four(compositions):
    bodies = [body for c in compositions for body in c.bodies]
    left = np.stack([body.points["left_shoulder"] - body.points["right_shoulder"] for body in bodies])
    quarters = np.histogram(np.arctan2(left[:, 2], left[:, 0]), 4, (-np.pi, np.pi))[0] / len(bodies)
    assert (quarters > 0.12).all()
    assert {len(c.bodies) for c in compositions} == {1, 2, 3, 4}


def test_about_a_quarter_are_cut_by_the_border_and_nobody_is_tiny(compositions):
    cut, shares = [], []
    for c in compositions:
        for body in c.bodies:
            points = body.all_points() @ c.camera.rotation.T
            cut.append(not c.camera.contains(c.camera.project(points)).all())
            shares.append(body.shape.stature * c.camera.fy / points[:, 2].mean() / 240)
    assert 0.15 < np.mean(cut) < 0.45
    assert min(shares) > 0.25


def test_a_picture_too_narrow_for_anybody_still_gets_somebody():
    assert len(compose(np.random.default_rng(0), (200, 12)).bodies) >= 1

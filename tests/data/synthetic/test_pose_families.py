import numpy as np
import pytest

from lcrnet_d2.data.synthetic import pose_sampling
from lcrnet_d2.data.synthetic.articulation import sample_shape, self_penetration
from lcrnet_d2.data.synthetic.pose_families import FAMILIES
from lcrnet_d2.data.synthetic.pose_sampling import sample_posed_body


def bodies_of(family: str, count: int, monkeypatch: pytest.MonkeyPatch) -> list:
    monkeypatch.setattr(pose_sampling, "FAMILIES", {family: FAMILIES[family]})
    rng = np.random.default_rng(7)
    return [sample_posed_body(rng, sample_shape(rng)) for _ in range(count)]


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_gives_bodies_on_the_ground_whose_limbs_do_not_cross_the_body(family, monkeypatch):
    for body, posture in bodies_of(family, 15, monkeypatch):
        assert np.isfinite(body.all_points()).all()
        lowest = body.all_points()[:, 1].min()
        assert -0.01 <= lowest - posture.lift < 0.13  # a joint is at most the thickness of the pelvis above its skin
        assert self_penetration(body) < 0.1


@pytest.mark.parametrize(
    ("family", "low", "high"),  # of the head above the ground, in statures
    [
        ("standing", 0.75, 1.0),
        ("walking", 0.75, 1.0),
        ("sitting", 0.4, 0.85),
        ("crawling", 0.2, 0.65),
        ("lying", 0, 0.35),
    ],
)
def test_families_are_what_they_are_called(family, low, high, monkeypatch):
    heights = [body.points["head"][1] / body.shape.stature for body, _ in bodies_of(family, 20, monkeypatch)]
    assert low < np.median(heights) < high


def test_walkers_swing_an_arm_with_the_leg_of_the_other_side(monkeypatch):
    def forward(body, joint):
        return body.points[f"left_{joint}"][2] - body.points[f"right_{joint}"][2]

    bodies = [body for body, _ in bodies_of("running", 60, monkeypatch)]
    legs, arms = (np.array([forward(body, joint) for body in bodies]) for joint in ("knee", "elbow"))
    assert np.corrcoef(legs, arms)[0, 1] < -0.6


def test_standing_people_are_balanced(monkeypatch):
    for body, _ in bodies_of("standing", 20, monkeypatch):
        feet = np.stack([body.points[f"{s}_{p}"] for s in ("right", "left") for p in ("heel", "toes")])
        trunk = body.points["ribs"]
        assert (trunk[[0, 2]] > feet[:, [0, 2]].min(0) - 0.15).all()
        assert (trunk[[0, 2]] < feet[:, [0, 2]].max(0) + 0.15).all()

from __future__ import annotations

import pytest
import torch

from lcrnet_d2.mocap.lifter import is_liftable
from lcrnet_d2.structures import BODY13, body_centre
from perspective_people import BODY_LENGTHS, PerspectivePeople, SeenPeople, body_lengths
from tests_support import random_poses, standing_pose


def people_of(poses: torch.Tensor, bodies: torch.Tensor | None = None) -> PerspectivePeople:
    return PerspectivePeople(poses, torch.ones(len(poses)), torch.zeros(0, 0) if bodies is None else bodies, BODY13)


def sample(people: PerspectivePeople, count: int = 500, seed: int = 0) -> SeenPeople:
    return people.sample(count, torch.Generator().manual_seed(seed))


def test_lengths_of_the_standing_person() -> None:
    """Shoulders 0.5 m above the hips and 0.4 m apart, hips 0.2 m, head 0.25 m above and 0.02 m before the shoulders."""
    lengths = dict(zip(BODY_LENGTHS, body_lengths(standing_pose()[None], BODY13)[0].tolist(), strict=True))
    expected = {"torso": 0.5, "shoulders": 0.4, "hips": 0.2, "head": (0.25**2 + 0.02**2) ** 0.5}
    expected |= {"upper_arm": (0.05**2 + 0.25**2) ** 0.5, "forearm": (0.05**2 + 0.25**2 + 0.1**2) ** 0.5}
    assert lengths == pytest.approx(expected | {"thigh": 0.4, "shank": 0.4}, abs=1e-6)


def test_2d_is_a_perspective_picture_of_3d() -> None:
    """u (z + t_z) = f x + a and v (z + t_z) = f y + b for one f > 0, a, b, t_z of each person, the middle being 0."""
    seen = sample(people_of(random_poses(20, seed=0)), 100)
    known = ~seen.image_sizes.isnan().any(1)
    points = seen.poses_2d - seen.image_sizes.flip(1)[:, None] / 2
    for uv, pose in zip(points[known].double(), seen.poses_3d[known].double(), strict=True):
        one, zero = torch.ones(len(pose)), torch.zeros(len(pose))
        x = torch.stack([pose[:, 0], one, zero, -uv[:, 0]], 1)
        y = torch.stack([pose[:, 1], zero, one, -uv[:, 1]], 1)
        right = torch.cat([uv[:, 0] * pose[:, 2], uv[:, 1] * pose[:, 2]])
        fit = torch.linalg.lstsq(torch.cat([x, y]).double(), right).solution
        left = torch.cat([x, y]).double() @ fit - right
        if fit[3] + pose[:, 2].min() > 0.36:  # nobody's joint was held off the camera
            assert left.abs().max() < 0.05 and fit[0] > 100
    assert known.float().mean() > 0.75


def test_exact_joints_are_exact_and_trusted_and_others_are_off_as_their_trust_says() -> None:
    seen = sample(people_of(random_poses(20, seed=0)), 4000)
    off = (seen.seen_2d - seen.poses_2d).norm(dim=-1)
    exact = seen.trust == 1
    assert off[exact].max() == 0 and 0.2 < float(exact.any(1).float().mean()) < 0.4
    noise = 0.05 * (1 / seen.trust - 1).sqrt()
    centred = seen.poses_2d - seen.poses_2d.mean(1, keepdim=True)
    extent = centred.square().sum(-1).mean(1, keepdim=True).sqrt()
    noisy = (seen.trust > 0) & ~exact
    size = (off / extent / noise)[noisy]  # of two coordinates of size 1
    assert float(size.square().mean()) == pytest.approx(2, rel=0.05)


def test_everyone_can_be_lifted_and_many_are_whole() -> None:
    annotated = sample(people_of(random_poses(20, seed=0)), 3000).trust > 0
    assert is_liftable(annotated, BODY13).all()
    assert 0.35 < float(annotated.all(1).float().mean()) < 0.65
    legs = annotated[:, BODY13.lower_limbs]
    assert float((~legs).all(1).float().mean()) > 0.05  # cut off below the hips


def test_bodies_are_those_given() -> None:
    body = body_lengths(standing_pose()[None], BODY13) * torch.tensor([1.1, 0.8, 1.2, 1.0, 0.7, 1.3, 0.9, 1.05])
    lengths = body_lengths(sample(people_of(random_poses(20, seed=0), body), 3000).poses_3d, BODY13)
    for name in ("upper_arm", "forearm", "shank", "hips", "shoulders"):
        column = BODY_LENGTHS.index(name)
        near = (lengths[:, column] / body[0, column] - 1).abs() < 0.07
        assert float(near.float().mean()) > 0.65, name  # seven in ten have the given body, give or take 3 %


def test_same_seed_same_people_all_centred() -> None:
    people = people_of(random_poses(20, seed=0))
    first, second, third = sample(people), sample(people), sample(people, seed=1)
    assert torch.equal(first.seen_2d, second.seen_2d) and not torch.equal(first.seen_2d, third.seen_2d)
    assert body_centre(first.poses_3d, BODY13).abs().max() < 1e-5


def test_people_face_everywhere_and_some_are_upside_down() -> None:
    poses = sample(people_of(standing_pose()[None]), 2000).poses_3d
    head, ankle = (poses[:, BODY13.index(name)] for name in ("head", "left_ankle"))
    across = poses[:, BODY13.index("left_shoulder")] - poses[:, BODY13.index("right_shoulder")]
    heading = torch.atan2(across[:, 2], across[:, 0])
    assert torch.histc(heading, 8, -torch.pi, torch.pi).min() > 150  # of 250
    assert 0.04 < float((head[:, 1] > ankle[:, 1]).float().mean()) < 0.15

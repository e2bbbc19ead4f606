from __future__ import annotations

import math

import pytest
import torch
from detectron2.structures import Boxes, Instances
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from lcrnet_d2.modeling.joint_heat_maps import JointMaps
from lcrnet_d2.modeling.joint_refinement import RefinementRules, refine_instances, refine_joints

RULES = RefinementRules()


def heat_of(peaks: list[tuple[int, int, int, float]], joints: int = 1, size: tuple[int, int] = (20, 30)) -> Tensor:
    """(J, h, w): Gaussian peaks of one cell's deviation; each (joint, x, y, height)."""
    y, x = torch.meshgrid(*(torch.arange(side) for side in size), indexing="ij")
    heat = torch.zeros(joints, *size)
    for joint, px, py, height in peaks:
        heat[joint] = heat[joint].maximum(height * torch.exp(-((x - px) ** 2 + (y - py) ** 2) / 2))
    return heat


def refined(poses: Tensor, heat: Tensor, deviation: float, scores: list[float] | None = None) -> Tensor:
    """With the same deviation (px) for all, and offsets that point to the middle of each cell."""
    offsets = torch.full((len(heat), 2, *heat.shape[1:]), 0.5)
    spreads = torch.full_like(poses, deviation)
    return in_one_image(poses, spreads, torch.tensor(scores or [1.0] * len(poses)), heat, offsets)


def in_one_image(poses: Tensor, spreads: Tensor, scores: Tensor, heat: Tensor, offsets: Tensor) -> Tensor:
    """As `refine_joints`, with heat in [0, 1]."""
    return refine_joints(poses, spreads, scores, [len(poses)], JointMaps(heat.logit()[None], offsets[None]), RULES)[0]


def test_a_joint_goes_to_its_peak_and_by_the_offset_from_there() -> None:
    heat = heat_of([(0, 10, 5, 0.8)])
    offsets = torch.zeros(1, 2, 20, 30)
    offsets[0, :, 5, 10] = torch.tensor([0.25, 0.75])
    pose = torch.tensor([[[38.0, 25.0]]])
    out = in_one_image(pose, torch.full_like(pose, 12), torch.ones(1), heat, offsets)
    assert out.tolist() == [[[41.0, 23.0]]]  # (10 + 0.25) * 4, (5 + 0.75) * 4


def test_without_heat_or_beyond_three_deviations_a_joint_stays() -> None:
    """The cell is 40 px away: within three deviations of 14 px, not of 13. Heat of 0.02 does not count."""
    pose = torch.tensor([[[2.0, 22.0]]])
    heat = torch.zeros(1, 20, 30)
    heat[0, 5, 10] = 0.8
    assert refined(pose, heat, 14).tolist() == [[[42.0, 22.0]]]
    assert refined(pose, heat, 13).equal(pose)
    assert refined(pose, heat_of([(0, 1, 5, 0.02)]), 14).equal(pose)


def test_a_near_weak_peak_beats_a_far_strong_one() -> None:
    """8 and 32 px away, deviation 16: 0.3 exp(-1/8) = 0.265 > 0.9 exp(-2) = 0.122; with deviation 40 the other wins."""
    heat = heat_of([(0, 12, 5, 0.3), (0, 2, 5, 0.9)])
    pose = torch.tensor([[[42.0, 22.0]]])
    assert refined(pose, heat, 16)[0, 0, 0] == 50
    assert refined(pose, heat, 40)[0, 0, 0] == 10


def test_the_least_deviation_is_a_share_of_the_persons_size() -> None:
    """A box of 40 x 90 px is 1.2 * 60 = 72 px: 0.12 of it is 8.64 px, and three of them reach 25.9 px."""
    pose = torch.tensor([[[10.0, 10.0], [50.0, 70.0], [30.0, 100.0]]])
    for away, moves in ((24, True), (28, False)):
        heat = torch.zeros(3, 30, 30)
        heat[0, 2, (10 + away) // 4] = 1
        out = in_one_image(pose, torch.zeros_like(pose), torch.ones(1), heat, torch.full((3, 2, 30, 30), 0.5))
        assert (out[0, 0] != pose[0, 0]).any() == moves
        assert out[0, 1:].equal(pose[0, 1:])


def test_two_people_in_one_place_do_not_take_the_same_limb() -> None:
    """Wrists are seen at cells 10 and 16 of the row; both people's priors are nearest to the first."""
    heat = heat_of([(0, 10, 5, 0.9), (0, 16, 5, 0.9)])
    poses = torch.tensor([[[42.0, 22.0]], [[48.0, 22.0]]])
    assert refined(poses, heat, 16)[:, 0, 0].tolist() == [42, 66]
    assert refined(poses.flip(0), heat, 16)[:, 0, 0].tolist() == [66, 42]


def test_of_one_limb_and_two_people_the_other_stays() -> None:
    heat = heat_of([(0, 10, 5, 0.9)])
    poses = torch.tensor([[[46.0, 22.0]], [[42.0, 22.0]]])
    assert refined(poses, heat, 16)[:, 0, 0].tolist() == [46, 42]
    # A ghost of a hundredth of the score must not take it from a person who stands a little further away.
    assert refined(poses, heat, 16, [1.0, 0.01])[:, 0, 0].tolist() == [42, 42]


def test_who_needs_it_more_gets_it() -> None:
    """The right person is nearer to the middle peak, but has another one beside it; the left person has no other."""
    heat = heat_of([(0, 10, 5, 0.9), (0, 16, 5, 0.9)])
    poses = torch.tensor([[[30.0, 22.0]], [[50.0, 22.0]]])  # 12 px from 42; 8 px from it and 16 from 66
    assert refined(poses, heat, 12)[:, 0, 0].tolist() == [42, 66]


def test_joints_of_different_kinds_may_share_a_place() -> None:
    heat = heat_of([(0, 10, 5, 0.9), (1, 10, 5, 0.9)], joints=2)
    poses = torch.tensor([[[40.0, 20.0], [200.0, 200.0]], [[200.0, 200.0], [44.0, 22.0]]])
    out = refined(poses, heat, 8)
    assert out[0, 0].tolist() == out[1, 1].tolist() == [42, 22]


def test_duplicates_of_one_person_leave_one_at_each_peak() -> None:
    heat = heat_of([(0, 10, 5, 0.9), (0, 18, 5, 0.5)])
    poses = torch.tensor([[[42.0, 22.0]]]).repeat(12, 1, 1)
    out = refined(poses, heat, 16)
    moved = out[(out != poses).any(-1).any(-1)]
    away = torch.cdist(moved[:, 0], moved[:, 0]) + 100 * torch.eye(len(moved))
    assert (out[0] == torch.tensor([42.0, 22.0])).all() and (len(moved) == 0 or away.min() > 16)


def twin(poses: Tensor, spreads: Tensor, heat: Tensor, offsets: Tensor) -> Tensor:
    """Without rivals: every cell of every joint of every person looked at, one by one."""
    out = poses.clone()
    for n, pose in enumerate(poses.tolist()):
        xs, ys = zip(*pose, strict=True)
        size = 1.2 * math.sqrt((max(xs) - min(xs)) * (max(ys) - min(ys)))
        for j, (x, y) in enumerate(pose):
            sx, sy = (max(float(s), RULES.min_deviation * size, 2.0) for s in spreads[n, j])
            best = -math.inf
            for row in range(heat.shape[1]):
                for column in range(heat.shape[2]):
                    d2 = ((4 * column + 2 - x) / sx) ** 2 + ((4 * row + 2 - y) / sy) ** 2
                    h = float(heat[j, row, column])
                    if h >= RULES.min_heat and d2 <= 9 and math.log(h) - d2 / 2 > best:
                        best = math.log(h) - d2 / 2
                        out[n, j] = 4 * (torch.tensor([column, row]) + offsets[j, :, row, column])
    return out


@given(st.integers(0, 2**16))
@settings(max_examples=15)
def test_a_person_alone_as_a_slow_twin_has_it(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    poses = torch.rand(1, 3, 2, generator=generator) * 60
    spreads = torch.rand(1, 3, 2, generator=generator) * 10
    heat = torch.rand(3, 12, 14, generator=generator) ** 4
    offsets = torch.rand(3, 2, 12, 14, generator=generator)
    out = in_one_image(poses, spreads, torch.ones(1), heat, offsets)
    torch.testing.assert_close(out, twin(poses, spreads, heat, offsets), rtol=1e-5, atol=1e-4)


@given(st.integers(0, 2**16), st.lists(st.integers(0, 5), min_size=1, max_size=4))
@settings(max_examples=15)
def test_people_of_a_batch_are_refined_as_in_their_own_images(seed: int, counts: list[int]) -> None:
    """Images of few and many people, partly in one place, some of them outside; windows differ among images."""
    generator = torch.Generator().manual_seed(seed)
    people, images = sum(counts), len(counts)
    poses = torch.rand(people, 3, 2, generator=generator) * 90 - 10
    spreads = torch.rand(people, 3, 2, generator=generator) * 15
    scores = torch.rand(people, generator=generator) + 0.01
    heat = torch.rand(images, 3, 12, 18, generator=generator) ** 6
    offsets = torch.rand(images, 3, 2, 12, 18, generator=generator)
    together = refine_joints(poses, spreads, scores, counts, JointMaps(heat.logit(), offsets), RULES)[0]
    of_images = (t.split(counts) for t in (together, poses, spreads, scores))
    for found, *alone in zip(*of_images, heat, offsets, strict=True):
        torch.testing.assert_close(found, in_one_image(*alone))


@given(st.integers(0, 2**16))
@settings(max_examples=25)
def test_nobody_shares_a_peak_and_who_moves_moves_to_heat(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    poses = torch.rand(6, 2, 2, generator=generator) * torch.tensor([120.0, 80.0])
    heat = torch.rand(2, 20, 30, generator=generator) ** 8
    out = refined(poses, heat, 15)
    moved = (out != poses).any(-1)
    for joint in range(2):
        places = out[moved[:, joint], joint]
        apart = torch.cdist(places, places) + 100 * torch.eye(len(places))
        assert len(places) == 0 or apart.min() > 16
        x, y = (places / 4).long().unbind(1)
        assert (heat[joint, y, x] >= RULES.min_heat).all()


def people_of(poses: Tensor, image_size: tuple[int, int]) -> Instances:
    people = Instances(image_size)
    people.pred_keypoints = torch.cat([poses, torch.ones_like(poses[..., :1])], -1)
    people.pred_spreads_2d = torch.full_like(poses, 0.1)
    people.pred_boxes = Boxes(torch.zeros(len(poses), 4))
    people.scores = torch.ones(len(poses))
    return people


def test_instances_keep_what_integration_gave_in_parts_of_the_image() -> None:
    heat = torch.stack([heat_of([(0, 10, 5, 0.9)], 2), heat_of([(1, 2, 2, 0.9)], 2)])
    maps = JointMaps(torch.logit(heat, 1e-6), torch.full((2, 2, 2, 20, 30), 0.5))
    poses = torch.tensor([[[40.0, 20.0], [100.0, 60.0]]])
    people = [people_of(poses, (80, 120)), people_of(poses[:0], (80, 120))]
    found, nobody = refine_instances(people, maps, RULES)
    assert found.pred_keypoints[0, :, :2].tolist() == [[42, 22], [100, 60]]
    assert found.pred_boxes.tensor.tolist() == [[42, 22, 100, 60]]
    torch.testing.assert_close(found.pred_integrated_keypoints, poses / torch.tensor([120.0, 80.0]))
    torch.testing.assert_close(found.pred_joint_heats, torch.tensor([[0.9, 0.0]]))
    assert nobody.pred_joint_heats.shape == (0, 2)
    assert nobody.pred_keypoints.shape == (0, 2, 3) and nobody.pred_integrated_keypoints.shape == (0, 2, 2)


def test_a_score_counts_as_the_joints_in_the_image_are_seen() -> None:
    """Heat 0.9 and 0 of two joints: their mean is 1.5 times the usual 0.3; with the second outside, 3 times."""
    maps = JointMaps(torch.logit(heat_of([(0, 10, 5, 0.9)], 2)[None], 1e-6), torch.full((1, 2, 2, 20, 30), 0.5))
    poses = torch.tensor([[[40.0, 20.0], [100.0, 60.0]], [[40.0, 20.0], [100.0, 81.0]]])
    for pose, factor in zip(poses.split(1), (1.5, 3.0), strict=True):
        (found,) = refine_instances([people_of(pose, (80, 120))], maps, RULES._replace(usual_heat=0.3))
        assert found.scores.item() == pytest.approx(factor**2, rel=1e-3) and found.pred_integrated_scores.item() == 1
        (found,) = refine_instances([people_of(pose, (80, 120))], maps, RULES)
        assert found.scores.item() == 1


@pytest.mark.parametrize("rows", [1, 3])
def test_what_is_not_finite_moves_nothing(rows: int) -> None:
    poses = torch.full((rows, 2, 2), torch.nan)
    assert refined(poses, heat_of([(0, 10, 5, 0.9)], 2), 8).isnan().all()

"""Pose proposals integration beside a slow twin: loops over lists, written from Sec. 3.5 sentence by sentence."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torchvision.ops import box_iou, nms

from lcrnet_d2 import integrate_pose_proposals
from lcrnet_d2.modeling import Rules, ppi, suppress_pose_proposals
from lcrnet_d2.modeling.ppi import integrate, pose_boxes
from lcrnet_d2.structures import joint_box

SIZE = (1200, 1200)
PAPER = {"all_modes": True, "min_seed_score": 0.0, "min_mode_score": 0.0, "lower_body_weight": 1.0}


def slow_integration(
    scores: np.ndarray,
    poses_2d: np.ndarray,
    poses_3d: np.ndarray,
    image_size: tuple[int, int] | None,
    is_upper_body: np.ndarray,
    lower_body_joints: tuple[int, ...],
    iou_threshold: float = 0.2,
    t_3d: float = 0.3,
    all_modes: bool = False,
    min_seed_score: float = 0.05,
    min_mode_score: float = 0.002,
    lower_body_weight: float = 0.1,
) -> list[tuple[float, np.ndarray, np.ndarray, int]]:
    """(score, 2D pose, 3D pose, seed of the group) of everyone, best first."""

    def box(pose: np.ndarray) -> list[float]:
        x, y = pose[:, 0], pose[:, 1]
        if image_size is not None:
            x, y = np.clip(x, 0, image_size[1]), np.clip(y, 0, image_size[0])
        return [x.min(), y.min(), max(x.max(), x.min() + 1 / 64), max(y.max(), y.min() + 1 / 64)]

    def iou(a: list[float], b: list[float]) -> float:
        w, h = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
        both = max(w, 0) * max(h, 0)
        return both / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both)

    def distance(a: np.ndarray, b: np.ndarray) -> float:
        return float(np.mean([np.linalg.norm(p - q) for p, q in zip(a, b, strict=True)]))

    boxes = [box(p) for p in poses_2d]
    remaining = sorted(range(len(scores)), key=lambda i: (-scores[i], i))
    people = []
    while remaining:
        seed = remaining[0]
        group = [i for i in remaining if i == seed or iou(boxes[seed], boxes[i]) > iou_threshold]
        remaining = [i for i in remaining if i not in group]
        modes, uncovered = [], list(group)
        while uncovered and (not modes or scores[uncovered[0]] >= min_seed_score):
            best = uncovered[0]
            mode = [i for i in group if i == best or distance(poses_3d[best], poses_3d[i]) < t_3d]
            uncovered = [i for i in uncovered if i not in mode]
            modes.append((sum(scores[i] for i in mode), mode))
        if not all_modes:
            modes = [max(modes, key=lambda m: m[0])]
        for total, mode in modes:
            if total <= min_mode_score:
                continue
            pose_2d, pose_3d = np.zeros_like(poses_2d[0]), np.zeros_like(poses_3d[0])
            for joint in range(len(pose_2d)):
                w = [
                    scores[i] * (lower_body_weight if is_upper_body[i] and joint in lower_body_joints else 1)
                    for i in mode
                ]
                pose_2d[joint] = sum(a * poses_2d[i][joint] for a, i in zip(w, mode, strict=True)) / sum(w)
                pose_3d[joint] = sum(a * poses_3d[i][joint] for a, i in zip(w, mode, strict=True)) / sum(w)
            people.append((total, pose_2d, pose_3d, seed))
    return sorted(people, key=lambda p: -p[0])


def crowd(count: int, people: int, seed: int, joints: int = 13) -> dict[str, Tensor]:
    """Proposals of people with two 3D modes 300 mm apart, 5 px and 50 mm of noise."""
    rng = np.random.default_rng(seed)
    base_2d = rng.uniform(150, 1050, (people, 1, 2)) + 60 * rng.normal(size=(people, joints, 2))
    base_3d = 0.3 * rng.normal(size=(people, 1, joints, 3))
    apart = rng.normal(size=(people, 1, 1, 3))
    modes = np.concatenate([base_3d, base_3d + 0.3 * apart / np.linalg.norm(apart, axis=-1, keepdims=True)], 1)
    who, mode = rng.integers(people, size=count), rng.integers(2, size=count)
    return {
        "scores": torch.from_numpy(rng.uniform(0, 1, count)),
        "poses_2d": torch.from_numpy(base_2d[who] + 5 * rng.normal(size=(count, joints, 2))),
        "poses_3d": torch.from_numpy(modes[who, mode] + 0.05 * rng.normal(size=(count, joints, 3))),
        "is_upper_body": torch.from_numpy(rng.uniform(size=count) < 0.5),
    }


def compare(scene: dict[str, Tensor], image_size: tuple[int, int] | None, **rules: Any) -> None:
    lower = (0, 1, 2, 3)
    fast = integrate_pose_proposals(**scene, image_size=image_size, lower_body_joints=lower, rules=Rules(**rules))
    slow = slow_integration(
        **{k: v.numpy() for k, v in scene.items()}, image_size=image_size, lower_body_joints=lower, **rules
    )
    assert len(fast.scores) == len(slow)
    for i, (score, pose_2d, pose_3d, seed) in enumerate(slow):
        assert fast.scores[i].item() == pytest.approx(score)
        np.testing.assert_allclose(fast.poses_2d[i], pose_2d, atol=1e-6)
        np.testing.assert_allclose(fast.poses_3d[i], pose_3d, atol=1e-9)
        assert fast.seeds[i].item() == seed


@pytest.mark.parametrize("rules", [{}, PAPER, {"all_modes": True}, {"min_seed_score": 0.9}], ids=str)
@pytest.mark.parametrize("seed", range(3))
def test_equals_the_slow_twin(rules: dict[str, Any], seed: int) -> None:
    scene = crowd(150, people=5, seed=seed)
    compare(scene, SIZE, **rules)
    compare(scene, None, **rules)


@pytest.mark.parametrize("rules", [{}, PAPER], ids=str)
def test_a_batch_is_its_images_one_by_one(rules: dict[str, Any]) -> None:
    """Also where nobody is in one of them, and where people of two images stand in the same place."""
    scenes = [crowd(60, 3, seed=0), crowd(0, 3, seed=0), crowd(1, 1, seed=1), crowd(90, 4, seed=0)]
    sizes = [SIZE, SIZE, (400, 900), (300, 500)]
    counts = [len(scene["scores"]) for scene in scenes]
    scores, poses_2d, poses_3d, upper = (torch.cat([scene[name] for scene in scenes]) for name in scenes[0])
    limits = torch.tensor([size[::-1] for size in sizes]).repeat_interleave(torch.tensor(counts), 0)
    boxes = pose_boxes(poses_2d, limits)
    together = integrate(scores, poses_2d, poses_3d, boxes, counts, Rules(**rules), upper, (0, 1))
    firsts, first_person = np.cumsum([0, *counts]), 0
    for scene, size, count, first in zip(scenes, sizes, together.counts, firsts, strict=False):
        alone = integrate_pose_proposals(**scene, image_size=size, lower_body_joints=(0, 1), rules=Rules(**rules))
        mine = slice(first_person, first_person + count)
        for a, b in zip(together[:3], alone[:3], strict=True):
            torch.testing.assert_close(a[mine], b)
        assert torch.equal(together.seeds[mine] - first, alone.seeds)
        assert torch.equal(together.groups[mine], alone.groups)
        members = together.members[:, (together.members[0] >= mine.start) & (together.members[0] < mine.stop)]
        assert torch.equal(members - torch.tensor([[first_person], [first]]), alone.members)
        first_person += count
    assert first_person == len(together.scores)


def groups(scores: Tensor, poses_2d: Tensor) -> tuple[Tensor, Tensor]:
    """(P,) the group of each proposal of an image, and the seeds (G,)."""
    rows, group_of, seeds = ppi._group(scores, pose_boxes(poses_2d, None), [len(scores)], 0.2)
    return torch.empty_like(group_of).scatter_(0, rows, group_of), seeds[0]


@settings(max_examples=40)
@given(
    count=st.integers(1, 40),
    seed=st.integers(0, 10_000),
    iou=st.floats(0.05, 0.7),
    t_3d=st.floats(0.05, 0.6),
    all_modes=st.booleans(),
)
def test_equals_the_slow_twin_anywhere(count: int, seed: int, iou: float, t_3d: float, all_modes: bool) -> None:
    compare(crowd(count, 3, seed), (400, 900), iou_threshold=iou, t_3d=t_3d, all_modes=all_modes)


def one_joint(*proposals: tuple[float, float, float]) -> dict[str, Tensor]:
    """Proposals of two joints: (score, x in px, X in m); the second joint makes every box 100 px square."""
    scores = torch.tensor([p[0] for p in proposals])
    poses_2d = torch.tensor([[[p[1], 0.0], [p[1] + 100, 100.0]] for p in proposals])
    poses_3d = torch.tensor([[[p[2], 0.0, 0.0], [p[2], 0.0, 0.0]] for p in proposals])
    return {"scores": scores, "poses_2d": poses_2d, "poses_3d": poses_3d}


def test_equation_seven_by_hand() -> None:
    """Weights 0.6 and 0.2: (0.6 * 0 + 0.2 * 20) / 0.8 = 5 px; S = 0.8."""
    out = integrate_pose_proposals(**one_joint((0.6, 0, 0.0), (0.2, 20, 0.1)), image_size=None)
    assert out.scores.tolist() == pytest.approx([0.8])
    assert out.poses_2d[0, 0].tolist() == pytest.approx([5.0, 0.0])
    assert out.poses_3d[0, 0].tolist() == pytest.approx([0.025, 0.0, 0.0])
    assert out.seeds.tolist() == [0] and out.members.tolist() == [[0, 0], [0, 1]]


def test_modes_are_not_averaged_and_the_best_sum_wins() -> None:
    """The best single proposal stands alone; two others agree on another 3D pose and sum to more."""
    scene = one_joint((0.5, 0, 0.0), (0.4, 5, 1.0), (0.3, 5, 1.0))
    best = integrate_pose_proposals(**scene, image_size=None)
    assert best.scores.tolist() == pytest.approx([0.7])
    assert best.poses_3d[0, 0, 0].item() == pytest.approx(1.0)
    assert best.seeds.tolist() == [0]  # what NMS would have said
    every = integrate_pose_proposals(**scene, image_size=None, rules=Rules(all_modes=True))
    assert every.scores.tolist() == pytest.approx([0.7, 0.5]) and every.groups.tolist() == [0, 0]


def test_a_covered_proposal_may_count_in_a_second_mode() -> None:
    """3D at 0, 0.2 and 0.4 m, T_3D 0.25: the middle one is in both modes."""
    scene = one_joint((0.5, 0, 0.0), (0.4, 0, 0.2), (0.3, 0, 0.4))
    out = integrate_pose_proposals(**scene, image_size=None, rules=Rules(t_3d=0.25, all_modes=True))
    assert out.scores.tolist() == pytest.approx([0.9, 0.7])


def test_a_weak_seed_opens_no_second_mode() -> None:
    scene = one_joint((0.04, 0, 0.0), (0.03, 0, 1.0), (0.03, 0, 1.0))
    out = integrate_pose_proposals(**scene, image_size=None)
    assert out.scores.tolist() == pytest.approx([0.04])  # the other mode's 0.06 is never considered


def test_a_seed_of_exactly_the_least_score_opens_a_mode() -> None:
    scene = one_joint((0.5, 0, 0.0), (0.25, 0, 1.0))
    out = integrate_pose_proposals(**scene, image_size=None, rules=Rules(min_seed_score=0.25, all_modes=True))
    assert out.scores.tolist() == [0.5, 0.25]


def test_the_first_proposal_may_open_a_second_mode() -> None:
    scene = one_joint((0.25, 0, 0.0), (0.5, 0, 1.0))
    assert integrate_pose_proposals(**scene, image_size=None, rules=Rules(all_modes=True)).scores.tolist() == [
        0.5,
        0.25,
    ]


def test_weak_people_are_dropped() -> None:
    out = integrate_pose_proposals(**one_joint((0.002, 0, 0.0), (0.5, 500, 0.0)), image_size=None)
    assert out.scores.tolist() == pytest.approx([0.5])


def test_boxes_are_clipped_to_the_image() -> None:
    """Two people cut off by the right border, 60 px apart: they overlap in full (0.25 > 0.2), inside by a sixth."""
    scene = one_joint((0.5, 0, 0.0), (0.4, 60, 0.0))
    assert len(integrate_pose_proposals(**scene, image_size=None).scores) == 1
    assert len(integrate_pose_proposals(**scene, image_size=(100, 70)).scores) == 2


def test_knees_and_ankles_of_upper_body_classes_count_a_tenth() -> None:
    scene = one_joint((0.5, 0, 0.0), (0.5, 11, 0.0))
    upper = torch.tensor([False, True])
    out = integrate_pose_proposals(**scene, image_size=None, is_upper_body=upper, lower_body_joints=[1])
    assert out.poses_2d[0, 0, 0].item() == pytest.approx(5.5)
    assert out.poses_2d[0, 1, 0].item() == pytest.approx(100 + 1.0)  # (0 * 1 + 11 * 0.1) / 1.1
    assert out.scores.tolist() == pytest.approx([1.0])


def test_legs_that_nobody_vouches_for_are_the_plain_mean() -> None:
    """Weight 0 for the legs of upper-body classes, and nobody else: (0 + 10) / 2 px."""
    scene = one_joint((0.6, 0, 0.0), (0.3, 10, 0.0))
    upper = torch.tensor([True, True])
    rules = Rules(lower_body_weight=0.0)
    out = integrate_pose_proposals(**scene, image_size=None, is_upper_body=upper, lower_body_joints=[1], rules=rules)
    assert out.poses_2d[0, 1, 0].item() == pytest.approx(100 + 5)


@pytest.mark.parametrize("turn", [False, True])
def test_a_neighbour_does_not_overlap_however_flat_it_is(turn: bool) -> None:
    """100 x 2 px, half a pixel apart, along or across: the third belongs to the second."""
    tops = torch.tensor([0.0, 2.5, 2.6])
    poses_2d = torch.stack([torch.stack([0 * tops, tops], 1), torch.stack([100 + 0 * tops, tops + 2], 1)], 1)
    group_of, _ = groups(torch.tensor([0.9, 0.8, 0.7]), poses_2d.flip(-1) if turn else poses_2d)
    assert group_of.tolist() == [0, 1, 1]


def test_an_overlap_of_exactly_the_threshold_is_none() -> None:
    """(0, 0, 300, 100) and (200, 0, 500, 100) have an IoU of 0.2."""
    left = torch.tensor([0.0, 210.0, 200.0])
    poses_2d = torch.stack([torch.stack([left, 0 * left], 1), torch.stack([left + 300, 100 + 0 * left], 1)], 1)
    group_of, _ = groups(torch.tensor([0.9, 0.8, 0.7]), poses_2d)
    assert group_of.tolist() == [0, 1, 1]


def test_a_distance_of_exactly_t_3d_is_another_mode() -> None:
    scene = one_joint((0.5, 0, 0.0), (0.4, 0, 0.25))
    out = integrate_pose_proposals(**scene, image_size=None, rules=Rules(t_3d=0.25, all_modes=True))
    assert out.scores.tolist() == pytest.approx([0.5, 0.4])


def test_the_image_s_first_pixels_count() -> None:
    """Boxes 0 to 5 and 4 to 9 of 5 px: IoU 1 / 9, clipped to (0, 0) and on."""
    poses_2d = torch.tensor([[[-9.0, 0.0], [5.0, 5.0]], [[4.0, 0.0], [9.0, 5.0]]])
    scores, poses_3d = torch.tensor([0.6, 0.5]), torch.zeros(2, 2, 3)
    assert (
        len(integrate_pose_proposals(scores, poses_2d, poses_3d, (20, 20), rules=Rules(iou_threshold=0.112)).scores)
        == 2
    )
    assert (
        len(integrate_pose_proposals(scores, poses_2d, poses_3d, (20, 20), rules=Rules(iou_threshold=0.110)).scores)
        == 1
    )


def test_ties_go_to_the_lowest_index() -> None:
    out = integrate_pose_proposals(**one_joint((0.5, 500, 0.0), (0.5, 0, 0.0), (0.5, 1000, 0.0)), image_size=None)
    assert out.seeds.tolist() == [0, 1, 2]


def test_ties_of_many_people_go_to_the_lowest_index_too() -> None:
    """torch sorts up to 16 numbers in a stable way anyhow."""
    people = one_joint(*[(0.5, 500.0 * n, 0.0) for n in range(300)])
    for all_modes in (False, True):
        out = integrate_pose_proposals(**people, image_size=None, rules=Rules(all_modes=all_modes))
        assert out.seeds.tolist() == list(range(300))


def test_nms_gives_the_seeds_of_the_same_groups() -> None:
    scene = crowd(200, people=4, seed=5)
    upper = scene.pop("is_upper_body")
    nms = suppress_pose_proposals(**scene, image_size=SIZE)
    ppi = integrate_pose_proposals(**scene, image_size=SIZE, is_upper_body=upper)
    assert set(ppi.seeds.tolist()) == set(nms.seeds.tolist())
    torch.testing.assert_close(nms.poses_2d, scene["poses_2d"][nms.seeds])
    assert nms.scores.tolist() == sorted(nms.scores.tolist(), reverse=True)


@settings(max_examples=20)
@given(seed=st.integers(0, 1000))
def test_order_of_proposals_does_not_matter(seed: int) -> None:
    scene = crowd(60, 3, seed)
    shuffled = torch.randperm(60, generator=torch.Generator().manual_seed(seed))
    a = integrate_pose_proposals(**scene, image_size=SIZE)
    b = integrate_pose_proposals(**{k: v[shuffled] for k, v in scene.items()}, image_size=SIZE)
    torch.testing.assert_close(a.poses_3d, b.poses_3d)
    torch.testing.assert_close(a.scores, b.scores)


@pytest.mark.parametrize("seed", range(20))
def test_whole_pixels_and_exact_ties_leave_nobody_out(seed: int) -> None:
    """Integer boxes meet IoU thresholds exactly, e.g. (0,0,300,100) and (200,0,500,100) have 0.2."""
    rng = np.random.default_rng(seed)
    corners = rng.integers(0, 6, (60, 1, 2)) * 100.0
    poses_2d = torch.from_numpy(np.concatenate([corners, corners + [300, 100]], 1).astype(np.float32))
    scores = torch.from_numpy(rng.uniform(0, 1, 60).astype(np.float32))
    group_of, seeds = groups(scores, poses_2d)
    assert (group_of >= 0).all() and group_of[seeds].tolist() == list(range(len(seeds)))


@pytest.mark.parametrize("levels", [1, 3, 1000])
def test_groups_of_many_proposals_are_those_of_one_sort(levels: int) -> None:
    """More than are sorted at once; with few levels of score, ties reach across the two sorts."""
    rng = np.random.default_rng(levels)
    poses_2d = torch.from_numpy(rng.uniform(0, 1000, (5000, 1, 2)) + rng.uniform(0, 200, (5000, 4, 2)))
    scores = torch.from_numpy(rng.integers(0, levels, 5000) / levels)
    group_of, seeds = groups(scores, poses_2d)
    assert seeds.tolist() == nms(joint_box(poses_2d), scores, float(np.float32(0.2))).tolist()
    overlaps = box_iou(joint_box(poses_2d), joint_box(poses_2d[seeds])) > 0.2
    assert group_of.tolist() == overlaps.float().argmax(1).tolist()


def test_thousands_of_pairs_are_grouped_with_their_partner() -> None:
    """The best 1,024 first, and seeds in blocks of 2^21 / 5,000 = 419: groups go on counting through both."""
    x = (torch.arange(5000.0) // 2 * 10)[:, None, None]
    poses_2d = torch.cat([x, x + 5], 1).expand(-1, 2, 2)
    group_of, seeds = groups(torch.linspace(1, 0.1, 5000), poses_2d)
    assert seeds.tolist() == list(range(0, 5000, 2))
    assert group_of.tolist() == [n // 2 for n in range(5000)]


@pytest.mark.parametrize("integrate", [integrate_pose_proposals, suppress_pose_proposals])
def test_no_proposals_no_people(integrate: Any) -> None:
    out = integrate(torch.zeros(0), torch.zeros(0, 13, 2), torch.zeros(0, 13, 3), SIZE)
    assert out.scores.shape == (0,) and out.poses_2d.shape == (0, 13, 2) and out.members.shape == (2, 0)


def test_poses_without_extent_are_one_person_where_they_are_the_same() -> None:
    """An IoU of nothing with itself: two points, or poses wholly outside the image, which clipping makes a corner."""
    points = torch.tensor([50.0, 50.0, 80.0]).view(3, 1, 1).expand(3, 13, 2)
    scores, poses_3d = torch.tensor([0.3, 0.2, 0.1]), torch.zeros(3, 13, 3)
    out = integrate_pose_proposals(scores, points, poses_3d, SIZE)
    assert out.scores.tolist() == pytest.approx([0.5, 0.1]) and torch.isfinite(out.poses_2d).all()
    outside = 2000 + 100 * torch.rand(3, 13, 2)
    assert integrate_pose_proposals(scores, outside, poses_3d, SIZE).scores.tolist() == pytest.approx([0.6])


def test_thousands_of_lonely_proposals() -> None:
    x = torch.arange(5000.0)[:, None, None] * 10
    poses_2d = torch.cat([x, x + 5], 1).expand(-1, 2, 2)
    out = integrate_pose_proposals(torch.linspace(1, 0.1, 5000), poses_2d, torch.zeros(5000, 2, 3), None)
    assert len(out.scores) == 5000


def test_any_seed_opens_a_mode_until_none_is_left() -> None:
    """Two poses 1 m apart in one place are two modes, whatever the seeds' scores."""
    poses_2d = torch.tensor([[10.0, 10.0], [50.0, 90.0]]).expand(2, 2, 2)
    poses_3d = torch.tensor([0.0, 1.0])[:, None, None].expand(2, 2, 3)
    rules = Rules(all_modes=True, min_seed_score=-math.inf, min_mode_score=-math.inf)
    people = integrate_pose_proposals(torch.tensor([0.5, 0.4]), poses_2d, poses_3d, (100, 100), rules=rules)
    assert people.scores.tolist() == pytest.approx([0.5, 0.4])

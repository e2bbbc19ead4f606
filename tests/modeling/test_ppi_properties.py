"""What pose proposals integration keeps, whatever the proposals are."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from lcrnet_d2.modeling import Rules, integrate_pose_proposals, suppress_pose_proposals

EVERYONE = Rules(all_modes=True, min_seed_score=0.0, min_mode_score=0.0)


def scene(seed: int, count: int = 30) -> tuple[Tensor, Tensor, Tensor]:
    """Scores, 2D and 3D poses of proposals around three people."""
    g = torch.Generator().manual_seed(seed)
    who = torch.randint(3, (count,), generator=g)
    base_2d = 300 * torch.rand(3, 1, 2, generator=g) + 60 * torch.rand(3, 13, 2, generator=g)
    base_3d = 0.3 * torch.randn(3, 13, 3, generator=g)
    return (
        torch.rand(count, generator=g).double(),
        (base_2d[who] + 8 * torch.rand(count, 13, 2, generator=g)).double(),
        (base_3d[who] + 0.15 * torch.randn(count, 13, 3, generator=g)).double(),
    )


@settings(max_examples=25)
@given(seed=st.integers(0, 1000), grow=st.sampled_from([0.25, 1.0, 8.0]), move=st.integers(-500, 500))
def test_people_move_and_grow_with_their_proposals(seed: int, grow: float, move: int) -> None:
    """Powers of two, so that overlaps are the same bit for bit; a common shift of 3D changes no distance."""
    scores, poses_2d, poses_3d = scene(seed)
    before = integrate_pose_proposals(scores, poses_2d, poses_3d, None, rules=EVERYONE)
    after = integrate_pose_proposals(scores, grow * poses_2d + move, poses_3d + 2.0, None, rules=EVERYONE)
    assert torch.equal(after.members, before.members) and torch.equal(after.seeds, before.seeds)
    torch.testing.assert_close(after.poses_2d, grow * before.poses_2d + move)
    torch.testing.assert_close(after.poses_3d, before.poses_3d + 2.0)


@settings(max_examples=25)
@given(seed=st.integers(0, 1000), iou=st.floats(0, 1), t_3d=st.floats(0, 2))
def test_everyone_is_a_mean_of_members_and_every_proposal_counts(seed: int, iou: float, t_3d: float) -> None:
    scores, poses_2d, poses_3d = scene(seed)
    out = integrate_pose_proposals(
        scores, poses_2d, poses_3d, None, rules=replace(EVERYONE, iou_threshold=iou, t_3d=t_3d)
    )
    assert set(out.members[1].tolist()) == set(range(len(scores)))  # no score is 0, no mode is left out
    assert out.scores.tolist() == sorted(out.scores.tolist(), reverse=True)
    for person in range(len(out.scores)):
        mine = out.members[1, out.members[0] == person]
        assert out.scores[person].item() == pytest.approx(scores[mine].sum().item())
        for mean, poses in ((out.poses_2d[person], poses_2d[mine]), (out.poses_3d[person], poses_3d[mine])):
            assert (mean >= poses.amin(0) - 1e-9).all() and (mean <= poses.amax(0) + 1e-9).all()
        assert scores[out.seeds[person]] >= scores[mine].max()  # the group's best, whichever mode this is


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_numbers_keep_their_kind(dtype: torch.dtype) -> None:
    for out in (
        integrate_pose_proposals(*(part.to(dtype) for part in scene(0)), (400, 400)),
        suppress_pose_proposals(*(part.to(dtype) for part in scene(0)), (400, 400)),
    ):
        assert {out.scores.dtype, out.poses_2d.dtype, out.poses_3d.dtype} == {dtype}


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 1e38, -1e38])
@pytest.mark.parametrize("part", [0, 1, 2], ids=["score", "2D", "3D"])
@pytest.mark.parametrize("image_size", [None, (400, 2000)])
def test_a_proposal_that_is_no_number_spares_the_people_elsewhere(
    bad: float, part: int, image_size: tuple[int, int] | None
) -> None:
    """Two people 1,000 px apart; a proposal of the first is spoilt in one coordinate or in its score."""
    here, there = scene(1, 8), scene(2, 8)
    there = (there[0], there[1] + torch.tensor([1000.0, 0.0]), there[2])
    alone = integrate_pose_proposals(*there, image_size, rules=EVERYONE)
    here[part].view(8, -1)[3, 0] = bad
    both = integrate_pose_proposals(
        *(torch.cat(pair) for pair in zip(here, there, strict=True)), image_size, rules=EVERYONE
    )
    untouched = both.seeds >= 8
    torch.testing.assert_close(both.scores[untouched], alone.scores)
    torch.testing.assert_close(both.poses_2d[untouched], alone.poses_2d)
    torch.testing.assert_close(both.poses_3d[untouched], alone.poses_3d)

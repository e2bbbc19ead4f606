"""Pose proposals integration (Sec. 3.5): many scored proposals in, one pose per person out.

    proposal_groups.py      proposals of one place in the image
    find_modes              proposals of one group and one 3D pose      Eq. 6
    integrate_pose_proposals: score-weighted mean of each mode          Eq. 7
    integrate_batch         the same of several images at once
    suppress_pose_proposals: the best proposal of each group            the NMS it is compared with

Shapes: P pose proposals, J joints, G groups, N people, M memberships (a proposal may be in several
modes). No loop runs over proposals or groups; `find_modes` makes one round per mode of the richest
group. 2D in px, 3D in metres.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from .proposal_groups import group_by_overlap

# Poses compared at a time: 4,096 of 39 numbers stay in a core's cache, a quarter less time than all 50,000 at once.
_BLOCK = 4096

__all__ = ["PosesInImage", "ScoredPoses", "integrate_batch", "integrate_pose_proposals", "suppress_pose_proposals"]


class PosesInImage(NamedTuple):
    """The N people of an image, best score first; ties go to the lowest seed.

    scores: (N,) S of Eq. 7, a sum of probabilities that may exceed 1 (NMS: the seed's probability).
    poses_2d: (N, J, 2) px; poses_3d: (N, J, 3) m.
    seeds: (N,) index of the group's best-scored proposal: the pose NMS would give.
    groups: (N,) which group a person comes from; several modes of one group share it.
    members: (2, M) person and proposal index of everything that was averaged, person by person.
    """

    scores: Tensor
    poses_2d: Tensor
    poses_3d: Tensor
    seeds: Tensor
    groups: Tensor
    members: Tensor


class ScoredPoses(NamedTuple):
    """The pose proposals of one image, as PPI needs them; the same arguments as `integrate_pose_proposals`'s."""

    scores: Tensor
    poses_2d: Tensor
    poses_3d: Tensor
    image_size: tuple[int, int] | None
    is_upper_body: Tensor | None = None


class _Modes(NamedTuple):
    """members: (2, M) mode and proposal index. groups, scores: (modes,) group and S of each mode."""

    members: Tensor
    groups: Tensor
    scores: Tensor


def integrate_pose_proposals(
    scores: Tensor,
    poses_2d: Tensor,
    poses_3d: Tensor,
    image_size: tuple[int, int] | None,
    is_upper_body: Tensor | None = None,
    lower_body_joints: Sequence[int] = (),
    *,
    iou_threshold: float = 0.2,
    t_3d: float = 0.3,
    all_modes: bool = False,
    min_seed_score: float = 0.05,
    min_mode_score: float = 0.002,
    lower_body_weight: float = 0.1,
) -> PosesInImage:
    """Pose proposals integration of one image, Eq. 6 and 7.

    The defaults are the rules of the released models; the paper's own text is
    `image_size=None, all_modes=True, min_seed_score=0, min_mode_score=0, lower_body_weight=1`, of all proposals
    (MIN_PROPOSAL_SCORE 0).

    Args:
        scores: (P,) probabilities s of the proposals.
        poses_2d: (P, J, 2) px.
        poses_3d: (P, J, 3) m, relative to the body centre.
        image_size: (H, W) px; the boxes around the 2D joints are clipped to it before they are
            compared. None: not clipped.
        is_upper_body: (P,) bool, proposals of upper-body classes (Sec. 4.2); None if there are none.
        lower_body_joints: joints an upper-body class has no evidence for (knees and ankles).
        iou_threshold: proposals whose boxes overlap the seed's by more belong to its group.
        t_3d: T_3D of Eq. 6, metres.
        all_modes: every mode of a group is a person; otherwise its best-scored mode alone.
        min_seed_score: a group's second and later modes need a seed of at least this score.
        min_mode_score: a person needs S above this.
        lower_body_weight: weight in Eq. 7 of an upper-body class's proposal for `lower_body_joints`.

    Returns:
        The people; the same on CPU and GPU within rounding.
    """
    image = ScoredPoses(scores, poses_2d, poses_3d, image_size, is_upper_body)
    (people,) = integrate_batch(
        [image],
        lower_body_joints,
        iou_threshold=iou_threshold,
        t_3d=t_3d,
        all_modes=all_modes,
        min_seed_score=min_seed_score,
        min_mode_score=min_mode_score,
        lower_body_weight=lower_body_weight,
    )
    return people


def integrate_batch(
    images: Sequence[ScoredPoses],
    lower_body_joints: Sequence[int] = (),
    *,
    iou_threshold: float,
    t_3d: float,
    all_modes: bool,
    min_seed_score: float,
    min_mode_score: float,
    lower_body_weight: float,
) -> list[PosesInImage]:
    """`integrate_pose_proposals` of several images: grouped one by one, then as if they were one image.

    Args:
        images: at least one; all with upper-body classes or none. The rest as in `integrate_pose_proposals`.
    """
    groupings = [group_by_overlap(i.scores, i.poses_2d, i.image_size, iou_threshold) for i in images]
    starts = _starts([len(i.scores) for i in images])
    group_starts = _starts([len(seeds) for _, seeds in groupings])
    group_of = torch.cat([group_of + n for (group_of, _), n in zip(groupings, group_starts, strict=False)])
    seeds = torch.cat([seeds + n for (_, seeds), n in zip(groupings, starts, strict=False)])
    scores = _joined([image.scores for image in images])
    poses_2d = _joined([image.poses_2d for image in images])
    poses_3d = _joined([image.poses_3d for image in images])
    modes = find_modes(scores, poses_3d, group_of, seeds, t_3d, min_seed_score)
    people = _selected_modes(modes, len(seeds), all_modes, min_mode_score)
    members = _members_of(modes, people)
    weights = scores[members[1]]
    mean_2d = _weighted_mean(poses_2d, weights, members, len(people))
    mean_3d = _weighted_mean(poses_3d, weights, members, len(people))
    upper = [image.is_upper_body for image in images if image.is_upper_body is not None]
    if upper and lower_body_joints and lower_body_weight != 1:
        weights = torch.where(torch.cat(upper)[members[1]], lower_body_weight * weights, weights)
        legs = list(lower_body_joints)
        mean_2d[:, legs] = _weighted_mean(poses_2d[:, legs], weights, members, len(people))
        mean_3d[:, legs] = _weighted_mean(poses_3d[:, legs], weights, members, len(people))
    groups = modes.groups[people]
    everyone = PosesInImage(modes.scores[people], mean_2d, mean_3d, seeds[groups], groups, members)
    return _by_image(everyone, starts, group_starts)


def _joined(tensors: list[Tensor]) -> Tensor:
    """torch.cat, but a single tensor is not copied: a tenth of the time of 50,000 proposals."""
    return tensors[0] if len(tensors) == 1 else torch.cat(tensors)


def _starts(counts: list[int]) -> list[int]:
    """Where each of consecutive runs of so many starts, and where the last ends."""
    return [0, *accumulate(counts)]


def _by_image(everyone: PosesInImage, starts: list[int], group_starts: list[int]) -> list[PosesInImage]:
    """The people of each image, whose proposals and groups start at these numbers; members are person by person."""
    if len(starts) == 2:
        return [everyone]
    out = []
    image_of = torch.bucketize(everyone.groups, everyone.groups.new_tensor(group_starts[1:]), right=True)
    for image, (first, first_group) in enumerate(zip(starts[:-1], group_starts[:-1], strict=True)):
        mine = image_of == image
        members = everyone.members[:, mine[everyone.members[0]]]
        members = torch.stack([(mine.cumsum(0) - 1)[members[0]], members[1] - first])
        scores, poses_2d, poses_3d, seeds, groups = (of_all[mine] for of_all in everyone[:5])
        out.append(PosesInImage(scores, poses_2d, poses_3d, seeds - first, groups - first_group, members))
    return out


def suppress_pose_proposals(
    scores: Tensor,
    poses_2d: Tensor,
    poses_3d: Tensor,
    image_size: tuple[int, int] | None,
    *,
    iou_threshold: float = 0.2,
) -> PosesInImage:
    """Non-maximum suppression: the best-scored proposal of each group of `integrate_pose_proposals`."""
    _, seeds = group_by_overlap(scores, poses_2d, image_size, iou_threshold)
    groups = torch.arange(len(seeds), device=scores.device)
    return PosesInImage(scores[seeds], poses_2d[seeds], poses_3d[seeds], seeds, groups, torch.stack([groups, seeds]))


def find_modes(
    scores: Tensor, poses_3d: Tensor, group_of: Tensor, seeds: Tensor, t_3d: float, min_seed_score: float
) -> _Modes:
    """Splits every group into modes of 3D pose, all groups at once, best uncovered proposal first (Eq. 6).

    A mode is every proposal of its group nearer than `t_3d` to the mode's seed, also those that
    an earlier mode covered. `group_of` and `seeds` as `group_by_overlap` returns them.
    """
    num_groups, joints = len(seeds), poses_3d.shape[1]
    flat = poses_3d.flatten(1)
    # Adding up the squares of x, y and z is a product with this matrix, which needs no strided sum over 3 neighbours.
    add_xyz = torch.eye(joints, device=flat.device, dtype=flat.dtype).repeat_interleave(3, 0)  # (3J, J)
    uncovered = torch.ones_like(group_of, dtype=torch.bool)
    rows = torch.arange(len(scores), device=scores.device)  # proposals of the groups that open another mode
    found: list[tuple[Tensor, Tensor]] = []  # per round: proposals that are members, their groups
    while len(rows):
        groups = group_of[rows]
        near = (_distance_to_seeds(flat, rows, seeds, groups, add_xyz) < t_3d) | (rows == seeds[groups])
        members = rows[near]
        uncovered[members] = False
        found.append((members, groups[near]))
        waiting = rows[uncovered[rows]]
        seeds = _best_of_groups(scores, waiting, group_of[waiting], num_groups)
        opens = (seeds >= 0) & (scores[seeds] >= min_seed_score)
        rows = rows[opens[groups]]
    return _number_modes(found, num_groups, scores)


def _best_of_groups(scores: Tensor, rows: Tensor, groups: Tensor, num_groups: int) -> Tensor:
    """(G,) the best-scored of the proposals `rows` (n,) in each group, ties to the lowest index; -1 where none is."""
    scores = scores[rows]
    top = scores.new_full((num_groups,), -torch.inf).scatter_reduce_(0, groups, scores, "amax")
    is_top = scores == top[groups]
    best = rows.new_full((num_groups,), -1)
    return best.scatter_reduce_(0, groups[is_top], rows[is_top], "amin", include_self=False)


def _distance_to_seeds(flat: Tensor, rows: Tensor, seeds: Tensor, groups: Tensor, add_xyz: Tensor) -> Tensor:
    """(n,) D between the proposals `rows` (n,) and the seed (G,) of the group (n,) each is in; `flat` is (P, 3J)."""
    seed_poses, mean = flat[seeds], flat.new_full((add_xyz.shape[1],), 1 / add_xyz.shape[1])
    distances = [
        ((flat.index_select(0, r) - seed_poses.index_select(0, g)).square_() @ add_xyz).sqrt_() @ mean
        for r, g in zip(rows.split(_BLOCK), groups.split(_BLOCK), strict=True)
    ]
    return torch.cat(distances)


def _number_modes(found: list[tuple[Tensor, Tensor]], num_groups: int, scores: Tensor) -> _Modes:
    """Numbers the modes of all rounds from 0, round by round, and sums their scores."""
    if not found:
        nothing = torch.zeros(0, dtype=torch.long, device=scores.device)
        return _Modes(nothing.new_zeros((2, 0)), nothing, scores.new_zeros(0))
    keys = torch.cat([groups + number * num_groups for number, (_, groups) in enumerate(found)])
    proposals = torch.cat([members for members, _ in found])
    sums = scores.new_zeros(len(found) * num_groups).index_add_(0, keys, scores.index_select(0, proposals))
    used = torch.zeros_like(sums, dtype=torch.bool)
    used[keys] = True
    numbers = used.cumsum(0) - 1
    return _Modes(torch.stack([numbers[keys], proposals]), used.nonzero()[:, 0] % num_groups, sums[used])


def _selected_modes(modes: _Modes, num_groups: int, all_modes: bool, min_mode_score: float) -> Tensor:
    """(N,) modes that are people, best score first, ties to the lowest group."""
    chosen = torch.argsort(modes.groups, stable=True)
    chosen = chosen[torch.argsort(modes.scores[chosen], descending=True, stable=True)]
    if not all_modes:
        place = torch.arange(len(chosen), device=chosen.device)
        first = torch.full((num_groups,), len(chosen), device=chosen.device)
        first.scatter_reduce_(0, modes.groups[chosen], place, "amin")
        chosen = chosen[place == first[modes.groups[chosen]]]
    return chosen[modes.scores[chosen] > min_mode_score]


def _members_of(modes: _Modes, people: Tensor) -> Tensor:
    """(2, M) person and proposal of the selected modes, person by person."""
    person_of = torch.full_like(modes.groups, -1)
    person_of[people] = torch.arange(len(people), device=people.device)
    persons = person_of[modes.members[0]]
    members = torch.stack([persons, modes.members[1]])[:, persons >= 0]
    return members[:, torch.argsort(members[0], stable=True)]


def _weighted_mean(poses: Tensor, weights: Tensor, members: Tensor, num_people: int) -> Tensor:
    """(N, J, d) mean of (P, J, d) poses over the members of each person, weights (M,) (Eq. 7).

    A person whose weights are all zero gets the plain mean.
    """
    persons, proposals = members
    counts = torch.bincount(persons, minlength=num_people)
    totals = weights.new_zeros(num_people).index_add_(0, persons, weights)[persons]
    shares = torch.where(totals > 0, weights / totals, 1 / counts[persons]).to(poses)
    # Sums of weighted rows without making the (M, J, d) rows: a quarter of the time.
    first_members = counts.cumsum(0) - counts
    means = F.embedding_bag(proposals, poses.flatten(1), first_members, mode="sum", per_sample_weights=shares)
    return means.view(-1, *poses.shape[1:])

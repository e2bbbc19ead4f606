"""Pose proposals integration (Sec. 3.5): many scored proposals in, one pose per person out.

    _group              proposals of one place in the image, around the best of them
    _find_modes         proposals of one group and one 3D pose form a mode       Eq. 6
    _select             the modes that are people
    _average            the score-weighted mean of each mode                     Eq. 7

All images of a batch go through each step together, every group of every image advancing one mode per round.

Shapes: B images, P pose proposals of the batch, n of the image that has most, J joints, G groups of the image that has
most, N people, M memberships (a proposal may be in several modes). 2D in px, 3D in metres.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from detectron2.config import CfgNode
from torch import Tensor
from torch.nn import functional as F

from ..structures import paired_distance
from .batches import first_rows, pad_rows, row_numbers
from .suppression import first_overlapping, suppress

__all__ = [
    "PAPER_RULES",
    "PosesInImage",
    "Rules",
    "integrate",
    "integrate_pose_proposals",
    "pose_boxes",
    "suppress_pose_proposals",
]

#: px, shortest side of a box: of one that is clipped to a line or a point the IoU with itself is 1, not 0 / 0.
_LEAST_SIDE = 2.0**-6
#: Poses compared at a time: 39 numbers each, which stay in the cache of a CPU's core.
_POSES = 8192


@dataclass(frozen=True)
class Rules:
    """The rules of the integration; by default those of the released models.

    The paper's own text is `PAPER_RULES`, of all proposals (MIN_PROPOSAL_SCORE 0).

    Attributes:
        t_3d: T_3D of Eq. 6, metres.
        iou_threshold: proposals whose boxes around the 2D joints overlap the seed's by more belong to its group.
        clip_boxes: to the image, before they are compared.
        all_modes: every mode of a group is a person; otherwise its best-scored mode alone.
        min_seed_score: a group's second and later modes need a seed of at least this score.
        min_mode_score: a person needs S above this.
        lower_body_weight: weight in Eq. 7 of an upper-body class's proposal for knees and ankles.
    """

    t_3d: float = 0.3
    iou_threshold: float = 0.2
    clip_boxes: bool = True
    all_modes: bool = False
    min_seed_score: float = 0.05
    min_mode_score: float = 0.002
    lower_body_weight: float = 0.1

    @classmethod
    def of_config(cls, cfg: CfgNode) -> Rules:
        """Those that the network of this config integrates by."""
        node = cfg.MODEL.LCRNET.INTEGRATION
        names = {"iou_threshold": "IOU_THRESH"}
        return cls(**{name: node[names.get(name, name.upper())] for name in cls.__dataclass_fields__})

    @property
    def suppression(self) -> Rules:
        """The non-maximum suppression that PPI is compared with: of each group the seed, and no second mode."""
        return replace(self, t_3d=0.0, all_modes=False, min_seed_score=math.inf, min_mode_score=-math.inf)


PAPER_RULES = Rules(clip_boxes=False, all_modes=True, min_seed_score=0.0, min_mode_score=0.0, lower_body_weight=1.0)


class PosesInImage(NamedTuple):
    """The N people of a batch, image by image and best score first; ties go to the lowest seed.

    scores: (N,) S of Eq. 7, a sum of probabilities that may exceed 1.
    poses_2d: (N, J, 2) px; poses_3d: (N, J, 3) m.
    seeds: (N,) index of the group's best-scored proposal: the pose NMS would give.
    groups: (N,) which group of its image a person comes from; several modes of one group share it.
    members: (2, M) person and proposal index of everything that was averaged, person by person.
    counts: how many people each image has.
    """

    scores: Tensor
    poses_2d: Tensor
    poses_3d: Tensor
    seeds: Tensor
    groups: Tensor
    members: Tensor
    counts: list[int]


def integrate_pose_proposals(
    scores: Tensor,
    poses_2d: Tensor,
    poses_3d: Tensor,
    image_size: tuple[int, int] | None,
    is_upper_body: Tensor | None = None,
    lower_body_joints: Sequence[int] = (),
    rules: Rules | None = None,
) -> PosesInImage:
    """Integrates the proposals of one image, as `integrate` those of a batch.

    Args:
        image_size: (H, W) px that boxes are clipped to if the rules say so; None: they are not.
        is_upper_body: (P,) bool; None if there are no upper-body classes.
        lower_body_joints: knees and ankles. The rest as in `integrate`.
        rules: by default those of the released models.
    """
    rules = rules or Rules()
    limits = None
    if image_size is not None and rules.clip_boxes:
        limits = poses_2d.new_tensor(image_size[::-1]).expand(len(scores), -1)
    boxes = pose_boxes(poses_2d, limits)
    return integrate(scores, poses_2d, poses_3d, boxes, [len(scores)], rules, is_upper_body, lower_body_joints)


def suppress_pose_proposals(
    scores: Tensor, poses_2d: Tensor, poses_3d: Tensor, image_size: tuple[int, int] | None, rules: Rules | None = None
) -> PosesInImage:
    """Non-maximum suppression: the best-scored proposal of each group of `integrate_pose_proposals`."""
    return integrate_pose_proposals(scores, poses_2d, poses_3d, image_size, rules=(rules or Rules()).suppression)


def pose_boxes(poses_2d: Tensor, limits: Tensor | None) -> Tensor:
    """(P, 4) px around the joints of (P, J, 2), clipped to limits (P, 2), width and height, or not."""
    by_joint = poses_2d.flatten(1).T.contiguous().view(*poses_2d.shape[1:], -1)  # (J, 2, P): twice as fast
    low, high = by_joint.amin(0), by_joint.amax(0)
    if limits is not None:
        low, high = (corner.clamp(min=0).minimum(limits.T) for corner in (low, high))
    return torch.cat([low, high.maximum(low + _LEAST_SIDE)]).T


def integrate(
    scores: Tensor,
    poses_2d: Tensor,
    poses_3d: Tensor,
    boxes: Tensor,
    counts: Sequence[int],
    rules: Rules,
    is_upper_body: Tensor | None = None,
    lower_body_joints: Sequence[int] = (),
) -> PosesInImage:
    """Integrates the proposals of a batch, Eq. 6 and 7; the same on CPU and GPU within rounding.

    Waits for the device twice, and in each round of suppression and of modes once.

    Args:
        scores: (P,) probabilities s; poses_2d: (P, J, 2) px; poses_3d: (P, J, 3) m, relative to the body centre.
        boxes: (P, 4) px, of `pose_boxes`; counts: how many proposals each image has.
        is_upper_body: (P,) bool, proposals of upper-body classes (Sec. 4.2), without evidence for lower_body_joints.
    """
    rows, group_of, seeds = _group(scores, boxes, counts, rules.iou_threshold)
    modes = sums, *_ = _find_modes(scores[rows], poses_3d, rows, group_of, seeds.numel(), rules)
    people, people_counts, members = _select(modes, rows, len(counts), seeds.shape[1], rules)
    weights = scores[members[1]]
    mean_2d, mean_3d = (_average(poses, weights, members, len(people)) for poses in (poses_2d, poses_3d))
    legs = list(lower_body_joints)
    if is_upper_body is not None and legs and rules.lower_body_weight != 1:
        weights = torch.where(is_upper_body[members[1]], rules.lower_body_weight * weights, weights)
        mean_2d[:, legs] = _average(poses_2d[:, legs], weights, members, len(people))
        mean_3d[:, legs] = _average(poses_3d[:, legs], weights, members, len(people))
    groups = people // sums.shape[1]
    group_numbers = groups % max(1, seeds.shape[1])
    scores = sums.flatten()[people]
    return PosesInImage(scores, mean_2d, mean_3d, seeds.flatten()[groups], group_numbers, members, people_counts)


def _group(scores: Tensor, boxes: Tensor, counts: Sequence[int], iou_threshold: float) -> tuple[Tensor, Tensor, Tensor]:
    """Greedy grouping: the best remaining proposal of an image, the seed, takes all remaining ones that overlap it.

    Returns:
        rows (P,), the proposals image by image and best first; the group (P,) of each of these, groups of image b
        counting from b * G in order of their seeds' scores; (B, G) the seed of each group.
    """
    numbers, there = row_numbers(counts, scores.device)
    scores = torch.where(scores.isnan(), -torch.inf, scores)
    places = F.pad(scores, [0, 1], value=-torch.inf)[numbers].sort(dim=1, descending=True, stable=True).indices
    best_first = numbers.gather(1, places)
    boxes = pad_rows(boxes.float(), best_first)
    # Suppression by IoU keeps exactly the seeds: its result does not depend on who joins whom. `nms` compares in double
    # precision, so the threshold is rounded: an IoU of float32(0.2) must not be above it there and not above it below.
    iou_threshold = float(np.float32(iou_threshold))
    is_seed = suppress(boxes, there, iou_threshold)
    number = is_seed.cumsum(1) - 1
    most = int(is_seed.sum(1).max())
    seed_places = torch.zeros(len(boxes), most + 1, dtype=torch.long, device=boxes.device)
    place = torch.arange(boxes.shape[1], device=boxes.device).expand_as(number)
    seed_places = seed_places.scatter_(1, torch.where(is_seed, number, most), place)[:, :most]
    joined = first_overlapping(boxes, boxes.gather(1, seed_places[..., None].expand(-1, -1, 4)), iou_threshold)
    group_of = torch.where(is_seed, number, joined) + most * torch.arange(len(boxes), device=boxes.device)[:, None]
    rows, group_of = (first_rows(table, counts) for table in (best_first, group_of))
    return rows, group_of, best_first.gather(1, seed_places)


def _find_modes(
    scores: Tensor, poses_3d: Tensor, rows: Tensor, group_of: Tensor, num_groups: int, rules: Rules
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Splits every group into modes of 3D pose, all groups at once, best uncovered proposal first (Eq. 6).

    A mode is every proposal of its group nearer than T_3D to the mode's seed, also those that an earlier mode covered.

    Args:
        scores, group_of: (P,) of the proposals `rows`, image by image and best first.

    Returns:
        sums (B * G, r), S of each mode, one per round and group, -inf where a group opened none; and, (m,) each, places
        of proposals in order, modes each was compared with, whether it is a member.
    """
    nobody = len(scores)
    uncovered = torch.ones_like(scores, dtype=torch.bool)
    places, found = torch.arange(nobody, device=scores.device), []
    while len(places) or not found:
        groups = group_of[places]
        waiting = torch.where(uncovered[places], places, nobody)
        seeds = waiting.new_full((num_groups,), nobody).scatter_reduce_(0, groups, waiting, "amin")
        if found:  # others than the first mode of a group need a seed of some score; NaN: no seed is left
            opens = F.pad(scores, [0, 1], value=torch.nan)[seeds] >= rules.min_seed_score
            still = opens[groups].nonzero()[:, 0]
            places, groups = places[still], groups[still]
        of_seeds = poses_3d.index_select(0, rows[seeds.clamp(max=nobody - 1)])
        blocks = zip(rows[places].split(_POSES), groups.split(_POSES), strict=True)
        distances = [paired_distance(poses_3d.index_select(0, p), of_seeds.index_select(0, g)) for p, g in blocks]
        near = (torch.cat(distances) < rules.t_3d) | (places == seeds[groups])
        uncovered[places] &= ~near
        found.append((places, groups, near))
    modes = torch.cat([groups * len(found) + number for number, (_, groups, _) in enumerate(found)])
    places, _, near = (torch.cat(of_rounds) for of_rounds in zip(*found, strict=True))
    sums = scores.new_zeros(num_groups * len(found)).index_add_(0, modes, torch.where(near, scores[places], 0.0))
    opened = torch.zeros_like(sums).index_add_(0, modes, near.to(sums)) > 0
    return torch.where(opened, sums, -torch.inf).view(num_groups, len(found)), places, modes, near


def _select(
    found: tuple[Tensor, Tensor, Tensor, Tensor], rows: Tensor, num_images: int, groups_of_image: int, rules: Rules
) -> tuple[Tensor, list[int], Tensor]:
    """Which modes that `_find_modes` found are people (N,), image by image, best score first, ties to the lowest group.

    Beside them how many each image has, and members (2, M), person and proposal.
    """
    sums, places, modes, near = found
    chosen = sums > rules.min_mode_score
    if not rules.all_modes:
        is_best = sums == sums.amax(1, keepdim=True)
        chosen &= is_best & (is_best.cumsum(1) == 1)
    images = torch.arange(chosen.numel(), device=rows.device) // max(1, groups_of_image * chosen.shape[1])
    images = torch.where(chosen.flatten(), images, num_images)
    in_order = sums.flatten().argsort(descending=True, stable=True)
    in_order = in_order[images[in_order].argsort(stable=True)]
    of_images = (images[:, None] == torch.arange(num_images, device=rows.device)).sum(0)
    is_member = near & chosen.flatten()[modes]
    *counts, num_members = torch.cat([of_images, is_member.sum()[None]]).tolist()
    people = in_order[: sum(counts)]
    person_of = torch.zeros_like(images).scatter_(0, people, torch.arange(len(people), device=rows.device))
    persons = torch.where(is_member, person_of[modes], len(people))
    by_person = persons.argsort(stable=True)[:num_members]
    return people, counts, torch.stack([persons[by_person], rows[places[by_person]]])


def _average(poses: Tensor, weights: Tensor, members: Tensor, num_people: int) -> Tensor:
    """(N, J, d) mean of (P, J, d) poses over the members of each person, weights (M,) (Eq. 7).

    A person whose weights are all zero gets the plain mean.
    """
    persons, proposals = members
    counts = persons.new_zeros(num_people).index_add_(0, persons, torch.ones_like(persons))
    totals = weights.new_zeros(num_people).index_add_(0, persons, weights)[persons]
    shares = torch.where(totals > 0, weights / totals, 1 / counts[persons]).to(poses)
    # Sums of weighted rows without making the (M, J, d) rows: a quarter of the time.
    first_members = counts.cumsum(0) - counts
    means = F.embedding_bag(proposals, poses.flatten(1), first_members, mode="sum", per_sample_weights=shares)
    return means.view(-1, *poses.shape[1:])

"""Moves the joints of integrated people (Sec. 3.5) to where heat maps see them, and scores people by what is seen.

A joint's integrated place m is the prior, the heat map the evidence. It goes to the most probable cell c, the maximum a
posteriori, and by the cell's offset from there:

    c* = argmax  log h(c) - |c - m|^2 / (2 sigma^2),    sigma = max(spread of PPI's mode, MIN_DEVIATION * size)

each axis with its own spread; the person's size is 1.2 sqrt(area of the box around its joints). Cells count whose heat
h is at least MIN_HEAT and which lie within three sigma. A joint without any, as one that is hidden or outside the
image, stays where regression and integration put it. 3D poses are left alone.

A peak is one joint of one person. Two people whose joints go to places nearer than a peak is wide (4 cells) want the
same one: it goes to the one that would lose more by its next best elsewhere (log odds times the person's score), and
the other looks again, away from that place.

A face, a dog or a coat may get as many pose proposals as a person, and so as high an S (Eq. 7). Heat maps see few
joints of theirs. With the mean heat h of the cells that a person's joints go to, over all joints in the image, 0 for
one that stays,

    S' = S (h / USUAL_HEAT)^2

is the person's score; with USUAL_HEAT 0 it stays S.

Shapes: B images, N people of all of them, n of the image that has most, J joints, W cells of a window.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from detectron2.structures import Boxes, Instances
from torch import Tensor

from ..structures import joint_box
from .batches import first_rows, image_numbers, pad_rows, row_numbers
from .joint_heat_maps import STRIDE, JointMaps

__all__ = ["RefinementRules", "refine_instances", "refine_joints"]

#: Standard deviations of the prior beyond which heat is another's.
_REACH = 3.0
#: How often those who lose a peak look again; then they stay. Duplicates of one person would look all around.
_LOOKS = 3
#: Cells from a peak to where little is left of it (modeling/joint_heat_maps.py: at most 1.5 of standard deviation).
_PEAK_RADIUS = 4


class RefinementRules(NamedTuple):
    """MODEL.LCRNET.JOINT_REFINEMENT. min_deviation: share of the person's size; min_heat, usual_heat: in [0, 1]."""

    min_deviation: float = 0.12
    min_heat: float = 0.03
    usual_heat: float = 0.0


def refine_instances(people: list[Instances], maps: JointMaps, rules: RefinementRules) -> list[Instances]:
    """People whose `pred_keypoints` and `pred_boxes` are those of the refined joints, and their `scores` S'.

    What PPI gave is kept as `pred_integrated_scores` (N,), S, and `pred_integrated_keypoints` (N, J, 2), in parts of
    the image's width and height so that `detector_postprocess` need not know it. The order of people stays.
    `pred_joint_heats` (N, J) is the heat where joints went, 0 of those that stay.

    Args:
        people: per image pred_keypoints (N, J, 3) px, pred_spreads_2d (N, J, 2) in parts of its size, scores (N,).
        maps: of the same images.
    """
    counts = [len(found) for found in people]
    keypoints, spreads, scores = (
        torch.cat([found.get(name) for found in people]) for name in ("pred_keypoints", "pred_spreads_2d", "scores")
    )
    sizes = keypoints.new_tensor([found.image_size[::-1] for found in people])
    sizes = sizes[image_numbers(counts, sizes.device)][:, None]
    refined, heat = refine_joints(keypoints[..., :2], spreads * sizes, scores, counts, maps, rules)
    fields = {
        "scores": scores * _evidence(refined, heat, sizes, rules),
        "pred_integrated_scores": scores,
        "pred_integrated_keypoints": keypoints[..., :2] / sizes,
        "pred_keypoints": torch.cat([refined, keypoints[..., 2:]], -1),
        "pred_joint_heats": heat,
        "pred_boxes": joint_box(refined),
    }
    for name, values in fields.items():
        for found, of_image in zip(people, values.split(counts), strict=True):
            found.set(name, Boxes(of_image) if name == "pred_boxes" else of_image)
    return people


def refine_joints(
    poses: Tensor, spreads: Tensor, scores: Tensor, counts: Sequence[int], maps: JointMaps, rules: RefinementRules
) -> tuple[Tensor, Tensor]:
    """The joints (N, J, 2) px of people, moved as the module says; the heat (N, J) where they go, 0 where they stay.

    Args:
        poses: (N, J, 2) px, integrated; so many (counts) of each image, one image after the other.
        spreads: (N, J, 2) px, standard deviations of what was integrated.
        scores: (N,) S of Eq. 7.
        maps: of the B images.
    """
    if not len(poses):
        return poses, poses[..., 0]
    images = image_numbers(counts, poses.device)
    log_odds, origins, steps = _log_posteriors(poses, spreads, images, maps.heat, rules)
    best, index = log_odds.max(2)
    numbers, _ = row_numbers(counts, poses.device)
    least = math.log(rules.min_heat) - 0.5 * _REACH**2  # of what counts: staying is worth no more
    for looks_left in reversed(range(_LOOKS)):
        places = origins + steps[index]
        of_images = pad_rows(places, numbers)
        rivals = _rivals(pad_rows(best.isfinite(), numbers), of_images)
        person, joint = first_rows(rivals.any(2), counts).nonzero(as_tuple=True)
        if not len(person):
            break
        mine, cells = log_odds[person, joint], origins[person, joint][:, None] + steps
        elsewhere = mine.masked_fill(_near(places[person, joint][:, None], cells), -torch.inf).amax(1)
        loss = torch.zeros_like(best)
        loss[person, joint] = (best[person, joint] - elsewhere.clamp(min=least)) * scores[person]
        lost, winners = _outbid(rivals, pad_rows(loss, numbers))
        to_whom = of_images.gather(1, winners[..., None].expand(-1, -1, -1, 2))
        lost, to_whom = (first_rows(table, counts)[person, joint] for table in (lost, to_whom))
        near_winner = _near(to_whom[:, None], cells)
        mine = mine.masked_fill(lost[:, None] & near_winner if looks_left else lost[:, None], -torch.inf)
        log_odds[person, joint] = mine
        best[person, joint], index[person, joint] = mine.max(1)
    places = origins + steps[index]
    channels = torch.arange(poses.shape[1], device=poses.device)
    cells = (images[:, None], channels, slice(None), places[..., 1], places[..., 0])
    offsets, heat = maps.offsets[cells].float(), maps.heat[:, :, None][cells].float().sigmoid()[..., 0]
    moves = best.isfinite()
    return torch.where(moves[..., None], (places + offsets) * STRIDE, poses), torch.where(moves, heat, 0.0)


def _evidence(poses: Tensor, heat: Tensor, sizes: Tensor, rules: RefinementRules) -> Tensor:
    """(N,) (h / USUAL_HEAT)^2 of poses (N, J, 2) in images of sizes (N, 1, 2), x and y, px."""
    if rules.usual_heat == 0:
        return torch.ones_like(heat[:, 0])
    inside = ((poses >= 0) & (poses < sizes)).all(2)
    mean = (heat * inside).sum(1) / inside.sum(1).clamp(min=1)
    return (mean / rules.usual_heat).square()


def _log_posteriors(
    poses: Tensor, spreads: Tensor, images: Tensor, logits: Tensor, rules: RefinementRules
) -> tuple[Tensor, Tensor, Tensor]:
    """(N, J, W) log h - |c - m|^2 / (2 sigma^2) of the cells within reach, -inf where a joint cannot be.

    Windows have the size of the largest, at most the map's. Their cells are `origins` (N, J, 2) + `steps` (W, 2),
    x and y, both given beside. One wait, for the size.
    """
    joints, height, width = logits.shape[1:]
    sizes = 1.2 * (poses.amax(1) - poses.amin(1)).prod(1).sqrt()
    deviations = spreads.maximum(rules.min_deviation * sizes[:, None, None]).clamp(min=STRIDE / 2)
    last = torch.tensor([width, height], device=poses.device) - 1
    ends = torch.stack([poses - _REACH * deviations, poses + _REACH * deviations]).nan_to_num() / STRIDE - 0.5
    origins, far = ends.floor().clamp(min=0).minimum(last).long()
    columns, rows = (far - origins + 1).flatten(0, 1).amax(0).tolist()
    dx, dy = (torch.arange(side, device=poses.device) for side in (columns, rows))
    x, y = origins[..., :1] + dx, origins[..., 1:] + dy
    in_x, in_y = (
        torch.where(cells <= end, ((cells + 0.5) * STRIDE - middle) / deviation, torch.inf).square()
        for cells, end, middle, deviation in zip(
            (x, y), last, poses.split(1, dim=2), deviations.split(1, dim=2), strict=True
        )
    )
    distances = in_y[..., None] + in_x[..., None, :]
    channels = images[:, None] * joints + torch.arange(joints, device=images.device)
    index = (channels[..., None] * height + y.minimum(last[1]))[..., None] * width + x.minimum(last[0])[..., None, :]
    heat = logits.flatten()[index].float().sigmoid()
    seen = torch.where(heat >= rules.min_heat, heat, 0.0).log()
    log_odds = torch.where(distances <= _REACH**2, seen - 0.5 * distances, -torch.inf)
    return log_odds.flatten(2), origins, torch.stack(torch.meshgrid(dx, dy, indexing="xy"), -1).flatten(0, 1)


def _near(a: Tensor, b: Tensor) -> Tensor:
    """Whether cells (..., 2) are no further apart than a peak is wide."""
    return (a - b).square().sum(-1) <= _PEAK_RADIUS**2


def _rivals(moves: Tensor, places: Tensor) -> Tensor:
    """(B, n, n, J) bool: which two of an image's people move this joint to one peak.

    Args:
        moves: (B, n, J) bool; places: (B, n, J, 2) cells.
    """
    others = ~torch.eye(moves.shape[1], dtype=torch.bool, device=moves.device)[..., None]
    return moves[:, :, None] & moves[:, None] & others & _near(places[:, :, None], places[:, None])


def _outbid(rivals: Tensor, loss: Tensor) -> tuple[Tensor, Tensor]:
    """Whose joints lose their peak to another person (B, n, J), and to whom: the rival who would lose most by it.

    Args:
        rivals: (B, n, n, J); loss: (B, n, J). Of equal ones the first comes before the others.
    """
    mine, theirs = loss[:, :, None], loss[:, None]
    order = torch.arange(loss.shape[1], device=loss.device)
    before = rivals & ((theirs > mine) | ((theirs == mine) & (order < order[:, None])[..., None]))
    return before.any(2), torch.where(before, theirs, -torch.inf).argmax(2)

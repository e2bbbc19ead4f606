"""Moves the joints of integrated people (Sec. 3.5) to where their heat maps see them.

A joint's integrated place m is the prior, the heat map the evidence. It goes to the most probable cell c, the maximum a
posteriori, and by the cell's offset from there:

    c* = argmax  log h(c) - |c - m|^2 / (2 sigma^2),    sigma = max(spread of PPI's mode, MIN_DEVIATION * size)

each axis with its own spread; the person's size is 1.2 sqrt(area of the box around its joints). Cells count whose heat
h is at least MIN_HEAT and which lie within three sigma. A joint without any, as one that is hidden or outside the
image, stays where regression and integration put it. 3D poses are left alone.

A peak is one joint of one person. Two people whose joints go to places nearer than a peak is wide (4 cells) want the
same one: it goes to the one that would lose more by its next best elsewhere (log odds times the person's score), and
the other looks again, away from that place.

Shapes: N people of an image, J joints, h x w cells.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from detectron2.structures import Boxes, Instances
from torch import Tensor

from ..structures import joint_box
from .joint_heat_maps import STRIDE, JointMaps

__all__ = ["RefinementRules", "refine_instances", "refine_joints"]

#: Standard deviations of the prior beyond which heat is another's.
_REACH = 3.0
#: How often those who lose a peak look again; then they stay. Duplicates of one person would look all around.
_LOOKS = 3
#: Cells from a peak to where little is left of it (modeling/joint_heat_maps.py: at most 1.5 of standard deviation).
_PEAK_RADIUS = 4


class RefinementRules(NamedTuple):
    """MODEL.LCRNET.JOINT_REFINEMENT. min_deviation: share of the person's size; min_heat: in [0, 1]."""

    min_deviation: float = 0.12
    min_heat: float = 0.03


def refine_instances(people: list[Instances], maps: JointMaps, rules: RefinementRules) -> list[Instances]:
    """People whose `pred_keypoints` and `pred_boxes` are those of the refined joints.

    What PPI gave is kept as `pred_integrated_keypoints` (N, J, 2), in parts of the image's width and height so that
    `detector_postprocess` need not know it.

    Args:
        people: per image pred_keypoints (N, J, 3) px, pred_spreads_2d (N, J, 2) in parts of its size, scores (N,).
        maps: of the same images.
    """
    for found, heat, offsets in zip(people, maps.heat.float().sigmoid(), maps.offsets.float(), strict=True):
        size = heat.new_tensor(found.image_size[::-1])
        poses = found.pred_keypoints[..., :2]
        refined = refine_joints(poses, found.pred_spreads_2d * size, found.scores, heat, offsets, rules)
        found.pred_integrated_keypoints = poses / size
        found.pred_keypoints = torch.cat([refined, found.pred_keypoints[..., 2:]], -1)
        found.pred_boxes = Boxes(joint_box(refined))
    return people


def refine_joints(
    poses: Tensor, spreads: Tensor, scores: Tensor, heat: Tensor, offsets: Tensor, rules: RefinementRules
) -> Tensor:
    """(N, J, 2) px: the joints of an image's people, moved as the module says.

    Args:
        poses: (N, J, 2) px, integrated.
        spreads: (N, J, 2) px, standard deviations of what was integrated.
        scores: (N,) S of Eq. 7.
        heat: (J, h, w) in [0, 1]; offsets: (J, 2, h, w), dx and dy in cells.
    """
    if not len(poses):
        return poses
    log_odds, cells = _log_posteriors(poses, spreads, heat, rules)
    best, index = log_odds.max(2)
    for looks_left in reversed(range(_LOOKS)):
        person, joint = _sharing(best, cells[index]).nonzero(as_tuple=True)
        if not len(person):
            break
        mine = log_odds[person, joint]
        lost, near_winner = _lost(mine, cells, index[person, joint], joint, scores[person], rules)
        forbidden = lost[:, None] & near_winner if looks_left else lost[:, None]
        log_odds[person, joint] = mine = torch.where(forbidden, -torch.inf, mine)
        best[person, joint], index[person, joint] = mine.max(1)
    x, y = cells[index].long().unbind(2)
    channel = torch.arange(len(heat), device=index.device)
    places = (cells[index] + offsets[channel, :, y, x]) * STRIDE
    return torch.where(torch.isfinite(best)[..., None], places, poses)


def _log_posteriors(poses: Tensor, spreads: Tensor, heat: Tensor, rules: RefinementRules) -> tuple[Tensor, Tensor]:
    """(N, J, h * w) log h - |c - m|^2 / (2 sigma^2), -inf where a joint cannot be; the cells (h * w, 2), x and y."""
    sizes = 1.2 * (poses.amax(1) - poses.amin(1)).prod(1).sqrt()
    deviations = spreads.maximum(rules.min_deviation * sizes[:, None, None]).clamp(min=STRIDE / 2)
    y, x = (torch.arange(side, device=heat.device, dtype=heat.dtype) for side in heat.shape[1:])
    in_x = (((x + 0.5) * STRIDE - poses[..., :1]) / deviations[..., :1]).square()  # (N, J, w)
    in_y = (((y + 0.5) * STRIDE - poses[..., 1:]) / deviations[..., 1:]).square()
    distances = in_y[..., None] + in_x[..., None, :]
    seen = torch.where(heat >= rules.min_heat, heat, 0.0).log()
    log_odds = torch.where(distances <= _REACH**2, seen - 0.5 * distances, -torch.inf)
    return log_odds.flatten(2), torch.stack(torch.meshgrid(x, y, indexing="xy"), -1).flatten(0, 1)


def _near(a: Tensor, b: Tensor) -> Tensor:
    """Whether cells (..., 2) are no further apart than a peak is wide."""
    return (a - b).square().sum(-1) <= _PEAK_RADIUS**2


def _sharing(best: Tensor, places: Tensor) -> Tensor:
    """(N, J) bool: joints that move to the same peak as another person's."""
    moves = torch.isfinite(best)
    same = moves[:, None] & moves & _near(places[:, None], places)  # (N, N, J)
    return same.sum(1) > 1  # all who move share with themselves


def _lost(
    log_odds: Tensor, cells: Tensor, index: Tensor, joint: Tensor, scores: Tensor, rules: RefinementRules
) -> tuple[Tensor, Tensor]:
    """Which of C sharing joints (C,) lose their peak to another person, and the cells (C, h * w) around the winner's.

    Args:
        log_odds: (C, h * w); index: (C,) the best cell of each; joint: (C,) which joint; scores: (C,) its person's.
    """
    places = cells[index]
    near = _near(places[:, None], cells)
    best = log_odds.gather(1, index[:, None])[:, 0]
    elsewhere = torch.where(near, -torch.inf, log_odds).amax(1)
    least = math.log(rules.min_heat) - 0.5 * _REACH**2  # of what counts: staying is worth no more
    loss = (best - elsewhere.clamp(min=least)) * scores
    # (C, C): rivals for one peak, and of these, who comes before me.
    rivals = (joint[:, None] == joint) & _near(places[:, None], places)
    order = torch.arange(len(joint), device=joint.device)
    before = rivals & ((loss > loss[:, None]) | ((loss == loss[:, None]) & (order < order[:, None])))
    winner = torch.where(before, loss, -torch.inf).argmax(1)
    return before.any(1), near[winner]

"""MoveNet, the teacher of label_photos.py, with weights from its own TensorFlow.js files: people of a photo, in 2D.

The layers are those of our own networks that start from its weights (`lcrnet_d2.modeling.inverted_residuals` and
`joint_heat_maps`), with all of its heads, at the widths that the files have. MultiPose finds people and their joints,
SinglePose ("Thunder") the joints of the person in the middle of a crop, more exactly. Written from the files' graphs.

Shapes: h, w cells of 4 px; P people; J = 17 joints of COCO. Heads give (dy, dx) in cells and logits.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import NamedTuple, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lcrnet_d2.checkpoint.movenet import movenet_state
from lcrnet_d2.checkpoint.tfjs_graph import read_graph_weights
from lcrnet_d2.modeling.inverted_residuals import InvertedResidual, SamePaddedConv2d
from lcrnet_d2.modeling.joint_heat_maps import JointHead, JointMap, _Branch
from lcrnet_d2.structures import COCO17

__all__ = ["STRIDE", "MoveNet", "PeopleFound", "decode"]

STRIDE = 4
#: Sides of images are padded to multiples of it.
DIVISOR = 32

_J = len(COCO17)
_HEADS = {"center": 1, "box_scale": 2, "box_offset": 2, "kpt_heatmap": _J, "kpt_regress": 2 * _J, "kpt_offset": 2 * _J}
_STRIDES = {0: 1, 1: 2, 3: 2, 6: 2, 13: 2}  # of the blocks that begin a stage; all others have 1
_TAPS = (2, 5, 9)  # blocks whose outputs, of strides 4, 8 and 16, the pyramid takes
_PROJECTIONS = [f"blocks.{index}.project" for index in range(17)]
#: The graphs': joints below it do not count for a person's score; a joint's place before the heat map decides is a
#: Gaussian of this variance, in cells, per cell of the image's shorter side.
_SURE_JOINT, _VARIANCE = 0.127, 0.3
_LOWEST_PEAK = 0.1
_HIGHEST_PIXEL = 127.5


class PeopleFound(NamedTuple):
    """Of one image, best first: joints (P, J, 3) x, y px and score; boxes (P, 4) px; scores (P,)."""

    joints: np.ndarray
    boxes: np.ndarray
    scores: np.ndarray


class MoveNet(nn.Module):
    """(1, 3, H, W) RGB 0 to 255, sides multiples of 32 -> raw outputs of the heads by name, each (C, H / 4, W / 4)."""

    def __init__(self, model_json: str | Path) -> None:
        """
        Args:
            model_json: movenet-multipose.json, -thunder.json or -lightning.json of the TFJS models, the .bin beside it.

        Raises:
            FileNotFoundError, ValueError: no such files, or those of another model.
        """
        super().__init__()
        weights = read_graph_weights(model_json)
        heads = {name: out for name, out in _HEADS.items() if any(f"/{name}_0/" in key for key in weights)}
        try:
            state = movenet_state(weights, tuple(heads))
        except ValueError as error:
            raise ValueError(f"{model_json} is not one of MoveNet's models: {error}") from error
        norm = "FrozenBN"
        channels = [len(state[f"bottom_up.{layer}.weight"]) for layer in ("stem", *_PROJECTIONS, "last")]
        blocks = [
            InvertedResidual(i, o, kernel_size=3, stride=_STRIDES.get(k, 1), expansion=6 if k else 1, norm=norm)
            for k, (i, o) in enumerate(pairwise(channels[:-1]))
        ]
        self.bottom_up = nn.ModuleDict(
            {
                "stem": SamePaddedConv2d(3, channels[0], 3, stride=2, norm=norm, relu6=True),
                "blocks": nn.ModuleList(blocks),
                "last": SamePaddedConv2d(channels[-2], channels[-1], 1, norm=norm, relu6=True),
            }
        )
        self.joint_map = JointMap([channels[-1], *(blocks[tap].project.out_channels for tap in reversed(_TAPS))])
        self.heads = nn.ModuleDict(
            {name: _Branch(self.joint_map.channels, JointHead.WIDTH, out) for name, out in heads.items()}
        )
        self.load_state_dict(state)
        self.eval()

    @torch.inference_mode()
    def forward(self, images: Tensor) -> dict[str, Tensor]:
        x = (images / _HIGHEST_PIXEL - 1).contiguous(memory_format=torch.channels_last)
        x = self.bottom_up["stem"](x)
        taps = []
        for index, block in enumerate(cast(nn.ModuleList, self.bottom_up["blocks"])):
            x = block(x)
            if index in _TAPS:
                taps.append(x)
        x = self.joint_map([self.bottom_up["last"](x), *reversed(taps)])
        return {name: head(x)[0] for name, head in self.heads.items()}


def decode(maps: dict[str, Tensor], most: int) -> PeopleFound:
    """People of the heads' outputs: a peak of the centre map each, its joints where regression and heat map agree.

    Regression from the peak says about where a joint is; of the heat map, weighted by a Gaussian around that place and
    cut off outside the person's box, the maximum says in which cell, and the offset at that cell where in it. A
    person's score is that of the peak times the mean of the joints'. SinglePose has no boxes: joints may be anywhere.

    Args:
        maps: as `MoveNet` returns them.
        most: people.
    """
    centre = maps["center"][0].sigmoid()
    h, w = centre.shape
    peaks = centre * (centre >= F.max_pool2d(centre[None], 5, 1, 2)[0] - 1e-6)
    peak_scores, places = peaks.flatten().topk(min(most, h * w))
    places, peak_scores = places[peak_scores > _LOWEST_PEAK], peak_scores[peak_scores > _LOWEST_PEAK]
    rows, columns = places // w, places % w
    regressed = maps["kpt_regress"][:, rows, columns].view(_J, 2, -1).permute(2, 0, 1)
    y, x = rows[:, None] + regressed[..., 0], columns[:, None] + regressed[..., 1]
    boxes = _boxes(maps, rows, columns)
    cells_y, cells_x = torch.arange(h)[:, None], torch.arange(w)
    distance = (cells_y - y[..., None, None]) ** 2 + (cells_x - x[..., None, None]) ** 2  # (P, J, h, w)
    x1, y1, x2, y2 = boxes.view(-1, 4, 1, 1).unbind(1)
    inside = (cells_y >= y1) & (cells_x >= x1) & (cells_y < y2) & (cells_x < x2)
    heat = maps["kpt_heatmap"].sigmoid() * torch.exp(-distance / (min(h, w) * _VARIANCE)) * inside[:, None]
    scores, cells = heat.flatten(2).max(-1)
    offsets = maps["kpt_offset"].view(_J, 2, h * w)[torch.arange(_J)[None], :, cells]
    joints = torch.stack([cells % w + offsets[..., 1], cells // w + offsets[..., 0], scores / STRIDE], -1) * STRIDE
    sure = scores > _SURE_JOINT
    person_scores = (scores * sure).sum(1) / sure.sum(1).clamp(min=1) * peak_scores
    order = person_scores.argsort(descending=True)
    return PeopleFound(joints[order].numpy(), (boxes[order] * STRIDE).numpy(), person_scores[order].numpy())


def _boxes(maps: dict[str, Tensor], rows: Tensor, columns: Tensor) -> Tensor:
    """(P, 4) x1, y1, x2, y2 in cells of the people whose centres are at these cells; the whole map without heads."""
    h, w = maps["center"].shape[1:]
    whole = torch.tensor([w, h, w, h], dtype=torch.float32)
    if "box_scale" not in maps:
        return torch.tensor([0.0, 0.0, w, h]).expand(len(rows), 4)
    height, width = maps["box_scale"][:, rows, columns].clamp(min=0)
    offset_y, offset_x = maps["box_offset"][:, rows, columns]
    y, x = rows + offset_y, columns + offset_x
    return torch.stack([x - width / 2, y - height / 2, x + width / 2, y + height / 2], 1).clamp(min=0).minimum(whole)

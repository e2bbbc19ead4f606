"""Test-time augmentation: pose proposals from several sizes of a picture and their mirror images, integrated together.

PPI (Sec. 3.5) averages whatever proposals agree on; here they also come from other views of the same picture.
"""

from __future__ import annotations

# Detectron2's @configurable hides the signatures of what it wraps.
# pyright: reportCallIssue=false
import logging
from typing import Any, NamedTuple

import torch
from detectron2.config import CfgNode, configurable
from detectron2.data.transforms import ResizeShortestEdge
from detectron2.structures import Boxes, Instances
from torch import Tensor, nn
from torch.nn import functional as F

from ..structures import Skeleton, mirror_poses_3d
from .joint_heat_maps import STRIDE, JointMaps
from .joint_refinement import refine_instances
from .lcr_outputs import PoseProposals
from .meta_arch import LCRNet, rescale

__all__ = ["LCRNetWithTTA", "View", "with_test_time_augmentation"]

logger = logging.getLogger(__name__)


class View(NamedTuple):
    """A picture as the network sees it: size = its (H, W) px there; mirrored: left and right exchanged."""

    size: tuple[int, int]
    mirrored: bool


class LCRNetWithTTA(nn.Module):
    """Stands in for a trained network at inference, as Detectron2's GeneralizedRCNNWithTTA does (TEST.AUG).

    A person's score S is the mean over the views of the sum in Eq. 7: one score threshold serves with and without.
    `pred_seed_scores`, a single proposal's probability, is not divided, and the limits within integration
    (MIN_MODE_SCORE, MIN_PROPOSALS, RPN's POST_NMS_TOPK_TEST) are of the sum or of each view. `pred_anchors` of a seed
    from a mirrored view is the class that was seen there.
    """

    @configurable
    def __init__(self, model: LCRNet, *, min_sizes: tuple[int, ...], max_size: int, flip: bool) -> None:
        """
        Args:
            model: with LCRNetROIHeads and integration METHOD "ppi".
            min_sizes: px, the shorter side of each view; the pictures come at INPUT.MIN_SIZE_TEST, so larger ones gain
                no detail.
            max_size: px, no view's longer side exceeds it.
            flip: each size mirrored too.
        """
        super().__init__()
        self.training = model.training  # Detectron2's evaluation restores it, on the model within too
        self.model = model
        self.min_sizes = min_sizes
        self.max_size = max_size
        self.flip = flip

    @classmethod
    def from_config(cls, cfg: CfgNode, model: LCRNet) -> dict[str, Any]:
        """ValueError: a METHOD other than "ppi", which alone makes one person of several views; no sizes; FLIP where
        boxes end with the last pixel, whose mirror image lies one pixel further.
        """
        if cfg.MODEL.LCRNET.INTEGRATION.METHOD != "ppi":
            raise ValueError(
                "TEST.AUG integrates the proposals of all views: set MODEL.LCRNET.INTEGRATION.METHOD "
                "ppi, or TEST.AUG.ENABLED False for one view"
            )
        if not cfg.TEST.AUG.MIN_SIZES:
            raise ValueError("TEST.AUG.ENABLED True with no TEST.AUG.MIN_SIZES: name one, e.g. (192, 320)")
        aug = cfg.TEST.AUG
        if aug.FLIP and not model.roi_heads.can_mirror:
            heads = type(model.roi_heads).__name__
            raise ValueError(f"TEST.AUG.FLIP does not go with MODEL.ROI_HEADS.NAME {heads}: set TEST.AUG.FLIP False")
        if max(aug.MIN_SIZES) > cfg.INPUT.MIN_SIZE_TEST:
            logger.warning(
                "TEST.AUG.MIN_SIZES up to %d enlarge pictures that come at INPUT.MIN_SIZE_TEST %d: they cost time and "
                "show no more; Detectron2's own default is nine sizes from 400 to 1200",
                max(aug.MIN_SIZES),
                cfg.INPUT.MIN_SIZE_TEST,
            )
        return {"model": model, "min_sizes": tuple(aug.MIN_SIZES), "max_size": aug.MAX_SIZE, "flip": aug.FLIP}

    def forward(self, batched_inputs: list[dict[str, Any]]) -> list[dict[str, Instances]]:
        """As GeneralizedRCNN's at inference. Pictures of one size go through the network together, view by view."""
        sizes = [tuple(item["image"].shape[-2:]) for item in batched_inputs]
        found: dict[int, Instances] = {}
        for size in dict.fromkeys(sizes):
            alike = [i for i, other in enumerate(sizes) if other == size]
            people = self._people([batched_inputs[i]["image"] for i in alike], size)
            found |= dict(zip(alike, people, strict=True))
        return rescale([found[i] for i in range(len(sizes))], batched_inputs)

    def views(self, height: int, width: int) -> list[View]:
        """The views of a picture of this size."""
        shapes = [ResizeShortestEdge.get_output_shape(height, width, side, self.max_size) for side in self.min_sizes]
        return [View(shape, mirrored) for shape in shapes for mirrored in ((False, True) if self.flip else (False,))]

    def _people(self, pictures: list[Tensor], size: tuple[int, int]) -> list[Instances]:
        """Everyone in each of the (3, H, W) pictures of one size."""
        views = self.views(*size)
        # Heat maps of smaller views place joints worse: with those of 192 px beside 320 px 1.5 % fewer within 0.1.
        largest = max(view.size for view in views)
        by_view, maps = zip(
            *(self._proposals(pictures, size, view, view.size == largest) for view in views), strict=True
        )
        merged = [_merged(of_picture, size) for of_picture in zip(*by_view, strict=True)]
        heads = self.model.roi_heads
        people = heads.integrate(*map(list, zip(*merged, strict=True)))
        for of_picture in people:
            of_picture.scores = of_picture.scores / len(views)
        if heads.joint_head is None:
            return people
        return refine_instances(people, _mean_maps([m for m in maps if m is not None]), heads.refinement_rules)

    def _proposals(
        self, pictures: list[Tensor], size: tuple[int, int], view: View, with_maps: bool
    ) -> tuple[list[tuple[PoseProposals, Tensor]], JointMaps | None]:
        """Per picture its pose proposals in this view and the (R, 4) regions they are of, in px of the picture.

        Beside them, where wanted and there are any, the pictures' joint heat maps, on cells of the pictures.
        """
        seen = [{"image": seen_as(picture, view)} for picture in pictures]
        proposals, regions, features = self.model.pose_proposals(self.model.preprocess_image(seen))
        skeleton = self.model.roi_heads.skeleton
        found = [
            (of_view(of_picture, view, size, skeleton), boxes_of_view(image.proposal_boxes.tensor, view, size))
            for of_picture, image in zip(proposals, regions, strict=True)
        ]
        maps = self.model.roi_heads.joint_maps(features) if with_maps else None
        return found, None if maps is None else maps_of_view(maps, view, size, skeleton)


def with_test_time_augmentation(cfg: CfgNode, model: nn.Module) -> nn.Module:
    """The model itself, or with TEST.AUG.ENABLED what stands in for it."""
    return LCRNetWithTTA(cfg, model) if cfg.TEST.AUG.ENABLED else model


def seen_as(picture: Tensor, view: View) -> Tensor:
    """A (3, H, W) picture as the view has it, float."""
    pixels = picture.float()
    if view.size != tuple(pixels.shape[-2:]):
        pixels = F.interpolate(pixels[None], view.size, mode="bilinear", antialias=True, align_corners=False)[0]
    return pixels.flip(-1) if view.mirrored else pixels


def of_view(proposals: PoseProposals, view: View, size: tuple[int, int], skeleton: Skeleton) -> PoseProposals:
    """The same proposals in px of the picture of `size` (H, W): what is left in a mirror is the body's right."""
    poses_2d, poses_3d = proposals.poses_2d, proposals.poses_3d
    if view.mirrored:
        width = view.size[1]
        poses_2d = torch.stack([width - poses_2d[..., 0], poses_2d[..., 1]], -1)[:, skeleton.flip_indices]
        poses_3d = mirror_poses_3d(poses_3d, skeleton)
    return proposals._replace(poses_2d=poses_2d * _ratio(poses_2d, view, size), poses_3d=poses_3d)


def boxes_of_view(boxes: Tensor, view: View, size: tuple[int, int]) -> Tensor:
    """(R, 4) boxes of a view in px of the picture of `size` (H, W)."""
    if view.mirrored:
        left, top, right, bottom = boxes.unbind(1)
        boxes = torch.stack([view.size[1] - right, top, view.size[1] - left, bottom], 1)
    return boxes * _ratio(boxes, view, size).repeat(2)


def maps_of_view(maps: JointMaps, view: View, size: tuple[int, int], skeleton: Skeleton) -> JointMaps:
    """A view's heat maps on the cells of the picture of `size` (H, W): heat between cells, offsets of the nearest."""
    offsets = maps.offsets.float()
    rows, columns = maps.heat.shape[-2:]
    y, x = ((torch.arange(-(-side // STRIDE), device=offsets.device) + 0.5) * STRIDE for side in size)
    to_picture = _ratio(offsets, view, size)
    x, y = x / to_picture[0], y / to_picture[1]  # centres of the picture's cells in the view
    if view.mirrored:
        x = view.size[1] - x
    grid = torch.stack(torch.meshgrid(2 * x / (STRIDE * columns) - 1, 2 * y / (STRIDE * rows) - 1, indexing="xy"), -1)
    grid = grid.expand(len(offsets), -1, -1, -1)
    heat = F.grid_sample(maps.heat.float(), grid, padding_mode="border", align_corners=False)
    column = (x / STRIDE).long().clamp(0, columns - 1)
    row = (y / STRIDE).long().clamp(0, rows - 1)[:, None]
    places_x = (column + offsets[:, :, 0, row, column]) * STRIDE
    places_y = (row + offsets[:, :, 1, row, column]) * STRIDE
    if view.mirrored:
        heat, places_y = heat[:, skeleton.flip_indices], places_y[:, skeleton.flip_indices]
        places_x = view.size[1] - places_x[:, skeleton.flip_indices]
    places = torch.stack([places_x * to_picture[0], places_y * to_picture[1]], 2) / STRIDE
    cells = torch.stack(torch.meshgrid(torch.arange(len(x)), torch.arange(len(y)), indexing="xy")).to(places)
    return JointMaps(heat, places - cells)


def _mean_maps(by_view: list[JointMaps]) -> JointMaps:
    """Of heat and of offsets over the views."""
    heat = torch.stack([maps.heat.sigmoid() for maps in by_view]).mean(0)
    return JointMaps(torch.logit(heat, 1e-6), torch.stack([maps.offsets for maps in by_view]).mean(0))


def _ratio(like: Tensor, view: View, size: tuple[int, int]) -> Tensor:
    """(2,) px of the picture per px of the view, in x and y."""
    return like.new_tensor([size[1] / view.size[1], size[0] / view.size[0]])


def _merged(
    by_view: tuple[tuple[PoseProposals, Tensor], ...], size: tuple[int, int]
) -> tuple[PoseProposals, Instances]:
    """The proposals of all views of a picture, and all their regions, which `boxes` of the proposals count through."""
    shifted, first = [], 0
    for proposals, regions in by_view:
        shifted.append(proposals._replace(boxes=proposals.boxes + first))
        first += len(regions)
    everything = PoseProposals(*map(torch.cat, zip(*shifted, strict=True)))
    return everything, Instances(size, proposal_boxes=Boxes(torch.cat([regions for _, regions in by_view])))

from __future__ import annotations

import pytest
import torch
from detectron2.config import get_cfg
from detectron2.layers import ShapeSpec
from detectron2.modeling.poolers import ROIPooler
from detectron2.structures import Boxes, ImageList, Instances, pairwise_iou
from torchvision.models.detection.anchor_utils import AnchorGenerator

from lcrnet_d2 import add_lcrnet_config
from lcrnet_d2.modeling import PoseTransform
from lcrnet_d2.modeling.lcr_outputs import PoseProposals
from released_models.networks import (
    DetectronAnchorGenerator,
    LastPixelROIHeads,
    LastPixelRPN,
    LastPixelTransform,
    PaddedLastPixelRPN,
    Res5BoxHead,
    TorchvisionAnchorGenerator,
    in_original_pixels,
    last_pixel_pooler,
)

RATIOS = [[0.5, 1.0, 2.0]]


def widths_and_heights(boxes: torch.Tensor) -> list[tuple[float, float]]:
    return [tuple(size) for size in (boxes[:, 2:] - boxes[:, :2]).tolist()]


def test_detectrons_anchors_by_hand() -> None:
    """Stride 16: 16 / sqrt(0.5) = 22.6 -> 23, half of it 11.5 -> 12; 16 / sqrt(2) = 11.3 -> 11, twice that 22."""
    make = DetectronAnchorGenerator(sizes=[[32, 64]], aspect_ratios=RATIOS, strides=[16], offset=0.5)
    assert widths_and_heights(next(iter(make.cell_anchors))) == [
        (46, 24), (92, 48), (32, 32), (64, 64), (22, 44), (44, 88),
    ]  # fmt: skip
    (grid,) = make([torch.zeros(1, 1, 2, 2)])
    assert Boxes(grid.tensor[6:12]).get_centers().unique(dim=0).tolist() == [[24, 8]]  # second of the first row


def test_torchvisions_anchors_are_torchvisions() -> None:
    sizes = [[32, 64, 128, 256, 512]]
    ours = TorchvisionAnchorGenerator(sizes=sizes, aspect_ratios=RATIOS, strides=[16], offset=0.0)
    theirs = AnchorGenerator(tuple(map(tuple, sizes)), tuple(map(tuple, RATIOS)))
    features = torch.zeros(1, 1, 3, 4)
    strides = [[torch.tensor(16), torch.tensor(16)]]
    theirs.set_cell_anchors(torch.float32, torch.device("cpu"))
    assert torch.equal(ours([features])[0].tensor, theirs.grid_anchors([[3, 4]], strides)[0])


def test_regions_end_at_their_last_pixel_but_choose_their_level_whole() -> None:
    """224 px is where level 3 ends and level 4 begins: a box of 224 that is pooled as one of 223 stays on level 4."""
    options = {"output_size": 2, "scales": (1 / 8, 1 / 16), "sampling_ratio": 2, "pooler_type": "ROIAlign"}
    torch.manual_seed(0)
    features = [torch.randn(1, 1, 40, 40), torch.randn(1, 1, 20, 20)]
    whole, shorter = torch.tensor([[8.0, 8, 232, 232]]), torch.tensor([[8.0, 8, 231, 231]])
    ours = last_pixel_pooler(ROIPooler(**options))(features, [Boxes(whole)])
    on_level_4 = ROIPooler(**{**options, "scales": (1 / 16,)})(features[1:], [Boxes(shorter)])
    torch.testing.assert_close(ours, on_level_4)
    assert not torch.allclose(ours, ROIPooler(**options)(features, [Boxes(shorter)]))


def test_poses_in_boxes_that_end_at_their_last_pixel() -> None:
    """A box of columns 10 to 30 and rows 0 to 40 reaches from 10, 0 to 31, 41; its middle is 20, 20."""
    transform = LastPixelTransform(5.0)
    box = torch.tensor([[10.0, 0, 31, 41]])
    middle, origin = torch.full((1, 1, 2), 0.5), torch.zeros(1, 1, 3)
    pose_2d, _ = transform.apply_deltas(box, middle, origin, torch.zeros(1, 1, 5))
    assert pose_2d.tolist() == [[[20, 20]]]
    deltas = transform.get_deltas(box, middle, origin, pose_2d + 4, origin)
    torch.testing.assert_close(transform.apply_deltas(box, middle, origin, deltas)[0], pose_2d + 4)


def test_a_transform_of_boxes_one_pixel_smaller() -> None:
    torch.manual_seed(0)
    poses = torch.rand(4, 13, 2), torch.rand(4, 13, 3), 50 * torch.rand(4, 13, 2), torch.rand(4, 13, 3)
    boxes = torch.tensor([[0.0, 0, 40, 60]]).repeat(4, 1)
    ours = LastPixelTransform(1.0).get_deltas(boxes, *poses)
    assert torch.equal(ours, PoseTransform(1.0).get_deltas(boxes - torch.tensor([0, 0, 1.0, 1.0]), *poses))


def test_pixel_indices_reach_to_the_far_edge_of_the_last_pixel() -> None:
    """Columns 2 to 5 end at 6. What lies outside an image of 100 x 50 px becomes a pixel at its border, so
    that the IoU of such poses is 1.
    """
    pose_2d = torch.tensor([[[2.0, 0.0], [5.0, 3.0]]])
    assert LastPixelROIHeads.pose_boxes(pose_2d, None).tolist() == [[2, 0, 6, 4]]
    far = torch.cat([pose_2d + 1000, pose_2d - 1000])
    boxes = LastPixelROIHeads.pose_boxes(far, torch.tensor([[100.0, 50.0]]).expand(2, -1))
    torch.testing.assert_close(boxes, torch.tensor([[99.0, 49, 100, 50], [0, 0, 1, 1]]), atol=0.02, rtol=0)


def test_the_pixel_that_ppi_adds_is_one_of_the_original() -> None:
    """Columns 0 to 2 and 2 to 4 share one of five: IoU 1/5. In an image of half the size the indices are 0 to 1 and
    1 to 2, which share one of three.
    """
    halves = PoseProposals(
        torch.tensor([0.9, 0.8]), torch.tensor([[[0.0, 0], [1, 0]], [[1, 0], [2, 0]]]), torch.zeros(2, 2, 3),
        torch.zeros(2, dtype=torch.long), torch.zeros(2, dtype=torch.long), torch.ones(2),
    )  # fmt: skip
    regions = Instances((20, 30), proposal_boxes=Boxes(torch.tensor([[0.0, 0, 3, 1]])))
    proposals, of_original = in_original_pixels(halves, regions, (40, 60))
    assert of_original.image_size == (40, 60) and of_original.proposal_boxes.tensor.tolist() == [[0, 0, 6, 2]]
    for poses, iou in ((halves.poses_2d, 1 / 3), (proposals.poses_2d, 1 / 5)):
        boxes = Boxes(LastPixelROIHeads.pose_boxes(poses, None))
        assert pairwise_iou(boxes[0], boxes[1]).item() == pytest.approx(iou, abs=0.01)


def test_regions_with_fpn_end_with_the_padded_image() -> None:
    """Of 90 x 60 px, padded to 96 x 64: a region that reaches beyond both ends at 64, 96 and not at 60, 90."""
    cfg = get_cfg()
    add_lcrnet_config(cfg)
    cfg.MODEL.RPN.IN_FEATURES = ["p6"]
    cfg.MODEL.RPN.NMS_THRESH = 1.0
    cfg.MODEL.ANCHOR_GENERATOR.SIZES = [[512]]
    ends = {}
    for rpn in (LastPixelRPN, PaddedLastPixelRPN):
        generator = rpn(cfg, {"p6": ShapeSpec(channels=4, stride=64)}).eval()
        images = ImageList(torch.zeros(1, 3, 96, 64), [(90, 60)])
        (found,), _ = generator(images, {"p6": torch.zeros(1, 4, 2, 1)})
        assert found.image_size == (90, 60)
        ends[rpn] = found.proposal_boxes.tensor[:, 2:].amax(0).tolist()
    assert ends == {LastPixelRPN: [60, 90], PaddedLastPixelRPN: [64, 96]}


@pytest.mark.parametrize(("stride", "resolution"), [(1, 7), (2, 14)])
def test_res5_box_head(stride: int, resolution: int) -> None:
    head = Res5BoxHead(ShapeSpec(channels=8), width=4, stride=stride, norm="FrozenBN", stride_in_1x1=True)
    assert head.output_shape.channels == 16
    assert head.res5(torch.randn(2, 8, resolution, resolution)).shape == (2, 16, 7, 7)
    assert head(torch.randn(0, 8, resolution, resolution)).shape == (0, 16)

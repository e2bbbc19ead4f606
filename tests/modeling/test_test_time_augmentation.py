from __future__ import annotations

from typing import Any

import pytest
import torch
from detectron2.modeling import build_model
from detectron2.structures import Instances
from torch import Tensor, nn

from lcrnet_d2.config import load_config
from lcrnet_d2.modeling import LCRNetWithTTA, PoseProposals, with_test_time_augmentation
from lcrnet_d2.modeling.joint_heat_maps import JointMaps
from lcrnet_d2.modeling.test_time_augmentation import View, boxes_of_view, maps_of_view, of_view
from lcrnet_d2.structures import BODY13, AnchorPoses, mirror_poses_3d

OPTS = ["MODEL.LCRNET.NUM_ANCHOR_POSES", 4, "MODEL.LCRNET.UPPER_BODY", True, "MODEL.FPN.OUT_CHANNELS", 16]
OPTS += ["MODEL.ROI_BOX_HEAD.FC_DIM", 32, "MODEL.DEVICE", "cpu", "TEST.AUG.ENABLED", True, "TEST.AUG.MAX_SIZE", 500]
FIELDS = ["scores", "pred_keypoints", "pred_poses_3d", "pred_seed_scores", "pred_seed_keypoints", "pred_seed_boxes"]


@pytest.fixture(scope="module")
def model(anchors: AnchorPoses) -> nn.Module:
    torch.manual_seed(0)
    model = build_model(load_config("Base-LCRNet-Lite0-FPN.yaml", OPTS)).eval()
    model.roi_heads.box_predictor.set_anchor_poses(anchors)
    return model


def with_views(model: nn.Module, *min_sizes: int, flip: bool) -> nn.Module:
    opts = [*OPTS, "TEST.AUG.MIN_SIZES", min_sizes, "TEST.AUG.FLIP", flip]
    return with_test_time_augmentation(load_config("Base-LCRNet-Lite0-FPN.yaml", opts), model)


def picture(height: int, width: int, seed: int = 0) -> dict[str, Any]:
    pixels = torch.randint(0, 255, (3, height, width), generator=torch.Generator().manual_seed(seed))
    return {"image": pixels.to(torch.uint8), "height": 2 * height, "width": 2 * width}


def people(network: nn.Module, *inputs: dict[str, Any]) -> list[Instances]:
    with torch.no_grad():
        return [output["instances"] for output in network(list(inputs))]


def assert_same(some: Instances, others: Instances) -> None:
    assert len(some) == len(others) > 0
    for name in FIELDS:
        torch.testing.assert_close(some.get(name), others.get(name), rtol=1e-4, atol=1e-3, msg=name)


def test_the_picture_as_its_only_view_changes_nothing(model: nn.Module) -> None:
    inputs = [picture(96, 128), picture(128, 96, seed=1), picture(96, 128, seed=2)]
    for alone, item in zip(people(with_views(model, 96, flip=False), *inputs), inputs, strict=True):
        (expected,) = people(model, item)
        assert_same(alone, expected)


def test_a_view_seen_twice_changes_no_score(model: nn.Module) -> None:
    twice, once = (people(with_views(model, *sizes, flip=False), picture(96, 128))[0] for sizes in ((96, 96), (96,)))
    torch.testing.assert_close(twice.scores, once.scores)
    torch.testing.assert_close(twice.pred_seed_scores, once.pred_seed_scores)


def test_a_mirrored_picture_has_the_mirrored_people(model: nn.Module) -> None:
    network, item = with_views(model, 64, 96, flip=True), picture(96, 128)
    mirrored = item | {"image": item["image"].flip(-1)}
    (found,), (in_mirror,) = people(network, item), people(network, mirrored)
    torch.testing.assert_close(in_mirror.scores, found.scores, rtol=1e-4, atol=1e-5)
    left, top, right, bottom = in_mirror.pred_seed_boxes.unbind(1)
    boxes = torch.stack([1 - right, top, 1 - left, bottom], 1)
    torch.testing.assert_close(boxes, found.pred_seed_boxes, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(in_mirror.pred_poses_3d, mirror_poses_3d(found.pred_poses_3d, BODY13))
    points = in_mirror.pred_keypoints[:, BODY13.flip_indices]
    torch.testing.assert_close(256 - points[..., 0], found.pred_keypoints[..., 0], rtol=1e-4, atol=1e-2)
    torch.testing.assert_close(points[..., 1], found.pred_keypoints[..., 1], rtol=1e-4, atol=1e-2)


def test_sizes_are_those_of_detectron2(model: nn.Module) -> None:
    network = with_views(model, 96, 480, flip=True)
    assert isinstance(network, LCRNetWithTTA)
    small, large = (96, 192), (250, 500)  # 480 would make 960 of the longer side
    expected = [View(small, False), View(small, True), View(large, False), View(large, True)]
    assert network.views(240, 480) == expected


def one_proposal(pose_2d: Tensor, pose_3d: Tensor) -> PoseProposals:
    number = torch.zeros(1, dtype=torch.long)
    return PoseProposals(torch.ones(1), pose_2d[None], pose_3d[None], number, number, torch.ones(1))


def test_joints_of_a_mirrored_view_of_half_the_size() -> None:
    right, left = BODY13.indices(["right_wrist", "left_wrist"])
    pose_2d, pose_3d = torch.zeros(13, 2), torch.zeros(13, 3)
    pose_2d[right], pose_3d[right] = torch.tensor([10.0, 5.0]), torch.tensor([0.3, 0.2, 0.1])
    found = of_view(one_proposal(pose_2d, pose_3d), View((50, 64), True), (100, 128), BODY13)
    assert found.poses_2d[0, left].tolist() == [108.0, 10.0]  # (64 - 10) * 2: seen left, it is the other wrist
    torch.testing.assert_close(found.poses_3d[0, left], torch.tensor([-0.3, 0.2, 0.1]))


def test_boxes_of_a_mirrored_view_of_half_the_size() -> None:
    box = torch.tensor([[4.0, 5.0, 14.0, 25.0]])
    assert boxes_of_view(box, View((50, 64), True), (100, 128)).tolist() == [[100.0, 10.0, 120.0, 50.0]]
    assert boxes_of_view(box, View((50, 64), False), (100, 128)).tolist() == [[8.0, 10.0, 28.0, 50.0]]


def test_switched_off_it_is_the_model_itself(model: nn.Module) -> None:
    assert with_test_time_augmentation(load_config("Base-LCRNet-Lite0-FPN.yaml"), model) is model


@pytest.mark.parametrize(
    ("opts", "message"),
    [
        (["MODEL.LCRNET.INTEGRATION.METHOD", "nms"], "METHOD ppi"),
        (["TEST.AUG.MIN_SIZES", ()], "name one"),
    ],
)
def test_what_makes_no_sense_is_refused(model: nn.Module, opts: list[Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        with_test_time_augmentation(load_config("Base-LCRNet-Lite0-FPN.yaml", [*OPTS, *opts]), model)


def test_heads_that_cannot_mirror_are_refused(model: nn.Module, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model.roi_heads, "can_mirror", False, raising=False)
    with pytest.raises(ValueError, match="NAME LCRNetROIHeads: set TEST.AUG.FLIP False"):
        with_test_time_augmentation(load_config("Base-LCRNet-Lite0-FPN.yaml", OPTS), model)


@pytest.fixture(scope="module")
def model_with_heat_maps(anchors: AnchorPoses) -> nn.Module:
    torch.manual_seed(0)
    model = build_model(load_config("Base-LCRNet-MobileNetV2-FPN.yaml", OPTS)).eval()
    model.roi_heads.box_predictor.set_anchor_poses(anchors)
    nn.init.normal_(model.roi_heads.joint_head.heat.predict.weight, std=0.3)
    nn.init.zeros_(model.roi_heads.joint_head.heat.predict.bias)
    return model


def test_the_picture_as_its_only_view_has_its_own_heat_maps(model_with_heat_maps: nn.Module) -> None:
    network = with_views(model_with_heat_maps, 96, flip=False)
    for item in (picture(96, 128), picture(96, 117)):
        (found,), (expected,) = people(network, item), people(model_with_heat_maps, item)
        assert_same(found, expected)
        integrated = expected.pred_integrated_keypoints
        torch.testing.assert_close(found.pred_integrated_keypoints, integrated, rtol=1e-4, atol=1e-4)
        size = torch.tensor([2.0 * item["image"].shape[2], 192])
        assert (found.pred_keypoints[..., :2] - integrated * size).abs().max() > 4  # they do move


def one_peak(joint: int, column: int, row: int, dx: float, dy: float, size: tuple[int, int]) -> JointMaps:
    heat, offsets = torch.full((1, 13, *size), -10.0), torch.zeros(1, 13, 2, *size)
    heat[0, joint, row, column] = 5
    offsets[0, joint, :, row, column] = torch.tensor([dx, dy])
    return JointMaps(heat, offsets)


def place_of(maps: JointMaps, joint: int) -> tuple[list[float], Tensor]:
    index = int(maps.heat[0, joint].argmax())
    row, column = divmod(index, maps.heat.shape[3])
    return (torch.tensor([column, row]) + maps.offsets[0, joint, :, row, column]).mul(4).tolist(), maps.heat[0, joint]


def test_heat_maps_of_a_mirrored_view_lie_where_the_picture_has_the_other_side() -> None:
    """A view of 61 px, padded to 64: its right wrist at 21 px is the picture's left one at 40."""
    right, left = BODY13.index("right_wrist"), BODY13.index("left_wrist")
    maps = maps_of_view(one_peak(right, 5, 7, 0.25, 0.5, (16, 16)), View((64, 61), True), (64, 61), BODY13)
    assert maps.heat.shape == (1, 13, 16, 16)
    place, _ = place_of(maps, left)
    assert place == pytest.approx([40, 30])


def test_heat_maps_of_a_smaller_view_are_enlarged() -> None:
    """Half the size: the peak at (22, 30) px is at (44, 60) of the picture, and as wide as two cells."""
    maps = maps_of_view(one_peak(0, 5, 7, 0.5, 0.5, (16, 16)), View((64, 64), False), (128, 128), BODY13)
    place, heat = place_of(maps, 0)
    assert maps.heat.shape == (1, 13, 32, 32) and place == pytest.approx([44, 60])
    assert (heat > -5).sum() == 4

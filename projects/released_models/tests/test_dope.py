"""The converted body branch against torchvision's own Faster R-CNN parts, of which a DOPE network is made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from detectron2.structures import Boxes
from torch import Tensor, nn
from torchvision.models import resnet50
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.rpn import AnchorGenerator, RegionProposalNetwork, RPNHead
from torchvision.ops import MultiScaleRoIAlign
from torchvision.ops.misc import FrozenBatchNorm2d

from released_models.dope import convert_dope, read_dope
from released_models.networks import PaddedResNet
from released_models_support import built, near

C, J = 5, 13
ALL = {"training": 1000, "testing": 1000}  # 6 x 8 cells have 720 anchors


class BodyNetwork(nn.Module):
    """A DOPE network without hands and faces, under the published names."""

    def __init__(self) -> None:
        super().__init__()
        network = resnet50(norm_layer=FrozenBatchNorm2d)
        self.backbone, self.rpn, self.roi_heads = nn.Module(), nn.Module(), nn.Module()
        self.backbone.resnet_backbone = network
        anchors = AnchorGenerator(((32, 64, 128, 256, 512),), ((0.5, 1.0, 2.0),))
        self.rpn = RegionProposalNetwork(
            anchors, RPNHead(1024, anchors.num_anchors_per_location()[0]), 0.7, 0.3, 256, 0.5, ALL, ALL, 0.7
        )
        self.roi_heads.dope_head = nn.Module()
        self.roi_heads.dope_head.resnet_backbone = network
        predictor = self.roi_heads.dope_predictor = nn.Module()
        predictor.body_cls_score, predictor.body_pose_pred = nn.Linear(2048, C + 1), nn.Linear(2048, C * 5 * J)
        predictor.hand_cls_score, predictor.face_pose_pred = nn.Linear(2, 2), nn.Linear(2, 2)
        self.roi_heads.register_buffer("body_anchor_poses", torch.randn(C, J, 5))
        self.roi_heads.register_buffer("hand_anchor_poses", torch.randn(2, 21, 5))

    def regions(self, images: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor, Tensor]:
        """Features (1, 1024, h, w), boxes (R, 4), pooled features (R, 1024, 7, 7)."""
        network = self.backbone.resnet_backbone
        x = network.maxpool(network.relu(network.bn1(network.conv1(images))))
        features = {"0": network.layer3(network.layer2(network.layer1(x)))}
        (boxes,), _ = self.rpn(ImageList(images, [size]), features)
        pooler = MultiScaleRoIAlign(["0"], 7, 2)
        return features["0"], boxes, pooler(features, [boxes], [tuple(images.shape[2:])])

    def hidden(self, pooled: Tensor) -> Tensor:
        network = self.roi_heads.dope_head.resnet_backbone
        return network.avgpool(network.layer4(pooled)).flatten(1)


def randomised(network: nn.Module) -> nn.Module:
    """Statistics like a trained network's, and RPN outputs far enough apart that rounding reorders none."""
    for name, value in network.state_dict().items():
        if name.endswith("running_var"):
            value.uniform_(0.5, 1.5)
        elif name.endswith(("running_mean", "bias")):
            value.normal_(std=0.1)
        elif "bn3.weight" in name:
            value.fill_(0.3)
        elif "bbox_pred.weight" in name:
            value.normal_(std=0.001)
        elif "rpn" in name and value.dim() == 4:
            value.normal_(std=0.01)
    return network.eval()


@pytest.fixture(scope="module")
def network() -> BodyNetwork:
    torch.manual_seed(0)
    return randomised(BodyNetwork())


def content_of(network: nn.Module, **options: Any) -> dict[str, Any]:
    kwargs = {"num_anchor_poses": {"body": C, "hand": 2, "face": 2}, "min_size": 600, "max_size": 1000}
    kwargs |= {"rpn_pre_nms_top_n_test": 1000} | options
    return {"state_dict": network.state_dict(), "dope_kwargs": kwargs, "half": False, "body_ppi_kwargs": {"K": C}}


@torch.no_grad()
def test_layer_by_layer(network: BodyNetwork) -> None:
    """At 90 x 125 px, which both pad to 96 x 128."""
    model = built(convert_dope(content_of(network)))
    assert isinstance(model.backbone, PaddedResNet)
    image = torch.randint(0, 256, (3, 90, 125), generator=torch.Generator().manual_seed(1)).float()
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    padded = torch.zeros(1, 3, 96, 128)
    padded[0, :, :90, :125] = (image / 255 - mean[:, None, None]) / std[:, None, None]
    images = model.preprocess_image([{"image": image}])
    near(images.tensor, padded, 1e-4)

    features, boxes, pooled = network.regions(padded, (90, 125))
    ours = model.backbone(images.tensor)
    near(ours["res4"], features, 1e-4)

    proposals = model.proposal_generator(images, ours)[0][0].proposal_boxes.tensor
    assert len(boxes) > 20
    near(proposals, boxes, 1e-3)

    heads = model.roi_heads
    our_pooled = heads.box_pooler([ours["res4"]], [Boxes(boxes)])
    near(our_pooled, pooled, 1e-3)
    hidden = network.hidden(pooled)
    our_hidden = heads.box_head(our_pooled)
    near(our_hidden, hidden, 1e-3)

    predictor, anchors = network.roi_heads.dope_predictor, network.roi_heads.body_anchor_poses
    logits, outputs = heads.box_predictor(our_hidden)
    scores = predictor.body_cls_score(hidden).softmax(1)
    near(logits.softmax(1)[:, :-1], scores[:, 1:], 1e-4)
    (found,) = heads.box_predictor.inference((logits, outputs), [boxes])
    deltas = predictor.body_pose_pred(hidden) / 5
    for r, c, pose_2d, pose_3d in zip(found.boxes, found.classes, found.poses_2d, found.poses_3d, strict=True):
        row = deltas[r, c * 5 * J : (c + 1) * 5 * J]  # x y of all joints, then X Y Z of all joints
        units = anchors[c, :, :2] + row[: 2 * J].view(J, 2)
        expected = boxes[r, :2] + units * (boxes[r, 2:] - boxes[r, :2])
        torch.testing.assert_close(pose_2d, expected, rtol=1e-3, atol=2e-2)
        torch.testing.assert_close(pose_3d, anchors[c, :, 2:] + row[2 * J :].view(J, 3), rtol=1e-3, atol=1e-3)


def test_names_options_and_newer_torchvision(network: BodyNetwork) -> None:
    """Files name the RPN's convolution as torchvision did in 2020: rpn.head.conv; here it is rpn.head.conv.0.0."""
    content = content_of(network)
    old = {k.replace("rpn.head.conv.0.0", "rpn.head.conv"): v.half() for k, v in content["state_dict"].items()}
    assert old.keys() != content["state_dict"].keys()
    now, then = convert_dope(content), convert_dope({**content, "state_dict": old, "half": True})
    assert now.model.keys() == then.model.keys() and now.config == then.config
    assert all(value.dtype == torch.float32 for value in then.model.values())
    assert now.config["INPUT"] == {"FORMAT": "RGB", "MIN_SIZE_TEST": 600, "MAX_SIZE_TEST": 1000}
    with pytest.raises(ValueError, match="pose3d_reg_weights of the body is 1.0"):
        convert_dope(content_of(network, pose3d_reg_weights={"body": 1.0}))


def test_files_that_do_not_fit_are_refused(network: BodyNetwork) -> None:
    content = content_of(network)
    state = content["state_dict"]
    with pytest.raises(ValueError, match=r"unknown \['roi_heads.mask.weight'\]"):
        convert_dope({**content, "state_dict": {**state, "roi_heads.mask.weight": torch.zeros(1)}})
    short = {**state, "roi_heads.dope_predictor.body_cls_score.weight": torch.zeros(C, 2048)}
    with pytest.raises(ValueError, match="body_cls_score.weight.* do not fit 5 anchor poses"):
        convert_dope({**content, "state_dict": short})
    with pytest.raises(ValueError, match="body_anchor_poses is missing"):
        convert_dope({**content, "state_dict": {"x": torch.zeros(1)}})


def test_files_are_read_without_running_anything(tmp_path: Path) -> None:
    path = tmp_path / "x.pth.tgz"
    torch.save({"state_dict": {"a": torch.ones(1)}, "dope_kwargs": {"min_size": 600}, "half": False}, path)
    assert read_dope(path)["dope_kwargs"] == {"min_size": 600}
    torch.save({"state_dict": {}, "dope_kwargs": {"layer": nn.Linear(1, 1)}}, path)
    with pytest.raises(
        ValueError, match=r"refused to read .*x\.pth\.tgz: it names torch.nn.modules.linear.Linear; only tensors"
    ):
        read_dope(path)
    torch.save({"model": 1}, path)
    with pytest.raises(ValueError, match=r"lacks \['dope_kwargs', 'state_dict'\]"):
        read_dope(path)

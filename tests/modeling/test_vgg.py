import pytest
import torch
from detectron2.config import CfgNode, get_cfg
from detectron2.layers import ShapeSpec
from detectron2.modeling import build_backbone
from detectron2.modeling.roi_heads import build_box_head

from lcrnet_d2.config import add_lcrnet_config
from lcrnet_d2.modeling.vgg import VGG16, VGGBoxHead


def vgg_cfg() -> CfgNode:
    cfg = get_cfg()
    add_lcrnet_config(cfg)
    cfg.MODEL.BACKBONE.NAME = "build_vgg16_backbone"
    cfg.MODEL.ROI_BOX_HEAD.NAME = "VGGBoxHead"
    cfg.MODEL.ROI_BOX_HEAD.FC_DIM = 6
    cfg.MODEL.LCRNET.DROPOUT = 0.5
    return cfg


@pytest.mark.parametrize(("height", "width"), [(32, 48), (37, 63), (16, 31)])
def test_conv5_has_stride_16_and_512_channels_and_drops_the_rest(height: int, width: int) -> None:
    backbone = VGG16()
    features = backbone(torch.zeros(2, 3, height, width))
    assert list(features) == ["conv5"]
    assert features["conv5"].shape == (2, 512, height // 16, width // 16)
    assert backbone.output_shape() == {"conv5": ShapeSpec(channels=512, stride=16)}


def test_with_joint_refinement_a_map_of_stride_4_comes_with_it() -> None:
    cfg = vgg_cfg()
    cfg.MODEL.LCRNET.JOINT_REFINEMENT.ENABLED = True
    backbone = build_backbone(cfg)
    assert backbone.size_divisibility == 16
    features, shapes = backbone(torch.rand(1, 3, 48, 64)), backbone.output_shape()
    assert list(features) == list(shapes) == ["conv5", "joint_map"]
    assert features["joint_map"].shape == (1, shapes["joint_map"].channels, 12, 16)
    assert shapes["joint_map"].stride == 4
    features["joint_map"].sum().backward()
    assert backbone.joint_map.laterals[0].weight.grad.abs().max() > 0


@pytest.mark.parametrize("freeze_at", [0, 2, 5])
def test_blocks_up_to_freeze_at_get_no_gradient_and_the_others_do(freeze_at: int) -> None:
    cfg = vgg_cfg()
    cfg.MODEL.BACKBONE.FREEZE_AT = freeze_at
    backbone = build_backbone(cfg)
    images = torch.rand(1, 3, 32, 32, requires_grad=True)  # gives a backward pass even where all blocks are frozen
    backbone(images)["conv5"].sum().backward()
    for name, parameter in backbone.named_parameters():
        block = int(name[len("conv")])
        assert (parameter.grad is None) == (block <= freeze_at), name


@pytest.mark.parametrize("freeze_at", [-1, 6])
def test_freeze_at_outside_the_blocks_is_refused(freeze_at: int) -> None:
    with pytest.raises(ValueError, match="conv1 to conv5"):
        VGG16(freeze_at=freeze_at)


def test_box_head_reads_channel_by_channel() -> None:
    """fc6 with the weights 0, 1, 2, 3 on a 2-channel 1x2 input: channel 0 is weighted 0, 1 and channel 1 2, 3."""
    head = VGGBoxHead(ShapeSpec(channels=2, height=1, width=2), fc_dim=1, dropout=0.5).eval()
    with torch.no_grad():
        head.fc6.weight[:] = torch.tensor([[0.0, 1.0, 2.0, 3.0]])
        head.fc7.weight[:] = 10.0
    pooled = torch.tensor([[[[1.0, 1.0]], [[5.0, 7.0]]]])
    assert head(pooled).tolist() == [[10 * (1 + 10 + 21)]]


def test_box_head_from_config_drops_out_in_training_only() -> None:
    head = build_box_head(vgg_cfg(), ShapeSpec(channels=512, height=7, width=7))
    assert head.fc6.weight.shape == (6, 512 * 7 * 7)
    assert head.output_shape == ShapeSpec(channels=6)
    assert head.dropout.p == 0.5
    pooled = torch.rand(3, 512, 7, 7)
    assert torch.equal(head.eval()(pooled), head(pooled))
    with torch.no_grad():
        for layer in (head.fc6, head.fc7):
            layer.weight.abs_()  # so that ReLU makes no zeros
    torch.manual_seed(0)
    assert (head.eval()(pooled) > 0).all()
    assert (head.train()(pooled) == 0).any()


def test_box_head_of_no_proposals_has_gradients_of_zero() -> None:
    head = VGGBoxHead(ShapeSpec(channels=4, height=7, width=7), fc_dim=8, dropout=0.5)
    features = head(torch.zeros(0, 4, 7, 7))
    assert features.shape == (0, 8)
    features.sum().backward()
    assert all(parameter.grad is not None and not parameter.grad.any() for parameter in head.parameters())


def test_box_head_refuses_what_it_cannot_build() -> None:
    with pytest.raises(ValueError, match="height and width"):
        VGGBoxHead(ShapeSpec(channels=512), fc_dim=8, dropout=0.5)
    with pytest.raises(ValueError, match="dropout is 1"):
        VGGBoxHead(ShapeSpec(channels=512, height=7, width=7), fc_dim=8, dropout=1.0)

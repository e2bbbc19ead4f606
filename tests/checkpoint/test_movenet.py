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

from lcrnet_d2.checkpoint import LCRNetCheckpointer
from lcrnet_d2.checkpoint.movenet import convert_movenet
from lcrnet_d2.checkpoint.small_checkpoint import write_model
from lcrnet_d2.checkpoint.tfjs_graph import read_graph_weights
from lcrnet_d2.config import load_config
from lcrnet_d2.modeling.joint_heat_maps import JointMaps
from lcrnet_d2.structures import BODY13, COCO17, H36M17
from movenet_support import FEATURES, made_up_weights, tensorflow_maps

TOOL = Path(__file__).parents[2] / "tools" / "convert_backbone.py"


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

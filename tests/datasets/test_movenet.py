from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

import movenet
from lcrnet_d2.checkpoint.tfjs_graph import read_graph_weights
from movenet import MoveNet, decode
from movenet_support import FEATURES, made_up_weights, tensorflow_maps

J = 17


def empty_maps(h: int = 12, w: int = 16) -> dict[str, Tensor]:
    """Heads that see nobody: logits of -20."""
    maps = {name: torch.full((channels, h, w), -20.0) for name, channels in (("center", 1), ("kpt_heatmap", J))}
    return maps | {
        **{name: torch.zeros(2, h, w) for name in ("box_scale", "box_offset")},
        **{name: torch.zeros(2 * J, h, w) for name in ("kpt_regress", "kpt_offset")},
    }


def put_person(maps: dict[str, Tensor], row: int, column: int, score: float = 0.9) -> None:
    """A centre at a cell, a box of 6 x 8 cells around it, and every joint at its own cell of the row above."""
    maps["center"][0, row, column] = float(np.log(score / (1 - score)))
    maps["box_scale"][:, row, column] = torch.tensor([6.0, 8.0])
    for joint in range(J):
        maps["kpt_regress"][2 * joint : 2 * joint + 2, row, column] = torch.tensor([-1.0, joint % 3 - 1.0])
        maps["kpt_heatmap"][joint, row - 1, column + joint % 3 - 1] = 4.0  # sigmoid 0.982
        maps["kpt_offset"][2 * joint : 2 * joint + 2, row - 1, column + joint % 3 - 1] = torch.tensor([0.25, 0.5])


def test_joints_lie_at_the_cell_of_the_heat_map_plus_its_offset() -> None:
    maps = empty_maps()
    put_person(maps, 6, 7)
    found = decode(maps, most=6)
    assert found.scores == pytest.approx([0.9 * 0.982], abs=1e-3)
    assert found.boxes.tolist() == [[(7 - 4) * 4, (6 - 3) * 4, (7 + 4) * 4, (6 + 3) * 4]]
    for joint in range(J):  # dy 0.25, dx 0.5 of 4 px
        x, y = (7 + joint % 3 - 1 + 0.5) * 4, (6 - 1 + 0.25) * 4
        assert found.joints[0, joint].tolist() == pytest.approx([x, y, 0.982], abs=1e-3)


def test_each_takes_the_joint_near_where_regression_puts_it_even_if_the_others_are_higher() -> None:
    maps = empty_maps(16, 40)
    put_person(maps, 8, 8, score=0.8)
    put_person(maps, 8, 30, score=0.9)
    maps["kpt_heatmap"][:, 7, 29:32] += 3.0
    right, left = decode(maps, most=6).joints
    assert (right[:, 0] > 100).all() and (left[:, 0] < 60).all()
    assert (left[:, 2] == pytest.approx(0.982, abs=1e-3)) and right[:, 2].min() > 0.99


def test_a_joint_outside_the_box_is_not_the_persons() -> None:
    maps = empty_maps(16, 16)
    put_person(maps, 8, 8)
    maps["kpt_heatmap"][0] = -20.0
    maps["kpt_heatmap"][0, 2, 7] = 8.0  # 3 cells above the box, which starts at row 5
    assert decode(maps, most=6).joints[0, 0, 2] < 0.1


def test_nobody_and_at_most_so_many() -> None:
    maps = empty_maps(16, 60)
    assert len(decode(maps, most=6).scores) == 0
    for column in (8, 22, 36, 50):
        put_person(maps, 8, column, score=0.5 + column / 200)
    found = decode(maps, most=3)
    assert found.joints.shape == (3, J, 3)
    assert found.boxes[:, 0].tolist() == [46 * 4, 32 * 4, 18 * 4]  # the best first


def test_the_network_gives_the_same_maps_as_the_graphs_operations(monkeypatch: pytest.MonkeyPatch) -> None:
    compare(made_up_weights(), monkeypatch, 1e-4)


@pytest.mark.skipif("LCRNET_MOVENET" not in os.environ, reason="LCRNET_MOVENET names the folder of MoveNet's files")
def test_the_real_weights_give_the_same_maps(monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Path(os.environ["LCRNET_MOVENET"])
    compare(read_graph_weights(folder / "movenet-multipose.json"), monkeypatch, 5e-5)
    monkeypatch.undo()
    thunder = MoveNet(folder / "movenet-thunder.json")
    assert set(thunder(torch.zeros(1, 3, 64, 64))) == {"center", "kpt_heatmap", "kpt_regress", "kpt_offset"}


def compare(weights: dict[str, np.ndarray], monkeypatch: pytest.MonkeyPatch, tolerance: float) -> None:
    images = torch.rand(1, 64, 96, 3) * 255
    expected = tensorflow_maps(weights, images / 127.5 - 1)
    monkeypatch.setattr(movenet, "read_graph_weights", lambda path: weights)
    ours = MoveNet("made-up.json")(images.permute(0, 3, 1, 2))
    for name in ("kpt_heatmap", "kpt_offset"):
        theirs = expected[f"{name}_0"][0].permute(2, 0, 1)
        assert (ours[name] - theirs).abs().max() < tolerance * theirs.abs().max()


def test_another_model_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    lacking = made_up_weights()
    del lacking[f"{FEATURES}/model/block_7_expand/Conv2D_weights"]
    for weights, lack in (({}, "no MobileNetV2 body"), (lacking, "lacks .*block_7_expand")):
        monkeypatch.setattr(movenet, "read_graph_weights", lambda path, weights=weights: weights)
        with pytest.raises(ValueError, match=rf"x\.json is not one of MoveNet's models: .*{lack}"):
            MoveNet("x.json")

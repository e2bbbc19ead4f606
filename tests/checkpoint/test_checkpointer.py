from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from detectron2.modeling import build_model
from torch import nn

from lcrnet_d2.checkpoint import LCRNetCheckpointer
from lcrnet_d2.config import load_config
from lcrnet_d2.structures import AnchorPoses
from tests_support import needs_lite_weights


def small_model(k: int = 4, upper_body: bool = True, skeleton: str = "BODY13", heat_maps: bool = False) -> nn.Module:
    opts = ["MODEL.LCRNET.NUM_ANCHOR_POSES", k, "MODEL.LCRNET.UPPER_BODY", upper_body, "MODEL.DEVICE", "cpu"]
    opts += ["MODEL.LCRNET.SKELETON", skeleton, "MODEL.FPN.OUT_CHANNELS", 8, "MODEL.ROI_BOX_HEAD.FC_DIM", 8]
    opts += ["MODEL.LCRNET.JOINT_REFINEMENT.ENABLED", heat_maps]
    return build_model(load_config("Base-LCRNet-Lite0-FPN.yaml", opts))


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory, anchors: AnchorPoses) -> Path:
    folder = tmp_path_factory.mktemp("saved")
    model = small_model()
    model.roi_heads.box_predictor.set_anchor_poses(anchors)
    LCRNetCheckpointer(model, str(folder)).save("model", iteration=7)
    return folder / "model.pth"


def test_a_checkpoint_is_complete(saved: Path, anchors: AnchorPoses) -> None:
    model = small_model()
    assert LCRNetCheckpointer(model).load(str(saved))["iteration"] == 7
    model.roi_heads.box_predictor.check_anchor_poses(anchors)
    assert (saved.parent / "last_checkpoint").read_text() == "model.pth"


@pytest.mark.parametrize("change", [{"k": 5}, {"upper_body": False}, {"skeleton": "H36M17"}], ids=str)
def test_another_head_is_an_error_and_changes_nothing(change: dict, saved: Path) -> None:
    model = small_model(**change)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    with pytest.raises(ValueError, match="does not fit the config"):
        LCRNetCheckpointer(model).load(str(saved))
    assert all(torch.equal(v, before[k]) or v.isnan().all() for k, v in model.state_dict().items())


def test_a_new_head_keeps_the_backbone(saved: Path) -> None:
    model = small_model(k=5)
    LCRNetCheckpointer(model, new_head=True).load(str(saved))
    theirs = torch.load(saved)["model"]
    key = "roi_heads.box_head.fc1.weight"
    assert torch.equal(model.state_dict()[key], theirs[key])
    with pytest.raises(RuntimeError, match="no anchor poses"):
        model.roi_heads.box_predictor.check_anchor_poses()


def test_heat_maps_are_of_the_weights(saved: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"without joint heat maps: .*JOINT_REFINEMENT\.ENABLED False"):
        LCRNetCheckpointer(small_model(heat_maps=True)).load(str(saved))
    LCRNetCheckpointer(small_model(heat_maps=True), new_head=True).load(str(saved))
    LCRNetCheckpointer(small_model(heat_maps=True), str(tmp_path)).save("model")
    with pytest.raises(ValueError, match=r"with joint heat maps: .*JOINT_REFINEMENT\.ENABLED True"):
        LCRNetCheckpointer(small_model()).load(str(tmp_path / "model.pth"))


def test_a_new_head_keeps_heat_maps_of_the_same_skeleton(tmp_path: Path, anchors: AnchorPoses) -> None:
    trained = small_model(heat_maps=True)
    LCRNetCheckpointer(trained, str(tmp_path)).save("model")
    key = "roi_heads.joint_head.heat.predict.weight"
    for skeleton, kept in (("BODY13", True), ("H36M17", False)):
        model = small_model(k=5, skeleton=skeleton, heat_maps=True)
        LCRNetCheckpointer(model, new_head=True).load(str(tmp_path / "model.pth"))
        assert torch.equal(model.state_dict()[key], trained.state_dict()[key]) == kept


def test_weights_from_pip_fill_the_backbone() -> None:
    needs_lite_weights()
    model = small_model()
    before = model.backbone.bottom_up.stem.weight.clone()
    LCRNetCheckpointer(model).load("pip://efficientnet-lite0")
    assert not torch.equal(model.backbone.bottom_up.stem.weight, before)


def test_the_best_checkpoint_is_not_what_training_resumes_from(tmp_path: Path) -> None:
    checkpointer = LCRNetCheckpointer(nn.Linear(1, 1), str(tmp_path))
    checkpointer.save("model_0000001")
    checkpointer.save("model_best")
    assert checkpointer.get_checkpoint_file().endswith("model_0000001.pth")
    assert not list(tmp_path.glob("*.part"))


@pytest.mark.parametrize("content", [b"", b"not a checkpoint"])
def test_broken_and_missing_files_are_named(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "broken.pth"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"broken\.pth"):
        LCRNetCheckpointer(nn.Linear(1, 1)).load(str(path))
    with pytest.raises(FileNotFoundError, match=r"none\.pth"):
        LCRNetCheckpointer(nn.Linear(1, 1)).load(str(tmp_path / "none.pth"))


def test_zoo_pickles_are_converted_by_name(tmp_path: Path) -> None:
    weights = {"weight": np.full((1, 1), 3.0, np.float32), "bias": np.zeros(1, np.float32)}
    path = tmp_path / "zoo.pkl"
    path.write_bytes(pickle.dumps({"model": weights, "__author__": "test"}))
    layer = nn.Linear(1, 1)
    LCRNetCheckpointer(layer).load(str(path))
    assert layer.weight.item() == 3.0

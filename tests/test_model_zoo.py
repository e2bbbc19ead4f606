from __future__ import annotations

from pathlib import Path

import pytest
import torch
from detectron2.modeling import build_model

from lcrnet_d2 import model_zoo
from lcrnet_d2.checkpoint import catalogue
from lcrnet_d2.checkpoint.catalogue import CATALOGUE, PublishedFile, PublishedModel, file_sha256
from lcrnet_d2.checkpoint.small_checkpoint import small_model, write_model
from lcrnet_d2.config import CONFIGS, load_config
from lcrnet_d2.data import load_anchor_poses
from lcrnet_d2.structures import BODY13, AnchorPoses

CONFIG = "quick_schedules/lcrnet_lite0_demo.yaml"


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with random weights for CONFIG, in half precision, and their anchor poses."""
    cfg = load_config(CONFIG, ["MODEL.DEVICE", "cpu"])
    model = build_model(cfg)
    anchors = AnchorPoses(
        torch.rand(16, 13, 2), torch.randn(16, 13, 3), BODY13, 16, torch.ones(16).long(), torch.ones(16)
    )
    model.roi_heads.box_predictor.set_anchor_poses(anchors)
    folder = tmp_path_factory.mktemp("weights")
    anchors.save(folder / "tiny_anchors.npz")
    write_model(small_model(model.state_dict()), folder / "tiny.pth")
    return folder


@pytest.fixture
def tiny(shipped: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(catalogue, "WEIGHTS_FOLDER", shipped)
    weights, anchor_poses = (PublishedFile(n, file_sha256(shipped / n)) for n in ("tiny.pth", "tiny_anchors.npz"))
    entry = PublishedModel(weights=weights, anchor_poses=anchor_poses, config=CONFIG, licence="CC0-1.0")
    monkeypatch.setitem(CATALOGUE, "tiny", entry)
    return "tiny"


def test_a_name_gives_config_url_and_model(tiny: str, shipped: Path) -> None:
    assert tiny in model_zoo.names()
    assert model_zoo.get_checkpoint_url(tiny) == "lcrnet://tiny"
    cfg = model_zoo.get_config(tiny)
    assert cfg.MODEL.WEIGHTS == "lcrnet://tiny" and cfg.MODEL.LCRNET.NUM_ANCHOR_POSES == 16
    model = model_zoo.get(tiny, device="cpu")
    assert model.training
    theirs = torch.load(shipped / "tiny.pth")["model"]
    mine = model.state_dict()
    assert theirs["roi_heads.box_head.fc1.weight"].dtype == torch.float16
    for name, value in theirs.items():
        assert mine[name].dtype == (torch.float32 if value.is_floating_point() else value.dtype)
        assert torch.equal(mine[name], value.to(mine[name].dtype)), name


def test_without_training_the_config_keeps_its_own_weights(tiny: str) -> None:
    assert model_zoo.get_config(tiny, trained=False) == load_config(CONFIG)
    assert model_zoo.get_config("H36M/P1_VGG16.yaml", trained=False) == load_config("H36M/P1_VGG16.yaml")


def test_unknown_names(tiny: str) -> None:
    for wrong in (model_zoo.get_config, model_zoo.get_checkpoint_url, model_zoo.get):
        with pytest.raises(ValueError, match=r"'nobody'; known: .*tiny"):
            wrong("nobody")
    for wrong in (model_zoo.get_config, model_zoo.get):
        with pytest.raises(ValueError, match=r"published for H36M/P1_VGG16\.yaml; .*trained=False"):
            wrong("H36M/P1_VGG16.yaml")
    with pytest.raises(FileNotFoundError, match="nobody"):
        model_zoo.get_config("nobody", trained=False)


@pytest.mark.parametrize("name", model_zoo.names())
def test_every_published_model_is_whole(name: str) -> None:
    """Its anchor poses, those of the config and of the file are the same: training can go on from it."""
    published = CATALOGUE[name]
    assert (CONFIGS / published.config).is_file()
    anchors = load_anchor_poses(model_zoo.get_config(name))
    model_zoo.get(name, device="cpu").roi_heads.box_predictor.check_anchor_poses(anchors)


def test_anchor_poses_of_a_small_checkpoint_are_those_of_the_file(anchors: AnchorPoses) -> None:
    opts = ["MODEL.LCRNET.NUM_ANCHOR_POSES", 4, "MODEL.LCRNET.UPPER_BODY", True]
    model = build_model(load_config(CONFIG, opts))
    model.roi_heads.box_predictor.set_anchor_poses(anchors)
    model.load_state_dict(small_model(model.state_dict()))
    model.roi_heads.box_predictor.check_anchor_poses(anchors)

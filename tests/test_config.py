from __future__ import annotations

from pathlib import Path

import pytest
from detectron2.modeling import build_model

from lcrnet_d2.config import CONFIGS, load_config
from lcrnet_d2.engine import check_config

YAMLS = sorted(str(p.relative_to(CONFIGS)) for p in CONFIGS.rglob("*.yaml"))
BUILT: dict[str, int] = {}


@pytest.mark.parametrize("name", YAMLS)
def test_every_yaml_builds(name: str) -> None:
    """On a small width for VGG: fc6 alone would take 400 MB."""
    cfg = load_config(name, ["MODEL.DEVICE", "cpu"])
    if "VGG" in name:
        assert cfg.MODEL.ROI_BOX_HEAD.FC_DIM == 4096
        cfg.MODEL.ROI_BOX_HEAD.FC_DIM = 32
    cfg.MODEL.WEIGHTS = cfg.MODEL.LCRNET.ANCHOR_POSES = ""
    network = cfg.MODEL.dump()  # several configs share one
    if network not in BUILT:
        BUILT[network] = build_model(cfg).roi_heads.box_predictor.num_anchor_poses
    assert BUILT[network] == cfg.MODEL.LCRNET.NUM_ANCHOR_POSES


def test_the_papers_numbers() -> None:
    cfg = load_config("Base-LCRNet-VGG16.yaml")
    assert (cfg.SOLVER.IMS_PER_BATCH, cfg.MODEL.ROI_HEADS.BATCH_SIZE_PER_IMAGE) == (8, 32)
    assert cfg.MODEL.ROI_HEADS.POSITIVE_FRACTION == 0.25 and cfg.MODEL.ROI_HEADS.IOU_THRESHOLDS == [0.5]
    assert cfg.MODEL.LCRNET.NUM_ANCHOR_POSES == 100 and cfg.SOLVER.MAX_ITER == 100_000
    assert cfg.MODEL.LCRNET.POSE_REG_SCALE == 1


def test_an_unknown_key_and_an_unknown_file_are_named(tmp_path: Path) -> None:
    with pytest.raises((KeyError, AssertionError), match="NUM_ANCHORS"):
        load_config("Base-LCRNet-R50-FPN.yaml", ["MODEL.LCRNET.NUM_ANCHORS", 3])
    yaml = tmp_path / "mine.yaml"
    yaml.write_text("MODEL:\n  LCRNET:\n    NUM_ANCHORS: 3\n")
    with pytest.raises(ValueError, match=r"mine\.yaml: Non-existent config key: MODEL\.LCRNET\.NUM_ANCHORS"):
        load_config(yaml)
    with pytest.raises(FileNotFoundError, match=r"none\.yaml"):
        load_config("none.yaml")


@pytest.mark.parametrize("name", ["Base-LCRNet-VGG16.yaml", "Base-LCRNet-R50-FPN.yaml", "Base-LCRNet-Lite0-FPN.yaml"])
def test_freezing_random_weights_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="would freeze random weights"):
        check_config(load_config(name, ["MODEL.WEIGHTS", ""]))
    check_config(load_config(name))


def test_keys_that_moved_name_their_successor(tmp_path: Path) -> None:
    (tmp_path / "old.yaml").write_text("MODEL:\n  LCRNET:\n    LAST_PIXEL_BOXES: True\n")
    with pytest.raises(ValueError, match="LastPixelROIHeads"):
        load_config(tmp_path / "old.yaml")
    with pytest.raises(KeyError, match="Res5BoxHeadOfStride1"):
        load_config("Base-LCRNet-Lite0-FPN.yaml", ["MODEL.LCRNET.RES5_STRIDE", 1])


def test_a_project_that_is_not_imported_is_named(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("MODEL:\n  LCRNET:\n    PROJECT: no_such_project\n")
    with pytest.raises(ValueError, match="mine.yaml needs the module 'no_such_project'.*--import no_such_project"):
        load_config(tmp_path / "mine.yaml")

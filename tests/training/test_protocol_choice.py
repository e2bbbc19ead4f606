"""TEST.LCRNET.PROTOCOLS: benchmarks beside the usual evaluators."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from detectron2.data import DatasetCatalog

from lcrnet_d2.config import CONFIGS, load_config
from lcrnet_d2.engine import evaluate_model
from lcrnet_d2.training.protocol_choice import MUPOTS, protocol_evaluators, register_mupots
from training_support import tiny_config, untrained_model


def test_the_trainers_evaluation_runs_them(tmp_path: Path) -> None:
    cfg = tiny_config(tmp_path)
    name = cfg.DATASETS.TEST[0]
    cfg.TEST.LCRNET.PROTOCOLS = [[name, "pck_3d"], ["another set", "mpii_single"]]
    results = evaluate_model(cfg, untrained_model(cfg), {"nms": 0.0, "ppi": 0.0})
    assert {"pose_ppi", "keypoints_ppi", "pck_3d_nms", "pck_3d_ppi"} <= set(results)
    assert results["pck_3d_ppi"]["n_people"] == 5
    assert (tmp_path / "out" / "inference" / name / "pck_3d" / "report.md").is_file()


@pytest.mark.parametrize("entry", [["a_set"], ["a_set", "human36m_p4"]])
def test_what_is_no_protocol_is_refused(entry: list[str]) -> None:
    cfg = load_config("quick_schedules/lcrnet_lite0_demo.yaml", ["TEST.LCRNET.PROTOCOLS", [entry]])
    with pytest.raises(ValueError, match="expected \\[data set, protocol\\]"):
        protocol_evaluators(cfg, "a_set", None)


def test_the_papers_configs_name_theirs_and_human36m_counts_everyone() -> None:
    for number in (1, 2, 3):
        cfg = load_config(f"H36M/P{number}_R50-FPN.yaml")
        assert [[cfg.DATASETS.TEST[0], f"human36m_p{number}"]] == cfg.TEST.LCRNET.PROTOCOLS
        assert cfg.TEST.LCRNET.MIN_JOINTS_SEEN == 0  # all its joints have v = 1: hidden or not is unknown
    files = sorted((CONFIGS / "MPII").glob("*.yaml"))
    assert len(files) == 8
    for file in files:
        node = load_config(file).TEST.LCRNET
        assert node.PROTOCOLS == [["mpii_val", "mpii_single"], ["mpii_val", "mpii_multi"]] and node.MIN_JOINTS_SEEN == 4


@pytest.mark.parametrize("group", [None, 2])
def test_groups_are_judged_where_the_data_have_them(group: int | None, caplog: pytest.LogCaptureFixture) -> None:
    """Otherwise a training without MPII's groups_v12.mat would stop at its first evaluation."""
    name, place = "protocol_choice_mpii", {"objpos": [60, 80], "scale": 0.5, "head_size": 9.0}
    person = {"bbox": [0, 0, 9, 9], "bbox_mode": 0, "keypoints": [5.0, 5.0, 2.0] * 13, **place, "group": group}
    record = {"file_name": "1.jpg", "image_id": 1, "width": 100, "height": 100, "annotations": [person]}
    DatasetCatalog.register(name, lambda: [record])
    try:
        protocols = [[name, "mpii_single"], [name, "mpii_multi"]]
        cfg = load_config("MPII/K100_R50-FPN.yaml", ["TEST.LCRNET.PROTOCOLS", protocols])
        evaluators = protocol_evaluators(cfg, name, None)
        assert len(evaluators) == (1 if group is None else 2)
        assert ("nobody is in a group" in caplog.text) == (group is None)
    finally:
        DatasetCatalog.remove(name)


def test_mupots_pictures_become_a_data_set(tmp_path: Path) -> None:
    (tmp_path / "TS1").mkdir()
    cv2.imwrite(str(tmp_path / "TS1" / "img_000000.jpg"), np.zeros((30, 40, 3), np.uint8))
    images = [{"id": 0, "file_name": "TS1/img_000000.jpg"}]
    people = [{"image_id": 0, "is_valid": 1, "keypoints_img": np.zeros((17, 2)).tolist()}]
    people[0]["keypoints_cam"] = np.eye(17, 3).tolist()
    (tmp_path / "MuPoTS-3D.json").write_text(json.dumps({"images": images, "annotations": people}))
    options = ["TEST.LCRNET.MUPOTS", str(tmp_path / "MuPoTS-3D.json"), "TEST.LCRNET.PROTOCOLS", [[MUPOTS, MUPOTS]]]
    cfg = load_config("quick_schedules/lcrnet_lite0_demo.yaml", options)
    register_mupots(cfg)
    try:
        (record,) = DatasetCatalog.get(MUPOTS)
        assert (record["width"], record["height"], record["image_id"]) == (40, 30, "TS1/img_000000.jpg")
        (evaluator,) = protocol_evaluators(cfg, MUPOTS, None)
        evaluator.reset()
        assert evaluator.evaluate()["mupots_ppi"]["n_people"] == 1
    finally:
        DatasetCatalog.remove(MUPOTS)

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from detectron2.modeling import build_model
from PIL import Image

import convert_lcrnet
import export_model
from lcrnet_d2 import demo
from lcrnet_d2.checkpoint import LCRNetCheckpointer
from lcrnet_d2.config import load_config
from released_models_support import lcrnet_v2_file

TOOLS = Path(__file__).parents[3] / "tools"


@pytest.mark.parametrize("with_fpn", [True, False])
def test_a_published_file_becomes_a_config_and_weights_that_detect(
    with_fpn: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "InTheWild-ResNet50.pkl"
    source.write_bytes(pickle.dumps(lcrnet_v2_file(with_fpn), protocol=2))
    convert_lcrnet.main(["lcrnet-v2", str(source), str(tmp_path / "out" / "wild")])
    printed = capsys.readouterr().out
    assert "K = 3, upper-body classes: True, BODY13" in printed and "{'T': 0.3}" in printed
    cfg = load_config(tmp_path / "out" / "wild.yaml", ["MODEL.DEVICE", "cpu"])
    model = build_model(cfg).eval()
    LCRNetCheckpointer(model).load(cfg.MODEL.WEIGHTS)
    with torch.no_grad():
        people = model([{"image": torch.randint(0, 256, (3, 96, 128)), "height": 96, "width": 128}])[0]["instances"]
    assert len(people) > 0 and torch.isfinite(people.pred_poses_3d).all()


def test_a_point_in_the_targets_name_stays(tmp_path: Path) -> None:
    (tmp_path / "x.pkl").write_bytes(pickle.dumps(lcrnet_v2_file(False), protocol=2))
    convert_lcrnet.main(["lcrnet-v2", str(tmp_path / "x.pkl"), str(tmp_path / "wild_v1.0")])
    assert sorted(p.name for p in tmp_path.glob("wild*")) == ["wild_v1.0.pth", "wild_v1.0.yaml"]


@pytest.mark.parametrize(("options", "weight"), [([], 0.1), (["--lower-body-weight", "1"], 1.0)])
def test_knees_of_upper_body_classes_count_by_the_rules_or_as_in_the_demo(
    options: list[str], weight: float, tmp_path: Path
) -> None:
    (tmp_path / "x.pkl").write_bytes(pickle.dumps(lcrnet_v2_file(True), protocol=2))
    convert_lcrnet.main(["lcrnet-v2", str(tmp_path / "x.pkl"), str(tmp_path / "wild"), *options])
    model = build_model(load_config(tmp_path / "wild.yaml", ["MODEL.DEVICE", "cpu"]))
    assert model.roi_heads.rules.lower_body_weight == weight


def test_nothing_is_written_of_a_file_that_does_not_fit(tmp_path: Path) -> None:
    content = lcrnet_v2_file(True)
    del content["model"]["Box_Head.fc2.bias"]
    (tmp_path / "x.pkl").write_bytes(pickle.dumps(content))
    with pytest.raises(SystemExit, match=r"(?s)do not fit the converted config.*box_head.fc2.bias"):
        convert_lcrnet.main(["lcrnet-v2", str(tmp_path / "x.pkl"), str(tmp_path / "out")])
    (tmp_path / "x.pkl").write_bytes(pickle.dumps({"model": torch.nn.Linear}))
    with pytest.raises(SystemExit, match=r"x\.pkl: it names torch.nn.modules.linear.Linear"):
        convert_lcrnet.main(["lcrnet-v2", str(tmp_path / "x.pkl"), str(tmp_path / "out")])
    with pytest.raises(SystemExit, match=r"none\.tgz"):
        convert_lcrnet.main(["dope", str(tmp_path / "none.tgz"), str(tmp_path / "out")])
    assert not list(tmp_path.glob("out*"))


def test_a_converted_model_runs_in_demo_and_export(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("onnxruntime")
    source = tmp_path / "wild.pkl"
    source.write_bytes(pickle.dumps(lcrnet_v2_file(True), protocol=2))
    convert_lcrnet.main(["lcrnet-v2", str(source), str(tmp_path / "wild")])
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (96, 128, 3), np.uint8)).save(tmp_path / "a.png")
    detect = ["demo.py", "--config-file", str(tmp_path / "wild.yaml"), "--input", str(tmp_path / "a.png"), "--output"]
    detect += [str(tmp_path / "found"), "--no-pictures"]
    cpu = ["--opts", "MODEL.DEVICE", "cpu"]
    refused = subprocess.run(  # in a process of its own: here the project is imported already
        [sys.executable, str(TOOLS / detect[0]), *detect[1:], *cpu],
        env={**os.environ, "PYTHONPATH": str(TOOLS.parent), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert refused.returncode == 1 and "wild.yaml needs the module 'released_models'" in refused.stderr
    demo.main([*detect[1:], "--import", "released_models", *cpu])
    (found,) = json.loads((tmp_path / "found" / "poses.json").read_text())["images"]
    assert len(found["people"]) > 0
    model = str(tmp_path / "wild.onnx")
    options = ["--import", "released_models", "--config-file", str(tmp_path / "wild.yaml"), "--output", model]
    export_model.main(options)
    assert "parity: passed" in capsys.readouterr().out
    rules = json.loads(onnx_metadata(model)["lcrnet"])["integration"]
    assert rules["last_pixel_boxes"] is True


def onnx_metadata(file: str) -> dict[str, str]:
    import onnx

    return {entry.key: entry.value for entry in onnx.load(file).metadata_props}

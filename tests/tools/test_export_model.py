from __future__ import annotations

from pathlib import Path

import pytest
import torch
from detectron2.modeling import build_model

import export_model
from lcrnet_d2.checkpoint.small_checkpoint import write_model
from lcrnet_d2.config import load_config
from lcrnet_d2.export import Differences
from lcrnet_d2.structures import AnchorPoses

CONFIG = "quick_schedules/lcrnet_lite0_demo.yaml"
OPTS = ["MODEL.LCRNET.NUM_ANCHOR_POSES", "4", "MODEL.LCRNET.UPPER_BODY", "True", "MODEL.FPN.OUT_CHANNELS", "8"]
OPTS += ["MODEL.ROI_BOX_HEAD.FC_DIM", "8", "INPUT.MIN_SIZE_TEST", "64"]

pytest.importorskip("onnxruntime", reason="pip install onnx onnxruntime")


def arguments(output: Path, weights: Path) -> list[str]:
    return ["--config-file", CONFIG, "--output", str(output), "--opts", *OPTS, "MODEL.WEIGHTS", str(weights)]


def test_export_and_parity(
    tmp_path: Path, anchors: AnchorPoses, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = build_model(load_config(CONFIG, OPTS))
    model.roi_heads.box_predictor.set_anchor_poses(anchors)
    torch.nn.init.normal_(model.roi_heads.box_predictor.cls_score.weight, std=1.0)
    write_model(model.state_dict(), tmp_path / "x.pth")
    export_model.main(arguments(tmp_path / "new" / "x.onnx", tmp_path / "x.pth"))
    printed = capsys.readouterr().out
    assert "allowed: score 0.0005, 2D 0.001" in printed and "parity: passed" in printed
    assert "80 x 64, image 1 of 1: " in printed and "64 x 96, image 3 of 3: " in printed
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["x.onnx"]

    monkeypatch.setattr(export_model, "TOLERANCES", Differences(-1.0, 1.0, 1.0))  # not to be met
    with pytest.raises(SystemExit) as caught:
        export_model.main(arguments(tmp_path / "new" / "x.onnx", tmp_path / "x.pth"))
    assert caught.value.code == 1 and "parity: MISSED" in capsys.readouterr().out


def test_bad_input_is_named(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"not exported: no weights at .*none\.pth"):
        export_model.main(arguments(tmp_path / "x.onnx", tmp_path / "none.pth"))
    with pytest.raises(SystemExit, match=r"not exported: the model has no anchor poses"):
        export_model.main([*arguments(tmp_path / "x.onnx", tmp_path)[:-1], ""])
    with pytest.raises(SystemExit, match=r"not exported: .*none\.jpg"):
        export_model.main(["--check", str(tmp_path / "none.jpg"), *arguments(tmp_path / "x.onnx", tmp_path / "x.pth")])
    with pytest.raises(SystemExit, match="not exported: "):
        export_model.main([*arguments(tmp_path / "x.onnx", tmp_path / "x.pth"), "MODEL.DEVICE"])  # without a value
    assert not (tmp_path / "x.onnx").exists()


def test_a_model_of_the_zoo_has_its_own_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = []
    monkeypatch.setattr(export_model.LCRNetCheckpointer, "load", lambda _, path: loaded.append(path))
    monkeypatch.setattr(export_model, "build_model", torch.nn.Identity)
    monkeypatch.setattr(export_model, "export_onnx", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        export_model.main(["--config-file", "lcrnet_movenet_free", "--output", str(tmp_path / "x.onnx")])
    assert loaded == ["lcrnet://lcrnet_movenet_free"]

from __future__ import annotations

import json
from pathlib import Path

import pytest

import quick_start
from lcrnet_d2.data.synthetic import SyntheticSet, register_synthetic_sets
from tests_support import needs_lite_weights

NETWORK = ["MODEL.FPN.OUT_CHANNELS", "8", "MODEL.ROI_BOX_HEAD.FC_DIM", "8", "MODEL.LCRNET.NUM_ANCHOR_POSES", "3"]
NETWORK += ["INPUT.MIN_SIZE_TRAIN", "(96,)", "INPUT.MIN_SIZE_TEST", "96"]


@pytest.fixture
def small_sets(tmp_path: Path):
    """The synthetic sets with a few small pictures."""
    needs_lite_weights()
    sizes = {"train": 6, "val": 3, "test": 3}
    sets = tuple(SyntheticSet(f"lcrnet_synthetic_{s}", s, n, image_size=(96, 128)) for s, n in sizes.items())
    register_synthetic_sets(tmp_path / "data", sets)
    yield
    register_synthetic_sets()


@pytest.mark.usefixtures("small_sets")
def test_from_nothing_to_a_table_and_pictures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    options = [*NETWORK, "SOLVER.MAX_ITER", "2", "SOLVER.IMS_PER_BATCH", "2"]
    quick_start.main(["--output", str(out), "--processes", "1", "--opts", *options])
    metrics = json.loads((out / "metrics.json").read_text())
    assert [row["method"] for row in metrics["table"]] == [
        "mean training pose",
        "class of the NMS seed, unregressed",
        "LCR-Net + NMS",
        "LCR-Net + PPI",
    ]
    assert set(metrics["score_thresholds"]) == {"nms", "ppi"}
    poses = json.loads((out / "poses.json").read_text())
    assert len(poses["images"]) == 3 + 1  # held-out pictures and the photo of matplotlib
    assert len(list(out.glob("000*.png"))) == 4 and (out / "anchor_poses.png").is_file()
    assert "LCR-Net + PPI" in capsys.readouterr().out
    # Called again, it goes on: nothing is left to train, and the rest is done anew from the checkpoint.
    quick_start.main(["--output", str(out), "--processes", "1", "--opts", *options])
    assert json.loads((out / "metrics.json").read_text())["score_thresholds"] == metrics["score_thresholds"]

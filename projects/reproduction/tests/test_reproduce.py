"""projects/reproduction/reproduce.py from nothing to a page, at a size of seconds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog

import reproduce
from lcrnet_d2.data.synthetic import SyntheticSet, register_synthetic_sets
from reproduction import TARGETS
from reproduction.sets import TEST_SET, TRUNCATED_SET

SMALL = ["MODEL.FPN.OUT_CHANNELS", "8", "MODEL.ROI_BOX_HEAD.FC_DIM", "8", "MODEL.RPN.POST_NMS_TOPK_TEST", "10"]
SMALL += ["MODEL.LCRNET.INTEGRATION.MIN_PROPOSALS", "20", "INPUT.MIN_SIZE_TRAIN", "(64,)", "INPUT.MIN_SIZE_TEST", "64"]
SMALL += ["SOLVER.MAX_ITER", "1", "SOLVER.IMS_PER_BATCH", "2"]
SMALL += ["TEST.LCRNET.MAX_FALSE_POSITIVES", "1000.0"]  # somebody is to be found by a network that has learnt nothing


@pytest.fixture
def small_sets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The sets of the experiments with a few small pictures: as many people as 200 anchor poses need."""
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tmp_path / "data"))
    sizes = {"train": 70, "val": 3}
    sets = tuple(SyntheticSet(f"lcrnet_synthetic_{s}", s, n, image_size=(48, 64)) for s, n in sizes.items())
    register_synthetic_sets(tmp_path / "data", sets)
    register_synthetic_sets(tmp_path / "data", (SyntheticSet(TEST_SET, "test", 8, image_size=(48, 64)),))
    yield
    for name in (TEST_SET, TRUNCATED_SET, "lcrnet_synthetic_train_35"):
        if name in DatasetCatalog.list():
            DatasetCatalog.remove(name)
            MetadataCatalog.remove(name)
    register_synthetic_sets()


@pytest.mark.usefixtures("small_sets")
def test_everything_on_the_synthetic_set(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    arguments = ["--synthetic", "--output", str(out), "--opts", *SMALL]
    reproduce.main(["all", *arguments])
    for name in TARGETS:
        text = (out / f"{name}.md").read_text()
        assert text.startswith("# ") and "**Synthetic set**" in text and "nan" not in text
    page = (out / "index.html").read_text()
    assert page.count("<h1>") == len(TARGETS) and page.count("data:image/png;base64") >= 2 and ".png" not in page
    # Again: nothing is trained, nothing is run, the numbers are the same.
    capsys.readouterr()
    before = (out / "table1.md").read_text()
    reproduce.main(["table1", *arguments])
    printed = capsys.readouterr().out
    assert (out / "table1.md").read_text() == before
    assert "training" not in printed and "pose proposals" not in printed

"""Human3.6M's and MPII's own way through the tables, on a few pictures in the form the sets are prepared in."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog

from lcrnet_d2.data.datasets.pose_json import write_pose_json
from lcrnet_d2.structures import BODY13
from reproduction import reproduce
from tests_support import person, random_poses, seen_at

SMALL = ["MODEL.WEIGHTS", "", "MODEL.BACKBONE.FREEZE_AT", "0", "MODEL.RESNETS.NORM", "BN", "MODEL.DEVICE", "cpu"]
SMALL += ["MODEL.ROI_BOX_HEAD.FC_DIM", "8", "MODEL.FPN.OUT_CHANNELS", "8", "MODEL.LCRNET.NUM_ANCHOR_POSES", "3"]
SMALL += ["MODEL.RESNETS.DEPTH", "18", "MODEL.RESNETS.RES2_OUT_CHANNELS", "64"]
SMALL += [
    "INPUT.MIN_SIZE_TRAIN",
    "(64,)",
    "INPUT.MIN_SIZE_TEST",
    "64",
    "SOLVER.MAX_ITER",
    "1",
    "SOLVER.BASE_LR",
    "1e-5",
]
SMALL += ["SOLVER.IMS_PER_BATCH", "2", "DATALOADER.NUM_WORKERS", "0"]
SMALL += ["MODEL.RPN.POST_NMS_TOPK_TEST", "10"]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The configs name files below the working folder; whatever they register is gone afterwards."""
    before = set(DatasetCatalog.list())
    monkeypatch.chdir(tmp_path)
    yield
    for name in set(DatasetCatalog.list()) - before:
        DatasetCatalog.remove(name)
        MetadataCatalog.remove(name)


def write_set(file: str, extras: dict, marks: dict) -> None:
    """Five pictures of one person each."""
    images = Path(file).parent / "images"
    images.mkdir(parents=True, exist_ok=True)
    records = []
    for i, pose in enumerate(random_poses(5, seed=len(file))):
        name = f"{Path(file).stem}_{i}.png"
        cv2.imwrite(str(images / name), np.full((96, 128, 3), 60 + 30 * i, np.uint8))
        seen = seen_at(pose, 64, 48, 40)
        record = {"file_name": name, "image_id": i, "height": 96, "width": 128, "annotations": []}
        record["annotations"].append(person(pose, seen, **marks))
        records.append(record | {key: value(i) if callable(value) else value for key, value in extras.items()})
    write_pose_json(file, records, BODY13)


def human36m(subject: str, part: str) -> None:
    video = {"subject": subject, "action": "Walking", "camera_serial": "55011271", "trial": 1}
    write_set(f"datasets/human36m/p1_{part}.json", video | {"frame": lambda i: 64 * i}, {})


def test_human36m_is_trained_where_asked_and_its_tables_written(capsys: pytest.CaptureFixture[str]) -> None:
    human36m("S1", "train")
    human36m("S11", "test")
    with pytest.raises(FileNotFoundError, match="weights at output/H36M/P1_R50-FPN/model_final.pth.*--train"):
        reproduce(["fig5"], Path("out"), opts=SMALL)
    page = reproduce(["table2", "fig5"], Path("out"), opts=SMALL, may_train=True)
    text = Path("out/table2.md").read_text()
    assert "paper: LCR-Net + PPI" in text and "this model + PPI" in text and "55011271" in text
    assert text.count("The data are not on disk.") == 2  # P2 and P3
    assert "Synthetic" not in page.read_text() and "Human3.6M P1, 5 images" in Path("out/fig5.md").read_text()
    capsys.readouterr()
    reproduce(["fig5"], Path("again"), opts=SMALL)  # weights and predictions are there: no --train needed
    assert Path("again/fig5.png").is_file()
    run = Path("output/H36M/P1_R50-FPN")
    file = run / "inference" / "human36m_p1_test" / "human36m_p1" / "pose_predictions.json"
    before = file.stat().st_mtime_ns
    reproduce(["fig5"], Path("again"), opts=SMALL)
    assert file.stat().st_mtime_ns == before
    os.utime(run / "model_final.pth", ns=(before + 10**9, before + 10**9))  # trained on since
    reproduce(["fig5"], Path("again"), opts=SMALL)
    assert file.stat().st_mtime_ns > before


def test_figure_6_shows_the_mpii_runs_there_are_weights_for() -> None:
    marks = {"objpos": [64.0, 48.0], "scale": 0.32, "head_size": 10.0}
    for part in ("train", "val"):
        write_set(f"datasets/mpii/{part}_3d.json", {}, marks)
    reproduce(["fig6"], Path("out"), opts=[*SMALL, "DATASETS.TRAIN", "('mpii_train',)"], may_train=True)
    text = Path("out/fig6.md").read_text()
    assert "MPII, K = 100, PPI" in text and Path("out/fig6.png").is_file()

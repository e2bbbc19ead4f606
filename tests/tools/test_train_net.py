"""tools/train_net.py as a user calls it: in processes of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from lcrnet_d2.structures import BODY13
from lcrnet_d2.structures.anchor_clustering import cluster_poses
from tests_support import random_poses, seen_at, write_tiny_set

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
def options(tmp_path: Path) -> list[str]:
    file = write_tiny_set(tmp_path / "set")
    poses = random_poses(60, 0)
    cluster_poses(seen_at(poses, 0, 0, 50), poses, BODY13, 4, True, 0).save(tmp_path / "anchors.npz")
    values = {
        "DATASETS.POSE_FILES": repr([["tiny_cli", str(file), str(file.parent)]]),
        "DATASETS.TRAIN": "('tiny_cli',)",
        "DATASETS.TEST": "('tiny_cli',)",
        "TEST.LCRNET.THRESHOLD_DATASET": "tiny_cli",
        "MODEL.LCRNET.NUM_ANCHOR_POSES": "4",
        "MODEL.LCRNET.UPPER_BODY": "True",
        "MODEL.LCRNET.ANCHOR_POSES": str(tmp_path / "anchors.npz"),
        "MODEL.FPN.OUT_CHANNELS": "8",
        "MODEL.ROI_BOX_HEAD.FC_DIM": "8",
        "INPUT.MIN_SIZE_TRAIN": "(96,)",
        "INPUT.MIN_SIZE_TEST": "96",
        "SOLVER.IMS_PER_BATCH": "2",
        "SOLVER.MAX_ITER": "2",
        "OUTPUT_DIR": str(tmp_path / "out"),
    }
    return [text for pair in values.items() for text in pair]


def run(*arguments: str) -> str:
    out = subprocess.run(
        [sys.executable, ROOT / "tools" / "train_net.py", *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert out.returncode == 0, out.stderr[-3000:]
    return out.stdout + out.stderr


def test_trains_in_two_processes_then_evaluates_alone(options: list[str], tmp_path: Path) -> None:
    config = ("--config-file", str(ROOT / "configs" / "quick_schedules" / "lcrnet_lite0_demo.yaml"))
    run(*config, "--num-gpus", "2", *options)
    assert (tmp_path / "out" / "last_checkpoint").read_text() == "model_final.pth"
    final = str(tmp_path / "out" / "model_final.pth")
    printed = run(*config, "--eval-only", *options, "MODEL.WEIGHTS", final)
    assert "pose_ppi" in printed and "keypoints_nms" in printed
    saved = json.loads((tmp_path / "out" / "inference" / "tiny_cli" / "pose_predictions.json").read_text())
    assert len(saved["images"]) == 6
    resumed = run(*config, "--resume", *options, "SOLVER.MAX_ITER", "3")
    assert "Starting training from iteration 2" in resumed

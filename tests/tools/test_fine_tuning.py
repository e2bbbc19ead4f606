"""Section 7 of docs/OWN_DATA.md: from trained weights to another skeleton and another K."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from lcrnet_d2.data.anchor_clustering import cluster_poses
from lcrnet_d2.engine import LCRNetTrainer
from lcrnet_d2.structures import H36M17
from tests_support import random_poses, seen_at
from training_support import tiny_config, train


def test_a_new_head_on_trained_weights(tmp_path: Path) -> None:
    first = tiny_config(tmp_path / "first")
    first.DATASETS.TEST = ()
    first.SOLVER.MAX_ITER = 1
    train(first)
    weights = Path(first.OUTPUT_DIR) / "model_final.pth"

    second = tiny_config(tmp_path / "second", H36M17)
    poses = random_poses(60, 1, H36M17)
    anchors = cluster_poses(seen_at(poses, 0, 0, 50), poses, H36M17, 6, True, 0)
    anchors.save(second.MODEL.LCRNET.ANCHOR_POSES)
    second.DATASETS.TEST, second.MODEL.WEIGHTS, second.SOLVER.MAX_ITER = (), str(weights), 1
    second.MODEL.LCRNET.NUM_ANCHOR_POSES = 6
    with pytest.raises(ValueError, match="NEW_HEAD"):
        LCRNetTrainer(second).resume_or_load(False)
    second.MODEL.LCRNET.NEW_HEAD = True
    trainer = LCRNetTrainer(second)
    trainer.resume_or_load(False)
    trained = torch.load(weights, weights_only=True)["model"]
    mine = trainer.model.state_dict()
    kept = {name for name, value in mine.items() if name in trained and torch.equal(value, trained[name])}
    new = set(mine) - kept
    assert any(name.startswith("backbone") for name in kept) and any("proposal_generator" in name for name in kept)
    assert new and all("lcr" in name or "anchor" in name or "predictor" in name for name in new), new
    trainer.train()
    assert np.isfinite(trainer.storage.latest()["total_loss"][0])

"""Saved proposals, integrated here, give what the network gives itself."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from detectron2.data import DatasetCatalog

from lcrnet_d2.data import LCRNetDatasetMapper
from lcrnet_d2.engine import LCRNetTrainer
from lcrnet_d2.evaluation import predictions_from_instances
from lcrnet_d2.structures import BODY13, AnchorPoses
from reproduction.proposals import Rules, SavedProposals, integrate, save_proposals
from training_support import tiny_config


@pytest.fixture
def network(tmp_path: Path):
    """An untrained network with upper-body classes, dataset dicts of 160 x 120 px and its inputs of 128 x 96."""
    cfg = tiny_config(tmp_path)
    cfg.DATASETS.TRAIN = cfg.DATASETS.TEST
    model = LCRNetTrainer.build_model(cfg).eval()
    model.roi_heads.box_predictor.set_anchor_poses(AnchorPoses.load(cfg.MODEL.LCRNET.ANCHOR_POSES))
    records = DatasetCatalog.get(cfg.DATASETS.TEST[0])
    mapper = LCRNetDatasetMapper(cfg, False)
    return cfg, model, records, [mapper(record) for record in records]


def test_the_networks_own_people_come_back(network, tmp_path: Path) -> None:
    cfg, model, records, inputs = network
    save_proposals(model, inputs, BODY13, tmp_path / "proposals.npz")
    rules = Rules.of_config(cfg)
    ours = integrate(SavedProposals(tmp_path / "proposals.npz"), records, BODY13, rules)
    with torch.no_grad():
        for record, given, mine in zip(records, inputs, ours, strict=True):
            (output,) = model([given])
            theirs = predictions_from_instances(record, output["instances"])
            for method in ("nms", "ppi"):
                a, b = getattr(mine, method), getattr(theirs, method)
                n = len(b)  # the network returns its best 100 people at most
                np.testing.assert_allclose(a.scores[:n], b.scores, rtol=1e-4)
                np.testing.assert_allclose(a.poses_2d[:n], b.poses_2d, atol=0.01)
                np.testing.assert_allclose(a.poses_3d[:n], b.poses_3d, atol=1e-4)


def test_a_larger_t_3d_averages_over_more(network, tmp_path: Path) -> None:
    _, model, records, inputs = network
    save_proposals(model, inputs, BODY13, tmp_path / "proposals.npz")
    saved = SavedProposals(tmp_path / "proposals.npz")
    rules = Rules(t_3d=0.0, iou_threshold=0.2)
    alone, everyone = (integrate(saved, records, BODY13, replace(rules, t_3d=t)) for t in (0.0, 10.0))
    for a, b in zip(alone, everyone, strict=True):
        assert a.ppi.scores.max() == pytest.approx(a.nms.scores.max())  # a mode of one is its seed
        assert b.ppi.scores.max() > 2 * b.nms.scores.max()
    assert "inference" not in vars(model.roi_heads.box_predictor)  # left as it was


def test_proposals_of_other_images_are_refused(network, tmp_path: Path) -> None:
    _, model, records, inputs = network
    save_proposals(model, inputs[:2], BODY13, tmp_path / "proposals.npz")
    with pytest.raises(ValueError, match="2 images, the data set has 6"):
        integrate(SavedProposals(tmp_path / "proposals.npz"), records, BODY13, Rules(0.2, 0.2))


def test_every_rule_of_the_config_counts(network, tmp_path: Path) -> None:
    """The paper's own rules find more people in a group than its best mode."""
    cfg, model, records, inputs = network
    save_proposals(model, inputs, BODY13, tmp_path / "proposals.npz")
    saved = SavedProposals(tmp_path / "proposals.npz")
    few = integrate(saved, records, BODY13, Rules.of_config(cfg))
    node = cfg.MODEL.LCRNET.INTEGRATION
    node.ALL_MODES, node.MIN_SEED_SCORE, node.MIN_MODE_SCORE, node.LOWER_BODY_WEIGHT = True, 0.0, 0.0, 1.0
    node.CLIP_BOXES, node.T_3D = False, 0.01
    rules = Rules.of_config(cfg)
    assert rules == Rules(0.01, node.IOU_THRESH, False, True, 0.0, 0.0, 1.0)
    many = integrate(saved, records, BODY13, rules)
    assert sum(len(p.ppi.scores) for p in many) > sum(len(p.ppi.scores) for p in few)

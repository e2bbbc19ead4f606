"""A real but tiny training: from an annotation file to evaluated people, interrupted and resumed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog
from tests_support import random_poses, seen_at, write_tiny_set

from lcrnet_d2.config import load_config
from lcrnet_d2.data.datasets.builtin import register_pose_file
from lcrnet_d2.engine import LCRNetTrainer, ResumableBestCheckpointer, evaluate_model, score_thresholds
from lcrnet_d2.structures import BODY13, H36M17, AnchorPoses, Skeleton
from lcrnet_d2.structures.anchor_clustering import cluster_poses


def tiny_config(folder: Path, skeleton: Skeleton = BODY13) -> CfgNode:
    """Six small pictures, K = 4, a narrow network."""
    name = f"tiny_{skeleton.name}_{folder.name}"
    register_pose_file(name, write_tiny_set(folder / "set", skeleton=skeleton), folder / "set", skeleton)
    poses = random_poses(60, 0, skeleton)
    cluster_poses(seen_at(poses, 0, 0, 50), poses, skeleton, 4, True, 0).save(folder / "anchors.npz")
    opts = ["MODEL.LCRNET.NUM_ANCHOR_POSES", 4, "MODEL.LCRNET.UPPER_BODY", True, "MODEL.FPN.OUT_CHANNELS", 16]
    opts += ["MODEL.LCRNET.SKELETON", skeleton.name, "MODEL.LCRNET.ANCHOR_POSES", str(folder / "anchors.npz")]
    opts += ["MODEL.ROI_BOX_HEAD.FC_DIM", 32, "INPUT.MIN_SIZE_TRAIN", (96,), "INPUT.MIN_SIZE_TEST", 96]
    opts += ["DATASETS.TRAIN", (name,), "DATASETS.TEST", (name,), "TEST.LCRNET.THRESHOLD_DATASET", ""]
    opts += ["SOLVER.IMS_PER_BATCH", 2, "SOLVER.CHECKPOINT_PERIOD", 2, "OUTPUT_DIR", str(folder / "out")]
    return load_config("quick_schedules/lcrnet_lite0_demo.yaml", [*opts, "SEED", 1])


@pytest.mark.parametrize("skeleton", [BODY13, H36M17], ids=lambda s: s.name)
def test_trains_and_evaluates_with_any_skeleton(skeleton: Skeleton, tmp_path: Path) -> None:
    cfg = tiny_config(tmp_path, skeleton)
    cfg.SOLVER.MAX_ITER, cfg.TEST.EVAL_PERIOD = 4, 2
    trainer = LCRNetTrainer(cfg)
    trainer.resume_or_load(False)
    trainer.train()
    results = trainer._last_eval_results
    assert {"pose_ppi", "pose_nms", "common", "keypoints_ppi", "keypoints_nms"} <= set(results)
    assert results["pose_ppi"]["n_people"] == 5
    assert (tmp_path / "out" / "model_final.pth").is_file()
    assert list((tmp_path / "out").glob("events.*"))


def test_training_goes_on_where_it_stopped(tmp_path: Path) -> None:
    cfg = tiny_config(tmp_path)
    cfg.DATASETS.TEST = ()
    cfg.SOLVER.MAX_ITER = 2
    first = LCRNetTrainer(cfg)
    first.resume_or_load(False)
    first.train()
    cfg.SOLVER.MAX_ITER = 3
    second = LCRNetTrainer(cfg)
    second.resume_or_load(True)
    assert second.start_iter == 2
    momenta = [state["exp_avg"] for state in second.optimizer.state.values()]  # AdamW's
    assert momenta and any(m.abs().max() > 0 for m in momenta)


def test_resuming_with_other_anchor_poses_is_an_error(tmp_path: Path) -> None:
    cfg = tiny_config(tmp_path)
    cfg.DATASETS.TEST = ()
    cfg.SOLVER.MAX_ITER = 2
    trainer = LCRNetTrainer(cfg)
    trainer.resume_or_load(False)
    trainer.train()
    poses = random_poses(60, 9)
    cluster_poses(seen_at(poses, 0, 0, 50), poses, BODY13, 4, True, 0).save(tmp_path / "anchors.npz")
    with pytest.raises(ValueError, match="not those of MODEL.LCRNET.ANCHOR_POSES"):
        LCRNetTrainer(cfg).resume_or_load(True)


def test_the_best_result_is_remembered_on_resume(tmp_path: Path) -> None:
    cfg = tiny_config(tmp_path)
    cfg.SOLVER.MAX_ITER, cfg.TEST.EVAL_PERIOD = 2, 2
    trainer = LCRNetTrainer(cfg)
    trainer.resume_or_load(False)
    (best,) = [h for h in trainer._hooks if isinstance(h, ResumableBestCheckpointer)]
    best.best_metric, best.best_iter = 12.5, 1
    trainer.checkpointer.save("model_0000001", iteration=1)
    again = LCRNetTrainer(cfg)
    again.resume_or_load(True)
    (best,) = [h for h in again._hooks if isinstance(h, ResumableBestCheckpointer)]
    assert (best.best_metric, best.best_iter) == (12.5, 1)


def test_evaluation_refuses_other_anchor_poses_and_does_without_a_file(tmp_path: Path) -> None:
    cfg = tiny_config(tmp_path)
    model = LCRNetTrainer.build_model(cfg)
    anchors = AnchorPoses.load(cfg.MODEL.LCRNET.ANCHOR_POSES)
    model.roi_heads.box_predictor.set_anchor_poses(anchors)
    model.roi_heads.box_predictor.anchor_poses_3d += 0.1
    with pytest.raises(ValueError, match="not those of MODEL.LCRNET.ANCHOR_POSES"):
        evaluate_model(cfg, model, {"nms": 0.0, "ppi": 0.0})
    cfg.MODEL.LCRNET.ANCHOR_POSES = "elsewhere.npz"
    assert "anchor_mpjpe_mm" not in evaluate_model(cfg, model, {"nms": 0.0, "ppi": 0.0})["common"]
    cfg.MODEL.LCRNET.INTEGRATION.METHOD = "nms"
    with pytest.raises(ValueError, match="METHOD ppi"):
        evaluate_model(cfg, model, {"nms": 0.0, "ppi": 0.0})


def test_thresholds_chosen_on_validation_data_are_applied(tmp_path: Path) -> None:
    cfg = tiny_config(tmp_path)
    cfg.TEST.LCRNET.THRESHOLD_DATASET = cfg.DATASETS.TEST[0]
    model = LCRNetTrainer.build_model(cfg)
    model.roi_heads.box_predictor.set_anchor_poses(AnchorPoses.load(cfg.MODEL.LCRNET.ANCHOR_POSES))
    thresholds = score_thresholds(cfg, model)
    results = evaluate_model(cfg, model, thresholds)
    for method in ("nms", "ppi"):
        assert results[f"pose_{method}"]["fp_per_image"] <= 0.2


def test_evaluators_in_either_order_agree(tmp_path: Path) -> None:
    """COCOEvaluator changes predictions in place; neither evaluator may see what the other did."""
    from detectron2.evaluation import DatasetEvaluators, inference_on_dataset

    from lcrnet_d2.engine import anchors_of, build_evaluators

    cfg = tiny_config(tmp_path)
    name = cfg.DATASETS.TEST[0]
    model = LCRNetTrainer.build_model(cfg)
    model.roi_heads.box_predictor.set_anchor_poses(AnchorPoses.load(cfg.MODEL.LCRNET.ANCHOR_POSES))
    registered = DatasetCatalog.get(name)
    DatasetCatalog.remove(name)
    DatasetCatalog.register(name, lambda: registered)  # the very same dicts to everyone
    before = repr(registered)
    results = []
    for order in (1, -1):
        evaluators = build_evaluators(cfg, name, {"nms": 0.0, "ppi": 0.0}, anchors_of(cfg, model))._evaluators[::order]
        loader = LCRNetTrainer.build_test_loader(cfg, name)
        results.append(inference_on_dataset(model, loader, DatasetEvaluators(evaluators)))
    for task, metrics in results[0].items():
        for key, value in metrics.items():
            np.testing.assert_equal(results[1][task][key], value)
    assert repr(registered) == before

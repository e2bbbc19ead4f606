"""A real but tiny training: from an annotation file to evaluated people, interrupted and resumed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from detectron2.data import DatasetCatalog

from lcrnet_d2.data.anchor_clustering import cluster_poses
from lcrnet_d2.engine import LCRNetTrainer, evaluate_model, score_thresholds
from lcrnet_d2.evaluation import PoseEvaluator
from lcrnet_d2.structures import BODY13, H36M17, Skeleton
from lcrnet_d2.training.hooks import ResumableBestCheckpointer
from tests_support import random_poses, seen_at
from training_support import new_trainer, tiny_config, train, untrained_model


@pytest.mark.parametrize("skeleton", [BODY13, H36M17], ids=lambda s: s.name)
def test_trains_and_evaluates_with_any_skeleton(skeleton: Skeleton, tmp_path: Path) -> None:
    cfg = tiny_config(tmp_path, skeleton)
    cfg.TEST.EVAL_PERIOD = 2
    trainer = new_trainer(cfg, MAX_ITER=2)
    trainer.train()
    results = trainer._last_eval_results
    assert {"pose_ppi", "pose_nms", "common", "keypoints_ppi", "keypoints_nms"} <= set(results)
    assert results["pose_ppi"]["n_people"] == 5
    assert (tmp_path / "out" / "model_final.pth").is_file()
    assert list((tmp_path / "out").glob("events.*"))


def test_training_goes_on_where_it_stopped_but_not_with_other_anchor_poses(tmp_path: Path) -> None:
    cfg = tiny_config(tmp_path)
    new_trainer(cfg, MAX_ITER=2).train()
    second = new_trainer(cfg, resume=True, MAX_ITER=3)
    assert second.start_iter == 2
    momenta = [state["exp_avg"] for state in second.optimizer.state.values()]  # AdamW's
    assert momenta and any(m.abs().max() > 0 for m in momenta)
    poses = random_poses(60, 9)
    cluster_poses(seen_at(poses, 0, 0, 50), poses, BODY13, 4, True, 0).save(tmp_path / "anchors.npz")
    with pytest.raises(ValueError, match="not those of MODEL.LCRNET.ANCHOR_POSES"):
        new_trainer(cfg, resume=True)


def test_hooks_run_in_the_order_of_one_list(tmp_path: Path) -> None:
    cfg = tiny_config(tmp_path)
    cfg.TEST.EVAL_PERIOD, cfg.SOLVER.AVERAGE_DECAY = 2, 0.9
    names = [type(hook).__name__ for hook in LCRNetTrainer(cfg)._hooks]
    before = ["IterationSeeds", "SharedStatistics", "WeightAverage"]
    after = ["EvalHook", "ResumableBestCheckpointer", "ImageHook", "PeriodicCheckpointer", "PeriodicWriter"]
    assert names == [*before, "IterationTimer", "LRScheduler", *after]


def best_of(trainer: LCRNetTrainer) -> ResumableBestCheckpointer:
    (best,) = [h for h in trainer._hooks if isinstance(h, ResumableBestCheckpointer)]
    return best


def test_the_best_result_is_remembered_on_resume(tmp_path: Path) -> None:
    cfg = tiny_config(tmp_path)
    cfg.TEST.EVAL_PERIOD = 2
    trainer = new_trainer(cfg, MAX_ITER=2)
    best_of(trainer).best_metric, best_of(trainer).best_iter = 12.5, 1
    trainer.checkpointer.save("model_0000001", iteration=1)
    best = best_of(new_trainer(cfg, resume=True))
    assert (best.best_metric, best.best_iter) == (12.5, 1)


def test_the_last_evaluation_may_be_the_best(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It comes after the last checkpoint is written, which has to know of it all the same."""
    judged = {"pose_ppi": {"mpjpe_mm": 50.0}}
    monkeypatch.setattr(LCRNetTrainer, "test", classmethod(lambda cls, cfg, model, evaluators=None: judged))
    cfg = tiny_config(tmp_path)
    cfg.SOLVER.MAX_ITER = cfg.TEST.EVAL_PERIOD = 1
    train(cfg)
    again = new_trainer(cfg, resume=True)
    assert (best_of(again).best_metric, again.start_iter) == (50.0, 1)


def test_evaluation_refuses_other_anchor_poses_and_does_without_a_file(tmp_path: Path) -> None:
    cfg = tiny_config(tmp_path)
    model = untrained_model(cfg)
    model.roi_heads.box_predictor.anchor_poses_3d += 0.1
    with pytest.raises(ValueError, match="not those of MODEL.LCRNET.ANCHOR_POSES"):
        evaluate_model(cfg, model, {"nms": 0.0, "ppi": 0.0})
    cfg.MODEL.LCRNET.ANCHOR_POSES = "elsewhere.npz"
    assert "anchor_mpjpe_mm" not in evaluate_model(cfg, model, {"nms": 0.0, "ppi": 0.0})["common"]
    cfg.MODEL.LCRNET.INTEGRATION.METHOD = "nms"
    with pytest.raises(ValueError, match="METHOD ppi"):
        evaluate_model(cfg, model, {"nms": 0.0, "ppi": 0.0})


def test_classes_of_mirror_images_are_no_baseline(tmp_path: Path) -> None:
    cfg = tiny_config(tmp_path)
    cfg.TEST.AUG.ENABLED, cfg.TEST.AUG.MIN_SIZES, cfg.TEST.AUG.MAX_SIZE = True, (64,), 300
    model = untrained_model(cfg)
    for flip in (False, True):
        cfg.TEST.AUG.FLIP = flip
        metrics = evaluate_model(cfg, model, {"nms": 0.0, "ppi": 0.0})["common"]
        assert ("anchor_mpjpe_mm" in metrics) is not flip
        assert "mean_pose_mpjpe_mm" in metrics


def test_thresholds_chosen_on_validation_data_are_applied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cfg = tiny_config(tmp_path)
    cfg.TEST.LCRNET.THRESHOLD_DATASET = cfg.DATASETS.TEST[0]
    model = untrained_model(cfg)
    asked: list[dict] = []
    forward = type(model).forward
    monkeypatch.setattr(type(model), "forward", lambda self, inputs: (asked.extend(inputs), forward(self, inputs))[1])
    results = evaluate_model(cfg, model)
    assert len(asked) == len(DatasetCatalog.get(cfg.DATASETS.TEST[0]))  # once for the thresholds and the metrics
    for method in ("nms", "ppi"):
        assert results[f"pose_{method}"]["fp_per_image"] <= 0.2
    np.testing.assert_equal(evaluate_model(cfg, model, score_thresholds(cfg, model)), results)
    assert not list((tmp_path / "out" / "inference").glob("unfinished-*"))


def test_an_evaluation_that_was_stopped_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cfg = tiny_config(tmp_path)
    cfg.TEST.LCRNET.PREDICTION_CACHE = True
    model = untrained_model(cfg)
    thresholds = {"nms": 0.0, "ppi": 0.0}
    expected = evaluate_model(cfg, model, thresholds)

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(PoseEvaluator, "evaluate", stop)  # all is predicted, nothing reported
        evaluate_model(cfg, model, thresholds)
    monkeypatch.setattr(model, "forward", stop)  # the network must not be asked again
    np.testing.assert_equal(evaluate_model(cfg, model, thresholds), expected)
    assert not list((tmp_path / "out" / "inference").glob("unfinished-*"))


def test_evaluators_in_either_order_agree(tmp_path: Path) -> None:
    """COCOEvaluator changes predictions in place; neither evaluator may see what the other did."""
    from detectron2.evaluation import DatasetEvaluators, inference_on_dataset

    from lcrnet_d2.engine import anchors_of, build_evaluators

    cfg = tiny_config(tmp_path)
    name = cfg.DATASETS.TEST[0]
    model = untrained_model(cfg)
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


@pytest.mark.parametrize("precise", [False, True])
def test_the_averaged_weights_are_saved_and_both_resumed(precise: bool, tmp_path: Path) -> None:
    """A run cut in two ends with the same average, and other weights in training, as one that was not."""
    whole = tiny_config(tmp_path)
    cut = whole.clone()
    for cfg, name in [(whole, "whole"), (cut, "cut")]:
        cfg.SOLVER.AVERAGE_DECAY = 0.5
        cfg.SOLVER.MAX_ITER = 4
        cfg.SOLVER.CHECKPOINT_PERIOD = 2
        cfg.TEST.EVAL_PERIOD = 0
        cfg.MODEL.FPN.NORM, cfg.TEST.PRECISE_BN.ENABLED, cfg.TEST.PRECISE_BN.NUM_ITER = "BN", precise, 2
        cfg.OUTPUT_DIR = str(tmp_path / name)
    torch.manual_seed(0)  # of the head's first weights
    trainer, _ = train(whole)
    torch.manual_seed(0)
    train(cut, stop_after=2)
    train(cut, resume=True)
    first, second = (
        torch.load(tmp_path / name / "model_final.pth", weights_only=True)["model"] for name in ("whole", "cut")
    )
    layer = "roi_heads.box_predictor.cls_score.weight"
    assert all(torch.equal(first[key], second[key]) for key in first)
    torch.testing.assert_close(first[layer], trainer.average.model.state_dict()[layer])
    assert not torch.equal(first[layer], trainer.model.state_dict()[layer])


def test_an_average_begun_on_resume_begins_at_the_weights_of_the_checkpoint(tmp_path: Path) -> None:
    cfg = tiny_config(tmp_path)
    cfg.TEST.EVAL_PERIOD = 0
    cfg.SOLVER.MAX_ITER = 2
    train(cfg)
    cfg.SOLVER.AVERAGE_DECAY, cfg.SOLVER.MAX_ITER = 0.5, 4
    trainer = new_trainer(cfg, resume=True)
    assert trainer.start_iter == 2
    saved = torch.load(tmp_path / "out" / "model_final.pth", weights_only=True)["model"]
    for model in (trainer.model, trainer.average.model):
        assert all(torch.equal(saved[key], value) for key, value in model.state_dict().items())


def test_adamw_knows_the_rates_and_decays_of_biases(tmp_path: Path) -> None:
    cfg = tiny_config(tmp_path)
    cfg.SOLVER.OPTIMIZER, cfg.SOLVER.BASE_LR, cfg.SOLVER.WEIGHT_DECAY = "ADAMW", 0.001, 0.02
    cfg.SOLVER.BIAS_LR_FACTOR, cfg.SOLVER.WEIGHT_DECAY_BIAS = 2.0, 0.0
    model = LCRNetTrainer.build_model(cfg)
    optimizer = LCRNetTrainer.build_optimizer(cfg, model)
    groups = {id(p): group for group in optimizer.param_groups for p in group["params"]}
    layer = model.roi_heads.box_predictor.cls_score
    assert (groups[id(layer.bias)]["lr"], groups[id(layer.bias)]["weight_decay"]) == (0.002, 0.0)
    assert (groups[id(layer.weight)]["lr"], groups[id(layer.weight)]["weight_decay"]) == (0.001, 0.02)

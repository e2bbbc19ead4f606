"""Training that repeats itself: the same seed, an interruption or none, workers or none give the same numbers."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from lcrnet_d2.engine import LCRNetTrainer
from training_support import new_trainer, tiny_config, train


def weights(trainer: LCRNetTrainer) -> list[torch.Tensor]:
    return [value.clone() for value in trainer._trainer.model.state_dict().values()]


def same(a: list[torch.Tensor], b: list[torch.Tensor]) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


def test_an_interrupted_run_equals_an_uninterrupted_one_bit_for_bit(tmp_path: Path) -> None:
    cfg = tiny_config(tmp_path)
    cfg.SOLVER.MAX_ITER, cfg.TEST.EVAL_PERIOD, cfg.INPUT.LCRNET.COLOR_JITTER = 6, 3, 0.3
    torch.manual_seed(0)  # of the initial weights; default_setup does this in a program
    whole, losses = train(cfg)
    cfg.OUTPUT_DIR = str(tmp_path / "interrupted")
    torch.manual_seed(0)
    _, before = train(cfg, stop_after=4)  # the checkpoint is that of iteration 3
    torch.manual_seed(99)  # whatever the new process starts with
    cfg.SEED = -1  # the checkpoint's own seed rules
    resumed, after = train(cfg, resume=True)
    assert resumed.start_iter == 4 and sorted(after) == [4, 5]
    assert before | after == losses  # iteration 4 was made twice
    assert before[4] == after[4]
    assert same(weights(whole), weights(resumed))
    momenta = [[s["exp_avg"] for s in t.optimizer.state.values()] for t in (whole, resumed)]
    assert same(*momenta)


def test_the_seed_fixes_training_and_another_seed_changes_it(tmp_path: Path) -> None:
    cfg = tiny_config(tmp_path)
    cfg.DATASETS.TEST = ()
    cfg.SOLVER.MAX_ITER = 2
    losses = []
    for seed in (1, 1, 2):
        cfg.SEED = seed
        torch.manual_seed(0)  # of the initial weights
        losses.append(train(cfg)[1])
    assert losses[0] == losses[1] != losses[2]


def test_the_seed_is_kept_in_the_checkpoint_as_a_tensor(tmp_path: Path) -> None:
    cfg = tiny_config(tmp_path)
    cfg.SEED = -1
    trainer = new_trainer(cfg, MAX_ITER=1)
    trainer.train()
    saved = torch.load(tmp_path / "out" / "model_final.pth", weights_only=True)["trainer"]["hooks"]
    assert int(saved["IterationSeeds"]["seed"]) == trainer._trainer.data_loader.batch_sampler.seed >= 0


def test_a_sampler_that_cannot_be_repeated_is_refused(tmp_path: Path) -> None:
    cfg = tiny_config(tmp_path)
    cfg.DATALOADER.SAMPLER_TRAIN = "RandomSubsetTrainingSampler"
    with pytest.raises(ValueError, match="RandomSubsetTrainingSampler"):
        LCRNetTrainer.build_train_loader(cfg)
    cfg.DATALOADER.SAMPLER_TRAIN = "WeightedTrainingSampler"
    cfg.DATASETS.TRAIN_REPEAT_FACTOR = [("elsewhere", 2.0)]
    with pytest.raises(ValueError, match="elsewhere"):
        LCRNetTrainer.build_train_loader(cfg)

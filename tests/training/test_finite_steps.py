"""Losses that are no numbers stop training before the weights are spoilt, and their origin is named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from detectron2.data import DatasetCatalog
from torch import nn

from lcrnet_d2.engine import LCRNetTrainer
from lcrnet_d2.training.finite_steps import LossCheck
from training_support import new_trainer, tiny_config


def poisoned_trainer(tmp_path: Path) -> tuple[LCRNetTrainer, str]:
    """A training whose third picture has a person 1e30 m tall; such numbers would pass float32 but not a square."""
    cfg = tiny_config(tmp_path)
    name = cfg.DATASETS.TRAIN[0]
    records = DatasetCatalog.get(name)
    records[3]["annotations"] = records[4]["annotations"] + records[3]["annotations"]
    records[3]["annotations"][1]["pose_3d"] = records[3]["annotations"][1]["pose_3d"] * 1e38
    DatasetCatalog.remove(name)
    DatasetCatalog.register(name, lambda: records)
    return new_trainer(cfg, MAX_ITER=4), records[3]["file_name"]


def test_the_iteration_the_image_and_the_annotation_are_named_and_the_weights_are_kept(tmp_path: Path) -> None:
    trainer, file_name = poisoned_trainer(tmp_path)
    with pytest.raises(FloatingPointError) as caught:
        trainer.train()
    message = str(caught.value)
    assert f"at iteration {trainer.iter}, images" in message
    assert f"{file_name} alone is enough: annotations[1] with bbox" in message
    assert "loss_pose_reg inf" in message or "loss_pose_reg nan" in message
    for name, value in trainer._trainer.model.named_parameters():
        assert torch.isfinite(value).all(), name


def test_weights_that_were_spoilt_before_are_told_apart(tmp_path: Path) -> None:
    trainer = new_trainer(tiny_config(tmp_path), MAX_ITER=1)
    nn.init.constant_(trainer._trainer.model.roi_heads.box_predictor.cls_score.bias, torch.nan)
    with pytest.raises(FloatingPointError, match=r"not finite before: roi_heads\.box_predictor\.cls_score\.bias"):
        trainer.train()


def test_a_learning_rate_that_is_too_high_is_not_blamed_on_images(tmp_path: Path) -> None:
    """1e12: the weights of the second step are finite, and no image survives them."""
    trainer = new_trainer(tiny_config(tmp_path), MAX_ITER=4, BASE_LR=1e12, WARMUP_ITERS=0)
    with pytest.raises(FloatingPointError, match=r"lower SOLVER\.BASE_LR") as told:
        trainer.train()
    assert "annotations[" not in str(told.value)


def test_gradients_that_are_not_finite_stop_too(tmp_path: Path) -> None:
    trainer = new_trainer(tiny_config(tmp_path), MAX_ITER=1)
    weight = trainer._trainer.model.roi_heads.box_predictor.cls_score.weight
    weight.register_hook(lambda gradient: gradient * torch.inf)
    before = weight.clone()
    with pytest.raises(FloatingPointError, match=r"gradients .*cls_score\.weight.* each image alone is finite"):
        trainer.train()
    assert torch.equal(weight, before)


class Overflowing(nn.Module):
    """A loss of 90,000 x `factor`, which half precision (up to 65,504) cannot hold."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.layer = nn.Linear(1, 1, bias=False)
        nn.init.constant_(self.layer.weight, 300.0 * factor)
        self.check = LossCheck(self)

    def forward(self, batch: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        return {"loss": self.layer(torch.full((1, 1), 300.0)).sum()}


def test_an_overflow_of_half_precision_is_no_reason_to_stop() -> None:
    with torch.autocast("cpu", torch.float16):
        loss = Overflowing(1.0)([])["loss"]
        assert float(loss) == 90_000
        loss.backward()
        with pytest.raises(FloatingPointError, match="loss inf"):
            Overflowing(1e34)([])


def test_what_overflowed_is_not_kept_by_batch_norm() -> None:
    class Normalised(Overflowing):
        def __init__(self) -> None:
            super().__init__(1.0)
            self.norm = nn.BatchNorm1d(1)

        def forward(self, batch: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
            return {"loss": self.norm(self.layer(torch.tensor([[100.0], [300.0]]))).sum()}

    model = Normalised()
    with torch.autocast("cpu", torch.float16):
        model([])
    assert float(model.norm.running_mean) == pytest.approx(0.1 * 60_000)  # once, and of the second computation


def test_evaluation_and_finite_losses_pass_untouched() -> None:
    model = Overflowing(1e34).eval()
    assert json.dumps(float(model([])["loss"])) == "Infinity"
    assert float(Overflowing(1.0)([])["loss"]) == 90_000

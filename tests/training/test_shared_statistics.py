"""In one process; tests/test_launch.py has several."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from lcrnet_d2.data.training_stream import TrainingOrder
from lcrnet_d2.engine import LCRNetTrainer
from lcrnet_d2.training.shared_statistics import MeasuredStatistics
from lcrnet_d2.training.weight_average import WeightAverage
from training_support import tiny_config


class Pictures(list):
    """A loader, as far as the hook looks at it."""

    batch_sampler = TrainingOrder(2, 1, seed=1)


def test_statistics_are_measured_with_the_averaged_weights() -> None:
    """Weights w = 1, 3 on pictures x = 0, 2 have means w; their average has a mean and variance (w, w^2) of its own."""
    model = nn.Sequential(nn.Linear(1, 1, bias=False), nn.BatchNorm1d(1))
    average = WeightAverage(model, 0.5)
    pictures = torch.tensor([[0.0], [2.0]])
    for value in (1.0, 3.0):
        nn.init.constant_(model[0].weight, value)
        model(pictures)
        average.after_step()
    assert average.model[1].running_mean.item() != pytest.approx(average.model[0].weight.item())
    loader = Pictures([pictures, pictures])
    MeasuredStatistics(0, average.model, loader, 2, TrainingOrder(2, 1, seed=7)).update_stats()
    weight = average.model[0].weight.item()
    assert average.model[1].running_mean.item() == pytest.approx(weight)
    assert average.model[1].running_var.item() == pytest.approx(weight**2)
    assert loader.batch_sampler.seed == 7


@pytest.mark.parametrize("decay", [0.0, 0.5])
@pytest.mark.parametrize(("norm", "expected"), [("", 0), ("BN", 1)])
def test_what_is_measured_is_trained_batchnorm(norm: str, expected: int, decay: float, tmp_path: Path) -> None:
    cfg = tiny_config(tmp_path)
    cfg.TEST.PRECISE_BN.ENABLED, cfg.SOLVER.AVERAGE_DECAY, cfg.MODEL.FPN.NORM = True, decay, norm
    assert sum(isinstance(hook, MeasuredStatistics) for hook in LCRNetTrainer(cfg)._hooks) == expected

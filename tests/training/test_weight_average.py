from __future__ import annotations

import pytest
import torch
from torch import nn

from lcrnet_d2.training.weight_average import WeightAverage


def layer(value: float) -> nn.Module:
    model = nn.Linear(1, 1)
    nn.init.constant_(model.weight, value)
    nn.init.constant_(model.bias, 0.0)
    model.register_buffer("counter", torch.zeros((), dtype=torch.long))
    return model


def run(average: WeightAverage, model: nn.Module, values: list[float]) -> list[float]:
    out = []
    for value in values:
        nn.init.constant_(model.weight, value)
        model.counter += 1
        average.after_step()
        out.append(average.model.weight.item())
    return out


def test_follows_the_recurrence_by_hand() -> None:
    model = layer(0.0)
    average = WeightAverage(model, 0.5)
    # The first step copies; then the share kept is min(0.5, (1 + n) / (10 + n)) = 2/11, 3/12.
    got = run(average, model, [1.0, 2.0, 3.0])
    second = 1 * 2 / 11 + 2 * 9 / 11
    assert got == pytest.approx([1.0, second, second * 3 / 12 + 3 * 9 / 12])


def test_late_in_training_the_decay_rules() -> None:
    model = layer(0.0)
    average = WeightAverage(model, 0.9)
    before = run(average, model, [1.0] * 200)[-1]
    assert run(average, model, [2.0])[-1] == pytest.approx(0.9 * before + 0.1 * 2.0)


def test_the_weights_in_training_are_left_alone_and_counters_are_copied() -> None:
    model = layer(0.0)
    average = WeightAverage(model, 0.9)
    run(average, model, [1.0, 5.0])
    assert float(model.weight) == 5.0
    assert int(average.model.counter) == 2


def test_resuming_goes_on_with_both() -> None:
    model, other = layer(0.0), layer(7.0)
    whole, cut = WeightAverage(model, 0.9), WeightAverage(other, 0.9)
    run(whole, model, [1.0, 4.0])
    cut.load_state_dict(whole.state_dict())
    cut.model.load_state_dict(whole.model.state_dict())  # as the checkpointer does
    assert float(other.weight) == 4.0
    assert run(cut, other, [3.0]) == run(whole, model, [3.0])


def test_starting_from_other_weights_forgets_the_former() -> None:
    model = layer(0.0)
    average = WeightAverage(model, 0.9)
    run(average, model, [1.0, 2.0])
    nn.init.constant_(average.model.weight, 8.0)
    average.start_from_average()
    assert float(model.weight) == 8.0
    assert run(average, model, [3.0]) == [3.0]  # the first step copies


@pytest.mark.parametrize("decay", [0.0, 1.0, 1.5])
def test_a_decay_that_averages_nothing_is_refused(decay: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        WeightAverage(layer(0.0), decay)

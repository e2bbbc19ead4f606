"""Clipping all gradients at once gives what Detectron2's clipping of one after the other gives."""

from __future__ import annotations

import pytest
import torch
from detectron2.solver.build import maybe_add_gradient_clipping
from torch import nn

from lcrnet_d2.config import load_config
from lcrnet_d2.training.gradient_clipping import add_gradient_clipping


def clipped_gradients(clip_type: str, norm_type: float, by_detectron2: bool) -> list[torch.Tensor]:
    """Of four parameters: far too long, just short enough, zero, and one without a gradient."""
    cfg = load_config("Base-LCRNet-Lite0-FPN.yaml", ["SOLVER.CLIP_GRADIENTS.CLIP_TYPE", clip_type])
    cfg.SOLVER.CLIP_GRADIENTS.NORM_TYPE = norm_type
    parameters = [nn.Parameter(torch.zeros(3)) for _ in range(4)]
    values = ([30.0, 40.0, 0.0], [3.0, -4.0, 0.0], [0.0, 0.0, 0.0])
    for parameter, gradient in zip(parameters, values, strict=False):
        parameter.grad = torch.tensor(gradient)
    if by_detectron2:  # which clips no value where there is no gradient
        optimizer = maybe_add_gradient_clipping(cfg, torch.optim.SGD(parameters[:3], lr=1.0))
    else:
        optimizer = torch.optim.SGD(parameters, lr=1.0)
        add_gradient_clipping(cfg, optimizer)
    optimizer.step()
    assert parameters[3].grad is None and not parameters[3].any()
    return [p.detach() for p in parameters]


@pytest.mark.parametrize(("clip_type", "norm_type"), [("norm", 2.0), ("norm", 1.0), ("value", 2.0)])
def test_equals_detectron2s(clip_type: str, norm_type: float) -> None:
    mine, theirs = (clipped_gradients(clip_type, norm_type, by_detectron2) for by_detectron2 in (False, True))
    torch.testing.assert_close(mine, theirs)


def test_each_parameter_by_itself() -> None:
    long, short, none, _ = clipped_gradients("norm", 2.0, False)
    assert long.norm().item() == pytest.approx(5.0, rel=1e-6)  # CLIP_VALUE of the config
    torch.testing.assert_close(short, torch.tensor([-3.0, 4.0, 0.0]))
    assert not none.any()

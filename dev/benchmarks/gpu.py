"""On a GPU: pictures a second in half precision, and what backbone and RPN alone would allow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from .models import BASES, FASTER, KEYPOINT, OURS, build_models, network_inputs
from .report import Table
from .timing import Contender, Settings, alternate

__all__ = ["measure"]


def measure(settings: Settings) -> list[Table]:
    if settings.device != "cuda":
        return [Table("Not measured: no GPU was at hand", (), [])]
    return [_rates(base, batch, settings) for base in BASES for batch in (1, 16)]


def _rates(base: str, batch: int, settings: Settings) -> Table:
    models = build_models(base, settings.device, (OURS, FASTER, KEYPOINT))
    size = BASES[base][1]
    inputs = network_inputs(batch, size, settings.device)
    ours: Any = models[OURS]
    contenders = [
        Contender("backbone + RPN", _half(lambda: _backbone_and_rpn(ours, inputs))),
        Contender("backbone", _half(lambda: ours.backbone(ours.preprocess_image(inputs).tensor))),
        *(Contender(name, _half(lambda model=model: model(inputs))) for name, model in models.items()),
    ]
    timings = alternate(contenders, settings.rounds)
    rows = [(c.name, 1e3 * t.median, batch / t.median, 1 / t.ratio) for c, t in zip(contenders, timings, strict=True)]
    columns = ("", "ms, median", "pictures a second", "share of backbone + RPN's rate")
    return Table(f"{base}, {batch} x {size[1]} x {size[0]} px, float16", columns, rows)


def _half(run: Callable[[], object]) -> Callable[[], object]:
    def half() -> object:
        with torch.no_grad(), torch.autocast("cuda", torch.float16):
            return run()

    return half


def _backbone_and_rpn(model: Any, inputs: list[dict[str, Any]]) -> object:
    images = model.preprocess_image(inputs)
    return model.proposal_generator(images, model.backbone(images.tensor), None)

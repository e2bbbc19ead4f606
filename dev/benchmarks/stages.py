"""Where the time of an inference goes: a mark after each part of the network's own `forward`."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any
from unittest.mock import patch

import torch

__all__ = ["STAGES", "stage_times"]

STAGES = ("input", "backbone", "RPN", "pooling and head", "decode", "PPI", "post-processing")


@torch.no_grad()
def stage_times(model: Any, inputs: list[dict[str, Any]], rounds: int) -> dict[str, float]:
    """Median seconds of each stage of an LCR-Net over so many rounds, after one to warm up."""
    heads = model.roi_heads
    ends = [(model, "preprocess_image"), (model.backbone, "forward"), (model.proposal_generator, "forward")]
    ends += [(heads.box_predictor, "forward"), (heads.box_predictor, "inference"), (heads, "people")]
    marks: list[float] = []
    seconds = []
    with ExitStack() as marked:
        for part, name in ends:
            marked.enter_context(patch.object(part, name, _marked(getattr(part, name), marks)))
        for _ in range(rounds + 1):
            marks[:] = [_now()]
            model(inputs)
            marks.append(_now())
            seconds.append([end - start for start, end in zip(marks, marks[1:], strict=False)])
    return {stage: statistics.median(of_stage) for stage, *of_stage in zip(STAGES, *seconds[1:], strict=True)}


def _marked(part: Callable[..., Any], marks: list[float]) -> Callable[..., Any]:
    def run(*args: Any, **kwargs: Any) -> Any:
        out = part(*args, **kwargs)
        marks.append(_now())
        return out

    return run


def _now() -> float:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()

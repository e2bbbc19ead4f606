"""Where the time of an inference goes: the same steps as the networks' own `forward`, with a mark after each."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from typing import Any

import torch
from detectron2.modeling import GeneralizedRCNN

from lcrnet_d2.modeling import LCRNetROIHeads
from lcrnet_d2.modeling.meta_arch import rescale

__all__ = ["STAGES", "stage_times"]

STAGES = ("input", "backbone", "RPN", "pooling and head", "decode", "PPI", "post-processing")


@torch.no_grad()
def stage_times(model: Any, inputs: list[dict[str, Any]], rounds: int) -> dict[str, float]:
    """Median seconds of each stage of an LCR-Net over so many rounds, after one to warm up."""
    seconds: dict[str, list[float]] = {stage: [] for stage in STAGES}
    for warm in [False] + [True] * rounds:
        last = time.perf_counter()
        for stage in _stages(model, inputs):
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            now = time.perf_counter()
            if warm:
                seconds[stage].append(now - last)
            last = now
    return {stage: statistics.median(values) for stage, values in seconds.items()}


def _stages(model: GeneralizedRCNN, inputs: list[dict[str, Any]]) -> Iterator[str]:
    heads = model.roi_heads
    assert isinstance(heads, LCRNetROIHeads)
    images = model.preprocess_image(inputs)
    yield "input"
    features = model.backbone(images.tensor)
    yield "backbone"
    regions, _ = model.proposal_generator(images, features, None)
    yield "RPN"
    boxes = [r.proposal_boxes for r in regions]
    pooled = heads.box_pooler([features[f] for f in heads.in_features], boxes)
    predictions = heads.box_predictor(heads.box_head(pooled))
    yield "pooling and head"
    heads.box_predictor.check_anchor_poses()
    decoded = heads.box_predictor.inference(predictions, [b.tensor for b in boxes])
    yield "decode"
    people = heads.integrate(decoded, regions)
    yield "PPI"
    rescale(people, inputs)
    yield "post-processing"

"""Contest: whole inference against Detectron2's Faster R-CNN and Keypoint R-CNN on the same backbone and regions."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from .models import BASES, FASTER, KEYPOINT, OURS, TINY, build_models, megabytes, network_inputs
from .report import Table, compare
from .stages import STAGES, stage_times
from .timing import Contender, Settings

__all__ = ["measure"]


def measure(settings: Settings) -> list[Table]:
    tables, weights = [], []
    for base in ("Lite0-FPN",) if settings.quick else BASES:
        models = build_models(base, settings.device, (FASTER, OURS, KEYPOINT), *(TINY if settings.quick else ()))
        size = (64, 96) if settings.quick else BASES[base][1]
        weights += [(base, name, megabytes(m), _head_megabytes(m)) for name, m in models.items()]
        for batch in (1, 2) if settings.quick else (1, 8):
            inputs = network_inputs(batch, size, settings.device)
            rounds = max(2, settings.rounds // 2) if batch > 1 and base != "Lite0-FPN" else settings.rounds
            tables += [_contest(base, models, inputs, rounds), _split(base, models[OURS], inputs, rounds)]
    columns = ("backbone", "network", "weights, MB", "of these beyond the shared layers, MB")
    return [*tables, Table("Weights", columns, weights)]


def _contest(base: str, models: dict[str, Any], inputs: list[dict[str, Any]], rounds: int) -> Table:
    found = {name: [len(o["instances"]) for o in run_inference(m, inputs)] for name, m in models.items()}
    height, width = inputs[0]["image"].shape[1:]
    anchors = models[OURS].roi_heads.box_predictor.num_anchor_poses
    title = f"{base}, K = {anchors}, {len(inputs)} x {width} x {height} px"
    note = "Found in each picture: " + "; ".join(f"{name} {counts}" for name, counts in found.items()) + "."
    contenders = [Contender(name, lambda m=m: run_inference(m, inputs)) for name, m in models.items()]
    return compare(title, contenders, rounds, note, memory=True)[0]


@torch.no_grad()
def run_inference(model: nn.Module, inputs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return model(inputs)


def _split(base: str, model: nn.Module, inputs: list[dict[str, Any]], rounds: int) -> Table:
    seconds = stage_times(model, inputs, rounds)
    whole = sum(seconds.values())
    rows = [(stage, 1e3 * seconds[stage], 100 * seconds[stage] / whole) for stage in STAGES]
    return Table(f"{base}, batch {len(inputs)}: where {OURS}'s time goes", ("stage", "ms, median", "%"), rows)


def _head_megabytes(model: Any) -> float:
    heads = model.roi_heads
    own = [heads.box_predictor, *([heads.keypoint_head] if getattr(heads, "keypoint_on", False) else [])]
    return sum(megabytes(module) for module in own)

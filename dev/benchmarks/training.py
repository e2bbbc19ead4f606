"""Contest: a training step against Faster R-CNN's on the same backbone and batch; what changes its speed."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Callable
from typing import Any

import torch
from detectron2.structures import Boxes, Instances
from detectron2.utils.events import EventStorage
from torch import nn

from lcrnet_d2.structures import BODY13, PERSON

from . import throughput
from .models import BASES, FASTER, OURS, TINY, build_models, network_inputs
from .report import Table, compare
from .timing import Contender, Settings

__all__ = ["measure", "training_step"]

#: (H, W) px and pictures of a batch. R50 and VGG-16 on a CPU: two small ones, or a step takes a minute.
_BATCHES = {"Lite0-FPN": ((240, 320), 8), "R50-FPN": ((320, 480), 2), "VGG-16": ((320, 480), 2)}
_GPU_BATCH = ((600, 800), 8)  # the paper's (Sec. 3.4)
_PEOPLE = 4


def measure(settings: Settings) -> list[Table]:
    tables = []
    for base in ("Lite0-FPN",) if settings.quick else BASES:
        size, count = _GPU_BATCH if settings.device == "cuda" else _BATCHES[base]
        if settings.quick:
            size, count = (64, 96), 1
        opts = ("MODEL.LCRNET.NUM_ANCHOR_POSES", "100", *(TINY if settings.quick else ()))
        models = build_models(base, settings.device, (FASTER, OURS), *opts)
        batch = _with_people(network_inputs(count, size, settings.device))
        contenders = [Contender(name, training_step(m, batch)) for name, m in models.items()]
        title = f"{base}, {count} x {size[1]} x {size[0]} px, {_PEOPLE} people each, K = 100, J = 13"
        rounds = settings.rounds if base == "Lite0-FPN" else max(2, settings.rounds // 2)
        tables.append(compare(title, contenders, rounds, memory=True)[0])
        if base == "Lite0-FPN" or settings.device == "cuda":
            tables.append(_variants(base, models[OURS], batch, settings))
    return [*tables, throughput.measure(settings)] if settings.quick or settings.device == "cuda" else tables


def training_step(
    model: nn.Module, batch: list[dict[str, Any]], precision: torch.dtype = torch.float32
) -> Callable[[], None]:
    """One step of SGD: losses, gradients, new weights, of a copy of the model.

    The learning rate is 0: the hundredth step has the same work as the first. Everything is computed all the same.
    """
    model = copy.deepcopy(model).train()
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.0, momentum=0.9)
    device = next(model.parameters()).device.type

    def run() -> None:
        with EventStorage(), torch.autocast(device, precision, enabled=precision != torch.float32):
            loss = torch.stack(list(model(batch).values())).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return run


def _variants(base: str, model: nn.Module, batch: list[dict[str, Any]], settings: Settings) -> Table:
    strided: Any = copy.deepcopy(model)
    strided.backbone.to(memory_format=torch.channels_last)
    half = torch.float16 if settings.device == "cuda" else torch.bfloat16
    contenders = [
        Contender("as it is", training_step(model, batch)),
        Contender(f"AMP ({str(half).removeprefix('torch.')})", training_step(model, batch, half)),
        Contender("backbone channels_last", training_step(strided, batch)),
    ]
    note = "torch.compile of the backbone was not measured: for want of a C++ compiler, or of the minutes it takes."
    if not settings.quick and settings.device == "cpu" and shutil.which("g++"):
        compiled: Any = copy.deepcopy(model)
        compiled.backbone.compile()
        contenders.append(Contender("backbone compiled", training_step(compiled, batch)))
        note = ""
    return compare(f"{base}, {OURS}'s step otherwise", contenders, settings.rounds, note)[0]


def _with_people(inputs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The pictures with people side by side; what both networks need to know of them."""
    out = []
    for item in inputs:
        height, width = item["image"].shape[1:]
        left = torch.arange(_PEOPLE) * width / _PEOPLE
        boxes = torch.stack([left, left * 0 + 0.1 * height, left + width / _PEOPLE, left * 0 + 0.9 * height], 1)
        joints = torch.rand(_PEOPLE, len(BODY13), 2) * (boxes[:, None, 2:] - boxes[:, None, :2]) + boxes[:, None, :2]
        people = Instances((height, width))
        people.gt_boxes = Boxes(boxes)
        people.gt_classes = torch.arange(_PEOPLE)
        people.gt_kinds = torch.full((_PEOPLE,), PERSON)
        people.gt_keypoints = torch.cat([joints, torch.full((*joints.shape[:2], 1), 2.0)], -1)
        people.gt_poses_3d = 0.3 * torch.randn(_PEOPLE, len(BODY13), 3)
        out.append({**item, "instances": people.to(str(item["image"].device))})
    return out

"""Checkpoints for others: what inference needs, half the bytes, the same bytes every time."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from ..structures.whole_files import whole_file
from .array_pickle import load_torch_file

__all__ = ["count_parameters", "read_model", "small_model", "write_model"]


def read_model(path: str | Path) -> dict[str, Tensor]:
    """The state dict under "model" in a .pth; nothing in the file is executed.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not a checkpoint with a model.
    """
    content = load_torch_file(path)
    model = content.get("model") if isinstance(content, dict) else None
    if not isinstance(model, dict) or not all(isinstance(value, Tensor) for value in model.values()):
        raise ValueError(f"{path} is no checkpoint: it has no state dict under 'model'")
    return {name.removeprefix("module."): value for name, value in model.items()}


def small_model(model: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Kernels and matrices in half precision, sorted by name.

    Biases and the numbers of normalisation layers stay as they are: they are a thousandth of the bytes, and a variance
    of 1e-9 would become 0. So do the anchor poses, which are compared with those of a file.

    Raises:
        ValueError: a weight that half precision cannot hold, or that is not finite.
    """
    small = {}
    for name in sorted(model):
        value = model[name].detach()
        if value.is_floating_point() and value.dim() > 1 and "anchor_poses" not in name:
            value = value.half()
        if value.is_floating_point() and not torch.isfinite(value).all():
            raise ValueError(f"{name} is not finite in half precision (beyond 65504, or NaN before)")
        small[name] = value.clone(memory_format=torch.contiguous_format)
    return small


def write_model(model: Mapping[str, Tensor], path: str | Path) -> None:
    """Writes {"model": ...}, whole or not at all.

    torch.save puts the file's name into the file, so it writes to memory first: the bytes depend on the weights alone.
    """
    memory = io.BytesIO()
    torch.save({"model": dict(model)}, memory)
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(target) as file:
        file.write(memory.getvalue())


def count_parameters(model: Mapping[str, Tensor]) -> dict[str, int]:
    """Numbers in backbone, proposal_generator, roi_heads.box_head, roi_heads.box_predictor, and in total."""
    counts: Counter[str] = Counter()
    for name, value in model.items():
        first, second, *_ = name.split(".") + [""]
        counts[f"{first}.{second}" if first == "roi_heads" else first] += value.numel()
    return {**dict(sorted(counts.items())), "total": counts.total()}

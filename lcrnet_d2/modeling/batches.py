"""All images of a batch in one tensor: rows one after the other, or padded to as many for each image.

While a graph is exported, the number of images and of their rows are numbers of the graph: there counts are tensors,
and nothing is read.

Shapes: B images, W rows of an image where it has the most, n rows of the whole batch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from detectron2.utils.events import get_event_storage
from torch import Tensor
from torch.nn import functional as F

__all__ = [
    "at_most",
    "first_rows",
    "image_numbers",
    "is_asynchronous",
    "is_exported",
    "largest",
    "log_scalars",
    "pad_rows",
    "read",
    "row_numbers",
]

#: Iterations between two entries in the training log, Detectron2's own period of writing.
_LOG_PERIOD = 20


def is_asynchronous(tensor: Tensor) -> bool:
    """Whether operations are put in a queue (a GPU): then few large ones are cheap, and reading a result is dear.

    A CPU is the other way round: it has nothing to wait for, and no idle units for work that is thrown away. An
    exported graph cannot read at all.
    """
    return tensor.device.type != "cpu" or is_exported()


def is_exported() -> bool:
    """Whether operations are traced for a graph, where what Python decides by a value would be fixed for good."""
    return torch.jit.is_tracing()  # pyright: ignore[reportPrivateImportUsage]


def read(counts: Tensor) -> Any:
    """A list of the numbers, for which a GPU is waited for; themselves in an exported graph."""
    return counts if is_exported() else counts.tolist()


def at_most(size: int, limit: int) -> Any:
    """The smaller of a tensor's size and a limit."""
    return torch.as_tensor(size).clamp(max=limit) if is_exported() else min(size, limit)


def largest(counts: Sequence[int] | Tensor) -> Any:
    """Of the numbers that `read` gives."""
    return counts.max() if isinstance(counts, Tensor) else max(counts)


def row_numbers(counts: Sequence[int] | Tensor, device: torch.device, at_least: int = 1) -> tuple[Tensor, Tensor]:
    """Where the rows of images that have so many of them come to lie: (B, W) numbers in the batch, (B, W) bool.

    Where the second is False an image has no more rows, and the first is n. W is `at_least` this.
    """
    number = torch.as_tensor(counts, device=device)[:, None]
    most = largest(counts)
    place = torch.arange(most.clamp(min=at_least) if is_exported() else max(at_least, most), device=device)
    there = place < number
    return torch.where(there, number.cumsum(0) - number + place, number.sum()), there


def pad_rows(rows: Tensor, numbers: Tensor) -> Tensor:
    """(n, ...) -> (B, W, ...) by the numbers of `row_numbers`; zeros where an image has no more rows."""
    nothing = [0, 0] * (rows.dim() - 1) + [0, 1]
    return F.pad(rows, nothing)[numbers]


def first_rows(table: Tensor, counts: Sequence[int] | Tensor) -> Tensor:
    """(B, W, ...) -> (n, ...): of each image the first so many rows, one image after the other."""
    number = torch.as_tensor(counts, device=table.device)
    images = image_numbers(counts, table.device)
    place = torch.arange(images.shape[0], device=table.device) - (number.cumsum(0) - number)[images]
    return table[images, place]


def image_numbers(counts: Sequence[int] | Tensor, device: torch.device) -> Tensor:
    """(n,) which image each row is of."""
    if isinstance(counts, Tensor):
        return row_numbers(counts, device)[1].nonzero()[:, 0]
    images = torch.arange(len(counts), device=device)
    return images.repeat_interleave(torch.tensor(counts, device=device), output_size=sum(counts))


def log_scalars(scalars: Mapping[str, Tensor]) -> None:
    """Puts 0-dimensional tensors into Detectron2's event storage whenever the trainer writes it: one wait for all."""
    storage = get_event_storage()
    if storage.iter % _LOG_PERIOD in (0, _LOG_PERIOD - 1):
        values = torch.stack([value.detach().float() for value in scalars.values()]).tolist()
        storage.put_scalars(**dict(zip(scalars, values, strict=True)))

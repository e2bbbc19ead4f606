"""A model that is not asked the same twice: long predictions and evaluations go on where they were stopped.

What it gave for a picture is kept in files until all is done. A picture is known again by its pixels, the model by its
weights and settings; whatever else changes between two runs, an answer is never another picture's or another model's.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from detectron2.structures import Boxes, Instances
from torch import Tensor, nn

from .checkpoint.array_pickle import load_torch_file
from .sharding import Shard
from .structures.whole_files import whole_file

__all__ = ["RememberedOutputs", "remembered_outputs"]

_PICTURES_PER_FILE = 200
_Record = dict[str, Any]


class RememberedOutputs(nn.Module):
    """Stands in for a model in inference, and runs it for the pictures that no file remembers."""

    def __init__(self, model: nn.Module, folder: Path, settings: str, shard: Shard | None = None) -> None:
        """
        Args:
            model: list of {"image": tensor, "height", "width"} -> list of {"instances": Instances}.
            folder: of the results; the files are in a folder of this model's within it.
            settings: whatever the outputs depend on beside weights and pictures.
            shard: this process's share of the pictures, where several work on them; each reads all files and writes
                its own.

        Raises:
            ValueError: a damaged file; its pictures are predicted again if it is removed.
        """
        super().__init__()
        self.model = model
        self.folder = folder / f"unfinished-{_digest_of_model(model, settings)}"
        self._device = next(model.parameters()).device
        shard = shard or Shard()
        self._prefix = f"{shard.index}-of-{shard.count}"
        self._known: dict[str, _Record] = {}
        self._new: dict[str, _Record] = {}
        for file in sorted(self.folder.glob("*.pt")):
            self._known |= load_torch_file(str(file))

    def forward(self, inputs: list[_Record]) -> list[_Record]:
        """As the model's."""
        keys = [_digest_of_picture(record) for record in inputs]
        missing = {key: record for key, record in zip(keys, inputs, strict=True) if key not in self._known}
        if missing:
            outputs = self.model(list(missing.values()))
            found = {key: _pack(output["instances"]) for key, output in zip(missing, outputs, strict=True)}
            self._known |= found
            self._new |= found
            if len(self._new) >= _PICTURES_PER_FILE:
                self.flush()
        return [{"instances": _unpack(self._known[key]).to(self._device)} for key in keys]

    def flush(self) -> None:
        """Writes what no file holds yet."""
        if not self._new:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        number = len(list(self.folder.glob(f"{self._prefix}-*.pt")))
        with whole_file(self.folder / f"{self._prefix}-{number:06d}.pt") as file:
            torch.save(self._new, file)
        self._new = {}

    def forget(self) -> None:
        """Removes the files: all is done."""
        self._new = {}
        shutil.rmtree(self.folder, ignore_errors=True)


@contextmanager
def remembered_outputs(
    model: nn.Module, folder: Path, settings: str, shard: Shard | None = None
) -> Iterator[RememberedOutputs]:
    """Whatever ends this, all that was predicted is in files, unless it was told to `forget`."""
    remembered = RememberedOutputs(model, folder, settings, shard)
    try:
        yield remembered
    finally:
        remembered.flush()


def _digest_of_model(model: nn.Module, settings: str) -> str:
    digest = hashlib.blake2b(settings.encode(), digest_size=8)
    for name, value in model.state_dict().items():
        digest.update(name.encode())
        digest.update(_bytes(value))
    return digest.hexdigest()


def _digest_of_picture(record: _Record) -> str:
    image = record["image"]
    digest = hashlib.blake2b(_bytes(image), digest_size=16)
    digest.update(repr((tuple(image.shape), record["height"], record["width"])).encode())
    return digest.hexdigest()


def _bytes(tensor: Tensor) -> memoryview:
    return tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data


def _pack(instances: Instances) -> _Record:
    """Plain tensors, which torch reads without running anything."""
    fields = instances.to("cpu").get_fields()
    return {
        "size": instances.image_size,
        "tensors": {name: value.clone() for name, value in fields.items() if isinstance(value, Tensor)},
        "boxes": {name: value.tensor.clone() for name, value in fields.items() if isinstance(value, Boxes)},
    }


def _unpack(record: _Record) -> Instances:
    boxes = {name: Boxes(value) for name, value in record["boxes"].items()}
    return Instances(tuple(record["size"]), **record["tensors"], **boxes)

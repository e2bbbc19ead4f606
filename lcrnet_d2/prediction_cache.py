"""A model that is not asked the same twice, and predictions in files that go on where they were stopped.

An image is known again by its pixels, the model of files by its weights and settings. What an older version of this
package has left behind is not told apart: remove it.
"""

from __future__ import annotations

import hashlib
import logging
import shutil
import uuid
from collections import ChainMap
from pathlib import Path
from typing import Any

import torch
from detectron2.config import CfgNode
from detectron2.structures import Boxes, Instances
from torch import Tensor, nn

from .checkpoint import without_wrapper
from .checkpoint.array_pickle import load_torch_file
from .structures.whole_files import whole_file

__all__ = ["PredictionCache", "image_key", "inference_settings"]

_IMAGES_PER_FILE = 200
_Record = dict[str, Any]


class PredictionCache(nn.Module):
    """Stands in for a model in inference, and runs it for the images it has not been given before.

    Whatever ends a `with` of it, all that was predicted is in files, unless they were removed.
    """

    def __init__(self, model: nn.Module, folder: Path | None = None, settings: str = "") -> None:
        """
        Args:
            model: list of {"image": tensor, "height", "width"} -> list of {"instances": Instances}.
            folder: of the results; the files are in a folder of this model's within it. Several processes may share it:
                each reads what is there at its start, and writes files of its own. None: in memory alone.
            settings: whatever the outputs in files depend on beside weights and images (`inference_settings`).
        """
        super().__init__()
        self.training = model.training  # Detectron2's evaluation restores it, on the model within too
        self.model = model
        self.folder = None if folder is None else folder / f"unfinished-{_digest_of_model(model, settings)}"
        self._device = next(model.parameters()).device
        self._found: dict[str, _Record] = {}
        self._new: dict[str, _Record] = {}
        for file in sorted(self.folder.glob("*.pt")) if self.folder else ():
            try:
                self._found |= load_torch_file(file)
            except ValueError as error:
                logging.getLogger(__name__).warning("Its images are predicted again: %s", error)

    def forward(self, inputs: list[_Record]) -> list[_Record]:
        """As the model's."""
        keys = [record.get("key") or image_key(record) for record in inputs]
        known = ChainMap(self._new, self._found)
        missing = {key: record for key, record in zip(keys, inputs, strict=True) if key not in known}
        answers = {key: known[key] for key in keys if key in known}
        if missing:
            outputs = self.model(list(missing.values()))
            found = {key: _pack(output["instances"]) for key, output in zip(missing, outputs, strict=True)}
            answers |= found
            self._new |= found
            if len(self._new) >= _IMAGES_PER_FILE:
                self.write()
        return [{"instances": _unpack(answers[key]).to(self._device)} for key in keys]

    def __enter__(self) -> PredictionCache:
        return self

    def __exit__(self, *_: object) -> None:
        self.write()

    def write(self) -> None:
        """Writes what no file holds yet, where there are files."""
        if not self._new or self.folder is None:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        with whole_file(self.folder / f"{uuid.uuid4().hex}.pt") as file:
            torch.save(self._new, file)
        self._found |= self._new
        self._new = {}

    def remove(self) -> None:
        """Removes the files: all is done."""
        self._found, self._new = {}, {}
        if self.folder is not None:
            shutil.rmtree(self.folder, ignore_errors=True)


def inference_settings(cfg: CfgNode, half_precision: bool = False) -> str:
    """What a model's outputs depend on beside its weights and the images it gets; not where either is kept."""
    node = cfg.MODEL.clone()
    node.DEVICE = node.WEIGHTS = node.LCRNET.ANCHOR_POSES = ""
    node.LCRNET.INTEGRATION.SCORE_THRESH_PPI = node.LCRNET.INTEGRATION.SCORE_THRESH_NMS = 0.0  # applied afterwards
    return f"{half_precision} {cfg.TEST.DETECTIONS_PER_IMAGE}\n{cfg.TEST.AUG.dump()}{node.dump()}"


def _digest_of_model(model: nn.Module, settings: str) -> str:
    digest = hashlib.blake2b(settings.encode(), digest_size=8)
    for name, value in without_wrapper(model).state_dict().items():
        digest.update(name.encode())
        digest.update(_bytes(value))
    return digest.hexdigest()


def image_key(record: _Record) -> str:
    """What a cache knows the image again by; a record may bring it as "key"."""
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
        "size": tuple(map(int, instances.image_size)),
        "tensors": {name: value.clone() for name, value in fields.items() if isinstance(value, Tensor)},
        "boxes": {name: value.tensor.clone() for name, value in fields.items() if isinstance(value, Boxes)},
    }


def _unpack(record: _Record) -> Instances:
    """A copy: evaluators move joints by half a pixel where they are."""
    boxes = {name: Boxes(value.clone()) for name, value in record["boxes"].items()}
    return Instances(record["size"], **{name: value.clone() for name, value in record["tensors"].items()}, **boxes)

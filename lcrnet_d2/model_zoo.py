"""Published models by name, like detectron2.model_zoo.

    from lcrnet_d2 import model_zoo
    model = model_zoo.get("NAME")

A name is one of `names()`, or, for models without published weights, a config of the package, such as
"H36M/P1_VGG16.yaml".
"""

from __future__ import annotations

import torch
from detectron2.config import CfgNode
from detectron2.modeling import build_model
from torch import nn

from . import modeling  # noqa: F401  registers the parts that configs name
from .checkpoint import LCRNetCheckpointer
from .checkpoint.catalogue import ANCHOR_POSES_OF, CATALOGUE, LCRNET_WEIGHTS, find_model
from .config import CONFIGS, load_config

__all__ = ["get", "get_checkpoint_url", "get_config", "names"]


def names() -> list[str]:
    """The models with published weights."""
    return sorted(CATALOGUE)


def get_checkpoint_url(name: str) -> str:
    """`lcrnet://NAME`, for MODEL.WEIGHTS; ValueError, which lists the known names, if there is none of this name."""
    find_model(name)
    return LCRNET_WEIGHTS + name


def get_config(name: str, trained: bool = True) -> CfgNode:
    """The config of a model.

    Args:
        name: one of `names()`, or a config of the package.
        trained: MODEL.WEIGHTS and MODEL.LCRNET.ANCHOR_POSES are the published ones; otherwise what the config itself
            says, mostly ImageNet's weights.

    Raises:
        ValueError: `trained`, but no model of this name is published.
        FileNotFoundError: not `trained`, and neither a published model nor a config.
    """
    if trained:
        if name not in CATALOGUE and (CONFIGS / name).is_file():
            raise ValueError(f"no weights are published for {name}; the config alone: get_config(NAME, trained=False)")
        url = get_checkpoint_url(name)
        files = ["MODEL.WEIGHTS", url, "MODEL.LCRNET.ANCHOR_POSES", url + ANCHOR_POSES_OF]
        return load_config(CATALOGUE[name].config, files)
    return load_config(CATALOGUE[name].config if name in CATALOGUE else name)


def get(name: str, trained: bool = True, device: str | None = None) -> nn.Module:
    """A model, in training mode as Detectron2's. It has one view of an image; the predictor heeds TEST.AUG.

    Args:
        name, trained: of `get_config`.
        device: "cuda", "cpu"; None: the config's, or the CPU where there is no GPU.

    Raises:
        ValueError, FileNotFoundError: of `get_config`; weights that are damaged or cannot be had.
    """
    cfg = get_config(name, trained)
    if device is None and not torch.cuda.is_available():
        device = "cpu"
    if device is not None:
        cfg.MODEL.DEVICE = device
    model = build_model(cfg)
    LCRNetCheckpointer(model).load(cfg.MODEL.WEIGHTS)
    return model

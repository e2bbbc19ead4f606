"""Networks for inference alone: BatchNorms within the convolutions before them, weights in the order CPUs prefer."""

from __future__ import annotations

import copy
from collections import OrderedDict
from functools import partial
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_weights

__all__ = ["prepared_for_inference"]

_Model = TypeVar("_Model", bound=nn.Module)


def prepared_for_inference(model: _Model) -> _Model:
    """A copy in inference mode that computes the same within rounding, faster; the model stays as it is, to be trained.

    Convolutions of Detectron2 (`norm`) hold their BatchNorm's scale and shift, so names in the copy's state dict are
    others: save the model, not the copy. Weights of no convolution are shared with the model.
    """
    kept = {id(tensor): tensor for tensor in (*model.parameters(), *model.buffers())}
    # Hooks are of training: they stay behind.
    hooks = (hooks for module in model.modules() for hooks in (module._forward_pre_hooks, module._forward_hooks))
    prepared = copy.deepcopy(model, {**kept, **{id(of_module): OrderedDict() for of_module in hooks}}).eval()
    for module in prepared.modules():
        if isinstance(module, nn.Conv2d):
            _prepare(module)
    return prepared


@torch.no_grad()
def _prepare(conv: Any) -> None:
    norm: Any = getattr(conv, "norm", None)
    weight, bias = conv.weight, conv.bias
    if hasattr(norm, "running_var"):
        statistics = (norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias)
        weight, conv.bias = fuse_conv_bn_weights(weight, bias, *statistics)
        conv.norm = nn.Identity()
    # Neighbouring channels are neighbours in memory: what comes out has the same order, as far as ROIAlign.
    conv.weight = nn.Parameter(weight.contiguous(memory_format=torch.channels_last), weight.requires_grad)
    if conv.kernel_size == (1, 1) and torch.backends.mkldnn.is_available():
        conv.forward = partial(_pointwise, conv)


def _pointwise(conv: Any, x: Tensor) -> Tensor:
    """A convolution of 1x1: with one thread PyTorch chooses a product of matrices, which takes a third longer."""
    traced = torch.jit.is_tracing()  # pyright: ignore[reportPrivateImportUsage]
    if x.is_cpu and x.dtype == conv.weight.dtype == torch.float32 and x.numel() and not traced:
        x = torch.mkldnn_convolution(x, conv.weight, conv.bias, conv.padding, conv.stride, conv.dilation, conv.groups)
    else:
        x = F.conv2d(x, conv.weight, conv.bias, conv.stride, conv.padding, conv.dilation, conv.groups)
    activation = getattr(conv, "activation", None)
    return x if activation is None else activation(x)

"""Gradient clipping as Detectron2's (SOLVER.CLIP_GRADIENTS), of all parameters in a few operations."""

from __future__ import annotations

# torch's types leave out its foreach functions.
# pyright: reportPrivateImportUsage=false
from typing import Any

import torch
from detectron2.config import CfgNode
from torch import Tensor
from torch.optim import Optimizer

__all__ = ["add_gradient_clipping", "clip_norms"]


def add_gradient_clipping(cfg: CfgNode, optimizer: Optimizer) -> None:
    """Before each step, clips each parameter's gradient by itself, as Detectron2 does one by one."""
    node = cfg.SOLVER.CLIP_GRADIENTS
    if not node.ENABLED:
        return
    if node.CLIP_TYPE not in ("norm", "value"):
        raise ValueError(f"SOLVER.CLIP_GRADIENTS.CLIP_TYPE is {node.CLIP_TYPE!r}, expected 'norm' or 'value'")
    limit, norm_type = float(node.CLIP_VALUE), float(node.NORM_TYPE)

    def clip(optimizer: Optimizer, arguments: Any, keywords: Any) -> None:
        parameters = [p for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
        if node.CLIP_TYPE == "norm":
            clip_norms([p.grad for p in parameters], limit, norm_type)
        elif parameters:
            torch.nn.utils.clip_grad_value_(parameters, limit)

    optimizer.register_step_pre_hook(clip)


@torch.no_grad()
def clip_norms(gradients: list[Tensor], limit: float, norm_type: float = 2.0) -> None:
    """Shortens each gradient whose own norm exceeds the limit to it, as `clip_grad_norm_` of that one alone."""
    if gradients:
        norms = torch.stack(torch._foreach_norm(gradients, norm_type))
        torch._foreach_mul_(gradients, (limit / (norms + 1e-6)).clamp(max=1.0).unbind())

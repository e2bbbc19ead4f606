"""Counts what a GPU would be asked for, on CPU tensors: operations launched, and waits for their results."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from lcrnet_d2.modeling import lcr_outputs, suppression

__all__ = ["OperationCount", "as_on_a_gpu"]

#: Their results decide, on the host, what comes next: a number read, or a shape that depends on values.
_WAITS = ("_local_scalar_dense", "nonzero", "masked_select", "_unique", "unique_", "nms", "equal.default", "bincount")
#: On a CPU these read without any operation.
_READS = {torch.Tensor.tolist, torch.Tensor.numpy, torch.Tensor.cpu}


class OperationCount(TorchDispatchMode):
    """Within it, every dispatched operation is counted, views too; and every wait, by name.

    Waits are also indexing with a mask, which looks for what is not zero, and `repeat_interleave` that is not told how
    many rows it makes.
    """

    def __init__(self) -> None:
        super().__init__()
        self.by_name: Counter[str] = Counter()
        self.waits_by_name: Counter[str] = Counter()
        self._reads = _CountedReads(self.waits_by_name)

    def __enter__(self) -> OperationCount:
        self._reads.__enter__()
        return super().__enter__()

    def __exit__(self, *exception: Any) -> None:
        super().__exit__(*exception)
        self._reads.__exit__(*exception)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = str(func).split("::")[-1].removeprefix("aten.").removeprefix("torchvision.")
        kwargs = kwargs or {}
        self.by_name[name] += 1
        unknown_length = name == "repeat_interleave.Tensor" and kwargs.get("output_size") is None
        if name.startswith(_WAITS) or unknown_length or _has_mask(name, args):
            self.waits_by_name[name] += 1
        return func(*args, **kwargs)

    @property
    def operations(self) -> int:
        return self.by_name.total()

    @property
    def waits(self) -> int:
        return self.waits_by_name.total()


class _CountedReads(TorchFunctionMode):
    def __init__(self, waits: Counter[str]) -> None:
        super().__init__()
        self._waits = waits

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in _READS:
            self._waits[func.__name__] += 1
        return func(*args, **(kwargs or {}))


def _has_mask(name: str, args: Any) -> bool:
    if not name.startswith(("index.", "index_put")):
        return False
    return any(index is not None and index.dtype in (torch.bool, torch.uint8) for index in args[1])


def as_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the network takes another way on a GPU, it takes that one."""
    for module in (lcr_outputs, suppression):
        monkeypatch.setattr(module, "is_asynchronous", lambda tensor: True)

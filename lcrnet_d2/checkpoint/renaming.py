"""State dicts of others under our names, none of their tensors lost unnoticed."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import Tensor

__all__ = ["renamed"]


def renamed(
    state: Mapping[str, Tensor], our_name: Callable[[str], str | None], left_out: tuple[str, ...], source: str
) -> dict[str, Tensor]:
    """The tensors of a state dict by `our_name` of theirs.

    Args:
        our_name: None for a name that the network cannot have.
        left_out: how names begin that have no place here. BatchNorm's counters never have one: it is frozen.
        source: the network, for the message.

    Raises:
        ValueError: names that are neither left out nor have one of ours.
    """
    wanted = [name for name in state if not name.startswith(left_out) and not name.endswith(".num_batches_tracked")]
    targets = {name: our_name(name) for name in wanted}
    unknown = sorted(name for name, target in targets.items() if target is None)
    if unknown:
        raise ValueError(f"Not a state dict of {source}: unexpected keys {unknown}")
    return {target: state[name] for name, target in targets.items() if target is not None}

from __future__ import annotations

import pytest
import torch

from lcrnet_d2.checkpoint.renaming import renamed


def test_every_tensor_is_renamed_left_out_or_named() -> None:
    one, two = torch.ones(1), torch.ones(2)
    state = {"a.weight": one, "fc.weight": two, "bn.num_batches_tracked": torch.tensor(3)}
    ours = {"a.weight": "stem.weight"}.get
    assert renamed(state, ours, ("fc.",), "x") == {"stem.weight": one}
    with pytest.raises(ValueError, match=r"Not a state dict of a net: unexpected keys \['fc.weight'\]"):
        renamed(state, ours, (), "a net")

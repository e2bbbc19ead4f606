from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchvision.ops import nms

from lcrnet_d2.modeling import suppression
from lcrnet_d2.modeling.suppression import suppress

_SIDE = st.integers(0, 6)
_BOX = st.builds(lambda x, y, w, h: [x, y, x + w, y + h], _SIDE, _SIDE, _SIDE, _SIDE)


@pytest.mark.parametrize("on_gpu", [False, True])
@given(
    groups=st.integers(1, 3).flatmap(
        lambda n: st.lists(st.lists(st.tuples(_BOX, st.booleans()), min_size=n, max_size=n), min_size=1, max_size=3)
    ),
    eighths=st.integers(1, 7),
)
def test_keeps_what_torchvision_keeps_of_the_valid_boxes(
    on_gpu: bool, groups: list[list[tuple[list[int], bool]]], eighths: int
) -> None:
    boxes = torch.tensor([[box for box, _ in group] for group in groups], dtype=torch.float32)
    valid = torch.tensor([[is_valid for _, is_valid in group] for group in groups])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(suppression, "is_asynchronous", lambda tensor: on_gpu)
        kept = suppress(boxes, valid, eighths / 8)
    for of_group, group, allowed in zip(kept, boxes, valid, strict=True):
        rows = allowed.nonzero()[:, 0]
        scores = torch.linspace(1, 0.5, len(rows))
        assert of_group.nonzero()[:, 0].tolist() == rows[nms(group[rows], scores, eighths / 8)].sort().values.tolist()


def test_a_long_chain_takes_as_many_rounds_as_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of 300 boxes overlaps the next by a third: every second one stays. Also in blocks, and as a loop."""
    left = torch.arange(300.0)[None, :, None]
    boxes = torch.cat([left, left * 0, left + 2, left * 0 + 1], -1)
    valid = torch.ones(1, 300, dtype=torch.bool)
    expected = [i % 2 == 0 for i in range(300)]
    monkeypatch.setattr(suppression, "is_asynchronous", lambda tensor: True)
    assert suppress(boxes, valid, 0.3)[0].tolist() == expected
    monkeypatch.setattr(suppression, "_BLOCK", 1000)
    assert suppress(boxes, valid, 0.3)[0].tolist() == expected
    monkeypatch.setattr(suppression, "_LARGEST_TABLE", 100)
    assert suppress(boxes, valid, 0.3)[0].tolist() == expected

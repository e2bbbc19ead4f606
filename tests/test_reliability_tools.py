"""The proof scripts themselves, where a mistake would make them prove nothing."""

from __future__ import annotations

import torch
from reliability.kill_test import same
from reliability.mutants import mutants


def test_mutants_change_one_thing_each_and_leave_words_alone() -> None:
    source = '"""Doc 1."""\n__all__ = ["f"]\n\ndef f(x: int = 1) -> bool:\n    """2."""\n    return x + 1 < 3\n'
    found = {(line, change) for line, change, _ in mutants(source)}
    assert found == {
        (4, "1 -> 2"),
        (6, "Add -> Sub"),
        (6, "1 -> 2"),
        (6, "3 -> 4"),
        (6, "Lt -> LtE"),
        (6, "Lt -> Gt"),
    }
    changed = {text for _, _, text in mutants(source)}
    assert len(changed) == 6 and all("Doc 1." in text for text in changed)


def test_the_kill_test_sees_every_difference() -> None:
    state = {"a": [torch.ones(2), {"b": 1}], "c": (torch.zeros(0), "x")}
    again = {"a": [torch.ones(2), {"b": 1}], "c": (torch.zeros(0), "x")}
    assert same(state, again)
    again["a"][0][1] += 1e-7
    assert not same(state, again)
    assert not same(state, {"a": state["a"]})
    assert not same(state, state | {"c": (torch.zeros(0),)})

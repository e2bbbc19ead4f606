"""The proof scripts themselves, where a mistake would make them prove nothing."""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from reliability import mutants
from reliability.kill_test import same
from reliability.soak import verdict

fuzz_readers = pytest.importorskip("reliability.fuzz_readers", reason='pip install "lcrnet_d2[datasets]"')


def test_mutants_change_one_thing_each_and_leave_words_alone() -> None:
    source = '"""Doc 1."""\n__all__ = ["f"]\n\ndef f(x: int = 1) -> bool:\n    """2."""\n    return x + 1 < 3\n'
    found = {(line, change) for line, change, _ in mutants.mutants(source)}
    assert found == {
        (4, "1 -> 2"),
        (6, "Add -> Sub"),
        (6, "1 -> 2"),
        (6, "3 -> 4"),
        (6, "Lt -> LtE"),
        (6, "Lt -> Gt"),
    }
    changed = {text for _, _, text in mutants.mutants(source)}
    assert len(changed) == 6 and all("Doc 1." in text for text in changed)


def test_the_kill_test_sees_every_difference() -> None:
    state = {"a": [torch.ones(2), {"b": 1}], "c": (torch.zeros(0), "x")}
    again = {"a": [torch.ones(2), {"b": 1}], "c": (torch.zeros(0), "x")}
    assert same(state, again)
    again["a"][0][1] += 1e-7
    assert not same(state, again)
    assert not same(state, {"a": state["a"]})
    assert not same(state, state | {"c": (torch.zeros(0),)})


def crash(path: Path) -> None:
    os.kill(os.getpid(), fuzz_readers.signal.SIGKILL)


def hang(path: Path) -> None:
    """As C code does: no signal handler of Python's is run."""
    fuzz_readers.signal.pthread_sigmask(fuzz_readers.signal.SIG_BLOCK, {fuzz_readers.signal.SIGALRM})
    time.sleep(60)


def read(path: Path) -> None:
    """Refuses about every other file."""
    if sum(path.read_bytes()) % 2:
        raise ValueError(f"{path} adds up to an odd number")


@pytest.mark.parametrize(("broken", "wrong"), [(read, 0), (crash, 3), (hang, 3)])
def test_fuzzing_counts_what_crashes_and_hangs(
    broken: Callable[[Path], None], wrong: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def sound_or_broken(path: Path) -> None:
        (read if path.name.startswith("sample") else broken)(path)

    sample = bytes(range(0, 100, 2))
    reader = fuzz_readers.Reader(".bin", lambda path: path.write_bytes(sample), sound_or_broken)
    monkeypatch.setitem(fuzz_readers.READERS, "mine", reader)
    monkeypatch.setattr(fuzz_readers, "_PATIENCE", 1)
    args = argparse.Namespace(inputs=3 if wrong else 40, work=tmp_path, memory=1.0, seconds=1, seed=0)
    counts = fuzz_readers.fuzz("mine", args)
    assert counts["undocumented"] == wrong == len(list(tmp_path.glob("mine/bad_*.txt")))
    assert counts["read"] + counts["refused"] + wrong == counts["inputs"] == args.inputs
    assert wrong or min(counts["read"], counts["refused"]) > 0


def test_mutants_are_not_tried_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two shares of five mutants, the first of them once more: each is tried once."""
    tried = []
    monkeypatch.setattr(mutants, "is_noticed", lambda module, source, seconds: not tried.append(source))
    monkeypatch.setattr(mutants, "all_pass", lambda modules, seconds: True)
    monkeypatch.chdir(tmp_path)  # the program changes to the project's folder
    for shard in ("0/2", "1/2", "0/2"):
        module = "lcrnet_d2/modeling/pose_regression.py"
        options = ["--only", module, "--count", "5", "--shard", shard, "--output", str(tmp_path / "mutants.json")]
        monkeypatch.setattr("sys.argv", ["mutants.py", *options])
        assert mutants.main() == 0
    assert len(tried) == len(set(tried)) == 5


@pytest.mark.parametrize(("memory", "slowdown", "code"), [(1.0, 1.0, 0), (1.1, 1.0, 1), (1.0, 1.1, 1)])
def test_the_soak_sees_growth_and_slowdown(memory: float, slowdown: float, code: int) -> None:
    """The first third may be anything."""
    growth = np.repeat([[0.5, 2.0], [1.0, 1.0], [memory, slowdown]], 10, 0)
    rows = np.concatenate([np.arange(60.0).reshape(30, 2), growth * [800.0, 0.05]], 1)
    assert verdict(rows) == code

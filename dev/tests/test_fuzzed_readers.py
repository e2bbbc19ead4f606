"""Damaged files give a result or a documented error (dev/reliability/fuzz_readers.py tries many more)."""

from __future__ import annotations

import contextlib
import random
from pathlib import Path

import pytest

from reliability.mutations import mutated

pytest.importorskip("ezc3d", reason='pip install "lcrnet_d2[mocap]"')
READERS = pytest.importorskip("reliability.readers", reason='pip install "lcrnet_d2[datasets]"').READERS


@pytest.mark.parametrize("name", READERS)
@pytest.mark.filterwarnings("ignore")
def test_only_documented_errors_come_out(name: str, tmp_path: Path) -> None:
    reader = READERS[name]
    sample, damaged = tmp_path / f"sample{reader.suffix}", tmp_path / f"damaged{reader.suffix}"
    reader.sample(sample)
    reader.read(sample)
    content = sample.read_bytes()
    for number in range(20):
        damaged.write_bytes(mutated(content, random.Random(number)))
        with contextlib.suppress(*reader.errors):
            reader.read(damaged)

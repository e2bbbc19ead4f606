from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lcrnet_d2.sharding import Shard


@given(st.lists(st.integers()), st.integers(1, 7))
def test_shares_hold_everything_once_and_differ_by_at_most_one(items: list[int], count: int) -> None:
    shares = [Shard(i, count).of(items) for i in range(count)]
    assert sorted(x for share in shares for x in share) == sorted(items)
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_text_files_and_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Shard.parse("1/4") == Shard(1, 4)
    assert Shard(1, 4).path("out/poses.json") == Path("out/poses.1-of-4.json")
    assert Shard().path("out/poses.json") == Path("out/poses.json")
    monkeypatch.setenv("RANK", "2")
    monkeypatch.setenv("WORLD_SIZE", "3")
    assert Shard.of_this_process() == Shard(0, 1)
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    assert Shard.of_this_process() == Shard(2, 3)


@pytest.mark.parametrize("text", ["4/4", "1", "-1/4", "1/0", "a/b", "1/4/2", ""])
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="share"):
        Shard.parse(text)

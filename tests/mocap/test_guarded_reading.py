from __future__ import annotations

import multiprocessing
import os
import signal
import time

import pytest

from lcrnet_d2.mocap.guarded_reading import read_apart


def crash() -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def refuse() -> None:
    raise KeyError("POINT")


def test_the_content_comes_back_from_another_process() -> None:
    assert read_apart(20, divmod, 17, 5) == (3, 2)
    assert read_apart(20, sorted, [1, 3, 2], reverse=True) == [3, 2, 1]
    assert read_apart(20, os.getpid) != os.getpid()


def test_the_readers_own_error_comes_back() -> None:
    with pytest.raises(KeyError, match="POINT"):
        read_apart(20, refuse)


def test_a_crash_is_an_error() -> None:
    with pytest.raises(RuntimeError, match="killed the process"):
        read_apart(20, crash)


def test_a_reader_that_hangs_is_killed() -> None:
    with pytest.raises(RuntimeError, match="more than 1 s"):
        read_apart(1, time.sleep, 60)
    assert not multiprocessing.active_children()

"""Calls readers written in C or C++ in a process of their own: on a damaged file they may crash or never come back."""

from __future__ import annotations

import faulthandler
import multiprocessing
import sys
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any, TypeVar

__all__ = ["read_apart"]

Content = TypeVar("Content")

#: A fork takes some ms, as all that the reader needs is loaded; elsewhere than on Linux libraries do not survive it.
_CONTEXT = multiprocessing.get_context("fork" if sys.platform == "linux" else None)


def read_apart(seconds: float, read: Callable[..., Content], *arguments: Any, **options: Any) -> Content:
    """What `read(*arguments, **options)` returns or raises, in a process that is killed after so many seconds.

    A daemonic process, which may have no children, reads by itself.

    Args:
        seconds: time limit; the file's reader is killed, however it hangs.
        read: a function that can be pickled, as can what it returns.

    Raises:
        RuntimeError: reading killed the process, or took longer.
    """
    if multiprocessing.current_process().daemon:
        return read(*arguments, **options)
    receiver, sender = _CONTEXT.Pipe(duplex=False)
    process = _CONTEXT.Process(target=_answer, args=(sender, read, arguments, options))
    try:
        process.start()
        sender.close()  # the reader's end alone is left, and closes when it dies
        if not receiver.poll(seconds):
            raise RuntimeError(f"reading it takes more than {seconds:.0f} s")
        came_back, content = receiver.recv()
    except EOFError:
        raise RuntimeError("reading it killed the process") from None
    finally:
        receiver.close()
        if process.pid is not None:
            process.kill()
            process.join()
    if not came_back:
        raise content
    return content


def _answer(sender: Connection, read: Callable[..., Any], arguments: tuple, options: dict[str, Any]) -> None:
    faulthandler.disable()  # the caller says what happened; a trace of the child would look like a crash of the program
    try:
        answer = True, read(*arguments, **options)
    except Exception as error:  # the caller's to judge
        answer = False, error
    sender.send(answer)

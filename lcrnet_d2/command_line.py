"""How a tool ends: what its user can mend in one line, not in a traceback."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable
from typing import Any, NoReturn

__all__ = ["run_command"]


def run_command(main: Callable[[], Any], *mendable: type[Exception]) -> NoReturn:
    """Runs a tool's `main` and exits with what it returns.

    Args:
        main: returns an exit status, or None for 0.
        mendable: errors whose message tells the user all there is to know. Others are bugs, and keep their traceback.
    """
    logging.raiseExceptions = False  # a log into a closed pipe would print a traceback of its own
    try:
        status = main()
        sys.stdout.flush()
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        status = 130  # as a shell calls it
    except BrokenPipeError:
        # `tool | head`: nobody reads on. Python would flush once more at its end, and fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 1
    except mendable as error:
        status = str(error)  # SystemExit prints it to stderr, and the status is 1
    sys.exit(status)

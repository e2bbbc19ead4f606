from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import lcrnet_d2
from lcrnet_d2.command_line import run_command


def interrupted() -> None:
    raise KeyboardInterrupt


def refused() -> None:
    raise ValueError("a.json: no images")


def test_what_a_user_can_mend_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        run_command(refused, ValueError)
    assert ended.value.code == "a.json: no images"  # printed to stderr, and the status is 1
    with pytest.raises(ValueError, match="no images"):
        run_command(refused, OSError)  # a bug keeps its traceback
    with pytest.raises(SystemExit) as ended:
        run_command(interrupted)
    assert ended.value.code == 130 and capsys.readouterr().err == "stopped\n"
    with pytest.raises(SystemExit) as ended:
        run_command(lambda: 3)
    assert ended.value.code == 3


def test_a_closed_pipe_is_no_traceback() -> None:
    code = (  # the module alone: the package would load torch
        "from command_line import run_command; "
        "run_command(lambda: [print('x' * 100, flush=True) for _ in range(10_000)] and None)"
    )
    command = f'"{sys.executable}" -c "{code}" | head -1'
    folder = str(Path(lcrnet_d2.__file__).parent)
    ended = subprocess.run(
        ["bash", "-c", command], capture_output=True, text=True, env=os.environ | {"PYTHONPATH": folder}
    )
    assert ended.stdout == "x" * 100 + "\n" and not ended.stderr

"""Several processes: of our making, on several machines, under torchrun; the same numbers as one."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from lcrnet_d2.launch import launch_on_cpu

TESTS = Path(__file__).parent
PROGRAM = str(TESTS / "support" / "parallel_jobs.py")


def start(*command: str) -> subprocess.Popen:
    path = os.pathsep.join([str(TESTS.parent), str(TESTS / "support")])
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def finish(*programs: subprocess.Popen) -> None:
    """Waits long: on a busy machine each program's imports alone may take minutes."""
    try:
        for program in programs:
            out, _ = program.communicate(timeout=1200)
            assert program.returncode == 0, out[-3000:]
    finally:
        for program in programs:
            program.kill()


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def said(folder: Path) -> dict[str, str]:
    return {file.name: file.read_text() for file in folder.glob("rank-*")}


def test_two_machines_of_one_process_each_meet(tmp_path: Path) -> None:
    url = f"tcp://127.0.0.1:{free_port()}"
    finish(*(start(sys.executable, PROGRAM, "show_rank", "1", "2", str(m), url, str(tmp_path)) for m in (0, 1)))
    assert said(tmp_path) == {"rank-0": "2 0 1", "rank-1": "2 0 1"}


def test_running_statistics_are_those_of_all_processes(tmp_path: Path) -> None:
    finish(start(sys.executable, PROGRAM, "share_statistics", "2", "1", "0", "auto", str(tmp_path)))
    assert said(tmp_path) == {"rank-0": "0.500 0.900", "rank-1": "0.500 0.900"}


def test_statistics_that_were_measured_anew_are_shared_too(tmp_path: Path) -> None:
    finish(start(sys.executable, PROGRAM, "share_after_measuring", "2", "1", "0", "auto", str(tmp_path)))
    assert said(tmp_path) == {"rank-0": "5.000", "rank-1": "5.000"}


def test_averaged_weights_are_one_model(tmp_path: Path) -> None:
    """Processes that start from their own random layers share gradients, but train models of their own."""
    finish(start(sys.executable, PROGRAM, "train_averaged", "2", "1", "0", "auto", str(tmp_path), str(tmp_path)))
    first, second = said(tmp_path).values()
    assert first == second


def test_where_one_process_overflows_all_compute_again(tmp_path: Path) -> None:
    """Layers that exchange what they see (SyncBN) wait for every process."""
    finish(start(sys.executable, PROGRAM, "overflow_on_the_second", "2", "1", "0", "auto", str(tmp_path)))
    assert said(tmp_path) == {"rank-0": "2 0", "rank-1": "2 90000"}


def test_one_process_explains_what_spoilt_its_step(tmp_path: Path) -> None:
    finish(start(sys.executable, PROGRAM, "explain_on_the_second", "2", "1", "0", "auto", str(tmp_path)))
    assert "at iteration 3, images ['a.jpg']" in said(tmp_path)["rank-1"]


def test_torchrun_brings_its_own_group(tmp_path: Path) -> None:
    torchrun = (sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port")
    # The job's own wishes (9 processes) do not count.
    finish(start(*torchrun, str(free_port()), PROGRAM, "show_rank", "9", "1", "0", "auto", str(tmp_path)))
    assert said(tmp_path) == {"rank-0": "2 0 1", "rank-1": "2 1 1"}


def test_a_process_that_fails_ends_the_others(tmp_path: Path) -> None:
    program = start(sys.executable, PROGRAM, "fail_on_the_second", "2", "1", "0", "auto", str(tmp_path))
    out, _ = program.communicate(timeout=1200)
    assert program.returncode != 0 and "the second process fails" in out


@pytest.mark.parametrize("processes", [0, 1])
def test_one_process_or_none_is_this_one(processes: int) -> None:
    """--num-gpus 0, as people without a GPU write it for Detectron2, trains here."""
    called = []
    launch_on_cpu(called.append, processes, ("here",))
    assert called == ["here"]


def test_machines_without_a_meeting_place_are_refused() -> None:
    with pytest.raises(ValueError, match=r"meet at tcp://HOST:PORT"):
        launch_on_cpu(print, 1, (), num_machines=2)


def test_losses_and_metrics_are_those_of_one_process(tmp_path: Path) -> None:
    """Images of one size, sampling limits above the number of anchors and proposals, no dropout.

    Then the gradients of several processes add up to those of the joint batch, in another order: equal within rounding.
    """
    outcomes = []
    for processes in ("1", "2", "4"):
        output = tmp_path / processes
        output.mkdir()
        job = ("losses_and_metrics", processes, "1", "0", "auto", str(tmp_path), str(output))
        finish(start(sys.executable, PROGRAM, *job))
        outcomes.append(json.loads((output / "outcome.json").read_text()))
    one, *several = outcomes
    assert sorted(one["losses"]) == ["0", "1", "2"]
    for outcome in several:
        assert outcome["losses"] == pytest.approx(one["losses"], rel=1e-5)
        assert outcome["metrics"].keys() == one["metrics"].keys()
        for task, metrics in one["metrics"].items():
            for name, value in metrics.items():
                np.testing.assert_allclose(outcome["metrics"][task][name], value, rtol=1e-3, atol=1e-3, err_msg=name)

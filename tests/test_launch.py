"""Several processes: of our making, on several machines, under torchrun; the same numbers as one."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from torch.multiprocessing.spawn import ProcessRaisedException

import parallel_jobs
from lcrnet_d2.launch import launch_on_cpu, launch_processes
from parallel_jobs import all_jobs, fail_on_the_second, losses_and_metrics, show_rank
from tests_support import needs_lite_weights


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def said(folder: Path) -> dict[str, str]:
    return {file.name: file.read_text() for file in folder.glob("rank-*")}


def test_two_machines_of_one_process_each_meet(tmp_path: Path) -> None:
    url = f"tcp://127.0.0.1:{free_port()}"
    with ThreadPoolExecutor() as machines:
        for machine in (0, 1):
            machines.submit(launch_processes, show_rank, (str(tmp_path),), "cpu", 1, 2, machine, url)
    assert said(tmp_path) == {"rank-0": "2 0 1", "rank-1": "2 0 1"}


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a group of two processes wrote, a folder for each job."""
    needs_lite_weights()
    folder = tmp_path_factory.mktemp("two")
    launch_processes(all_jobs, (str(folder),), "cpu", 2)
    return folder


@pytest.mark.parametrize(
    ("job", "first", "second"),
    [
        ("share_statistics", "0.500 0.900", "0.500 0.900"),
        ("share_after_measuring", "5.000", "5.000"),
        # Where one process overflows all compute again: layers that exchange what they see wait for every process.
        ("overflow_on_the_second", "2 0", "2 90000"),
    ],
)
def test_processes_agree(two: Path, job: str, first: str, second: str) -> None:
    assert said(two / job) == {"rank-0": first, "rank-1": second}


def test_averaged_weights_are_one_model(two: Path) -> None:
    """Processes that start from their own random layers share gradients, but train models of their own."""
    first, second = said(two / "train_averaged").values()
    assert first == second


def test_one_process_explains_what_spoilt_its_step(two: Path) -> None:
    assert "at iteration 3, images ['a.jpg']" in said(two / "explain_on_the_second")["rank-1"]


def test_torchrun_brings_its_own_group(tmp_path: Path) -> None:
    """The job's own wishes (9 processes) do not count."""
    torchrun = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--nproc-per-node",
        "2",
        "--master-port",
        str(free_port()),
    ]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    command = [*torchrun, parallel_jobs.__file__, "9", str(tmp_path)]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr[-3000:]
    assert said(tmp_path) == {"rank-0": "2 0 1", "rank-1": "2 1 1"}


def test_a_process_that_fails_ends_the_others(capfd: pytest.CaptureFixture[str]) -> None:
    """The error raised may be another process's, whose connection was closed: what it was is in the log."""
    with pytest.raises(ProcessRaisedException):
        launch_processes(fail_on_the_second, (), "cpu", 2)
    assert "the second process fails" in capfd.readouterr().err


@pytest.mark.parametrize("processes", [0, 1])
def test_one_process_or_none_is_this_one(processes: int) -> None:
    """--num-gpus 0, as people without a GPU write it for Detectron2, trains here."""
    called = []
    launch_on_cpu(called.append, processes, ("here",))
    assert called == ["here"]


def test_machines_without_a_meeting_place_are_refused() -> None:
    with pytest.raises(ValueError, match=r"meet at tcp://HOST:PORT"):
        launch_on_cpu(print, 1, (), num_machines=2)


def test_losses_and_metrics_are_those_of_one_process(two: Path, tmp_path: Path) -> None:
    """Images of one size, sampling limits above the number of anchors and proposals, no dropout.

    Then the gradients of several processes add up to those of the joint batch, in another order: equal within rounding.
    """
    losses_and_metrics(str(tmp_path), str(tmp_path))
    one, several = (
        json.loads((folder / "outcome.json").read_text()) for folder in (tmp_path, two / "losses_and_metrics")
    )
    assert sorted(one["losses"]) == ["0", "1", "2"]
    assert several["losses"] == pytest.approx(one["losses"], rel=1e-5)
    assert several["metrics"].keys() == one["metrics"].keys()
    for task, metrics in one["metrics"].items():
        for name, value in metrics.items():
            np.testing.assert_allclose(several["metrics"][task][name], value, rtol=1e-3, atol=1e-3, err_msg=name)

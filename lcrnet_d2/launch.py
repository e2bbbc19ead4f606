"""Several processes for one job: on GPUs (NCCL) or CPUs (gloo), on one machine or more, of our making or torchrun's."""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from detectron2.engine.launch import DEFAULT_TIMEOUT
from detectron2.utils import comm
from torch.multiprocessing.spawn import start_processes

__all__ = ["launch_on_cpu", "launch_processes"]

_TORCHRUN = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


def launch_processes(
    main: Callable[..., Any],
    args: tuple[Any, ...],
    device: str,
    num_processes: int = 1,
    num_machines: int = 1,
    machine_rank: int = 0,
    dist_url: str = "auto",
) -> None:
    """Calls `main(*args)` in every process of a group, this one included where torchrun has started it.

    Args:
        device: "cpu" or "cuda" (MODEL.DEVICE).
        num_processes: on each machine; torchrun's own number counts where it is used.
        num_machines, machine_rank: this command is given on each of so many machines, with its own rank.
        dist_url: where the machines meet, tcp://HOST:PORT of the first.

    Raises:
        ValueError: a GPU is asked for, and there is none.
    """
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise ValueError(f"MODEL.DEVICE is {device}, and there is no GPU here: add MODEL.DEVICE cpu to the command")
    if all(name in os.environ for name in _TORCHRUN):
        _join(main, args, device)
    elif device == "cpu":
        launch_on_cpu(main, num_processes, args, num_machines, machine_rank, dist_url)
    else:
        from detectron2.engine import launch as launch_on_gpu

        launch_on_gpu(main, num_processes, num_machines, machine_rank, dist_url, args)


def launch_on_cpu(
    main: Callable[..., Any],
    num_processes: int,
    args: tuple[Any, ...],
    num_machines: int = 1,
    machine_rank: int = 0,
    dist_url: str = "auto",
) -> None:
    """Calls `main(*args)` in so many processes of this machine that form a gloo group, with those of other machines.

    The cores are shared among them. On two cores two processes train the small model 1.3 times as fast as one with
    two threads, whose tensors are too small to share. One process runs here, without a group.

    Raises:
        ValueError: several machines, and no tcp://HOST:PORT where they meet.
    """
    if num_processes * num_machines <= 1:  # 0, as in Detectron2: here
        main(*args)
        return
    if num_machines > 1 and not dist_url.startswith("tcp://"):
        raise ValueError(f"--dist-url is {dist_url!r}; {num_machines} machines meet at tcp://HOST:PORT of the first")
    with tempfile.TemporaryDirectory() as folder:
        meeting_point = dist_url if num_machines > 1 else Path(folder, "meeting-point").as_uri()
        job = (num_processes, num_machines, machine_rank, meeting_point, main, args)
        start_processes(_worker, job, num_processes)


def _worker(
    local_rank: int,
    num_processes: int,
    num_machines: int,
    machine_rank: int,
    meeting_point: str,
    main: Callable[..., Any],
    args: tuple[Any, ...],
) -> None:
    dist.init_process_group(
        "gloo",
        init_method=meeting_point,
        world_size=num_processes * num_machines,
        rank=machine_rank * num_processes + local_rank,
        timeout=DEFAULT_TIMEOUT,
    )
    torch.set_num_threads(max(1, (os.cpu_count() or 1) // num_processes))
    _in_group(main, args, num_processes)


def _join(main: Callable[..., Any], args: tuple[Any, ...], device: str) -> None:
    """The group that torchrun describes in the environment."""
    if device != "cpu":
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group("gloo" if device == "cpu" else "nccl", init_method="env://", timeout=DEFAULT_TIMEOUT)
    _in_group(main, args, int(os.environ["LOCAL_WORLD_SIZE"]))


def _in_group(main: Callable[..., Any], args: tuple[Any, ...], processes_per_machine: int) -> None:
    comm.create_local_process_group(processes_per_machine)
    try:
        main(*args)
        comm.synchronize()
    except Exception:
        # The first failure that is noticed may be another process's "connection closed": say what it was here.
        logging.getLogger(__name__).exception("process %d failed", comm.get_rank())
        raise
    finally:
        dist.destroy_process_group()

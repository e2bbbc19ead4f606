"""A file is there whole or as it was before, whatever happens to its writer."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from lcrnet_d2.structures import whole_files
from lcrnet_d2.structures.whole_files import partial_path, save_npz, whole_file, write_json, write_text

#: A process that imports the module alone starts without torch.
FOLDER = str(Path(whole_files.__file__).parent)


def test_written_files_are_what_was_asked_for(tmp_path: Path) -> None:
    write_text(tmp_path / "a.md", "süß")
    write_json(tmp_path / "a.json", {"x": [1, 2.5]}, indent=1)
    save_npz(tmp_path / "a.npz", numbers=np.arange(3), name="n")
    assert (tmp_path / "a.md").read_text() == "süß"
    assert json.loads((tmp_path / "a.json").read_text()) == {"x": [1, 2.5]}
    with np.load(tmp_path / "a.npz") as file:
        assert file["numbers"].tolist() == [0, 1, 2] and str(file["name"]) == "n"
    assert len(list(tmp_path.iterdir())) == 3


def test_an_error_while_writing_leaves_the_former_file(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    write_text(file, "former")
    with pytest.raises(RuntimeError), whole_file(file) as stream:
        stream.write(b"new")
        raise RuntimeError
    assert file.read_text() == "former"
    assert not partial_path(file).exists()


def test_arrays_of_objects_are_not_pickled(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="objects"):
        save_npz(tmp_path / "a.npz", names=np.array([{}, None]))
    assert not list(tmp_path.iterdir())


def test_a_full_disk_leaves_the_former_file(tmp_path: Path) -> None:
    """A limit on the size of files stands for the end of the disk: write fails in the same place."""
    file = tmp_path / "weights.pth"
    with whole_file(file) as stream:
        torch.save({"model": torch.zeros(10)}, stream)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    former = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises((OSError, RuntimeError)), whole_file(file) as stream:
            torch.save({"model": torch.zeros(1_000_000)}, stream)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, former)
    assert torch.load(file, weights_only=True)["model"].shape == (10,)
    assert not partial_path(file).exists()


def test_a_killed_writer_leaves_the_former_file(tmp_path: Path) -> None:
    file = tmp_path / "a.bin"
    with whole_file(file) as stream:
        stream.write(b"former")
    program = (
        "import sys, time\n"
        "from whole_files import whole_file\n"
        "with whole_file(sys.argv[1]) as file:\n"
        "    file.write(b'half'); file.flush(); time.sleep(60)\n"
    )
    child = subprocess.Popen([sys.executable, "-c", program, str(file)], env={**os.environ, "PYTHONPATH": FOLDER})
    while not (partial_path(file).exists() and partial_path(file).stat().st_size):
        assert child.poll() is None
        time.sleep(0.02)
    child.kill()
    child.wait()
    assert file.read_bytes() == b"former"
    with whole_file(file) as stream:  # what the killed writer left is in nobody's way
        stream.write(b"new")
    assert [path.name for path in tmp_path.iterdir()] == ["a.bin"] and file.read_bytes() == b"new"

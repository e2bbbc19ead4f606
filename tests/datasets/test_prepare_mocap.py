import argparse
from pathlib import Path

import numpy as np
import pytest

from lcrnet_d2.mocap import PoseBase
from mocap_support import amc, asf
from prepare_mocap import main, metres


@pytest.mark.parametrize(
    ("text", "length"), [("30mm", 0.03), ("3cm", 0.03), ("0.03m", 0.03), (".03", 0.03), ("0", 0.0)]
)
def test_lengths(text: str, length: float) -> None:
    assert metres(text) == pytest.approx(length)


@pytest.mark.parametrize("text", ["", "mm", "-1mm", "3 feet"])
def test_no_lengths(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="30mm"):
        metres(text)


def takes(root: Path, subject: str, *motions: bytes) -> None:
    """A skeleton and takes of one subject, below root / cmu."""
    folder = root / "cmu" / subject
    folder.mkdir(parents=True)
    (folder / f"{subject}.asf").write_bytes(asf())
    for number, motion in enumerate(motions, 1):
        (folder / f"{subject}_{number:02d}.amc").write_bytes(motion)


def test_from_files_to_a_base(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Standing for 2 s, then a leg lifted by 90 degrees: of 30 poses at 10 per second two differ."""
    takes(tmp_path, "02", amc([{}] * 240 + [{"lfemur": (-90, 0, 0)}] * 120), amc([{}] * 3)[:-20])
    output = tmp_path / "out" / "poses.npz"
    assert main([str(tmp_path / "cmu"), "--output", str(output), "--workers", "1", "--min-distance", "30mm"]) == 0
    base = PoseBase.load(output)
    assert base.frames.tolist() == [1, 241] and base.subjects == ("CMU_02",)
    told = capsys.readouterr()
    assert "1 takes of 1 subjects, 1 broken; 30 poses at 10 per second, 2 at least 30 mm apart" in told.out
    assert "02_02.amc" in told.err


def test_people_can_be_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for subject in ("02", "16"):
        takes(tmp_path, subject, amc([{}]))
    output = tmp_path / "poses.npz"
    arguments = [str(tmp_path / "cmu"), "--output", str(output), "--workers", "1", "--min-distance", "0"]
    assert main([*arguments, "--exclude", "CMU_16"]) == 0
    assert PoseBase.load(output).subjects == ("CMU_02",)
    assert main([*arguments, "--exclude", "CMU_17"]) == 1
    assert "cannot leave out ['CMU_17']; there are ['CMU_02', 'CMU_16']" in capsys.readouterr().err


def test_nothing_to_read_is_a_failure(tmp_path: Path) -> None:
    assert main([str(tmp_path), "--output", str(tmp_path / "poses.npz"), "--workers", "1"]) == 1
    assert not (tmp_path / "poses.npz").exists()


def test_a_base_is_thinned_out_to_a_small_file_without_folders(tmp_path: Path) -> None:
    takes(tmp_path, "02", amc([{}]), amc([{}]))
    first, small = tmp_path / "poses.npz", tmp_path / "small.npz"
    assert main([str(tmp_path / "cmu"), "--output", str(first), "--workers", "1", "--min-distance", "0"]) == 0
    assert main([str(first), "--output", str(small), "--min-distance", "30mm", "--compact"]) == 0
    base = PoseBase.load(small)
    assert base.sources == ("02_01.amc",) and base.subjects == ("CMU_02",)
    assert (base.poses_3d - PoseBase.load(first).poses_3d[:1]).abs().max() < 5e-4
    assert np.load(small)["poses_3d"].dtype == np.float16

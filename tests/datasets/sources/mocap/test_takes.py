import io
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

from mocap_support import amc, asf
from sources.mocap import takes as takes_module
from sources.mocap.take import BrokenTakeError, Take
from sources.mocap.takes import find_takes, read_take, read_takes, subject_of

FILES = {"02/02_01.amc": amc([{}] * 24), "02/02.asf": asf(), "02/02_02.amc": amc([{}] * 12)}


def write_folder(root: Path) -> Path:
    for name, data in FILES.items():
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_bytes(data)
    return root


def write_zip(root: Path) -> Path:
    with zipfile.ZipFile(root / "cmu.zip", "w") as archive:
        for name, data in FILES.items():
            archive.writestr(name, data)
    return root / "cmu.zip"


def write_tar(root: Path, files: dict[str, bytes] = FILES) -> Path:
    with tarfile.open(root / "cmu.tar.xz", "w:xz") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return root / "cmu.tar.xz"


def split(results) -> tuple[list[Take], list[BrokenTakeError]]:
    results = list(results)
    return [r for r in results if isinstance(r, Take)], [r for r in results if not isinstance(r, Take)]


@pytest.mark.parametrize("write", [write_folder, write_zip, write_tar])
@pytest.mark.parametrize("workers", [1, 2])
def test_folders_and_archives_give_the_same_takes(tmp_path: Path, write, workers: int) -> None:
    takes, broken = split(read_takes([write(tmp_path)], fps=10.0, workers=workers))
    assert not broken
    assert [len(take) for take in takes] == [2, 1]  # 24 and 12 frames at 120 Hz, every twelfth kept
    assert [take.frames.tolist() for take in takes] == [[1, 13], [1]]
    assert takes[0].source.endswith("02/02_01.amc") and takes[1].source.endswith("02/02_02.amc")


def test_broken_takes_are_reported_and_the_others_read(tmp_path: Path) -> None:
    files = {"02/02_00.amc": amc([{}, {}])[:-30], **FILES, "x/alone.amc": amc([{}]), "y.bvh": b"HIERARCHY\n"}
    takes, broken = split(read_takes([write_tar(tmp_path, files)], fps=120.0))
    assert len(takes) == 2
    for error, words in zip(broken, ("02_00.amc", "no .asf", "y.bvh:1: no MOTION"), strict=True):
        assert words in str(error)


def test_a_truncated_archive_gives_what_it_holds_and_says_so(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    files = {"02/02.asf": asf(), **{f"02/02_{i:02d}.amc": amc(_noise(rng)) for i in range(6)}}
    path = write_tar(tmp_path, files)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    takes, broken = split(read_takes([path], fps=120.0))
    assert len(takes) < 6 and len(broken) == 1 and "cannot be read beyond" in str(broken[0])


def _noise(rng: np.random.Generator) -> list[dict[str, tuple[float, ...]]]:
    return [{"thorax": tuple(rng.normal(size=3))} for _ in range(300)]


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 nonsense", b"nonsense"])
@pytest.mark.parametrize("name", ["a.zip", "a.tar.xz"])
def test_no_archive_at_all(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    takes, broken = split(read_takes([tmp_path / name], fps=10.0))
    assert not takes and len(broken) == 1


def test_members_stay_in_memory_whatever_their_names(tmp_path: Path) -> None:
    inside, absolute = tmp_path / "inside", str(tmp_path / "absolute.bvh")
    inside.mkdir()
    path = write_tar(inside, {"../../out.asf": asf(), "../../out_1.amc": amc([{}]), absolute: b"x\n"})
    before = sorted(tmp_path.rglob("*"))
    takes, _ = split(read_takes([path], fps=10.0))
    assert len(takes) == 1 and sorted(tmp_path.rglob("*")) == before


def test_links_and_devices_are_passed_over(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        link = tarfile.TarInfo("passwd.bvh")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    assert list(find_takes(tmp_path / "a.tar")) == []


def test_sizes_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(takes_module, "_MAX_MEMBER_BYTES", 2 * len(asf()))
    files = {**FILES, "02/02_03.amc": amc([{}] * 500)}
    results = list(find_takes(write_tar(tmp_path, files)))
    assert "larger than" in str(results[-1])


def test_a_process_that_dies_costs_its_file_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(takes_module, "read_take", _die_at_02_01)
    takes, broken = split(read_takes([write_folder(tmp_path)], fps=10.0, workers=2))
    assert len(takes) == 1 and len(broken) == 1 and "02_01.amc: reading it killed the process" in str(broken[0])


def _die_at_02_01(file, **options):
    import os

    if "02_01" in file.source:
        os._exit(1)
    return read_take(file, **options)


def test_nothing_there(tmp_path: Path) -> None:
    takes, broken = split(read_takes([tmp_path, tmp_path / "gone.zip"], fps=10.0))
    assert not takes and "no such file" in str(broken[0])


@pytest.mark.parametrize(
    ("source", "subject"),
    [
        ("cmu.tar.xz:cmu_asfamc/02/02_01.amc", "CMU_02"),
        ("bvh/cmu_3dsmax/127_05.bvh", "CMU_127"),
        ("hdm05/HDM_bd_squat1Reps_001_120.amc", "HDM05_bd"),
        ("makehuman/gym01.bvh", "gym01"),
        ("x/cmu.zip:02_01.amc", "CMU_02"),
        ("hdm05.tar.xz:HDM_bd_squat_001.amc", "HDM05_bd"),
    ],
)
def test_subjects(source: str, subject: str) -> None:
    assert subject_of(source) == subject


def test_a_take_without_a_finite_rate_is_broken_and_the_others_are_read(tmp_path: Path) -> None:
    write_folder(tmp_path)
    takes, broken = split(read_takes([tmp_path], fps=10.0, amc_fps=float("inf")))
    assert not takes and len(broken) == 2 and "inf frames per second" in str(broken[0])


def test_a_file_that_is_gone_when_its_turn_comes_is_reported(tmp_path: Path) -> None:
    write_folder(tmp_path)
    found = find_takes(tmp_path)
    first = next(found)
    (tmp_path / "02/02_02.amc").unlink()
    (second,) = found
    assert not isinstance(first, BrokenTakeError)
    assert isinstance(second, BrokenTakeError) and "02_02.amc" in str(second)


def test_a_skeleton_too_large_to_read_is_named_and_the_others_are_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_folder(tmp_path)
    (tmp_path / "01").mkdir()
    (tmp_path / "01/01.asf").write_bytes(b" " * 9999)
    monkeypatch.setattr(takes_module, "_MAX_MEMBER_BYTES", 9998)
    takes, broken = split(read_takes([tmp_path], fps=10.0))
    assert len(takes) == 2 and len(broken) == 1 and "01/01.asf" in str(broken[0])


@pytest.mark.parametrize("error", [UnicodeDecodeError("utf-8", b"\xff", 0, 1, "no text"), IndexError("no name")])
def test_an_archive_with_a_damaged_list_is_reported(tmp_path, monkeypatch, error: Exception) -> None:
    archive = write_zip(tmp_path)

    def damaged(*_) -> None:
        raise error

    monkeypatch.setattr(zipfile, "ZipFile", damaged)
    (found, *_) = find_takes(archive)
    assert isinstance(found, BrokenTakeError) and "cannot be read" in str(found)

"""All takes of folders and archives, read in parallel; broken ones are reported, not fatal.

Archives (zip, tar, tar.xz, tar.gz, tar.bz2) are read as streams into memory: nothing is unpacked to disk, so no
member can leave a target folder; only plain members are read, and their sizes are bounded.
"""

from __future__ import annotations

import re
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import partial
from lzma import LZMAError
from pathlib import Path, PurePosixPath
from typing import IO, Any

import numpy as np
import torch

from lcrnet_d2.mocap import PoseBase
from lcrnet_d2.structures import BODY13, centre_poses

from .asf_amc import DEFAULT_FPS, parse_amc, parse_asf
from .bvh import parse_bvh
from .c3d import parse_c3d
from .rigs import Rig
from .take import BrokenTakeError, Take

__all__ = ["TakeFile", "find_takes", "pose_base_of", "read_take", "read_takes", "subject_of"]

_MOTION = (".amc", ".bvh", ".c3d")
_MAX_MEMBER_BYTES = 512 * 2**20
_MAX_ARCHIVE_BYTES = 64 * 2**30  # unpacked; all of CMU takes 7 GB
#: UnicodeDecodeError, IndexError: names of members that are no text, or empty.
_ARCHIVE_ERRORS = (
    *(tarfile.TarError, zipfile.BadZipFile, zlib.error, LZMAError, EOFError, OSError, RuntimeError),
    *(UnicodeDecodeError, IndexError),
)


@dataclass(frozen=True)
class TakeFile:
    """A motion file in memory.

    Attributes:
        source: path, or archive:member.
        data: its bytes.
        skeleton: source and bytes of the ASF that goes with an AMC; None for other formats.
    """

    source: str
    data: bytes
    skeleton: tuple[str, bytes] | None = None


def find_takes(root: str | Path) -> Iterator[TakeFile | BrokenTakeError]:
    """Every .amc, .bvh and .c3d under a folder, in an archive, or the file itself, in the order they are stored.

    An AMC is given the ASF of its folder whose name its own begins with (02_01.amc: 02.asf; HDM_bd_squat_001.amc:
    HDM_bd.asf), or the folder's only one. What cannot be read comes as an error in its place.
    """
    root = Path(root)
    if not root.exists():
        yield BrokenTakeError(str(root), None, "no such file or folder")
        return
    paths = _files_under(root)
    loose = [path for path in paths if not _is_archive(path)]
    yield from _paired(partial(_loose_members, loose))
    for archive in paths:
        if _is_archive(archive):
            yield from _paired(partial(_archive_members, archive))


def read_take(
    file: TakeFile,
    amc_fps: float = DEFAULT_FPS,
    metres_per_unit: float | None = None,
    up: str | None = None,
    rig: Rig | None = None,
) -> Take:
    """Reads one motion file by its suffix.

    Args:
        file: of `find_takes`.
        amc_fps: frames per second of AMC files, which do not say.
        metres_per_unit: of BVH files, which do not say; None: by the length of the legs.
        up: axis that points up, of `UP_TO_CAMERA`; None: as the file says, or as is usual if the person is upright.
        rig: table of the joints of BVH and AMC files; None: a known one.

    Raises:
        BrokenTakeError: see the readers.
    """
    suffix = PurePosixPath(file.source).suffix.lower()
    if suffix == ".bvh":
        return parse_bvh(file.data, file.source, metres_per_unit, up, rig)
    if suffix == ".c3d":
        return parse_c3d(file.data, file.source, up)
    if file.skeleton is None:
        raise BrokenTakeError(file.source, None, "no .asf in its folder has a name that this one begins with")
    return parse_amc(file.data, file.source, parse_asf(file.skeleton[1], file.skeleton[0]), amc_fps, up, rig)


def read_takes(
    roots: Sequence[str | Path],
    fps: float,
    workers: int = 1,
    amc_fps: float = DEFAULT_FPS,
    metres_per_unit: float | None = None,
    up: str | None = None,
    rig: Rig | None = None,
) -> Iterator[Take | BrokenTakeError]:
    """Takes of all roots (see `read_take`), subsampled to `fps`, in the order of the files, whatever the workers.

    A file that kills its process (a library's crash on bad data) is reported like any other broken one.
    """
    options = {"amc_fps": amc_fps, "metres_per_unit": metres_per_unit, "up": up, "rig": rig}
    read = partial(_read_and_subsample, fps=fps, **options)
    found = (file for root in roots for file in find_takes(root))
    pool = ProcessPoolExecutor(workers)
    try:
        for batch in _batches(found, 16 * workers):
            try:
                yield from list(pool.map(read, batch))
            except BrokenProcessPool:
                pool.shutdown()
                for file in batch:
                    yield _read_alone(read, file)
                pool = ProcessPoolExecutor(workers)
    finally:
        pool.shutdown(cancel_futures=True)


def pose_base_of(takes: Sequence[Take]) -> PoseBase:
    """All poses of the takes, centred."""
    lengths = [len(take) for take in takes]
    poses = np.concatenate([take.poses_3d for take in takes] or [np.zeros((0, len(BODY13), 3))])
    return PoseBase(
        poses_3d=centre_poses(torch.from_numpy(poses), BODY13).float(),
        take_index=torch.repeat_interleave(torch.arange(len(takes)), torch.tensor(lengths, dtype=torch.long)),
        frames=torch.from_numpy(np.concatenate([t.frames for t in takes] or [np.zeros(0)])).long(),
        sources=tuple(take.source for take in takes),
        subjects=tuple(subject_of(take.source) for take in takes),
        fps=tuple(take.fps for take in takes),
    )


def subject_of(source: str) -> str:
    """Who was recorded: CMU_02 for .../02_01.amc, HDM05_bd for .../HDM_bd_squat.amc, else the file's own name."""
    stem = PurePosixPath(re.split(r"[/\\:]", source)[-1]).stem  # the colon ends the archive's name
    if match := re.fullmatch(r"(\d{2,3})_\d{2,3}", stem):
        return f"CMU_{match[1]}"
    if match := re.match(r"HDM_([a-z]{2})_", stem):
        return f"HDM05_{match[1]}"
    return stem


def _read_and_subsample(file: TakeFile | BrokenTakeError, fps: float, **options: Any) -> Take | BrokenTakeError:
    if isinstance(file, BrokenTakeError):
        return file
    try:
        return read_take(file, **options).subsample(fps)
    except BrokenTakeError as error:
        return error


def _read_alone(read: Callable, file: TakeFile | BrokenTakeError) -> Take | BrokenTakeError:
    """In a process of its own, so that the file that kills it is known."""
    with ProcessPoolExecutor(1) as pool:
        try:
            return pool.submit(read, file).result()
        except BrokenProcessPool:
            source = file.source
            return BrokenTakeError(source, None, "reading it killed the process")


def _batches(files: Iterator, count: int) -> Iterator[list]:
    """At most `count` files, and not much more than 256 MB, at a time."""
    batch, size = [], 0
    for file in files:
        batch.append(file)
        size += len(file.data) if isinstance(file, TakeFile) else 0
        if len(batch) >= count or size > 2**28:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


_Members = Callable[[tuple[str, ...]], Iterator[tuple[str, bytes] | BrokenTakeError]]


def _paired(members: _Members) -> Iterator[TakeFile | BrokenTakeError]:
    """Two passes, as an ASF may be stored after its AMCs: skeletons first, then motions."""
    skeletons: dict[str, bytes] = {}
    broken: dict[str, BrokenTakeError] = {}
    for member in members((".asf",)):
        if isinstance(member, BrokenTakeError):
            broken[member.source] = member
        else:
            skeletons[member[0]] = member[1]
    for member in members(_MOTION):
        if isinstance(member, BrokenTakeError):
            broken.pop(member.source, None)  # the same damage of an archive, met again
            yield member
            continue
        source, data = member
        own = _skeleton_of(source, list(skeletons)) if source.lower().endswith(".amc") else None
        yield TakeFile(source, data, (own, skeletons[own]) if own is not None else None)
    yield from broken.values()


def _skeleton_of(amc: str, skeletons: list[str]) -> str | None:
    """The ASF in the same folder with the longest name that begins this one's; the folder's only one otherwise."""
    folder, stem = amc.rpartition("/")[0], PurePosixPath(amc).stem
    near = [name for name in skeletons if name.rpartition("/")[0] == folder]
    fitting = [name for name in near if (stem + "_").startswith(PurePosixPath(name).stem + "_")]
    if fitting:
        return max(fitting, key=len)
    return near[0] if len(near) == 1 else None


def _is_archive(path: Path) -> bool:
    return path.name.lower().endswith((".zip", ".tar", ".tar.xz", ".tar.gz", ".tar.bz2", ".tgz", ".txz"))


def _files_under(root: Path) -> list[Path]:
    return sorted(path for path in root.rglob("*") if path.is_file()) if root.is_dir() else [root]


def _loose_members(paths: list[Path], suffixes: tuple[str, ...]) -> Iterator[tuple[str, bytes] | BrokenTakeError]:
    for path in paths:
        if path.suffix.lower() in suffixes:
            yield _loose_member(path)


def _loose_member(path: Path) -> tuple[str, bytes] | BrokenTakeError:
    try:
        if path.stat().st_size > _MAX_MEMBER_BYTES:
            return BrokenTakeError(str(path), None, f"larger than {_MAX_MEMBER_BYTES} bytes")
        return path.as_posix(), path.read_bytes()
    except OSError as error:
        return BrokenTakeError(str(path), None, f"cannot be read: {error.strerror}")


def _archive_members(path: Path, suffixes: tuple[str, ...]) -> Iterator[tuple[str, bytes] | BrokenTakeError]:
    opened = _zip_members if path.name.lower().endswith(".zip") else _tar_members
    total, last = 0, "its beginning"
    try:
        for name, size, read in opened(path):
            total += size
            if total > _MAX_ARCHIVE_BYTES:
                yield BrokenTakeError(str(path), None, f"unpacks to more than {_MAX_ARCHIVE_BYTES} bytes")
                return
            if not name.lower().endswith(suffixes):
                continue
            last, source = name, f"{path.as_posix()}:{name}"
            if size > _MAX_MEMBER_BYTES:
                yield BrokenTakeError(source, None, f"larger than {_MAX_MEMBER_BYTES} bytes")
                continue
            data = read()
            if len(data) == size:
                yield source, data
            else:
                yield BrokenTakeError(source, None, f"{len(data)} bytes, the archive's list says {size}")
    except _ARCHIVE_ERRORS as error:
        yield BrokenTakeError(str(path), None, f"the archive cannot be read beyond {last}: {error or type(error)}")


_Opened = Iterator[tuple[str, int, Callable[[], bytes]]]


def _zip_members(path: Path) -> _Opened:
    """Name, size and reader of each member; no member is read beyond the size the archive's list gives."""
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            if not info.is_dir():
                yield info.filename, info.file_size, lambda info=info: _bounded(archive.open(info), info.file_size)


def _tar_members(path: Path) -> _Opened:
    with tarfile.open(path, "r|*") as archive:  # a stream: members are read where they stand
        for info in archive:
            if info.isreg():
                file = archive.extractfile(info)
                assert file is not None  # a regular file has content
                yield info.name, info.size, lambda file=file, info=info: _bounded(file, info.size)


def _bounded(file: IO[bytes], size: int) -> bytes:
    with file:
        return file.read(size + 1)

"""Leeds Sports Poses Extended (LSPE): `joints.mat` and `images/im00001.jpg` ...

`joints` is (14, 3, N): x, y and 1 where annotated. Where the third row is 0, x and y mean nothing: they are
the corner (0, 0) of the photo the picture was cut from, carried along, the same for all such joints of a picture. In
each of the 2,434 such pictures of the first 4,000 one of their coordinates is exactly 0 and the other at most 0: the
cutting and scaling maps 0 to 0, so pixels are counted from 0, and nothing of Matlab's is to be subtracted.
(LSP proper, (3, 14, N), has another third row, whether a joint is hidden, and is refused.)
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from lcrnet_d2.data.datasets.pose_json import PoseFileError, image_size
from lcrnet_d2.structures import LSP14

from .matlab import read_mat
from .records import Result, person_from_joints

__all__ = ["read_lspe", "read_lspe_joints"]


def read_lspe_joints(path: Path) -> np.ndarray:
    """(N, 14, 3) x, y in px from 0, and 1 where annotated.

    Raises:
        FileNotFoundError: no such file.
        PoseFileError: cut, no Matlab file, or of another set.
    """
    content = read_mat(path, squeeze=False)
    joints = content.get("joints")
    names = sorted(name for name in content if not name.startswith("__"))
    if joints is None:
        raise PoseFileError(f"{path} holds {names}; LSPE's joints.mat holds 'joints'")
    if joints.ndim != 3 or joints.shape[:2] != (len(LSP14), 3) or joints.dtype.kind not in "fiu":
        hint = "; (3, 14, N) is LSP, not LSPE" if joints.shape[:2] == (3, 14) else ""
        raise PoseFileError(f"{path}: joints are {joints.shape} {joints.dtype}, expected (14, 3, N) numbers{hint}")
    people = joints.transpose(2, 0, 1).astype(np.float64)
    flags = people[..., 2]
    if not np.isin(flags, (0, 1)).all():
        raise PoseFileError(f"{path}: the third row holds {np.unique(flags)[:5]}, expected 0 and 1")
    bad = ~np.isfinite(people[..., :2]).all(2) & (flags == 1)
    if bad.any():
        raise PoseFileError(f"{path}: picture {int(np.flatnonzero(bad.any(1))[0]) + 1} has a joint that is no number")
    return people


def read_lspe(path: Path, images: Path, numbers: Sequence[int] | None = None) -> Iterator[Result]:
    """One person per picture; other people in it are not annotated, so every picture is `partly_annotated`.

    Args:
        path: joints.mat.
        images: folder of im00001.jpg ... (their sizes are read).
        numbers: pictures to read, counted from 1 as their names are; all if None.

    Raises:
        PoseFileError: see `read_lspe_joints`; or a number beyond the last picture.
    """
    people = read_lspe_joints(path)
    numbers = range(1, len(people) + 1) if numbers is None else numbers
    if len(numbers) and not 1 <= min(numbers) <= max(numbers) <= len(people):
        raise PoseFileError(f"{path} holds the pictures 1 to {len(people)}, asked for {min(numbers)} to {max(numbers)}")
    return (_record(people[number - 1], number, images) for number in numbers)


def _record(joints: np.ndarray, number: int, images: Path) -> Result:
    name = f"im{number:05d}.jpg"
    if not joints[:, 2].any():
        return PoseFileError(f"{name}: no joint is annotated")
    try:
        width, height = image_size(images / name)
    except PoseFileError as error:
        return error
    record = {"file_name": name, "image_id": number, "width": width, "height": height, "partly_annotated": True}
    # The set says whether a joint is annotated, not whether it is hidden: v = 2.
    return record | {"annotations": [person_from_joints(joints[:, :2], 2 * joints[:, 2], LSP14)]}

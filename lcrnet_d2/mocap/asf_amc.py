"""Acclaim's AMC: a motion of an ASF skeleton, the form of CMU's and HDM05's takes.

Rows `bone v1 v2 ..` per frame, the values in the order of the bone's degrees of freedom; the root also moves.
Shapes: F frames, D values in a frame, J joints of BODY13.
"""

from __future__ import annotations

import numpy as np

from .asf import MOVES, TURNS, AsfSkeleton, Bone
from .kinematics import euler_rotations
from .rigs import RIGS, Rig, find_rig
from .take import BrokenTakeError, Take, body_take, bounded_text, check_places, numbers, turned_upright

__all__ = ["DEFAULT_FPS", "parse_amc", "parse_amc_rotations"]

#: AMC files do not say it; CMU's and HDM05's are nearly all recorded at 120 Hz.
DEFAULT_FPS = 120.0


def parse_amc(
    data: bytes,
    source: str,
    skeleton: AsfSkeleton,
    fps: float = DEFAULT_FPS,
    up: str | None = None,
    rig: Rig | None = None,
) -> Take:
    """Reads a motion of a skeleton, whole or not at all.

    Args:
        data: the file.
        source: its name for messages and provenance.
        skeleton: of `parse_asf`.
        fps: frames per second; the format does not hold them.
        up: axis that points up; None: y, if the person is upright with it (`turned_upright`).
        rig: table of its joints; None: the one of `RIGS` that fits.

    Raises:
        BrokenTakeError: names file and line: a cut frame, a bone missing, unknown or named twice, a wrong number
            of values, frame numbers that do not count up by one, no frames, a rig without a table.
    """
    rig, plain = find_rig(skeleton.tree, skeleton.source, RIGS if rig is None else (rig,))
    frames, rotations, root_positions = parse_amc_rotations(data, source, skeleton)
    positions = skeleton.tree.positions(rotations, root_positions)
    joints = rig.joints_of(plain, positions) * skeleton.metres_per_unit
    return body_take(turned_upright(joints, up or rig.up, "y", source), frames, fps, source)


def parse_amc_rotations(
    data: bytes, source: str, skeleton: AsfSkeleton
) -> tuple[np.ndarray, dict[str, np.ndarray], np.ndarray]:
    """What a motion says of every bone, for `NodeTree.positions`; the file's own axes and unit.

    Returns:
        (F,) frame numbers; bone -> (F, 3, 3) local rotations, bones that do not move left out; (F, 3) root positions.

    Raises:
        BrokenTakeError: see `parse_amc`.
    """
    frames, values = _frames(bounded_text(data, source), source, skeleton)
    check_places(len(frames), len(skeleton.tree.names), source)
    rotations, root_positions = {}, np.zeros((len(frames), 3))
    start = 0
    for name, width in skeleton.columns.items():
        bone, columns = skeleton.bones[name], values[:, start : start + width]
        start += width
        turns = np.zeros((len(frames), 3))
        for column, dof in zip(columns.T, bone.dof, strict=True):
            if dof in TURNS:
                turns[:, TURNS.index(dof)] = column
            else:
                root_positions[:, MOVES.index(dof)] = column
        rotations[name] = _local_rotations(bone, turns, skeleton.radians)
    return frames, rotations, root_positions + skeleton.tree.offsets[0]


def _local_rotations(bone: Bone, turns: np.ndarray, radians: bool) -> np.ndarray:
    """(F, 3, 3) C R(dof) C^-1; the angles of `turns` (F, 3) are about x, y, z, applied in the bone's order."""
    assert bone.axis is not None  # _check_bone saw to it
    order = [("xyz").index(letter) for letter in bone.axis_order]
    angles = np.concatenate([turns, [bone.axis]])[:, order]
    every = euler_rotations(np.rad2deg(angles) if radians else angles, bone.axis_order)
    axes = every[-1]
    return axes @ every[:-1] @ axes.T


def _frames(text: str, source: str, skeleton: AsfSkeleton) -> tuple[np.ndarray, np.ndarray]:
    """(F,) frame numbers and (F, D) values in the order of `skeleton.columns`."""
    columns = skeleton.columns
    frames: list[int] = []
    starts: list[int] = []
    rows: list[list[str]] = []
    row: dict[str, list[str]] = {}
    line = 0
    for line, content in enumerate(text.splitlines(), 1):
        words = content.split()
        if not words or words[0][0] in "#:":
            _check_header(words, source, line, skeleton)
        elif len(words) == 1:
            if frames:
                rows.append(_whole_row(row, columns, source, starts[-1], frames[-1]))
            frames.append(_frame_number(words[0], frames, source, line))
            starts.append(line)
            row = {}
        elif columns.get(words[0]) != len(words) - 1 or words[0] in row or not frames:
            raise BrokenTakeError(source, line, _why_wrong(words, columns, row, frames))
        else:
            row[words[0]] = words[1:]
    if not frames:
        raise BrokenTakeError(source, line, "no frames")
    rows.append(_whole_row(row, columns, source, starts[-1], frames[-1]))
    return np.array(frames), _to_floats(rows, starts, source)


def _check_header(words: list[str], source: str, line: int, skeleton: AsfSkeleton) -> None:
    if words and words[0].upper() == (":DEGREES" if skeleton.radians else ":RADIANS"):
        raise BrokenTakeError(source, line, f"{words[0]}, but {skeleton.source} says otherwise in :units")


def _frame_number(word: str, frames: list[int], source: str, line: int) -> int:
    if not word.isascii() or not word.isdigit() or len(word) > 9:
        raise BrokenTakeError(source, line, f"{word[:40]!r} is no frame number")
    if frames and int(word) != frames[-1] + 1:
        raise BrokenTakeError(source, line, f"frame {word} follows frame {frames[-1]}")
    return int(word)


def _whole_row(row: dict[str, list[str]], columns: dict[str, int], source: str, line: int, frame: int) -> list[str]:
    if len(row) != len(columns):
        lacking = [name for name in columns if name not in row]
        raise BrokenTakeError(source, line, f"frame {frame} lacks {lacking}")
    return [value for name in columns for value in row[name]]


def _why_wrong(words: list[str], columns: dict[str, int], row: dict[str, list[str]], frames: list[int]) -> str:
    if not frames:
        return f"{words[0][:40]!r} before the first frame number"
    if words[0] not in columns:
        return f"bone {words[0][:40]!r} does not move in the skeleton; those that do: {list(columns)}"
    if words[0] in row:
        return f"bone {words[0]!r} twice in frame {frames[-1]}"
    return f"{len(words) - 1} values for {words[0]!r}, which has {columns[words[0]]}"


def _to_floats(rows: list[list[str]], starts: list[int], source: str) -> np.ndarray:
    try:
        values = np.array(rows, dtype=np.float64)
    except ValueError:
        values = np.array([numbers(row, source, start) for row, start in zip(rows, starts, strict=True)])
    broken = ~np.isfinite(values).all(1)
    if broken.any():
        raise BrokenTakeError(source, starts[int(broken.argmax())], "a number of this frame is not finite")
    return values

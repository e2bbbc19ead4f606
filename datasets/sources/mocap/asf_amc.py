"""Acclaim's ASF and AMC: the skeletons and motions of CMU and HDM05.

ASF: a bone b has a direction and length, axes C_b = R(axis angles) and up to three degrees of freedom; its local
rotation is C_b R(dof) C_b^-1 and turns the bone itself. Lengths in inches / (`length` of `:units`):
metres = value * 0.0254 / length. AMC: rows `bone v1 v2 ..` per frame, the values in the order of the bone's degrees of
freedom; the root also moves.

Shapes: F frames, D values in a frame, J joints of BODY13.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from .rigs import RIGS, NodeTree, Rig, end_of, euler_rotations, find_rig
from .take import BrokenTakeError, Take, body_take, bounded_text, check_places, numbers, turned_upright

__all__ = ["DEFAULT_FPS", "AsfSkeleton", "Bone", "parse_amc", "parse_amc_rotations", "parse_asf"]

#: AMC files do not say it; CMU's and HDM05's are nearly all recorded at 120 Hz.
DEFAULT_FPS = 120.0
TURNS = ("rx", "ry", "rz")
MOVES = ("tx", "ty", "tz")

_MAX_BONES = 1000
_SECTIONS = {":version", ":name", ":units", ":documentation", ":root", ":bonedata", ":hierarchy", ":skin"}


@dataclass
class Bone:
    """As written in `:bonedata` (or `:root`)."""

    line: int
    offset: np.ndarray | None = None
    length: float | None = None
    axis: tuple[float, float, float] | None = None
    axis_order: str = "xyz"
    dof: tuple[str, ...] = ()


@dataclass(frozen=True)
class AsfSkeleton:
    """A subject's skeleton.

    Attributes:
        tree: nodes in the file's unit.
        bones: name -> bone; "root" included.
        metres_per_unit: of lengths and root positions.
        radians: True if angles are in radians.
        source: the file.
    """

    tree: NodeTree
    bones: dict[str, Bone]
    metres_per_unit: float
    radians: bool
    source: str

    @property
    def columns(self) -> dict[str, int]:
        """Values each bone has in a frame of an AMC file; bones that do not move are not in it."""
        return {name: len(bone.dof) for name, bone in self.bones.items() if bone.dof}


@dataclass
class _AsfFile:
    """What has been read so far."""

    length_unit: float | None = None
    radians: bool | None = None
    root: Bone = field(default_factory=lambda: Bone(0, np.zeros(3), 0.0, (0.0, 0.0, 0.0)))
    root_position: np.ndarray = field(default_factory=lambda: np.zeros(3))
    bones: dict[str, Bone] = field(default_factory=dict)
    parents: dict[str, str] = field(default_factory=dict)


def parse_asf(data: bytes, source: str) -> AsfSkeleton:
    """Reads a skeleton.

    Raises:
        BrokenTakeError: names file and line: a missing section, a bone without direction, length or axis, one
            that is not in the hierarchy, a degree of freedom that is no rotation.
    """
    file, section = _AsfFile(), ""
    lines = bounded_text(data, source).splitlines()
    readers = {":units": _units_line, ":root": _root_line, ":hierarchy": _hierarchy_line}
    bone_lines: list[tuple[int, list[str]]] = []
    seen = set()
    for number, line in enumerate(lines, 1):
        words = line.split("#", 1)[0].split()
        if not words:
            continue
        if words[0].startswith(":"):
            section = words[0].lower()
            if section not in _SECTIONS:
                raise BrokenTakeError(source, number, f"unknown section {words[0][:40]!r}")
            seen.add(section)
        elif section == ":bonedata":
            bone_lines.append((number, words))
        elif section in readers:
            readers[section](file, words, source, number)
    missing = [name for name in (":root", ":bonedata", ":hierarchy") if name not in seen]
    if missing:
        raise BrokenTakeError(source, len(lines), f"no section {missing}: not a whole ASF file")
    file.bones = _bones(bone_lines, source)
    return _skeleton(file, source, len(lines))


def _units_line(file: _AsfFile, words: list[str], source: str, line: int) -> None:
    if words[0] == "length":
        (file.length_unit,) = _several(words[1:], 1, source, line)
        if not file.length_unit > 0:
            raise BrokenTakeError(source, line, "the length unit is not above 0")
    elif words[0] == "angle":
        if words[1:] not in (["deg"], ["rad"]):
            raise BrokenTakeError(source, line, f"angles in {' '.join(words[1:])!r}; known: deg, rad")
        file.radians = words[1] == "rad"


def _root_line(file: _AsfFile, words: list[str], source: str, line: int) -> None:
    if words[0] == "order":
        file.root.dof = tuple(word.lower() for word in words[1:])
        if sorted(file.root.dof) != sorted(MOVES + TURNS):
            raise BrokenTakeError(source, line, f"root order {words[1:]}; expected TX TY TZ RX RY RZ in some order")
    elif words[0] == "axis":
        file.root.axis_order = _axis_order(words[1] if len(words) > 1 else "", source, line)
    elif words[0] == "position":
        file.root_position = np.array(_several(words[1:], 3, source, line))
    elif words[0] == "orientation":
        x, y, z = _several(words[1:], 3, source, line)
        file.root.axis = (x, y, z)


def _hierarchy_line(file: _AsfFile, words: list[str], source: str, line: int) -> None:
    if words in (["begin"], ["end"]):
        return
    for child in words[1:]:
        if child in file.parents or child == "root":
            raise BrokenTakeError(source, line, f"{child!r} has two parents")
        if words[0] != "root" and words[0] not in file.parents:
            raise BrokenTakeError(source, line, f"{words[0]!r} has children before it has a parent")
        file.parents[child] = words[0]


def _bones(lines: list[tuple[int, list[str]]], source: str) -> dict[str, Bone]:
    bones: dict[str, Bone] = {}
    bone, name = None, None
    for line, words in lines:
        if words == ["begin"]:
            bone, name = Bone(line), None
        elif bone is None:
            raise BrokenTakeError(source, line, f"{words[0][:40]!r} outside begin ... end")
        elif words[0] == "name" and len(words) == 2:
            name = words[1]
        elif words == ["end"]:
            _check_bone(bone, name, bones, source)
            bones[str(name)], bone = bone, None
        else:
            _bone_line(bone, words, source, line)
    if bone is not None:
        raise BrokenTakeError(source, bone.line, f"bone {name!r} has no end: the file is cut")
    return bones


def _bone_line(bone: Bone, words: list[str], source: str, line: int) -> None:
    if words[0] == "direction":
        bone.offset = np.array(_several(words[1:], 3, source, line))
    elif words[0] == "length":
        (bone.length,) = _several(words[1:], 1, source, line)
    elif words[0] == "axis":
        x, y, z = _several(words[1:4], 3, source, line)
        bone.axis, bone.axis_order = (x, y, z), _axis_order("".join(words[4:]), source, line)
    elif words[0] == "dof":
        bone.dof = tuple(word.lower() for word in words[1:])
        if not set(bone.dof) <= set(TURNS) or len(set(bone.dof)) != len(bone.dof):
            raise BrokenTakeError(source, line, f"degrees of freedom {words[1:]}; only rx, ry, rz are known")


def _check_bone(bone: Bone, name: str | None, bones: dict[str, Bone], source: str) -> None:
    lacking = [what for what in ("offset", "length", "axis") if getattr(bone, what) is None]
    if name is None or lacking:
        words = ", ".join(lacking).replace("offset", "direction") or "name"
        raise BrokenTakeError(source, bone.line, f"bone {name!r} has no {words}")
    if name in bones or name == "root":
        raise BrokenTakeError(source, bone.line, f"two bones named {name!r}")
    if len(bones) >= _MAX_BONES:
        raise BrokenTakeError(source, bone.line, f"more than {_MAX_BONES} bones")


def _axis_order(word: str, source: str, line: int) -> str:
    if sorted(word.upper()) != ["X", "Y", "Z"]:
        raise BrokenTakeError(source, line, f"axis order {word[:40]!r}; expected XYZ in some order")
    return word.lower()


def _several(words: list[str], count: int, source: str, line: int) -> list[float]:
    if len(words) != count:
        raise BrokenTakeError(source, line, f"{len(words)} values where {count} belong")
    return numbers(words, source, line)


def _skeleton(file: _AsfFile, source: str, last_line: int) -> AsfSkeleton:
    """Bones as nodes: bone b starts where its parent ends, so a node's offset is its parent's bone."""
    homeless = sorted(set(file.bones) ^ set(file.parents))
    if homeless:
        raise BrokenTakeError(source, last_line, f"bones {homeless} are not both in :bonedata and in :hierarchy")
    if not file.root.dof:
        raise BrokenTakeError(source, last_line, "the root has no order")
    if file.length_unit is None or file.radians is None:  # a guess would give a body of less than half the size
        raise BrokenTakeError(source, last_line, "no length or no angle in :units: not a whole ASF file")
    bones = {"root": file.root, **file.bones}
    vectors = {name: np.asarray(bone.offset) * bone.length for name, bone in bones.items()}
    names, parents, offsets = ["root"], [-1], [file.root_position]
    for child, parent in file.parents.items():
        names.append(child)
        parents.append(names.index(parent))
        offsets.append(vectors[parent])
    for last in sorted(set(file.parents) - set(file.parents.values())):
        names.append(end_of(last))
        parents.append(names.index(last))
        offsets.append(vectors[last])
    tree = NodeTree(tuple(names), tuple(parents), np.array(offsets))
    return AsfSkeleton(tree, bones, 0.0254 / file.length_unit, file.radians, source)


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

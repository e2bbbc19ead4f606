"""BVH: a tree of joints with offsets, and one line of channel values per frame.

Own reader: the library pybvh 0.9 refuses joints that move (11 of 15 MakeHuman poses tried, of Blender's exporter)
and names no line of a broken motion; it agrees with this reader to 1e-9 where it reads (test_bvh.py).
Shapes: F frames, B nodes, J joints of BODY13.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from lcrnet_d2.structures import BODY13

from .rigs import RIGS, NodeTree, Rig, end_of, euler_rotations, find_rig
from .take import BrokenTakeError, Take, body_take, check_places, numbers, text_of, turned_upright

__all__ = ["KNOWN_UNITS", "BvhMotion", "parse_bvh", "parse_bvh_nodes", "read_bvh"]

#: Metres per unit that a BVH, which does not say, may be in: metres, decimetres (MakeHuman), CMU's inch / 0.45,
#: inches, centimetres, millimetres.
KNOWN_UNITS: tuple[float, ...] = (1.0, 0.1, 0.0254 / 0.45, 0.0254, 0.01, 0.001)

#: An adult's thigh and shin (0.82 m); the nearest units differ by 1.77, so legs of 0.62 to 1.09 m are told apart.
_LEG_M = 0.82
_LEG_RANGE_M = (0.6, 1.1)
_MAX_NODES = 5000
_MAX_FRAMES = 10_000_000


@dataclass
class _Node:
    name: str
    parent: int
    line: int
    offset: list[float] | None = None
    channels: list[str] = field(default_factory=list)  # "xposition", "zrotation", ... in the order of the values


@dataclass(frozen=True)
class BvhMotion:
    """All nodes of a BVH in its own axes and unit.

    Attributes:
        tree: the nodes; an End Site is "<joint> end".
        positions: (F, B, 3).
        fps: frames per second.
        source: the file.
    """

    tree: NodeTree
    positions: np.ndarray
    fps: float
    source: str


def read_bvh(path: str | Path, metres_per_unit: float | None = None, up: str | None = None) -> Take:
    """A take from a file; see `parse_bvh`."""
    return parse_bvh(Path(path).read_bytes(), str(path), metres_per_unit, up)


def parse_bvh(
    data: bytes, source: str, metres_per_unit: float | None = None, up: str | None = None, rig: Rig | None = None
) -> Take:
    """Reads a motion, whole or not at all.

    Args:
        data: the file.
        source: its name for messages and provenance.
        metres_per_unit: the format does not say. None: the one of `KNOWN_UNITS` that brings thigh and shin
            nearest to an adult's.
        up: axis that points up; the format does not say. None: the rig's, or y if the person is upright with it.
        rig: table of its joints; None: the one of `RIGS` that fits.

    Raises:
        BrokenTakeError: names file and line: braces that do not close, a wrong number of frames or values, a rig
            without a table, joints that stretch by more than a tenth, a unit or axis that cannot be told.
    """
    motion = parse_bvh_nodes(data, source)
    rig, plain = find_rig(motion.tree, source, RIGS if rig is None else (rig,))
    scale = metres_per_unit or _metres_per_unit(rig, plain, motion.tree, source)
    joints = rig.joints_of(plain, motion.positions) * scale
    poses = turned_upright(joints, up or rig.up, "y", source)
    return body_take(poses, np.arange(1, len(joints) + 1), motion.fps, source)


def parse_bvh_nodes(data: bytes, source: str) -> BvhMotion:
    """Reads all nodes of a motion; raises as `parse_bvh`."""
    text = text_of(data, source)
    lines = text.splitlines()
    nodes, start = _hierarchy(lines, source)
    is_ended = text.endswith(("\n", "\r"))
    fps, values = _motion(lines, start, sum(len(node.channels) for node in nodes), source, is_ended)
    check_places(len(values), len(nodes), source)
    tree = NodeTree(
        tuple(node.name for node in nodes),
        tuple(node.parent for node in nodes),
        np.array([node.offset for node in nodes]),
    )
    rotations, root_positions, column = {}, np.broadcast_to(tree.offsets[0], (len(values), 3)), 0
    size = float(np.linalg.norm(np.ptp(tree.rest_positions(), axis=0)))
    moved: dict[int, np.ndarray] = {}
    for b, node in enumerate(nodes):
        channels = values[:, column : column + len(node.channels)]
        column += len(node.channels)
        moves, turns = _split(node, channels)
        if node.parent < 0 and moves is not None:
            root_positions = moves
        elif moves is not None:
            moved[b] = _stretched_offsets(node, moves, size, source)
        if turns is not None:
            rotations[node.name] = turns
    return BvhMotion(tree, tree.positions(rotations, root_positions, moved), fps, source)


def _hierarchy(lines: list[str], source: str) -> tuple[list[_Node], int]:
    """The nodes, and the index of the line after MOTION."""
    nodes: list[_Node] = []
    open_nodes: list[int] = []
    pieces = ((number, piece.split()) for number, line in enumerate(lines, 1) for piece in re.split(r"([{}])", line))
    for number, words in pieces:
        word = words[0].upper() if words else "{"
        if word in ("HIERARCHY", "{"):
            continue
        if word == "MOTION":
            _check_tree(nodes, open_nodes, source, number)
            return nodes, number
        if word in ("ROOT", "JOINT", "END"):
            _check_place(word, nodes, open_nodes, source, number)
            parent = open_nodes[-1] if open_nodes else -1
            name = end_of(nodes[parent].name) if word == "END" else "_".join(words[1:])
            open_nodes.append(len(nodes))
            nodes.append(_Node(name, parent, number))
        elif not open_nodes:
            raise BrokenTakeError(source, number, f"{words[0][:40]!r} outside a joint")
        elif word == "}":
            open_nodes.pop()
        elif word == "OFFSET":
            nodes[open_nodes[-1]].offset = numbers(words[1:], source, number)
        elif word == "CHANNELS":
            nodes[open_nodes[-1]].channels = _channels(words, source, number)
        else:
            raise BrokenTakeError(source, number, f"{words[0][:40]!r} is no word of a BVH hierarchy")
    raise BrokenTakeError(source, len(lines), "no MOTION: the file is cut, or no BVH")


def _check_place(word: str, nodes: list[_Node], open_nodes: list[int], source: str, line: int) -> None:
    if (word == "ROOT") == bool(nodes) or (word != "ROOT" and not open_nodes):
        raise BrokenTakeError(source, line, f"{word} here; a BVH has one ROOT and all else inside it")
    if len(nodes) >= _MAX_NODES:
        raise BrokenTakeError(source, line, f"more than {_MAX_NODES} joints")


def _channels(words: list[str], source: str, line: int) -> list[str]:
    channels = [word.lower() for word in words[2:]]
    known = {axis + kind for axis in "xyz" for kind in ("position", "rotation")}
    if words[1:2] != [str(len(channels))] or not set(channels) <= known or len(set(channels)) != len(channels):
        raise BrokenTakeError(
            source, line, f"channels {' '.join(words[1:])[:80]!r}: expected a count and that many names"
        )
    if sum(channel.endswith("rotation") for channel in channels) not in (0, 3):
        raise BrokenTakeError(source, line, "a joint turns about all three axes or about none")
    return channels


def _check_tree(nodes: list[_Node], open_nodes: list[int], source: str, line: int) -> None:
    if not nodes or open_nodes:
        raise BrokenTakeError(source, line, f"MOTION while {len(open_nodes)} of {len(nodes)} joints are still open")
    for node in nodes:
        if node.offset is None or len(node.offset) != 3:
            raise BrokenTakeError(source, node.line, f"joint {node.name!r} has no OFFSET of three values")
    names = Counter(node.name for node in nodes)
    twice = sorted({node.name for node in nodes if node.channels and names[node.name] > 1})
    if twice:
        raise BrokenTakeError(source, line, f"joints named twice: {twice}")


def _motion(lines: list[str], start: int, width: int, source: str, is_ended: bool) -> tuple[float, np.ndarray]:
    """fps and (F, width) values of the lines from index `start` on; `is_ended`: the last line has its end."""
    content = [(number, line) for number, line in enumerate(lines[start:], start + 1) if line.strip()]
    head = [
        re.fullmatch(rf"\s*{words}\s*:\s*(\S+)\s*", line, re.IGNORECASE)
        for words, (_, line) in zip((r"Frames", r"Frame\s*Time"), content, strict=False)
    ]
    if len(head) < 2 or head[0] is None or head[1] is None:
        raise BrokenTakeError(source, start + 1, "expected 'Frames: N' and 'Frame Time: seconds' after MOTION")
    (count,) = numbers([head[0][1]], source, content[0][0])
    (seconds,) = numbers([head[1][1]], source, content[1][0])
    if not seconds > 0 or not 0 < count < _MAX_FRAMES or count != int(count):
        raise BrokenTakeError(source, content[0][0], f"{count:g} frames of {seconds:g} s")
    rows = [(number, line.split()) for number, line in content[2:]]
    for number, row in rows:
        if len(row) != width:
            raise BrokenTakeError(source, number, f"{len(row)} values; the joints have {width} channels")
    if len(rows) != int(count):
        raise BrokenTakeError(source, len(lines), f"{len(rows)} frames follow, 'Frames:' says {int(count)}")
    if not is_ended and len({len(word.partition(".")[2]) for word in rows[-1][1]}) != 1:
        # Whether the last number is whole (-10.2 of -10.2227) shows where all have as many decimals.
        rows.pop()
    if not rows:
        raise BrokenTakeError(source, len(lines), "its one frame may be cut: if the file is whole, add a line end")
    return 1.0 / seconds, np.array([numbers(row, source, number) for number, row in rows]).reshape(len(rows), width)


def _split(node: _Node, channels: np.ndarray) -> tuple[np.ndarray | None, np.ndarray | None]:
    """(F, 3) moves along x, y, z and (F, 3, 3) turns of a node; None where it has no such channels."""
    moves, turns = None, None
    if any(channel.endswith("position") for channel in node.channels):
        moves = np.broadcast_to(np.array(node.offset), (len(channels), 3)).copy()
        for column, channel in zip(channels.T, node.channels, strict=True):
            if channel.endswith("position"):
                moves[:, "xyz".index(channel[0])] = column
    turning = [i for i, channel in enumerate(node.channels) if channel.endswith("rotation")]
    if turning:
        order = "".join(node.channels[i][0] for i in turning).upper()
        turns = euler_rotations(channels[:, turning], order)
    return moves, turns


def _stretched_offsets(node: _Node, moves: np.ndarray, size: float, source: str) -> np.ndarray:
    """(F, 3) offsets of an inner joint with position channels, which are added to OFFSET or stand in its place, by
    exporter: whichever stretches the bone less. Suits stretch it a little; beyond a tenth it could be either, unless
    OFFSET is hardly anything (hips below a node that stands still): then both are the same.

    Args:
        size: of the skeleton, of which a hundredth is hardly anything.
    """
    offset = np.array(node.offset)
    offsets = min(moves, offset + moves, key=lambda reading: np.abs(reading - offset).max())
    stretch = float(np.linalg.norm(offsets - offset, axis=1).max())
    length = float(np.linalg.norm(offset))
    if stretch > max(0.1 * length, 0.01 * size) and length > 0.01 * size:
        reason = f"joint {node.name!r} moves against its parent by {stretch:.4g}: bones do not stretch"
        raise BrokenTakeError(source, node.line, reason)
    return offsets


def _metres_per_unit(rig: Rig, plain: list[str], tree: NodeTree, source: str) -> float:
    rest = rig.joints_of(plain, tree.rest_positions())
    hip, knee, ankle = (rest[BODY13.index(f"left_{joint}")] for joint in ("hip", "knee", "ankle"))
    leg = float(np.linalg.norm(hip - knee) + np.linalg.norm(knee - ankle))
    if leg > 0:
        unit = min(KNOWN_UNITS, key=lambda metres: abs(np.log(leg * metres / _LEG_M)))
        if _LEG_RANGE_M[0] <= leg * unit <= _LEG_RANGE_M[1]:
            return unit
    raise BrokenTakeError(
        source, None, f"thigh and shin are {leg:.4g} units long, an adult's in no unit of {KNOWN_UNITS}: give the unit"
    )

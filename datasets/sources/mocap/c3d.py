"""C3D: markers on the skin, turned into joints by the rule of `joints_from_markers`.

Files are read by ezc3d (an extra dependency: pip install -e '.[mocap]'), in a process of its own: on a damaged file it
may crash or never come back. Marker names are those of the Vicon
set used by CMU (41 markers) and HDM05 (the same 41 and unnamed ones), or of Plug-in Gait, with any prefix
("Daniel:LFHD").
Shapes: F frames, J joints of BODY13, M markers.
"""

from __future__ import annotations

import faulthandler
import math
import multiprocessing
import struct
import sys
import tempfile
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np

from lcrnet_d2.structures import BODY13
from lcrnet_d2.structures.pose_geometry import UP_TO_CAMERA

from .take import BrokenTakeError, Take, body_take, turned_upright

__all__ = ["MARKERS", "joints_from_markers", "parse_c3d", "read_apart", "read_c3d"]

#: Markers the rule needs.
MARKERS: tuple[str, ...] = (
    *("LFHD", "RFHD", "LBHD", "RBHD", "C7", "CLAV", "T10", "STRN", "LFWT", "RFWT", "LBWT", "RBWT"),
    *(side + name for side in "LR" for name in ("SHO", "ELB", "WRA", "WRB", "KNE", "ANK", "HEE", "TOE", "MT5")),
)

#: What Plug-in Gait calls the waist markers; SACR is one in the place of both behind.
_OTHER_NAMES = {"LFWT": ("LASI",), "RFWT": ("RASI",), "LBWT": ("LPSI", "SACR"), "RBWT": ("RPSI", "SACR")}
#: Plug-in Gait has none of these; the foot's side direction is then taken from the waist.
_NOT_NEEDED = ("LMT5", "RMT5")

#: Numbers of processors in a file: Intel's, and that of MIPS machines (SGI), whose bytes stand the other way round.
_INTEL, MIPS = 84, 86
_HEADER_FLOATS = (12, 20)  # scale, frames per second
_HEADER_WORDS = (2, 4, 6, 8, 10, 16, 18)
#: Byte of the processor -> byte with the sign of the header's scale: Intel, DEC (its words are swapped), MIPS.
_SIGN_BYTE = {_INTEL: 15, 85: 13, MIPS: 12}
_METRES = {"m": 1.0, "dm": 0.1, "cm": 0.01, "mm": 0.001}
_SHANK_M = 0.4  # from KNE to ANK; units differ by 10, so whatever has legs is told apart
_BLOCK = 512
_MAX_BYTES = 512 * 2**20
# Seconds that ezc3d may take, whatever the size of the file, and for each MB: a hundred times what it takes.
_SECONDS, _SECONDS_PER_MB = 10.0, 2.0

Content = TypeVar("Content")

#: A fork takes some ms, as all that the reader needs is loaded; elsewhere than on Linux libraries do not survive it.
_CONTEXT = multiprocessing.get_context("fork" if sys.platform == "linux" else None)

_MAX_REACH = 2.0  # metres from the body's median; a joint farther away has a marker astray

# How deep the joint's centre lies under its marker, in metres. Knee, ankle and elbow: half a joint's width and
# the marker's radius. Shoulder: under the marker on the acromion. Head: under the middle of the headband.
_DEPTH = {"knee": 0.060, "ankle": 0.045, "elbow": 0.045, "shoulder": 0.060, "head": 0.035}
# Hip joint in the pelvis, as shares of the distance between the front waist markers: to the side of the middle,
# behind the front markers (both within 0.02 of Bell, Pedersen and Brand 1990), below the belt line.
_HIP = {"side": 0.35, "behind": 0.20, "below": 0.44}


def read_c3d(path: str | Path, up: str | None = None) -> Take:
    """A take from a file; see `parse_c3d`."""
    return parse_c3d(Path(path).read_bytes(), str(path), up)


def parse_c3d(data: bytes, source: str, up: str | None = None) -> Take:
    """Reads a recording. Frames in which a needed marker is missing, or astray, are left out.

    Args:
        data: the file.
        source: its name for messages and provenance.
        up: the studio's axis that points up. None: the one the file says (POINT:Y_SCREEN), else z, as in CMU and
            HDM05, if the person is upright with it.

    Raises:
        BrokenTakeError: no C3D, cut short, needed labels missing or there twice (two people), unknown unit or axis,
            no frame that shows all needed markers, markers that are no body's, or ezc3d crashes or hangs on it.
        ImportError: ezc3d is not installed.
    """
    _check_size(data, source)
    if data[(data[0] - 1) * _BLOCK + 3] == MIPS:
        try:
            data = as_intel(data)
        except ValueError as error:
            raise BrokenTakeError(source, None, str(error)) from error
    content = _read_points(data, source)
    columns = _columns(content.labels, source)
    places = content.points[:, list(columns.values())]
    seen = np.isfinite(places).all(2) & ~content.missing[:, list(columns.values())] & (places != 0).any(2)
    whole = seen.all(1)
    if not whole.any():
        rarest = sorted(zip(seen.mean(0), columns, strict=True))[:5]
        shares = ", ".join(f"{name} in {share:.0%}" for share, name in rarest)
        raise BrokenTakeError(source, None, f"none of its {len(seen)} frames shows all markers; the rarest: {shares}")
    markers = dict(zip(columns, places[whole].transpose(1, 0, 2), strict=True))
    scale = _metres_per_unit(content.unit, markers, source)
    joints = joints_from_markers({name: scale * place for name, place in markers.items()})
    joints = turned_upright(joints, up, content.up or "z", source)
    near = (np.abs(joints - np.median(joints, 1, keepdims=True)) < _MAX_REACH).all((1, 2))
    return body_take(joints[near], content.first + np.flatnonzero(whole)[near], content.fps, source)


def _metres_per_unit(unit: str, markers: dict[str, np.ndarray], source: str) -> float:
    """Of the unit the file names, or where it names none of the one that makes a shank as long as shanks are."""
    known = unit.lower().rstrip("s.")
    known = {"metre": "m", "meter": "m", "centimetre": "cm", "centimeter": "cm"}.get(known, known)
    known = {"millimetre": "mm", "millimeter": "mm"}.get(known, known)
    if not known:
        shank = float(np.median(np.linalg.norm(markers["LKNE"] - markers["LANK"], axis=1)))
        return min(_METRES.values(), key=lambda metres: abs(np.log(max(shank, 1e-9) * metres / _SHANK_M)))
    if known not in _METRES:
        raise BrokenTakeError(source, None, f"unit {unit[:20]!r}; known: {sorted(_METRES)}")
    return _METRES[known]


def joints_from_markers(markers: dict[str, np.ndarray]) -> np.ndarray:
    """The marker rule: (F, J, 3) joint centres from (F, 3) markers by name, in any right-handed axes, metres.

    - wrist: midpoint of WRA and WRB, the two ends of the wrist bar.
    - ankle: ANK moved inwards, along the foot's side direction (TOE to MT5, or of the waist where there is no MT5;
      square to HEE-TOE).
    - knee: KNE moved inwards along the same direction, square to the shank.
    - hip: in the pelvis, whose axes are those of the waist markers (FWT, BWT).
    - shoulder: SHO moved down the trunk (from C7, CLAV to T10, STRN).
    - elbow: ELB moved inwards along the hinge's axis, square to upper and lower arm; the straighter the
      arm, the less the axis is known and the shorter the move.
    - head: mean of the four headband markers, moved down the head.
    """
    joints = {"head": _head(markers)}
    trunk_down = _unit(markers["T10"] + markers["STRN"] - markers["C7"] - markers["CLAV"])
    hips = _hips(markers)
    for side, sign in (("left", 1.0), ("right", -1.0)):
        ankle, knee, hip, elbow, wrist, shoulder = (f"{side}_{name}" for name in _LIMBS)
        m = {name[1:]: place for name, place in markers.items() if name[0] == side[0].upper()}
        outwards = m["MT5"] - m["TOE"] if "MT5" in m else sign * _leftwards(markers)
        foot_side = _square_to(outwards, m["TOE"] - m["HEE"])
        joints[ankle] = m["ANK"] - _DEPTH["ankle"] * foot_side
        joints[knee] = m["KNE"] - _DEPTH["knee"] * _square_to(foot_side, m["KNE"] - m["ANK"])
        joints[hip] = hips[side]
        joints[wrist] = (m["WRA"] + m["WRB"]) / 2
        joints[shoulder] = m["SHO"] + _DEPTH["shoulder"] * trunk_down
        upper, lower = _unit(joints[shoulder] - m["ELB"]), _unit(joints[wrist] - m["ELB"])
        hinge = sign * np.cross(lower, upper)
        known = np.maximum(np.linalg.norm(hinge, axis=-1, keepdims=True), 0.35)  # 0.35: bent by 20 degrees
        joints[elbow] = m["ELB"] + _DEPTH["elbow"] * hinge / known
    return np.stack([joints[joint] for joint in BODY13.joints], 1)


_LIMBS = ("ankle", "knee", "hip", "elbow", "wrist", "shoulder")


def _head(m: dict[str, np.ndarray]) -> np.ndarray:
    forward = m["LFHD"] + m["RFHD"] - m["LBHD"] - m["RBHD"]
    left = _square_to(m["LFHD"] + m["LBHD"] - m["RFHD"] - m["RBHD"], forward)
    middle = (m["LFHD"] + m["RFHD"] + m["LBHD"] + m["RBHD"]) / 4
    return middle - _DEPTH["head"] * np.cross(_unit(forward), left)


def _hips(m: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    front, back = (m["LFWT"] + m["RFWT"]) / 2, (m["LBWT"] + m["RBWT"]) / 2
    left = _leftwards(m)
    forward = _square_to(front - back, left)
    down = -np.cross(forward, left)
    width = np.linalg.norm(m["LFWT"] - m["RFWT"], axis=-1, keepdims=True)
    ahead = ((front - back) * forward).sum(-1, keepdims=True) / 2 - _HIP["behind"] * width
    middle = (front + back) / 2 + ahead * forward + _HIP["below"] * width * down
    return {"left": middle + _HIP["side"] * width * left, "right": middle - _HIP["side"] * width * left}


def _leftwards(m: dict[str, np.ndarray]) -> np.ndarray:
    return _unit(m["LFWT"] + m["LBWT"] - m["RFWT"] - m["RBWT"])


def _unit(v: np.ndarray) -> np.ndarray:
    return v / np.maximum(np.linalg.norm(v, axis=-1, keepdims=True), 1e-9)


def _square_to(v: np.ndarray, axis: np.ndarray) -> np.ndarray:
    """Unit vectors of what of v is square to the axis."""
    axis = _unit(axis)
    return _unit(v - (v * axis).sum(-1, keepdims=True) * axis)


def _check_size(data: bytes, source: str) -> None:
    """The header's claims against the file's length: ezc3d would fill a cut file's last frames with zeros."""
    if not data:
        raise BrokenTakeError(source, None, "the file is empty (0 bytes)")
    if len(data) > _MAX_BYTES:
        raise BrokenTakeError(source, None, f"{len(data)} bytes; a take has at most {_MAX_BYTES}")
    if len(data) < 2 * _BLOCK or data[1] != 0x50:
        raise BrokenTakeError(source, None, "not a C3D file")
    parameters = (data[0] - 1) * _BLOCK
    if not 0 <= parameters <= len(data) - 4 or data[parameters + 3] not in _SIGN_BYTE:
        raise BrokenTakeError(source, None, "not a C3D file: no parameters where its header says")
    processor = data[parameters + 3]
    order = ">" if processor == MIPS else "<"
    points, analog, first, last, _ = struct.unpack_from(order + "5H", data, 2)
    start = struct.unpack_from(order + "H", data, 16)[0]
    as_floats = bool(data[_SIGN_BYTE[processor]] & 0x80)  # a negative scale says: floats, not integers
    frame_bytes = (points * 4 + analog) * (4 if as_floats else 2)
    claimed = (start - 1) * _BLOCK + frame_bytes * (last - first + 1)
    if last < first or points == 0:
        raise BrokenTakeError(source, None, f"its header says {points} markers, frames {first} to {last}")
    if last < 65535 and claimed > len(data):
        raise BrokenTakeError(source, None, f"cut: {len(data)} bytes, its header says {claimed}")


class _Content(NamedTuple):
    """What a file says: labels; (F, M, 3) points and (F, M) True where a marker was not seen; unit, "" if it has none;
    fps; number of the first frame; axis that points up, "" if it has none."""

    labels: list[str]
    points: np.ndarray
    missing: np.ndarray
    unit: str
    fps: float
    first: int
    up: str


def _read_points(data: bytes, source: str) -> _Content:
    import ezc3d  # noqa: F401  here, as an ImportError is the caller's; the reader's process then has it loaded

    seconds = _SECONDS + _SECONDS_PER_MB * len(data) / 1e6
    with tempfile.NamedTemporaryFile(suffix=".c3d") as file:  # ezc3d reads from disk only
        file.write(data)
        file.flush()
        try:
            content = read_apart(seconds, _ezc3d_content, file.name)
        except (OSError, ValueError, KeyError, IndexError, RuntimeError, MemoryError) as error:
            raise BrokenTakeError(source, None, f"ezc3d cannot read it: {error}") from error
    labels, points, missing = content.labels, content.points, content.missing
    if not content.fps > 0 or points.shape[1] < len(labels) or missing.shape != points.shape[:2]:
        reason = f"{len(labels)} labels, points {points.shape}, {content.fps} frames per second"
        raise BrokenTakeError(source, None, reason)
    return content


def _ezc3d_content(path: str) -> _Content:
    """As `_read_points`, unchecked. One flipped bit in 200 of a small file crashes ezc3d or keeps it for ever."""
    import ezc3d

    content = ezc3d.c3d(path)
    group = content["parameters"]["POINT"]

    def text(name: str) -> str:
        values = group[name]["value"] if name in group else []
        return str(values[0]).strip() if len(values) else ""

    axis = text("Y_SCREEN").lower().lstrip("+")  # the axis of the studio that points up on the screen
    return _Content(
        labels=[str(label) for label in group["LABELS"]["value"]],
        points=content["data"]["points"][:3].transpose(2, 1, 0),
        missing=content["data"]["meta_points"]["residuals"][0].T < 0,
        unit=text("UNITS"),
        fps=float(group["RATE"]["value"][0]),
        first=int(content["header"]["points"]["first_frame"]) + 1,  # ezc3d counts from 0
        up=axis if axis in UP_TO_CAMERA else "",
    )


def _columns(labels: list[str], source: str) -> dict[str, int]:
    """Marker -> its column, of those the file has."""
    plain = [label.replace("_", ":").rsplit(":", 1)[-1].strip().upper() for label in labels]
    names = {marker: [n for n in (marker, *_OTHER_NAMES.get(marker, ())) if n in plain] for marker in MARKERS}
    absent = [marker for marker, there in names.items() if not there and marker not in _NOT_NEEDED]
    twice = [there[0] for there in names.values() if there and plain.count(there[0]) > 1]
    if absent or twice:
        raise BrokenTakeError(
            source,
            None,
            f"its labels are {labels[:100]}; missing: {absent}; there more than once: {twice}. The marker rule "
            f"needs each of {list(MARKERS)} once",
        )
    return {marker: plain.index(there[0]) for marker, there in names.items() if there}


def read_apart(seconds: float, read: Callable[..., Content], *arguments: Any, **options: Any) -> Content:
    """What `read(*arguments, **options)` returns or raises, in a process that is killed after so many seconds.

    A daemonic process, which may have no children, reads by itself.

    Args:
        seconds: time limit; the file's reader is killed, however it hangs.
        read: a function that can be pickled, as can what it returns.

    Raises:
        RuntimeError: reading killed the process, or took longer.
    """
    if multiprocessing.current_process().daemon:
        return read(*arguments, **options)
    receiver, sender = _CONTEXT.Pipe(duplex=False)
    process = _CONTEXT.Process(target=_answer, args=(sender, read, arguments, options))
    try:
        process.start()
        sender.close()  # the reader's end alone is left, and closes when it dies
        if not receiver.poll(seconds):
            raise RuntimeError(f"reading it takes more than {seconds:.0f} s")
        came_back, content = receiver.recv()
    except EOFError:
        raise RuntimeError("reading it killed the process") from None
    finally:
        receiver.close()
        if process.pid is not None:
            process.kill()
            process.join()
    if not came_back:
        raise content
    return content


def _answer(sender: Connection, read: Callable[..., Any], arguments: tuple, options: dict[str, Any]) -> None:
    faulthandler.disable()  # the caller says what happened; a trace of the child would look like a crash of the program
    try:
        answer = True, read(*arguments, **options)
    except Exception as error:  # the caller's to judge
        answer = False, error
    sender.send(answer)


def as_intel(data: bytes) -> bytes:
    """The same recording as an Intel machine writes it: ezc3d 1.7 reads Intel's and DEC's alone.

    Args:
        data: a file whose processor is `MIPS`.

    Raises:
        ValueError: its parameters do not lie within it.
    """
    turned = bytearray(data)
    for at in _HEADER_WORDS:
        turned[at : at + 2] = data[at : at + 2][::-1]
    for at in _HEADER_FLOATS:
        turned[at : at + 4] = data[at : at + 4][::-1]
    parameters = (data[0] - 1) * _BLOCK
    turned[parameters + 3] = _INTEL
    try:
        _turn_parameters(turned, data, parameters + 4)
    except (struct.error, IndexError) as error:
        raise ValueError("its parameters end outside it") from error
    start = (struct.unpack_from(">H", data, 16)[0] - 1) * _BLOCK
    as_floats = struct.unpack_from(">f", data, 12)[0] < 0  # a negative scale says: floats, not integers
    _turn(turned, start, 4 if as_floats else 2, (len(data) - start) // (4 if as_floats else 2))
    return bytes(turned)


def _turn_parameters(turned: bytearray, data: bytes, at: int) -> None:
    """Groups and parameters: length of the name, number of the group (negative: the group itself), name, step to the
    next; of a parameter then bytes per value (-1 for letters), number of dimensions, dimensions, values."""
    while data[at]:
        named = at + 2 + abs(struct.unpack_from("b", data, at)[0])  # negative: locked
        (step,) = struct.unpack_from(">h", data, named)
        _turn(turned, named, 2, 1)
        if struct.unpack_from("b", data, at + 1)[0] > 0:
            size, dimensions = struct.unpack_from("bB", data, named + 2)
            values = named + 4 + dimensions
            _turn(turned, values, abs(size), math.prod(data[named + 4 : values]))
        if step <= 0:
            return
        at = named + step


def _turn(turned: bytearray, start: int, size: int, count: int) -> None:
    """Turns `count` numbers of `size` bytes round."""
    end = start + size * count
    if end > len(turned):
        raise IndexError(end)
    numbers = bytes(turned[start:end])
    for k in range(size):
        turned[start + k : end : size] = numbers[size - 1 - k :: size]

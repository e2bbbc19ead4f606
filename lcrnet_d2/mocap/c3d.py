"""C3D: markers on the skin, turned into joints by the rule of `joints_from_markers`.

Files are read by ezc3d (an extra dependency: pip install -e '.[mocap]'). Marker names are those of the Vicon
set used by CMU (41 markers) and HDM05 (the same 41 and unnamed ones), with any prefix ("Daniel:LFHD").
Shapes: F frames, J joints of BODY13, M markers.
"""

from __future__ import annotations

import struct
import tempfile
from pathlib import Path

import numpy as np

from ..structures import BODY13
from .guarded_reading import read_apart
from .take import BrokenTakeError, Take, body_take, to_camera_axes

__all__ = ["MARKERS", "joints_from_markers", "parse_c3d", "read_c3d"]

#: Markers the rule needs.
MARKERS: tuple[str, ...] = (
    *("LFHD", "RFHD", "LBHD", "RBHD", "C7", "CLAV", "T10", "STRN", "LFWT", "RFWT", "LBWT", "RBWT"),
    *(side + name for side in "LR" for name in ("SHO", "ELB", "WRA", "WRB", "KNE", "ANK", "HEE", "TOE", "MT5")),
)

#: Byte of the processor -> byte with the sign of the header's scale: Intel, DEC (its words are swapped), MIPS.
_SIGN_BYTE = {84: 15, 85: 13, 86: 12}
_METRES = {"m": 1.0, "dm": 0.1, "cm": 0.01, "mm": 0.001}
_BLOCK = 512
_MAX_BYTES = 512 * 2**20
# Seconds that ezc3d may take, whatever the size of the file, and for each MB: a hundred times what it takes.
_SECONDS, _SECONDS_PER_MB = 10.0, 2.0

_MAX_REACH = 2.0  # metres from the body's median; a joint farther away has a marker astray

# How deep the joint's centre lies under its marker, in metres. Knee, ankle and elbow: half a joint's width and
# the marker's radius. Shoulder: under the marker on the acromion. Head: under the middle of the headband.
_DEPTH = {"knee": 0.060, "ankle": 0.045, "elbow": 0.045, "shoulder": 0.060, "head": 0.035}
# Hip joint in the pelvis, as shares of the distance between the front waist markers: to the side of the middle,
# behind the front markers (both within 0.02 of Bell, Pedersen and Brand 1990), below the belt line.
_HIP = {"side": 0.35, "behind": 0.20, "below": 0.44}


def read_c3d(path: str | Path, up: str = "z") -> Take:
    """A take from a file; see `parse_c3d`."""
    return parse_c3d(Path(path).read_bytes(), str(path), up)


def parse_c3d(data: bytes, source: str, up: str = "z") -> Take:
    """Reads a recording. Frames in which a needed marker is missing, or astray, are left out.

    Args:
        data: the file.
        source: its name for messages and provenance.
        up: the studio's axis that points up; z for CMU and HDM05.

    Raises:
        BrokenTakeError: no C3D, cut short, needed labels missing or there twice (two people), unknown unit, or
            no frame that shows all needed markers, markers that are no body's, or ezc3d crashes or hangs on it.
        ImportError: ezc3d is not installed.
    """
    _check_size(data, source)
    labels, points, missing, unit, fps, first = _read_points(data, source)
    columns = _columns(labels, source)
    if unit not in _METRES:
        raise BrokenTakeError(source, None, f"unit {unit[:20]!r}; known: {sorted(_METRES)}")
    needed = points[:, columns] * _METRES[unit]
    whole = np.isfinite(needed).all((1, 2)) & ~missing[:, columns].any(1) & (needed != 0).any(2).all(1)
    if not whole.any():
        raise BrokenTakeError(source, None, f"none of its {len(points)} frames shows all of {list(MARKERS)}")
    markers = dict(zip(MARKERS, needed[whole].transpose(1, 0, 2), strict=True))
    joints = to_camera_axes(joints_from_markers(markers), up)
    near = (np.abs(joints - np.median(joints, 1, keepdims=True)) < _MAX_REACH).all((1, 2))
    return body_take(joints[near], first + np.flatnonzero(whole)[near], fps, source)


def joints_from_markers(markers: dict[str, np.ndarray]) -> np.ndarray:
    """The marker rule: (F, J, 3) joint centres from (F, 3) markers by name, in any right-handed axes, metres.

    - wrist: midpoint of WRA and WRB, the two ends of the wrist bar.
    - ankle: ANK moved inwards, along the foot's side direction (TOE to MT5, square to HEE-TOE).
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
        foot_side = _square_to(m["MT5"] - m["TOE"], m["TOE"] - m["HEE"])
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
    left = _unit(m["LFWT"] + m["LBWT"] - m["RFWT"] - m["RBWT"])
    forward = _square_to(front - back, left)
    down = -np.cross(forward, left)
    width = np.linalg.norm(m["LFWT"] - m["RFWT"], axis=-1, keepdims=True)
    ahead = ((front - back) * forward).sum(-1, keepdims=True) / 2 - _HIP["behind"] * width
    middle = (front + back) / 2 + ahead * forward + _HIP["below"] * width * down
    return {"left": middle + _HIP["side"] * width * left, "right": middle - _HIP["side"] * width * left}


def _unit(v: np.ndarray) -> np.ndarray:
    return v / np.maximum(np.linalg.norm(v, axis=-1, keepdims=True), 1e-9)


def _square_to(v: np.ndarray, axis: np.ndarray) -> np.ndarray:
    """Unit vectors of what of v is square to the axis."""
    axis = _unit(axis)
    return _unit(v - (v * axis).sum(-1, keepdims=True) * axis)


def _check_size(data: bytes, source: str) -> None:
    """The header's claims against the file's length: ezc3d would fill a cut file's last frames with zeros."""
    if len(data) > _MAX_BYTES:
        raise BrokenTakeError(source, None, f"{len(data)} bytes; a take has at most {_MAX_BYTES}")
    if len(data) < 2 * _BLOCK or data[1] != 0x50:
        raise BrokenTakeError(source, None, "not a C3D file")
    parameters = (data[0] - 1) * _BLOCK
    if not 0 <= parameters <= len(data) - 4 or data[parameters + 3] not in _SIGN_BYTE:
        raise BrokenTakeError(source, None, "not a C3D file: no parameters where its header says")
    processor = data[parameters + 3]
    order = ">" if processor == 86 else "<"
    points, analog, first, last, _ = struct.unpack_from(order + "5H", data, 2)
    start = struct.unpack_from(order + "H", data, 16)[0]
    as_floats = bool(data[_SIGN_BYTE[processor]] & 0x80)  # a negative scale says: floats, not integers
    frame_bytes = (points * 4 + analog) * (4 if as_floats else 2)
    claimed = (start - 1) * _BLOCK + frame_bytes * (last - first + 1)
    if last < first or points == 0:
        raise BrokenTakeError(source, None, f"its header says {points} markers, frames {first} to {last}")
    if last < 65535 and claimed > len(data):
        raise BrokenTakeError(source, None, f"cut: {len(data)} bytes, its header says {claimed}")


_Content = tuple[list[str], np.ndarray, np.ndarray, str, float, int]


def _read_points(data: bytes, source: str) -> _Content:
    """Labels, (F, M, 3) points, (F, M) True where a marker was not seen, unit, fps, number of the first frame."""
    import ezc3d  # noqa: F401  here, as an ImportError is the caller's; the reader's process then has it loaded

    seconds = _SECONDS + _SECONDS_PER_MB * len(data) / 1e6
    with tempfile.NamedTemporaryFile(suffix=".c3d") as file:  # ezc3d reads from disk only
        file.write(data)
        file.flush()
        try:
            labels, points, missing, unit, fps, first = read_apart(seconds, _ezc3d_content, file.name)
        except (OSError, ValueError, KeyError, IndexError, RuntimeError, MemoryError) as error:
            raise BrokenTakeError(source, None, f"ezc3d cannot read it: {error}") from error
    if not fps > 0 or points.shape[1] < len(labels) or missing.shape != points.shape[:2]:
        raise BrokenTakeError(source, None, f"{len(labels)} labels, points {points.shape}, {fps} frames per second")
    return labels, points, missing, unit, fps, first


def _ezc3d_content(path: str) -> _Content:
    """As `_read_points`, unchecked. One flipped bit in 200 of a small file crashes ezc3d or keeps it for ever."""
    import ezc3d

    content = ezc3d.c3d(path)
    group = content["parameters"]["POINT"]
    labels = [str(label) for label in group["LABELS"]["value"]]
    unit, fps = str(group["UNITS"]["value"][0]).strip(), float(group["RATE"]["value"][0])
    points = content["data"]["points"][:3].transpose(2, 1, 0)
    missing = content["data"]["meta_points"]["residuals"][0].T < 0
    first = int(content["header"]["points"]["first_frame"]) + 1  # ezc3d counts from 0
    return labels, points, missing, unit, fps, first


def _columns(labels: list[str], source: str) -> list[int]:
    plain = [label.replace("_", ":").rsplit(":", 1)[-1].strip().upper() for label in labels]
    absent = [marker for marker in MARKERS if marker not in plain]
    twice = [marker for marker in MARKERS if plain.count(marker) > 1]
    if absent or twice:
        raise BrokenTakeError(
            source,
            None,
            f"its labels are {labels[:100]}; missing: {absent}; there more than once: {twice}. The marker rule "
            f"needs each of {list(MARKERS)} once",
        )
    return [plain.index(marker) for marker in MARKERS]

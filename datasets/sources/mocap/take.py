"""A take: what every reader of this room returns, and the turn from a studio's axes to a camera's.

Shapes: F frames, J joints of BODY13.
"""

from __future__ import annotations

import codecs
from dataclasses import dataclass

import numpy as np

from lcrnet_d2.structures import BODY13
from lcrnet_d2.structures.pose_geometry import UP_TO_CAMERA

__all__ = ["BrokenTakeError", "Take", "body_take", "bounded_text", "check_places", "numbers", "text_of"]
__all__ += ["to_camera_axes", "turned_upright"]

#: Who is upright in fewer of the frames (the head within 60 degrees above the hips) lies, or the wrong axis is taken
#: for up: of 538 takes of CMU and HDM05, lying down among them, the least is 0.33.
_LEAST_UPRIGHT = 0.25

_MAX_TEXT_BYTES = 64 * 2**20  # the longest CMU take has 4 MB; read, numbers take ten times their text
_MAX_PLACES = 10_000_000  # of nodes in all frames; the longest CMU take has a tenth. A gigabyte with rotations
_MAX_PLACE = 1000.0  # metres from the studio's origin


class BrokenTakeError(ValueError):
    """A motion file that cannot be read whole: says which file, which line and why."""

    def __init__(self, source: str, line: int | None, reason: str) -> None:
        self.source, self.line, self.reason = source, line, reason
        super().__init__(f"{source}:{line}: {reason}" if line is not None else f"{source}: {reason}")

    def __reduce__(self) -> tuple:
        """Crosses process borders whole (BaseException would pass one argument back, not three)."""
        return type(self), (self.source, self.line, self.reason)


@dataclass(frozen=True)
class Take:
    """One recording of one person.

    Attributes:
        poses_3d: (F, J, 3) metres, camera axes, in the studio's own place (not body-centred).
        frames: (F,) number of each frame as the file counts it; frames without a pose are left out.
        fps: frames per second of the recording.
        source: the file, inside its archive if it came from one.

    Raises:
        ValueError: shapes that do not fit, numbers that are not finite, fps not above 0.
    """

    poses_3d: np.ndarray
    frames: np.ndarray
    fps: float
    source: str

    def __post_init__(self) -> None:
        if self.poses_3d.ndim != 3 or self.poses_3d.shape[2] != 3 or self.frames.shape != self.poses_3d.shape[:1]:
            shapes = f"poses {self.poses_3d.shape}, frames {self.frames.shape}"
            raise ValueError(f"{self.source}: {shapes}; expected (F, J, 3) and (F,)")
        if not np.isfinite(self.poses_3d).all():
            raise ValueError(f"{self.source}: NaN or infinite coordinates")
        if not (np.isfinite(self.fps) and self.fps > 0):
            raise ValueError(f"{self.source}: {self.fps} frames per second")

    def __len__(self) -> int:
        return len(self.poses_3d)

    def subsample(self, fps: float) -> Take:
        """About `fps` poses per second: the first frame at or after each tick; all frames if the take has fewer."""
        if not fps > 0:
            raise ValueError(f"cannot subsample to {fps} frames per second; give a number above 0")
        step = max(self.fps / fps, 1.0)
        ticks = np.unique(np.ceil(np.arange(0.0, max(len(self), 1), step) - 1e-6).astype(int))
        ticks = ticks[ticks < len(self)]
        return Take(self.poses_3d[ticks], self.frames[ticks], self.fps, self.source)


def body_take(poses_3d: np.ndarray, frames: np.ndarray, fps: float, source: str) -> Take:
    """The take, if it is of a body: thighs and shins of 0.15 to 0.7 m that stay as long as they are.

    Data shifted by a byte, a wrong unit or a damaged skeleton give a cloud of points elsewhere.

    Raises:
        BrokenTakeError: no frames, no body, or a rate that is not above 0 and finite.
    """
    if not 0 < fps < np.inf:
        raise BrokenTakeError(source, None, f"{fps} frames per second")
    if len(poses_3d) == 0 or not np.isfinite(poses_3d).all() or np.abs(poses_3d).max() > _MAX_PLACE:
        raise BrokenTakeError(source, None, f"{len(poses_3d)} frames; all joints must lie within {_MAX_PLACE:g} m")
    for side in ("left", "right"):
        ankle, knee, hip = (poses_3d[:, BODY13.index(f"{side}_{name}")] for name in ("ankle", "knee", "hip"))
        for name, bone in (("thigh", knee - hip), ("shin", ankle - knee)):
            length = np.linalg.norm(bone, axis=-1)
            median = float(np.median(length))
            steady = float((np.abs(length - median) < 0.3 * median).mean())
            if not 0.15 < median < 0.7 or steady < 0.9:
                reason = f"the {side} {name} is {median:.3g} m long, and steady in {steady:.0%} of the frames"
                raise BrokenTakeError(source, None, f"no body: {reason}")
    return Take(poses_3d, frames, fps, source)


def to_camera_axes(points: np.ndarray, up: str) -> np.ndarray:
    """(..., 3) points of a studio whose axis `up` points up, in camera axes (see `UP_TO_CAMERA`)."""
    return points @ UP_TO_CAMERA[up].T


def turned_upright(joints: np.ndarray, up: str | None, likely: str, source: str) -> np.ndarray:
    """(F, J, 3) joints in camera axes.

    Args:
        up: axis that points up, where it is known for sure; None: `likely`, if the person is upright with it.
        likely: what files of this kind usually have.

    Raises:
        BrokenTakeError: hardly anywhere is the head above the hips, and nobody has said that it is so.
    """
    if up is not None:
        return to_camera_axes(joints, up)
    trunk = joints[:, BODY13.index("head")] - joints[:, BODY13.indices(["left_hip", "right_hip"])].mean(1)
    direction = trunk / np.maximum(np.linalg.norm(trunk, axis=1, keepdims=True), 1e-9)
    share = float((to_camera_axes(direction, likely)[:, 1] < -0.5).mean())
    if share < _LEAST_UPRIGHT:
        mean = direction.mean(0)
        axis = int(np.abs(mean).argmax())
        seems = ("-" if mean[axis] < 0 else "") + "xyz"[axis]
        reason = (
            f"with {likely} up, the head is above the hips in {share:.0%} of the frames: which axis points up? "
            f"Say --up={seems} (along it the head lies), or --up={likely} if the person does lie"
        )
        raise BrokenTakeError(source, None, reason)
    return to_camera_axes(joints, likely)


def bounded_text(data: bytes, source: str) -> str:
    """The text of a motion file, with its last line complete.

    Raises:
        BrokenTakeError: see `text_of`, or no line end at the end: a number cut in half (-10.2 of -10.2227) would
            otherwise be read as another number.
    """
    text = text_of(data, source)
    if not text.endswith(("\n", "\r")):
        reason = "the last line has no end: the file is cut (if it is whole, add a line end)"
        raise BrokenTakeError(source, data.count(b"\n") + 1, reason)
    return text


def text_of(data: bytes, source: str) -> str:
    """The text of a motion file (Latin-1: HDM05 headers hold umlauts), without a byte order mark.

    Raises:
        BrokenTakeError: empty, too large, or not text.
    """
    if not data:
        raise BrokenTakeError(source, None, "the file is empty (0 bytes)")
    if len(data) > _MAX_TEXT_BYTES:
        raise BrokenTakeError(source, None, f"{len(data)} bytes; a take has at most {_MAX_TEXT_BYTES}")
    if b"\0" in data[:4096]:
        raise BrokenTakeError(source, 1, "not a text file")
    return data.removeprefix(codecs.BOM_UTF8).decode("latin-1")


def check_places(num_frames: int, num_nodes: int, source: str) -> None:
    """BrokenTakeError for more places than a recording has: few values may move thousands of nodes."""
    if num_frames * num_nodes > _MAX_PLACES:
        reason = f"{num_frames} frames of {num_nodes} nodes; at most {_MAX_PLACES} places are computed"
        raise BrokenTakeError(source, None, reason)


def numbers(words: list[str], source: str, line: int) -> list[float]:
    """Finite floats of the words of a line; BrokenTakeError names the first word that is none."""
    values = []
    for word in words:
        try:
            values.append(float(word))
        except ValueError:
            raise BrokenTakeError(source, line, f"{word[:40]!r} is not a number") from None
        if not np.isfinite(values[-1]):
            raise BrokenTakeError(source, line, f"{word[:40]!r} is not a finite number")
    return values

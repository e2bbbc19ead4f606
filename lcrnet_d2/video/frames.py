"""Frames of a video file, a stream or a webcam in, a video of images out (PyAV, the libraries of FFmpeg).

PyAV and not OpenCV, which gives frames no times (a telephone's rate varies: 1.160 s for 0.200 s), and whose writer
is silent about a full disk.
"""

from __future__ import annotations

import contextlib
import logging
import re
import sys
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np
from av.container import InputContainer, OutputContainer
from av.error import FFmpegError

from ..structures.bounded_files import instead_of
from ..structures.whole_files import partial_path, whole_file

__all__ = ["Frame", "VideoError", "VideoReader", "VideoWriter"]

#: A frame that does not decode is skipped; after so many in a row the video is over.
_MAX_BROKEN = 10
_USUAL_FPS = 25.0
_MAX_FPS = 1000
#: Platform -> FFmpeg's name for webcams, and what it calls webcam number N. Tried on Linux alone.
_WEBCAMS = {"linux": ("v4l2", "/dev/video{}"), "darwin": ("avfoundation", "{}:none"), "win32": ("vfwcap", "{}")}
#: RTSP over UDP loses packets, and images with them.
_STREAM_OPTIONS = {"rtsp_transport": "tcp"}
_STREAM_SECONDS = 10.0
_CLOCK = Fraction(1, 90_000)  # s, the unit of time of what is written


class VideoError(ValueError):
    """A video or webcam that cannot be read or written; the message names it, and what to do."""


class Frame(NamedTuple):
    """
    Attributes:
        number: from 0, without gaps.
        time: s since the first frame, as the source gives it; later than that of the frame before.
        image: (H, W, 3) uint8 BGR, upright; None if it did not decode.
    """

    number: int
    time: float
    image: np.ndarray | None


class VideoReader:
    """Iterates over the frames of a video file, or of a webcam or stream until it stops.

    Attributes:
        name: what is read, for files and messages.
        is_live: a webcam or stream, which cannot be read again.
        fps: frames per second, as it is meant to be; 25 where the source does not say.
        num_frames: as the file announces it, which may be off by a few; None where it does not.

    Raises:
        FileNotFoundError: no such file; VideoError: no video, or no webcam or stream there.
    """

    def __init__(self, source: str | Path | int) -> None:
        """
        Args:
            source: a file; the address of a stream (rtsp://..., http://...); or the number of a webcam, 0 for the
                first.
        """
        self.is_live = isinstance(source, int) or "://" in str(source)
        without_password = re.sub(r"(?<=://)[^/]*@", "", str(source)) if self.is_live else str(source)
        self.name = f"webcam {source}" if isinstance(source, int) else without_password
        self._source = source
        if not isinstance(source, int) and not self.is_live and not Path(source).is_file():
            raise FileNotFoundError(f"no video at {source}")
        try:
            self._container = _opened(source)
            self._stream = self._container.streams.video[0]
            if self._stream.codec_context is None:  # it would crash at the first packet
                raise ValueError("no decoder")
        except (FFmpegError, IndexError, OSError, ValueError) as error:  # ValueError: no webcams in this FFmpeg
            raise VideoError(_cannot_open(source, error)) from error
        rates = [rate for rate in (self._stream.guessed_rate, self._stream.average_rate) if rate]
        self.fps = next((float(rate) for rate in rates if 0 < rate <= _MAX_FPS), _USUAL_FPS)
        self.num_frames = self._stream.frames or None

    def reopened(self) -> VideoReader:
        """The same file from its beginning."""
        return VideoReader(self._source)

    def file_of(self, number: int) -> str:
        """What a frame is part of."""
        return self.name

    def __iter__(self) -> Iterator[Frame]:
        number, broken, start, last = 0, 0, None, -1 / self.fps
        for decoded in self._decoded():
            if decoded is None:
                broken += 1
                if broken == _MAX_BROKEN:
                    break
                continue
            seconds = last + (broken + 1) / self.fps if decoded.time is None else float(decoded.time)
            if start is None:
                start = seconds - broken / self.fps
            # Cameras that set their clock, and joined files, go back in time: there frames follow at the usual rate.
            now = seconds - start if seconds - start > last else last + (broken + 1) / self.fps
            for k in range(1, broken + 1):
                yield Frame(number + k - 1, last + (now - last) * k / (broken + 1), None)
            number += broken
            yield Frame(number, now, _upright(decoded))
            number, broken, last = number + 1, 0, now
        if self.num_frames is not None and number < self.num_frames:
            message = "%s ends at frame %d of the %d it announces: it may be cut or broken there"
            logging.getLogger(__name__).warning(message, self.name, number, self.num_frames)

    def _decoded(self) -> Iterator[av.VideoFrame | None]:
        """Frames in the order they are shown; None for one that does not decode."""
        while True:
            try:
                for packet in self._container.demux(self._stream):
                    decoded: Any = packet.decode()  # of a video stream, frames alone
                    yield from decoded
                return
            except EOFError:
                return
            except BlockingIOError:  # a webcam of macOS that has no new image yet
                time.sleep(0.005)
            except FFmpegError:
                yield None

    def __enter__(self) -> VideoReader:
        return self

    def __exit__(self, *_: object) -> None:
        self._container.close()


def _opened(source: str | Path | int) -> InputContainer:
    if isinstance(source, int):
        kind, device = _WEBCAMS.get(sys.platform, _WEBCAMS["linux"])
        return av.open(device.format(source), format=kind)
    if "://" in str(source):
        return av.open(str(source), options=_STREAM_OPTIONS, timeout=_STREAM_SECONDS)
    return av.open(str(source))


def _cannot_open(source: str | Path | int, error: Exception) -> str:
    if isinstance(source, int):
        return f"no webcam number {source}: is it plugged in, free, and may this user read it (/dev/video{source})?"
    if "://" in str(source):
        return f"cannot read the stream: {getattr(error, 'strerror', None) or error}"
    if what := instead_of(source):
        return f"cannot read the video {source}: {what}"
    if isinstance(error, IndexError):
        return f"cannot read the video {source}: there are no images in it"
    return f"cannot read the video {source}: not a video, cut short, or of a kind that FFmpeg does not know"


def _upright(frame: av.VideoFrame) -> np.ndarray:
    """(H, W, 3) uint8 BGR, turned as the file says: telephones store images as their sensor lies."""
    return np.rot90(frame.to_ndarray(format="bgr24"), round(frame.rotation / 90))


class VideoWriter:
    """Writes images of one size as an MP4 (H.264), each at its own time; odd sizes grow by a pixel.

    The file appears whole at the end of the `with`; an error, or whatever kills the program, leaves the former file.
    Without images there is none.
    """

    def __init__(self, path: str | Path, fps: float) -> None:
        """
        Args:
            path: of the file, ending in .mp4.
            fps: usual frames per second.
        """
        self.path = Path(path)
        self.fps = fps
        self._file = contextlib.ExitStack()
        self._container: OutputContainer | None = None
        self._size = (0, 0)

    def write(self, image: np.ndarray, time: float) -> None:
        """Appends a (H, W, 3) uint8 RGB image.

        Args:
            time: s since the start, of this image; after that of the last.

        Raises:
            VideoError: the file cannot be written, or the image has another size than the first.
        """
        height, width = image.shape[:2]
        if self._container is None:
            self._open(width, height)
        if (width, height) != self._size:
            raise VideoError(f"{self.path} is {self._size} px (width, height), an image is {(width, height)}")
        even = np.pad(image, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(even), format="rgb24")
        frame.pts, frame.time_base = round(time / _CLOCK), _CLOCK
        self._encode(frame)

    def _open(self, width: int, height: int) -> None:
        with self._named():
            self._file.enter_context(whole_file(self.path))
            self._container = container = av.open(str(partial_path(self.path)), "w", format="mp4")
            self._file.push(self._close)
            self._stream = container.add_stream("h264", rate=Fraction(self.fps).limit_denominator(1001))
            self._stream.width, self._stream.height = width + width % 2, height + height % 2
            self._stream.pix_fmt, self._stream.codec_context.time_base = "yuv420p", _CLOCK
            self._stream.options = {"preset": "veryfast"}
        self._size = (width, height)

    def _encode(self, frame: av.VideoFrame | None) -> None:
        assert self._container is not None
        with self._named():
            self._container.mux(self._stream.encode(frame))

    @contextlib.contextmanager
    def _named(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise VideoError(f"cannot write the video {self.path}: {error.strerror}") from error

    def _close(self, kind: type[BaseException] | None, *_: object) -> None:
        assert self._container is not None
        try:
            if kind is None:
                self._encode(None)
                with self._named():
                    self._container.close()
        finally:
            with contextlib.suppress(OSError):  # what fails for the second time has been said
                self._container.close()

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(self, *failure: Any) -> None:
        with self._named():
            self._file.__exit__(*failure)

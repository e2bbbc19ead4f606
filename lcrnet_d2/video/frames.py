"""Frames of a video file or a webcam in, a video of pictures out (OpenCV's FFmpeg)."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

import cv2
import numpy as np

__all__ = ["Frame", "VideoError", "VideoReader", "VideoWriter"]

#: A frame that does not decode is skipped; after so many in a row the video is over.
_MAX_BROKEN = 10
_USUAL_FPS = 25.0


class VideoError(ValueError):
    """A video or webcam that cannot be read or written; the message names it, and what to do."""


class Frame(NamedTuple):
    """
    Attributes:
        number: from 0, without gaps in a file; of a webcam what the clock makes of it.
        time: s since the first frame.
        image: (H, W, 3) uint8 BGR; None if it did not decode.
    """

    number: int
    time: float
    image: np.ndarray | None


class VideoReader:
    """Iterates over the frames of a video file, or of a webcam until it stops.

    Attributes:
        name: what is read, for files and messages.
        path: of the file; None for a webcam.
        fps: frames per second; 25 where the source does not say.
        size: (H, W) px.
        num_frames: as the file announces it, which may be off by a few; None for a webcam.

    Raises:
        FileNotFoundError: no such file; VideoError: no video, or no webcam of this number.
    """

    def __init__(self, source: str | Path | int) -> None:
        """
        Args:
            source: a file, or the number of a webcam, 0 for the first.
        """
        self.name = f"webcam {source}" if isinstance(source, int) else str(source)
        self.path = None if isinstance(source, int) else Path(source)
        if self.path and not self.path.is_file():
            raise FileNotFoundError(f"no video at {source}")
        self._capture = _opened(source)
        if not self._capture.isOpened():
            raise VideoError(_cannot_open(source))
        fps = self._capture.get(cv2.CAP_PROP_FPS)
        self.fps = fps if 0 < fps <= 1000 else _USUAL_FPS
        self.size = (
            int(self._capture.get(cv2.CAP_PROP_FRAME_HEIGHT)),
            int(self._capture.get(cv2.CAP_PROP_FRAME_WIDTH)),
        )
        count = int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT))
        self.num_frames = count if self.path and count > 0 else None

    def __iter__(self) -> Iterator[Frame]:
        number, broken, start = 0, 0, time.monotonic()
        while broken < _MAX_BROKEN:
            good, image = self._capture.read()
            if not good or image is None:
                broken += 1
                continue
            for skipped in range(number, number + broken):
                yield Frame(skipped, skipped / self.fps, None)
            number += broken
            broken = 0
            if not self.path:
                number = max(number, round((time.monotonic() - start) * self.fps))
            yield Frame(number, number / self.fps, image)
            number += 1
        if self.num_frames is not None and number < self.num_frames:
            message = "%s ends at frame %d of the %d it announces: it may be cut or broken there"
            logging.getLogger(__name__).warning(message, self.name, number, self.num_frames)

    def __enter__(self) -> VideoReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._capture.release()


def _opened(source: str | Path | int) -> cv2.VideoCapture:
    """OpenCV's own complaints, a dozen lines about back ends, are held back: ours name the file."""
    level = cv2.getLogLevel()
    cv2.setLogLevel(0)
    try:
        return cv2.VideoCapture(source if isinstance(source, int) else str(source))
    finally:
        cv2.setLogLevel(level)


def _cannot_open(source: str | Path | int) -> str:
    if isinstance(source, int):
        return f"no webcam number {source}: is it plugged in, free, and may this user read it (/dev/video{source})?"
    return f"cannot read the video {source}: not a video, cut short, or of a kind that OpenCV's FFmpeg does not know"


class VideoWriter:
    """Writes pictures of one size as an MP4 (MPEG-4 part 2, which every build of OpenCV can write).

    The file appears at the end of the `with`, also where an error ends it; whatever kills the program leaves the former
    file. Without pictures there is none.
    """

    def __init__(self, path: str | Path, fps: float) -> None:
        self.path = Path(path)
        self.fps = fps
        # Ends as the file does, which tells OpenCV what to write.
        self._partial = self.path.with_name(f"{self.path.stem}.part{self.path.suffix}")
        self._writer: cv2.VideoWriter | None = None
        self._size = (0, 0)
        self._written = 0

    def write(self, picture: np.ndarray, time: float) -> None:
        """Appends a (H, W, 3) uint8 RGB picture, more than once if earlier ones are missing: playing takes as long.

        Args:
            time: s since the start, of this picture.

        Raises:
            VideoError: the file cannot be written, or the picture has another size than the first.
        """
        height, width = picture.shape[:2]
        if self._writer is None:
            self._size = (width, height)
            code = cv2.VideoWriter.fourcc(*"mp4v")
            self._writer = cv2.VideoWriter(str(self._partial), code, self.fps, self._size)
            if not self._writer.isOpened():
                raise VideoError(f"cannot write the video {self.path}: is the folder there, and writable?")
        if (width, height) != self._size:
            raise VideoError(f"{self.path} is {self._size} px (width, height), a picture is {(width, height)}")
        bgr = np.ascontiguousarray(picture[:, :, ::-1])
        for _ in range(round(time * self.fps) + 1 - self._written):
            self._writer.write(bgr)
            self._written += 1

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._writer is not None and self._writer.isOpened():
            self._writer.release()
            self._partial.replace(self.path)

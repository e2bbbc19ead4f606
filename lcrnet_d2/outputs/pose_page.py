"""Collects frames for the interactive page, and thins out what is too long for one."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..detected_people import DetectedPeople
from .html_viewer import shown_size, write_html

__all__ = ["PosePage"]


class PosePage:
    """Frames of which every one, every second, every fourth ... is kept, so that a page stays small.

    Attributes:
        stride: every so-manieth frame is kept.
    """

    def __init__(self, most_frames: int = 200, *, one_scene: bool = False) -> None:
        """
        Args:
            most_frames: at 60 kB a frame, 200 are a page of 12 MB.
            one_scene: of `write_html`.
        """
        self.stride = 1
        self._one_scene = one_scene
        self._most_frames = most_frames
        self._seen = 0
        self._frames: list[tuple[DetectedPeople, np.ndarray, str]] = []

    def add(self, people: DetectedPeople, image: np.ndarray, name: str) -> None:
        """The next frame: its people, (H, W, 3) RGB pixels, and what it is called."""
        if self._seen % self.stride == 0:
            self._frames.append((people, shown_size(image), name))  # 200 photos of 12 megapixels would take 7 GB
        self._seen += 1
        if len(self._frames) > self._most_frames:
            self._frames = self._frames[::2]
            self.stride *= 2

    def write(self, path: str | Path, title: str) -> None:
        """Writes the page, whole or not at all; none if no frame was added."""
        if self._frames:
            people, images, names = zip(*self._frames, strict=True)
            write_html(people, images, path, title, names, one_scene=self._one_scene)

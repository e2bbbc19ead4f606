from __future__ import annotations

import logging
from pathlib import Path

import cv2
import numpy as np
import pytest

from lcrnet_d2.video.frames import VideoError, VideoReader, VideoWriter


def write(path: Path, greys: list[int], fps: float = 10) -> Path:
    with VideoWriter(path, fps) as writer:
        for t, grey in enumerate(greys):
            writer.write(np.full((48, 64, 3), grey, np.uint8), t / fps)
    return path


def greys(path: Path) -> list[int]:
    with VideoReader(path) as video:
        return [round(float(frame.image.mean())) for frame in video if frame.image is not None]


def test_pictures_come_back_in_order(tmp_path: Path) -> None:
    path = write(tmp_path / "v.mp4", [20, 60, 100, 140])
    with VideoReader(path) as video:
        frames = list(video)
        assert (video.fps, video.size, video.num_frames) == (pytest.approx(10), (48, 64), 4)
    assert [f.number for f in frames] == [0, 1, 2, 3] and frames[3].time == pytest.approx(0.3)
    assert greys(path) == pytest.approx([20, 60, 100, 140], abs=5)


def test_colours_are_rgb_in_and_bgr_out(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "v.mp4", 10) as writer:
        writer.write(np.full((48, 64, 3), (200, 30, 30), np.uint8), 0.0)
    (frame,) = VideoReader(tmp_path / "v.mp4")
    assert frame.image is not None and frame.image[24, 32, 2] > 150 > frame.image[24, 32, 0]


def test_missing_pictures_are_made_up_for_so_that_playing_takes_as_long(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "v.mp4", 10) as writer:
        for grey, time in ((20, 0.0), (60, 0.1), (140, 0.4)):
            writer.write(np.full((48, 64, 3), grey, np.uint8), time)
    assert greys(tmp_path / "v.mp4") == pytest.approx([20, 60, 140, 140, 140], abs=5)


def test_a_cut_video_is_read_as_far_as_it_goes(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    whole = cv2.VideoWriter(str(tmp_path / "w.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 10, (64, 48))
    for frame in np.random.default_rng(0).integers(0, 255, (20, 48, 64, 3), np.uint8):
        whole.write(frame)
    whole.release()
    data = (tmp_path / "w.avi").read_bytes()
    (tmp_path / "cut.avi").write_bytes(data[: len(data) // 2])
    with VideoReader(tmp_path / "cut.avi") as video, caplog.at_level(logging.WARNING):
        frames = list(video)
    assert 5 <= sum(f.image is not None for f in frames) < 15


def test_a_video_that_announces_more_than_it_has_says_where_it_ends(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with VideoReader(write(tmp_path / "v.mp4", [20, 60, 100])) as video, caplog.at_level(logging.WARNING):
        video.num_frames = 9
        assert len(list(video)) == 3
    assert "ends at frame 3 of the 9" in caplog.text


def test_what_is_no_video_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no video at .*none.mp4"):
        VideoReader(tmp_path / "none.mp4")
    (tmp_path / "text.mp4").write_text("text")
    with pytest.raises(VideoError, match="cannot read the video .*text.mp4"):
        VideoReader(tmp_path / "text.mp4")
    with pytest.raises(VideoError, match="no webcam number 97"):
        VideoReader(97)


def test_a_video_appears_whole_and_takes_the_place_of_the_former_one(tmp_path: Path) -> None:
    path = write(tmp_path / "v.mp4", [20, 60])
    with VideoWriter(path, 10) as writer:
        writer.write(np.full((48, 64, 3), 200, np.uint8), 0.0)
        assert greys(path) == pytest.approx([20, 60], abs=5)
    assert greys(path) == pytest.approx([200], abs=5)
    with VideoWriter(path, 10):
        pass  # nothing to write
    assert greys(path) == pytest.approx([200], abs=5) and [p.name for p in tmp_path.iterdir()] == ["v.mp4"]


def test_what_cannot_be_written_is_named(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "missing" / "v.mp4", 10) as writer, pytest.raises(VideoError, match="cannot write"):
        writer.write(np.zeros((48, 64, 3), np.uint8), 0.0)
    with VideoWriter(tmp_path / "v.mp4", 10) as writer:
        writer.write(np.zeros((48, 64, 3), np.uint8), 0.0)
        with pytest.raises(VideoError, match=r"\(64, 48\) px .* a picture is \(32, 48\)"):
            writer.write(np.zeros((48, 32, 3), np.uint8), 0.1)


def test_a_webcam_counts_by_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """A camera of 20 frames per second whose frames are fetched every 0.1 s gives frames 2, 4, 6."""

    class Camera:
        def __init__(self, source: int) -> None:
            self.frames = 3

        def isOpened(self) -> bool:
            return True

        def get(self, key: int) -> float:
            return {cv2.CAP_PROP_FPS: 20.0, cv2.CAP_PROP_FRAME_COUNT: -1.0}.get(key, 8.0)

        def read(self) -> tuple[bool, np.ndarray | None]:
            self.frames -= 1
            return (True, np.zeros((8, 8, 3), np.uint8)) if self.frames >= 0 else (False, None)

        def release(self) -> None: ...

    clock = iter(np.arange(0, 2, 0.1).tolist())
    monkeypatch.setattr("lcrnet_d2.video.frames.time.monotonic", lambda: next(clock))
    monkeypatch.setattr(cv2, "VideoCapture", Camera)
    with VideoReader(0) as webcam:
        assert webcam.name == "webcam 0" and webcam.num_frames is None
        assert [frame.number for frame in webcam] == [2, 4, 6]

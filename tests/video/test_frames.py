from __future__ import annotations

import logging
import resource
import struct
from fractions import Fraction
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import av
import cv2
import numpy as np
import pytest

from lcrnet_d2.video.frames import VideoError, VideoReader, VideoWriter


def write(path: Path, greys: list[int], fps: float = 10, times: list[float] | None = None) -> Path:
    with VideoWriter(path, fps) as writer:
        for t, grey in enumerate(greys):
            writer.write(np.full((48, 64, 3), grey, np.uint8), t / fps if times is None else times[t])
    return path


def times_of(path: Path) -> list[float]:
    with VideoReader(path) as video:
        return [frame.time for frame in video]


def greys(path: Path) -> list[int]:
    with VideoReader(path) as video:
        return [round(float(frame.image.mean())) for frame in video if frame.image is not None]


def test_pictures_come_back_in_order(tmp_path: Path) -> None:
    path = write(tmp_path / "v.mp4", [20, 60, 100, 140])
    with VideoReader(path) as video:
        frames = list(video)
        assert (video.fps, video.num_frames) == (pytest.approx(10), 4) and frames[0].image is not None
        assert frames[0].image.shape == (48, 64, 3)
    assert [f.number for f in frames] == [0, 1, 2, 3] and frames[3].time == pytest.approx(0.3)
    assert greys(path) == pytest.approx([20, 60, 100, 140], abs=5)


def test_colours_are_rgb_in_and_bgr_out(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "v.mp4", 10) as writer:
        writer.write(np.full((48, 64, 3), (200, 30, 30), np.uint8), 0.0)
    (frame,) = VideoReader(tmp_path / "v.mp4")
    assert frame.image is not None and frame.image[24, 32, 2] > 150 > frame.image[24, 32, 0]


def test_frames_keep_their_own_times(tmp_path: Path) -> None:
    """A telephone's video, whose rate varies: 6 frames in 0.2 s, then one a second."""
    times = [0.0, 0.04, 0.08, 0.12, 0.16, 0.2, 1.2, 2.2]
    assert times_of(write(tmp_path / "v.mp4", [20] * 8, 25, times)) == pytest.approx(times)


def test_times_that_go_back_do_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A camera sets its clock back, and one frame has no time; the smoother needs times that go on."""
    path = write(tmp_path / "v.mp4", [20] * 5)
    whole = VideoReader._decoded

    def decoded(video: VideoReader):
        for frame, pts in zip(whole(video), (90_000, 99_000, 0, None, 18_000), strict=True):
            frame.pts, frame.time_base = pts, Fraction(1, 90_000)
            yield frame

    monkeypatch.setattr(VideoReader, "_decoded", decoded)
    assert times_of(path) == pytest.approx([0.0, 0.1, 0.2, 0.3, 0.4])


def test_a_telephone_held_upright(tmp_path: Path) -> None:
    """The file says by how much to turn; OpenCV turns as well, so both must agree."""
    with VideoWriter(tmp_path / "v.mp4", 10) as writer:
        writer.write(np.pad(np.full((16, 64, 3), 200, np.uint8), ((0, 32), (0, 0), (0, 0))), 0.0)  # bright above
    data = (tmp_path / "v.mp4").read_bytes()
    at, one = data.index(b"tkhd") + 44, 1 << 16
    turned = struct.pack(">9i", 0, one, 0, -one, 0, 0, 0, 0, 1 << 30)
    (tmp_path / "t.mp4").write_bytes(data[:at] + turned + data[at + 36 :])
    (frame,) = VideoReader(tmp_path / "t.mp4")
    _, theirs = cv2.VideoCapture(str(tmp_path / "t.mp4")).read()
    assert frame.image is not None and frame.image.shape == theirs.shape == (64, 48, 3)
    assert frame.image[:, -8:].mean() > 150 > 50 > frame.image[:, :8].mean()
    assert np.abs(frame.image.astype(int) - theirs).mean() < 5


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
        with pytest.raises(VideoError, match=r"\(64, 48\) px .* an image is \(32, 48\)"):
            writer.write(np.zeros((48, 32, 3), np.uint8), 0.1)


def test_a_full_disk_is_an_error_that_names_the_file_and_the_former_one_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "v.mp4", [20, 60])
    whole = resource.getrlimit(resource.RLIMIT_FSIZE)
    rng = np.random.default_rng(0)
    for limit in (2_000, 20_000, 60_000):  # bytes: at the head, within the pictures, at the end
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, whole[1]))
        try:
            refused = pytest.raises(VideoError, match=r"cannot write the video .*v\.mp4: File too large")
            with refused, VideoWriter(path, 10) as writer:
                for t in range(60):
                    writer.write(rng.integers(0, 255, (48, 64, 3), np.uint8), t / 10)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, whole)
        assert greys(path) == pytest.approx([20, 60], abs=5) and [p.name for p in tmp_path.iterdir()] == ["v.mp4"]


def test_an_error_within_leaves_the_former_file(tmp_path: Path) -> None:
    path = write(tmp_path / "v.mp4", [20, 60])
    with pytest.raises(ZeroDivisionError), VideoWriter(path, 10) as writer:
        writer.write(np.zeros((48, 64, 3), np.uint8), 1 / 10)
        1 / 0  # noqa: B018
    assert greys(path) == pytest.approx([20, 60], abs=5) and [p.name for p in tmp_path.iterdir()] == ["v.mp4"]


def test_odd_sizes_grow_by_a_pixel(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "v.mp4", 10) as writer:
        writer.write(np.full((47, 63, 3), 99, np.uint8), 0.0)
    (frame,) = VideoReader(tmp_path / "v.mp4")
    assert frame.image is not None and frame.image.shape == (48, 64, 3)


def test_a_webcam_and_a_stream_are_live(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "v.mp4", [20, 60])
    asked: list[tuple[Any, dict]] = []
    opened = av.open

    def open_(source: Any, **options: Any):
        asked.append((source, options))
        return opened(str(path))

    monkeypatch.setattr(av, "open", open_)
    with VideoReader(1) as webcam, VideoReader("rtsp://me:secret@door/1") as stream:
        assert (webcam.name, stream.name) == ("webcam 1", "rtsp://door/1")  # names go into files
        assert webcam.is_live and stream.is_live and [f.number for f in stream] == [0, 1]
    assert "1" in asked[0][0] and asked[0][1]["format"] and asked[1][0] == "rtsp://me:secret@door/1"


def test_a_video_of_an_unknown_kind_is_refused(tmp_path: Path) -> None:
    """PyAV crashes at the first packet of a stream without a decoder; found by damaging files at random."""
    data = write(tmp_path / "v.mp4", [20]).read_bytes()
    assert data.count(b"avc1") >= 1
    (tmp_path / "other.mp4").write_bytes(data.replace(b"avc1", b"xyz1"))
    with pytest.raises(VideoError, match=r"other\.mp4: .* of a kind that FFmpeg does not know"):
        VideoReader(tmp_path / "other.mp4")


def test_a_stream_is_read_until_it_ends(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "v.ts"), "w") as container:
        stream = container.add_stream("h264", rate=10)
        stream.width, stream.height = 64, 48
        for _ in range(4):
            container.mux(stream.encode(av.VideoFrame(64, 48)))
        container.mux(stream.encode(None))
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        with VideoReader(f"http://127.0.0.1:{server.server_port}/v.ts") as video:
            assert [frame.time for frame in video] == pytest.approx([0, 0.1, 0.2, 0.3])
        server.shutdown()


def test_a_stream_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(VideoError, match="cannot read the stream: Connection refused"):
        VideoReader("rtsp://127.0.0.1:1/none")
    (tmp_path / "empty.mp4").touch()
    with pytest.raises(VideoError, match=r"empty\.mp4: the file is empty"):
        VideoReader(tmp_path / "empty.mp4")

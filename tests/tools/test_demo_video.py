from __future__ import annotations

import logging
import resource
from collections.abc import Iterator
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

import lcrnet_d2.detection
from demo_support import run
from lcrnet_d2.detected_people import DetectedPeople
from lcrnet_d2.outputs.pose_file import read_poses
from lcrnet_d2.video.frames import VideoReader
from lcrnet_d2.video.tracking import PoseTracker
from lcrnet_d2.visualization import common_bounds, scene_of
from sources.mocap.bvh import parse_bvh_nodes

pytestmark = pytest.mark.usefixtures("no_log_handlers")


def test_a_video_with_everything(weights: Path, clip: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(weights, out, "--video-input", str(clip), "--smooth", "--save", "json", "npz", "csv", "bvh", threshold="8")
    frames = read_poses(out / "poses.json")
    assert [i.frame for i in frames] == list(range(8)) and frames[3].time == pytest.approx(0.3)
    identities = [set(i.people.identities.tolist()) for i in frames if i.people is not None and len(i.people)]
    assert identities[0] & identities[-1], "nobody is known again in a clip that hardly changes"
    with VideoReader(out / "a_clip_poses.mp4") as video:
        assert len(list(video)) == 8 and video.fps == pytest.approx(10)
    files = sorted(out.glob("person_*.bvh"))
    assert len(files) == len(set.union(*identities))
    for file in files:
        assert parse_bvh_nodes(file.read_bytes(), file.name).fps == pytest.approx(10, rel=1e-5)


def test_a_cut_video_gives_the_frames_there_are(
    weights: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    whole, cut = tmp_path / "whole.avi", tmp_path / "cut.avi"
    writer = cv2.VideoWriter(str(whole), cv2.VideoWriter.fourcc(*"MJPG"), 10, (64, 48))
    for frame in np.random.default_rng(0).integers(0, 255, (20, 48, 64, 3), np.uint8):
        writer.write(frame)
    writer.release()
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    poses = run(weights, tmp_path / "out", "--video-input", str(cut), "--no-pictures")
    read = [image for image in poses["images"] if "error" not in image]
    assert 5 <= len(read) <= 12
    assert len(poses["images"]) < 20


def test_frames_that_do_not_decode_are_listed_and_skipped(
    weights: Path, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def flickering(video: VideoReader) -> Iterator[av.VideoFrame | None]:
        """Of the clip the frames 2 and 3 do not decode."""
        return (None if number in (2, 3) else frame for number, frame in enumerate(decoded(video)))

    decoded = VideoReader._decoded
    monkeypatch.setattr(VideoReader, "_decoded", flickering)
    with caplog.at_level(logging.ERROR):
        poses = run(weights, tmp_path / "out", "--video-input", str(clip), "--track")
    monkeypatch.undo()
    assert [i for i, image in enumerate(poses["images"]) if "error" in image] == [2, 3]
    assert "frame 2 does not decode" in poses["images"][2]["error"] and "frame 3 does not decode" in caplog.text
    with VideoReader(tmp_path / "out" / "a_clip_poses.mp4") as video:
        assert [f.time for f in video] == pytest.approx([0, 0.1, 0.4, 0.5, 0.6, 0.7])  # the hole is as long


def test_max_frames_ends_a_video_early(weights: Path, clip: Path, tmp_path: Path) -> None:
    poses = run(weights, tmp_path / "out", "--video-input", str(clip), "--max-frames", "3", "--no-pictures")
    assert len(poses["images"]) == 3


def test_stopping_by_hand_keeps_what_was_found(
    weights: Path, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Interrupted(PoseTracker):
        """Ctrl-C is pressed in the fourth frame."""

        def update(self, people: DetectedPeople | None) -> DetectedPeople | None:
            if self._frame == 2:
                raise KeyboardInterrupt
            return super().update(people)

    monkeypatch.setattr(lcrnet_d2.detection, "PoseTracker", Interrupted)
    poses = run(weights, tmp_path / "out", "--video-input", str(clip), "--track")
    assert len(poses["images"]) == 3
    with VideoReader(tmp_path / "out" / "a_clip_poses.mp4") as video:
        assert len(list(video)) == 3


def test_the_3d_view_of_a_video_stands_still(
    weights: Path, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All frames are drawn in one block of space, which holds everybody; a webcam's are drawn as they come."""
    drawn: list[np.ndarray | None] = []

    def draw(image: np.ndarray, people: DetectedPeople, bounds: np.ndarray | None = None) -> np.ndarray:
        drawn.append(bounds)
        return image

    monkeypatch.setattr(lcrnet_d2.detection, "draw_people", draw)
    run(weights, tmp_path / "out", "--video-input", str(clip))
    frames = read_poses(tmp_path / "out" / "poses.json")
    scenes = [scene_of(frame.people) for frame in frames if frame.people is not None]
    assert len(drawn) == 8 and all(bounds is not None for bounds in drawn)
    for bounds in drawn:
        np.testing.assert_allclose(bounds, common_bounds(scenes), atol=1e-4)
    opened = av.open
    monkeypatch.setattr(av, "open", lambda source, *_, **options: opened(str(clip)))
    monkeypatch.setattr(lcrnet_d2.detection.VideoWriter, "write", lambda *_: None)
    drawn.clear()
    run(weights, tmp_path / "webcam", "--webcam", "--max-frames", "2")
    assert drawn == [None, None]


def test_a_video_without_frames_is_a_failure(weights: Path, clip: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(VideoReader, "__iter__", lambda video: iter(()))
    with pytest.raises(SystemExit, match="none of 0 images or frames could be read"):
        run(weights, tmp_path / "out", "--video-input", str(clip))
    assert not list((tmp_path / "out").iterdir())  # an empty poses.json would take the place of a former one


def test_images_are_the_frames_of_a_video(weights: Path, clip: Path, tmp_path: Path) -> None:
    folder = tmp_path / "a folder"
    folder.mkdir()
    with VideoReader(clip) as video:
        for frame in video:
            assert frame.image is not None
            cv2.imwrite(str(folder / f"{frame.number:02d}.png"), frame.image)
    (folder / "04.png").write_bytes(b"broken")
    of_clip = run(weights, tmp_path / "clip", "--video-input", str(clip), "--track", "--no-pictures")
    arguments = ("--track", "--fps", "20", "--save", "json", "bvh")
    for number, source in enumerate((folder, folder / "*.png")):
        out = tmp_path / f"out{number}"
        poses = run(weights, out, "--video-input", str(source), *arguments)
        assert [image["time"] for image in poses["images"]] == pytest.approx(np.arange(8) / 20)
        assert [Path(image["file_name"]).name for image in poses["images"]] == [f"{i:02d}.png" for i in range(8)]
        assert "error" in poses["images"][4] and poses["images"][3]["people"] == of_clip["images"][3]["people"]
        assert list(out.glob("person_*.bvh")) and list(out.glob("*_poses.mp4"))
    with pytest.raises(SystemExit, match="no images at"):
        run(weights, tmp_path / "none", "--video-input", str(folder / "*.jpg"))


def test_a_name_as_long_as_names_may_be(weights: Path, clip: Path, photos: Path, tmp_path: Path) -> None:
    """250 bytes, of letters that take two: what is called after it would be longer than a file system takes."""
    long = "ä" * 123
    (photos / "a.jpg").rename(photos / f"{long}.jpg")
    poses = run(weights, tmp_path / "photos_out", "--input", str(photos / f"{long}.jpg"), str(photos / "grey.png"))
    names = sorted(path.name for path in (tmp_path / "photos_out").glob("*.png"))
    assert names == [f"0000_{'ä' * 50}.png", "0001_grey.png"]
    assert Path(poses["images"][0]["file_name"]).name == f"{long}.jpg"
    run(weights, tmp_path / "video_out", "--video-input", str(clip.rename(tmp_path / f"{long}.mp4")))
    assert (tmp_path / "video_out" / f"{'ä' * 50}_poses.mp4").is_file()


def test_a_full_disk_is_said_in_one_line(weights: Path, clip: Path, tmp_path: Path) -> None:
    """The pictures' video does not fit: the former one stays, and the exit code is not 0."""
    arguments = ("--video-input", str(clip), "--save", "json")
    run(weights, tmp_path / "out", *arguments, threshold="1e9")
    whole = (tmp_path / "out" / "a_clip_poses.mp4").read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limits[1]))
    try:
        with pytest.raises(SystemExit, match="cannot write the video .*a_clip_poses.mp4: File too large"):
            run(weights, tmp_path / "out", *arguments, threshold="1e9")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert (tmp_path / "out" / "a_clip_poses.mp4").read_bytes() == whole


def test_zero_people_in_a_video(weights: Path, clip: Path, tmp_path: Path) -> None:
    save = ["--save", "json", "npz", "csv", "bvh"]
    poses = run(weights, tmp_path / "out", "--video-input", str(clip), *save, threshold="1e9")
    assert len(poses["images"]) == 8 and not list((tmp_path / "out").glob("*.bvh"))

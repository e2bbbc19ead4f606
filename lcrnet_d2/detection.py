"""Everyone in image files or in a video: files of poses, annotated pictures and an interactive page in a folder."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from tqdm import tqdm

from .data import ImageFileError, read_image
from .detected_people import DetectedPeople
from .outputs.pose_export import PoseExport, default_camera
from .outputs.pose_file import PosedImage
from .outputs.pose_page import PosePage
from .placement import Camera
from .predictor import PosePredictor
from .sharding import Shard
from .structures import Skeleton
from .video.frames import Frame, VideoReader, VideoWriter
from .video.smoothing import PoseSmoother
from .video.tracking import PoseTracker
from .visualization import common_bounds, draw_people, scene_of, write_picture

__all__ = ["DetectionOptions", "detect_in_images", "detect_in_video", "predict_share"]

_VIDEO_SUFFIXES = {".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".wmv", ".gif"}
_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True)
class DetectionOptions:
    """What to do with the people found.

    Attributes:
        save: of `FILE_KINDS`.
        pictures: draw and write annotated pictures, or a video of them.
        html: write an interactive page.
        skeleton: whose joints to give; None: the model's.
        camera_of: the camera that took the picture the people are in.
        track, smooth: of videos.
    """

    save: tuple[str, ...] = ("json", "npz")
    pictures: bool = True
    html: bool = False
    skeleton: Skeleton | None = None
    camera_of: Callable[[DetectedPeople], Camera] = default_camera
    track: bool = False
    smooth: bool = False


def detect_in_images(
    predictor: PosePredictor, files: list[Path], output: Path, options: DetectionOptions
) -> list[PosedImage]:
    """Writes poses and pictures of image files; one that cannot be read is reported, and listed with its error.

    What was predicted before something stopped it, or by `predict_share`, is not predicted again.

    Returns:
        an entry per file, in their order, people placed before their camera in the joints of the model.

    Raises:
        OSError: results cannot be written to `output`, which must be there.
    """
    page = PosePage()
    export = PoseExport(output, options.skeleton or predictor.skeleton, options.save, options.camera_of)
    with predictor.cache(output) as cache:
        with export:
            for number, (file, image, found) in enumerate(_found_in_files(predictor.asking(cache), files)):
                people = export.add(PosedImage(str(file), found, image if isinstance(image, str) else ""))
                if people is None or isinstance(image, str):
                    continue
                if options.html:
                    page.add(people, image, file.name)
                if options.pictures:
                    write_picture(output / f"{number:04d}_{file.stem}.png", draw_people(image, people))
        cache.remove()
    page.write(output / "people.html", f"People in {len(files)} images")
    return export.images


def predict_share(predictor: PosePredictor, files: list[Path], output: Path, shard: Shard) -> int:
    """Predicts this process's share of the files, for a `detect_in_images` of all of them that comes after all shares.

    Returns:
        how many images there were in it.
    """
    share = list(shard.of(files))
    with predictor.cache(output) as cache:
        for _ in _found_in_files(predictor.asking(cache), share):
            pass
    return len(share)


def _found_in_files(
    predictor: PosePredictor, files: list[Path]
) -> Iterator[tuple[Path, np.ndarray | str, DetectedPeople | None]]:
    """Every file with its (H, W, 3) RGB pixels and people; or with the reason why there are none."""
    waiting = iter(files)
    with tqdm(total=len(files), unit="image", desc="detecting") as progress:
        while chunk := list(islice(waiting, predictor.batch_size)):
            images = [_read_or_report(file) for file in chunk]
            found = iter(predictor([image for image in images if isinstance(image, np.ndarray)], "RGB"))
            for file, image in zip(chunk, images, strict=True):
                progress.update()
                yield file, image, None if isinstance(image, str) else next(found)


def _read_or_report(file: Path) -> np.ndarray | str:
    """(H, W, 3) RGB pixels, upright; or why there are none."""
    try:
        return read_image(file, "RGB")
    except (FileNotFoundError, ImageFileError) as error:
        hint = " (tools/demo.py takes videos with --video-input)" if file.suffix.lower() in _VIDEO_SUFFIXES else ""
        _LOGGER.error("%s%s", error, hint)
        return f"{error}{hint}"


def detect_in_video(
    predictor: PosePredictor, video: VideoReader, output: Path, options: DetectionOptions, max_frames: int | None = None
) -> list[PosedImage]:
    """Writes poses of every frame, and a video of pictures; Ctrl-C ends it, and what was found till then is written.

    A file is read a second time for its pictures: one block of space for all frames holds their 3D view still, and only
    the end knows it. What a webcam saw is drawn at once, and its view follows the people.

    Returns:
        an entry per frame, as `detect_in_images`.

    Raises:
        OSError, VideoError: results cannot be written to `output`, which must be there.
    """
    page, shown = PosePage(one_scene=True), dict[int, DetectedPeople]()
    batch_size = predictor.batch_size if video.path else 1  # a webcam's frames are worth most when new
    target = output / f"{Path(video.name).stem.replace(' ', '_')}_poses.mp4"
    export = PoseExport(output, options.skeleton or predictor.skeleton, options.save, options.camera_of, video.fps)
    with VideoWriter(target, video.fps) as writer:
        with video, contextlib.suppress(KeyboardInterrupt), export:
            followed = _followed(_found_in_frames(predictor, islice(video, max_frames), batch_size), options)
            for frame, people in tqdm(followed, total=max_frames or video.num_frames, unit="frame", desc="detecting"):
                error = "" if people is not None else f"{video.name}: frame {frame.number} does not decode"
                people = export.add(PosedImage(video.name, people, error, frame.number, frame.time))
                if people is None or frame.image is None:
                    _LOGGER.error("%s", error)
                    continue
                if options.html:
                    page.add(people, _rgb(frame.image), f"frame {frame.number}")
                if options.pictures and video.path:
                    shown[frame.number] = people
                elif options.pictures:
                    writer.write(draw_people(_rgb(frame.image), people), frame.time)
        with contextlib.suppress(KeyboardInterrupt):
            _draw_again(video, shown, writer)
    page.write(output / "people.html", f"People in {video.name}")
    return export.images


def _found_in_frames(
    predictor: PosePredictor, frames: Iterator[Frame], batch_size: int
) -> Iterator[tuple[Frame, DetectedPeople | None]]:
    """Every frame with its people; None where it did not decode."""
    while chunk := list(islice(frames, batch_size)):
        found = iter(predictor([frame.image for frame in chunk if frame.image is not None], "BGR"))
        for frame in chunk:
            yield frame, None if frame.image is None else next(found)


def _followed(
    found: Iterator[tuple[Frame, DetectedPeople | None]], options: DetectionOptions
) -> Iterator[tuple[Frame, DetectedPeople | None]]:
    """The same with identities and smoothed, as asked for."""
    tracker, smoother = PoseTracker(), PoseSmoother()
    for frame, people in found:
        if options.track or options.smooth:
            people = tracker.update(people)
        if options.smooth and people is not None:
            people = smoother.update(people, frame.time)
        yield frame, people


def _draw_again(video: VideoReader, shown: Mapping[int, DetectedPeople], writer: VideoWriter) -> None:
    """Reads the frames again that people are known of, and writes their pictures, the 3D view standing still."""
    if not shown or video.path is None:
        return
    bounds = common_bounds(map(scene_of, shown.values()))
    with VideoReader(video.path) as again:
        frames = islice(again, max(shown) + 1)
        for frame in tqdm(frames, total=max(shown) + 1, unit="frame", desc="drawing"):
            if frame.image is not None and frame.number in shown:
                writer.write(draw_people(_rgb(frame.image), shown[frame.number], bounds), frame.time)


def _rgb(bgr: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(bgr[:, :, ::-1])

"""Everyone in image files or in a video: files of poses, annotated pictures and an interactive page in a folder."""

from __future__ import annotations

import contextlib
import logging
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TypeVar

import numpy as np
from tqdm import tqdm

from .data import ImageFileError, read_image
from .detected_people import DetectedPeople
from .outputs.html_viewer import PosePage
from .outputs.pose_export import PoseExport, default_camera
from .outputs.pose_file import PosedImage
from .placement import Camera
from .predictor import PosePredictor
from .prefetch import prefetched
from .sharding import Shard
from .structures import Skeleton
from .structures.whole_files import short_name
from .video.frames import Frame, VideoReader, VideoWriter
from .video.smoothing import PoseSmoother
from .video.tracking import PoseTracker
from .visualization import common_bounds, draw_people, scene_of, write_image

__all__ = [
    "VIDEO_SUFFIXES",
    "DetectionOptions",
    "ImageSequence",
    "detect_in_images",
    "detect_in_video",
    "predict_share",
]

VIDEO_SUFFIXES = {".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".wmv", ".gif"}
_LOGGER = logging.getLogger(__name__)
_T = TypeVar("_T")


@dataclass(frozen=True)
class DetectionOptions:
    """What to do with the people found.

    Attributes:
        save: of `FILE_KINDS`.
        pictures: draw and write annotated pictures, or a video of them.
        html: write an interactive page.
        skeleton: whose joints to give; None: the model's.
        camera_of: the camera that took the image the people are in.
        floor: write world coordinates of a video, whose camera stands still.
        track, smooth: of videos.
    """

    save: tuple[str, ...] = ("json", "npz")
    pictures: bool = True
    html: bool = False
    skeleton: Skeleton | None = None
    camera_of: Callable[[DetectedPeople], Camera] = default_camera
    floor: bool = False
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
        # A thread predicts while this one draws and writes; files are read by a third (`PosePredictor.stream`).
        results = prefetched(_found_in_files(predictor.asking(cache), files), predictor.batch_size)
        with export, contextlib.closing(results):
            for number, ((file, image, error), found) in enumerate(results):
                people = export.add(PosedImage(str(file), found, error))
                if people is None or image is None:
                    continue
                if options.html:
                    page.add(people, image, file.name)
                if options.pictures:
                    write_image(output / f"{number:04d}_{short_name(file.stem)}.png", draw_people(image, people))
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
) -> Iterator[tuple[tuple[Path, np.ndarray | None, str], DetectedPeople | None]]:
    """Every file with its (H, W, 3) RGB pixels or the reason why there are none, and its people."""
    read = ((file, *_read_or_report(file)) for file in files)
    found = predictor.stream(read, lambda item: item[1], "RGB")
    with contextlib.closing(found):
        yield from tqdm(found, total=len(files), unit="image", desc="detecting")


def _read_or_report(file: Path) -> tuple[np.ndarray | None, str]:
    """(H, W, 3) RGB pixels, upright, and ""; or None and why there are none."""
    try:
        return read_image(file, "RGB"), ""
    except (FileNotFoundError, ImageFileError) as error:
        hint = " (tools/demo.py takes videos with --video-input)" if file.suffix.lower() in VIDEO_SUFFIXES else ""
        _LOGGER.error("%s%s", error, hint)
        return None, f"{error}{hint}"


class ImageSequence:
    """Iterates over image files as over the frames of a video; the attributes are those of `VideoReader`."""

    is_live = False

    def __init__(self, name: str, files: Sequence[Path], fps: float) -> None:
        self.name = name
        self.fps = fps
        self.num_frames = len(files)
        self._files = files

    def reopened(self) -> ImageSequence:
        return self

    def file_of(self, number: int) -> str:
        return str(self._files[number])

    def __iter__(self) -> Iterator[Frame]:
        for number, file in enumerate(self._files):
            image, _ = _read_or_report(file)
            yield Frame(number, number / self.fps, None if image is None else image[:, :, ::-1])

    def __enter__(self) -> ImageSequence:
        return self

    def __exit__(self, *_: object) -> None: ...


def detect_in_video(
    predictor: PosePredictor,
    video: VideoReader | ImageSequence,
    output: Path,
    options: DetectionOptions,
    max_frames: int | None = None,
) -> list[PosedImage]:
    """Writes poses of every frame, and a video of pictures; Ctrl-C ends it, and what was found till then is written.

    A file is read a second time for its pictures: one block of space for all frames holds their 3D view still, and only
    the end knows it. What is live is drawn at once, and its view follows the people.

    Returns:
        an entry per frame, as `detect_in_images`.

    Raises:
        OSError, VideoError: results cannot be written to `output`, which must be there.
    """
    page, shown = PosePage(one_scene=True), dict[int, DetectedPeople]()
    batch_size = 1 if video.is_live else predictor.batch_size  # live frames are worth most when new
    target = output / f"{_name_of(video)}_poses.mp4"
    skeleton = options.skeleton or predictor.skeleton
    export = PoseExport(output, skeleton, options.save, options.camera_of, video.fps, options.floor)
    with VideoWriter(target, video.fps) as writer:
        stream = predictor.stream(islice(video, max_frames), lambda frame: frame.image, "BGR", batch_size)
        found = prefetched(stream, batch_size - 1)
        with video, contextlib.closing(found), contextlib.suppress(KeyboardInterrupt), export:
            followed = _followed(found, options)
            for frame, people in tqdm(followed, total=max_frames or video.num_frames, unit="frame", desc="detecting"):
                file = video.file_of(frame.number)
                error = "" if people is not None else f"{file}: frame {frame.number} does not decode"
                people = export.add(PosedImage(file, people, error, frame.number, frame.time))
                if people is None or frame.image is None:
                    _LOGGER.error("%s", error)
                    continue
                if options.html:
                    page.add(people, _rgb(frame.image), f"frame {frame.number}")
                if options.pictures and not video.is_live:
                    shown[frame.number] = people
                elif options.pictures:
                    writer.write(draw_people(_rgb(frame.image), people), frame.time)
        with contextlib.suppress(KeyboardInterrupt):
            _draw_again(video, shown, writer)
    page.write(output / "people.html", f"People in {video.name}")
    return export.images


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


def _draw_again(video: VideoReader | ImageSequence, shown: Mapping[int, DetectedPeople], writer: VideoWriter) -> None:
    """Reads the frames again that people are known of, and writes their pictures, the 3D view standing still."""
    if not shown:
        return
    bounds = common_bounds(map(scene_of, shown.values()))
    with video.reopened() as again:
        frames = islice(again, max(shown) + 1)
        for frame in tqdm(frames, total=max(shown) + 1, unit="frame", desc="drawing"):
            if frame.image is not None and frame.number in shown:
                writer.write(draw_people(_rgb(frame.image), shown[frame.number], bounds), frame.time)


def _name_of(video: VideoReader | ImageSequence) -> str:
    """What its files are called after: a stream's address holds signs that no file name may."""
    return short_name(re.sub(r"\W+", "_", video.name) if video.is_live else Path(video.name).stem.replace(" ", "_"))


def _rgb(bgr: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(bgr[:, :, ::-1])

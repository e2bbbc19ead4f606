"""Finds everyone's 2D and 3D pose in images, a video or a webcam; writes annotated images and poses.

Every person is placed before the camera (Fig. 7 of the paper): without --focal-length, --fov or --orthographic, before
one with 60 degrees along the longer side of the image. docs/outputs.md describes what is written.

examples:
  python -m lcrnet_d2 photo.jpg             # or lcrnet_d2 photo.jpg; tools/demo.py is the same
  tools/demo.py --config-file lcrnet_movenet_free --input photos/*.jpg --output output/photos --html
  tools/demo.py --config-file lcrnet_movenet_free --input photos --output output/photos \\
      --focal-length 1450 --skeleton coco17 --save json csv
  tools/demo.py --config-file lcrnet_movenet_free --video-input dance.mp4 --output output/dance \\
      --smooth --save json bvh
  tools/demo.py --config-file lcrnet_movenet_free --webcam --output output/webcam --max-frames 250
  tools/demo.py --config-file lcrnet_movenet_free --video-input rtsp://camera/1 --output output/door --track
  tools/demo.py --config-file lcrnet_movenet_free --video-input 'frames/*.png' --fps 30 --output output/f --track

What was predicted of many images when something stopped it is not predicted again. Several processes share them with
--shard 0/4 to 3/4, or under torchrun; then the same command without it writes the results.
"""

from __future__ import annotations

import argparse
import glob
import logging
import os
import time
import warnings
from collections import Counter
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import NoReturn

import torch
from detectron2.config import CfgNode
from detectron2.utils.logger import setup_logger

from .command_line import run_command
from .data.images import IMAGE_SUFFIXES, ImageFileError
from .detected_people import DetectedPeople
from .detection import VIDEO_SUFFIXES, DetectionOptions, ImageSequence, detect_in_images, detect_in_video, predict_share
from .outputs.pose_export import FILE_KINDS, MOTION_KINDS
from .outputs.pose_file import PosedImage
from .placement import DEFAULT_FOV, Camera, OrthographicCamera, PinholeCamera
from .predictor import PosePredictor, find_config
from .projects import add_import_argument, import_projects
from .sharding import Shard
from .structures import COCO17, H36M17, MPII16, OPENPOSE25
from .video.frames import VideoError, VideoReader

#: Its weights come with the package, free for any use.
DEFAULT_MODEL = "lcrnet_movenet_free"
OUTPUT_SKELETONS = {"coco17": COCO17, "h36m17": H36M17, "mpii16": MPII16, "openpose25": OPENPOSE25}


def main(argv: list[str] | None = None) -> None:
    args = parse_arguments(argv)
    if torch.cuda.is_available() and args.shard.count > 1:  # under torchrun, each process has a GPU of its own
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", 0)))
    setup_logger(name="lcrnet_d2")  # says, among others, what the licence of the weights is
    without_warnings_of_detectron2()
    start = time.time()
    files = find_images(args.input or [], args.recursive)
    if args.input is not None and not any(file.exists() for file in files):
        raise SystemExit(f"no images among {' '.join(args.input)}")
    try:
        source = None if args.input is not None else open_video(args)
        check_writable(args.output)
        predictor = PosePredictor(config_for(args))
    except (FileNotFoundError, ValueError, RuntimeError) as error:
        raise SystemExit(str(error)) from error
    if args.shard.count > 1:
        count = predict_share(predictor, files, args.output, args.shard)
        print(f"share {args.shard.index} of {args.shard.count}, {count} images, is predicted; next, without --shard")
        return
    try:
        if source is None:
            images = detect_in_images(predictor, files, args.output, options_of(args))
        else:
            images = detect_in_video(predictor, source, args.output, options_of(args), args.max_frames)
    except (OSError, VideoError, ImageFileError) as error:
        raise SystemExit(str(error)) from error
    print(summary(images, args.output) + earlier_results(args.output, start))


def summary(images: list[PosedImage], output: Path) -> str:
    """SystemExit if nothing could be read."""
    broken = sum(image.people is None for image in images)
    if broken == len(images):
        raise SystemExit(f"none of {len(images)} images or frames could be read; the reasons are above")
    people = sum(len(image.people) for image in images if image.people is not None)
    unread = f", {broken} of which could not be read" if broken else ""
    hint = "" if people else "; a lower --confidence-threshold finds more"
    return f"{people} people in {len(images)} images or frames{unread}{hint}; results in {output}"


def earlier_results(folder: Path, start: float) -> str:
    """A line about files that this run did not write: drawings of other photos would pass for its own."""
    start -= 2  # s, how finely FAT knows the time of a file
    older = sorted(path.name for path in folder.iterdir() if path.is_file() and path.stat().st_mtime < start)
    return f"\nnot of this run, and left there: {older[0]} and {len(older) - 1} more" if older else ""


def without_warnings_of_detectron2() -> None:
    """Two that torch says of every detection, of calls in Detectron2; they would split the progress bar."""
    warnings.filterwarnings("ignore", "torch.meshgrid")
    logging.getLogger("torch.fx._symbolic_trace").setLevel(logging.ERROR)


def open_video(args: argparse.Namespace) -> VideoReader | ImageSequence:
    """A file, stream or webcam; or a folder or pattern of images, which are its frames."""
    if args.webcam is not None:
        return VideoReader(args.webcam)
    name = args.video_input
    if "://" in name or not (Path(name).is_dir() or glob.has_magic(name)) or Path(name).is_file():
        return VideoReader(name if "://" in name else Path(name).expanduser())
    files = find_images([name])
    if not any(file.is_file() for file in files):
        raise FileNotFoundError(f"no images at {name}")
    return ImageSequence(name, files, args.fps)


def find_images(inputs: list[str], recursive: bool = False) -> list[Path]:
    """Files, patterns and folders to image files, in order; says what else is in the folders."""
    files: list[Path] = []
    for name in inputs:
        path = Path(name).expanduser()
        if path.is_dir():
            files += images_in(path, recursive)
        elif path.is_file():
            files.append(path)
        else:
            # What fits no file is kept: it is reported like one that cannot be read.
            files += [found for found in map(Path, sorted(glob.glob(str(path)))) if not found.is_dir()] or [path]
    return files


def images_in(folder: Path, recursive: bool) -> list[Path]:
    found = sorted(folder.rglob("*") if recursive else folder.iterdir())
    found = [path for path in found if not path.name.startswith(".")]
    images = [path for path in found if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file()]
    others = Counter(path.suffix.lower() or "without an ending" for path in found if path.is_file())
    others -= Counter(path.suffix.lower() for path in images)
    left_out = [f"{count} {kind}" for kind, count in sorted(others.items())]
    folders = 0 if recursive else sum(path.is_dir() for path in found)
    left_out += [f"{folders} folders (--recursive reads them)"] if folders else []
    if left_out:
        print(f"{folder}: {len(images)} images; left out: {', '.join(left_out)}")
    return images


def check_writable(folder: Path) -> None:
    """Before any computing: can the results be written?"""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".write-test"
        probe.touch()
        probe.unlink(missing_ok=True)
    except OSError as error:
        raise SystemExit(f"cannot write to --output {folder}: {error}") from error


def config_for(args: argparse.Namespace) -> CfgNode:
    import_projects(args.imports)
    cfg = find_config(args.config_file)
    try:
        cfg.merge_from_list(args.opts)
    except (KeyError, AssertionError) as error:
        raise ValueError(f"--opts {' '.join(args.opts)}: {error}") from error
    for key in ("SCORE_THRESH_PPI", "SCORE_THRESH_NMS"):
        if args.confidence_threshold is not None:
            cfg.MODEL.LCRNET.INTEGRATION[key] = args.confidence_threshold
    return cfg


def options_of(args: argparse.Namespace) -> DetectionOptions:
    return DetectionOptions(
        save=tuple(args.save),
        pictures=not args.no_pictures,
        html=args.html,
        skeleton=None if args.skeleton is None else OUTPUT_SKELETONS[args.skeleton],
        camera_of=lambda people: camera_of(people, args),
        floor=args.floor,
        track=args.track or bool(MOTION_KINDS & set(args.save)),
        smooth=args.smooth,
    )


def camera_of(people: DetectedPeople, args: argparse.Namespace) -> Camera:
    """The camera the options describe, for the image the people are in."""
    if args.orthographic:
        points, poses = torch.from_numpy(people.keypoints_2d), torch.from_numpy(people.poses_3d)
        return OrthographicCamera.fitted(points, poses, people.image_size)
    camera = PinholeCamera.from_fov(people.image_size, args.fov)
    if args.focal_length:
        camera = replace(camera, fx=args.focal_length[0], fy=args.focal_length[-1])
    if args.principal_point:
        camera = replace(camera, cx=args.principal_point[0], cy=args.principal_point[1])
    return camera


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", help="images, patterns and folders; or a video or stream")
    config_help = f"YAML, its name below configs/, or a model of the zoo (default {DEFAULT_MODEL})"
    parser.add_argument("--config-file", default=DEFAULT_MODEL, help=config_help)
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--input", nargs="+", help="images, patterns or folders")
    source.add_argument(
        "--video-input", metavar="FILE", help="a video, the address of a stream, or a folder or pattern of its images"
    )
    source.add_argument("--webcam", type=int, nargs="?", const=0, metavar="N", help="webcam number N, or the first")
    parser.add_argument("--recursive", action="store_true", help="also the folders in the folders of --input")
    parser.add_argument("--output", type=Path, default=Path("output"), help="folder for the results (output)")
    parser.add_argument("--confidence-threshold", type=float, help="least score S of a person (default: the config's)")
    parser.add_argument("--save", nargs="+", choices=FILE_KINDS, default=["json", "npz"], help="files of poses")
    parser.add_argument("--no-pictures", action="store_true", help="only files of poses: much faster")
    parser.add_argument("--html", action="store_true", help="also people.html: an interactive page of up to 200 frames")
    parser.add_argument("--skeleton", choices=sorted(OUTPUT_SKELETONS), help="joints to give (default: the model's)")
    camera = parser.add_argument_group("camera")
    lens = camera.add_mutually_exclusive_group()
    fov_help = f"degrees along the longer side of the image (default {DEFAULT_FOV:g})"
    lens.add_argument("--fov", type=_degrees, default=DEFAULT_FOV, help=fov_help)
    lens.add_argument("--focal-length", type=_positive, nargs="+", metavar="PX", help="in px: one, or fx and fy")
    lens.add_argument("--orthographic", action="store_true", help="no perspective: people get no depth")
    camera.add_argument("--principal-point", type=float, nargs=2, metavar=("CX", "CY"), help="px (default: the middle)")
    video = parser.add_argument_group("videos and webcams")
    video.add_argument("--track", action="store_true", help="know people again from frame to frame")
    video.add_argument("--smooth", action="store_true", help="also smooth their 2D and 3D poses (One-Euro filter)")
    video.add_argument("--floor", action="store_true", help="world coordinates, above the floor (of a still camera)")
    fps_help = "frames per second of images that are a video (25)"
    video.add_argument("--fps", type=_positive, default=25.0, help=fps_help)
    video.add_argument("--max-frames", type=_count, metavar="N", help="stop after so many")
    parser.add_argument("--shard", type=Shard.parse, help="INDEX/COUNT: predict a part of the images")
    add_import_argument(parser)
    parser.add_argument("--opts", nargs=argparse.REMAINDER, default=[], help="config KEY VALUE pairs")
    args = parser.parse_args(argv)
    sources = ("input", "video_input", "webcam")
    if (args.files != []) + sum(getattr(args, name) is not None for name in sources) != 1:
        parser.error("one of the arguments --input --video-input --webcam is required, or files alone")
    if len(args.files) == 1 and ("://" in args.files[0] or Path(args.files[0]).suffix.lower() in VIDEO_SUFFIXES):
        args.video_input = args.files[0]
    elif args.files:
        args.input = args.files
    if "gltf" in args.save and find_spec("pygltflib") is None:
        parser.error("--save gltf needs a library: pip install pygltflib")
    if args.focal_length and len(args.focal_length) > 2:
        parser.error(f"--focal-length takes one or two numbers, not {len(args.focal_length)}")
    if args.input is None and args.shard:
        parser.error("--shard is of images: a video is one process's work")
    args.shard = args.shard or (Shard() if args.input is None else Shard.of_this_process())
    of_motion = args.track or args.smooth or args.max_frames or args.floor or MOTION_KINDS & set(args.save)
    if args.input is not None and of_motion:
        options = "--track, --smooth, --floor, --max-frames, --save bvh or gltf"
        parser.error(f"{options} are about motion: they need a video or webcam")
    return args


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text} is no whole number above 0")
    return int(text)


def _positive(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
    return value


def _degrees(text: str) -> float:
    value = _positive(text)
    if value >= 180:
        raise argparse.ArgumentTypeError(f"{text} degrees; a picture shows less than 180")
    return value


def command() -> NoReturn:
    """The console command `lcrnet_d2`."""
    run_command(main)

#!/usr/bin/env python3
"""Human3.6M to the project's JSON: 13 joints, measured 3D in camera axes, 2D, cameras.

python datasets/prepare_human36m.py originals datasets/human36m --protocol P1 --part train --step 5 \\
    --metadata datasets/human36m/metadata.xml --output datasets/human36m/p1_train.json
python datasets/prepare_human36m.py mmpose annotation_body3d/fps10/h36m_test.npz --cameras cameras.pkl ...

LAYOUT and SOURCE (datasets/README.md shows the trees):
  originals     folder of S1, S5 ... with .cdf poses; needs --metadata
  videopose3d   data_3d_h36m.npz; needs --metadata
  mks0601       folder of Human36M_subject*_{data,camera,joint_3d}.json
  mmpose        h36m_train.npz or h36m_test.npz; needs --cameras
  h36m-fetch    folder of S1/Directions-1/annot.h5
"""

from __future__ import annotations

import argparse
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from lcrnet_d2.checkpoint.array_pickle import ArrayUnpickler, load_array_pickle, refuse_memory_bomb
from lcrnet_d2.command_line import run_command
from lcrnet_d2.data.datasets.pose_json import PoseFileError
from prepare_mocap import metres
from sources import human36m_files as files
from sources.human36m import ACTIONS, CAMERAS, PROTOCOLS, Choice, take_records
from sources.human36m_cameras import cameras_of_mmpose, read_metadata
from sources.records import Result, write_records

LAYOUTS = ("originals", "videopose3d", "mks0601", "mmpose", "h36m-fetch")


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("layout", choices=LAYOUTS)
    parser.add_argument("source", type=Path, help="folder or file of that layout")
    parser.add_argument("--protocol", choices=sorted(PROTOCOLS), default="P1", help="of Sec. 4.1 (P1)")
    parser.add_argument("--part", choices=("train", "test"), default="train")
    parser.add_argument("--subjects", nargs="+", help="instead of the protocol's, such as S1 S5")
    parser.add_argument("--cameras-used", nargs="+", choices=CAMERAS, help="serial numbers, instead of the protocol's")
    parser.add_argument("--actions", nargs="+", choices=ACTIONS, help="default: all 15")
    parser.add_argument("--step", type=int, help="every so many frames of the 50 per second (1; 64 in P1's test ...)")
    parser.add_argument("--min-distance", type=metres, default=0.0, help="to the pose taken before, such as 40mm (0)")
    parser.add_argument("--skip-corrupt", action="store_true", help="leave S9's shifted and S11's corrupt takes out")
    parser.add_argument("--head", type=int, choices=(9, 10), default=9, help="of the 17 joints: 9 middle, 10 top (9)")
    parser.add_argument("--metadata", type=Path, help="the set's metadata.xml")
    parser.add_argument("--cameras", type=Path, help="mmpose's cameras.pkl")
    parser.add_argument("--image-name", default=files.IMAGE_NAME, help=f"pattern of {LAYOUTS[:2]} (%(default)s)")
    parser.add_argument("--output", required=True, type=Path, help="the JSON to write")
    args = parser.parse_args(arguments)
    if args.layout in LAYOUTS[:2] and args.metadata is None:
        parser.error(f"the layout {args.layout} needs --metadata")
    if args.step is not None and args.step < 1:
        parser.error("--step is at least 1")
    if args.layout == "mmpose" and args.cameras is None:
        parser.error("the layout mmpose needs --cameras")
    return args


def main(arguments: list[str] | None = None) -> int:
    args = parse_arguments(arguments)
    choice = chosen(args)
    info = {"source": f"Human3.6M, {args.layout}, {args.protocol} {args.part}", "step": choice.step}
    info |= {"head": f"joint {args.head} of 17", "subjects": list(choice.subjects)}
    return write_records(args.output, records(args, choice), info)


def chosen(args: argparse.Namespace) -> Choice:
    """The protocol's choice with what the command line changes."""
    given = {"subjects": args.subjects, "cameras": args.cameras_used, "actions": args.actions}
    changes: dict[str, Any] = {key: tuple(value) for key, value in given.items() if value}
    if args.step is not None:
        changes["step"] = args.step
    train, test = PROTOCOLS[args.protocol]
    base = train if args.part == "train" else test
    return replace(base, min_distance=args.min_distance, skip_corrupt=args.skip_corrupt, **changes)


def records(args: argparse.Namespace, choice: Choice) -> Iterator[Result]:
    for take in takes(args, choice):
        if isinstance(take, PoseFileError):
            yield take
        else:
            yield from take_records(take, choice, args.head)


def takes(args: argparse.Namespace, choice: Choice) -> Iterator[files.TakeResult]:
    metadata = read_metadata(args.metadata) if args.metadata else None
    if args.layout == "mks0601":
        return files.read_mks(args.source, choice, metadata)
    if args.layout == "mmpose":
        return files.read_mmpose(args.source, choice, cameras_of_mmpose(load_array_pickle(args.cameras)), metadata)
    if args.layout == "h36m-fetch":
        return files.read_fetch(args.source, choice, metadata)
    assert metadata is not None
    if args.layout == "originals":
        return files.read_originals(args.source, choice, metadata, args.image_name)
    return files.read_videopose(load_videopose(args.source), choice, metadata, args.image_name)


_MAX_BYTES = 4 * 2**30  # the published file unpacks to 0.3 GB


def load_videopose(path: Path) -> dict[str, Any]:
    """The dict in data_3d_h36m.npz: it is a pickle, of which only arrays and plain containers are rebuilt."""
    try:
        with zipfile.ZipFile(path) as archive, archive.open("positions_3d.npy") as member:
            if archive.getinfo("positions_3d.npy").file_size > _MAX_BYTES:
                raise PoseFileError(f"{path} unpacks to more than {_MAX_BYTES} bytes")
            version = np.lib.format.read_magic(member)
            read_header = {1: np.lib.format.read_array_header_1_0, 2: np.lib.format.read_array_header_2_0}
            read_header[version[0]](member)
            refuse_memory_bomb(member)
            content = ArrayUnpickler(member, encoding="latin1").load()
    except FileNotFoundError:
        raise
    except Exception as error:  # zip, header and pickle each have errors of their own
        raise PoseFileError(f"{path} is not a whole data_3d_h36m.npz: {error!r}") from error
    return content.item()


if __name__ == "__main__":
    run_command(main, OSError, ValueError, ImportError)

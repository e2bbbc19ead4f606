#!/usr/bin/env python3
"""A folder of photos without people to the project's JSON: all of each is background to learn from.

python datasets/prepare_empty_photos.py datasets/backgrounds --output datasets/backgrounds/train.json
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lcrnet_d2.command_line import run_command
from lcrnet_d2.data.datasets.pose_json import PoseFileError, image_size
from sources.records import write_records

SUFFIXES = {".jpg", ".jpeg", ".png", ".webp"}


def empty_photos(files: list[Path]) -> Iterator[dict[str, Any] | PoseFileError]:
    """A dataset dict without annotations per photo, or why there is none."""
    for number, file in enumerate(files):
        try:
            width, height = image_size(file)
        except PoseFileError as error:
            yield error
            continue
        record = {"file_name": file.name, "image_id": number, "width": width, "height": height, "annotations": []}
        yield record


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="photos in which nobody is seen")
    parser.add_argument("--output", required=True, type=Path, help="the JSON to write")
    args = parser.parse_args(arguments)
    files = sorted(path for path in args.folder.glob("*") if path.suffix.lower() in SUFFIXES)
    return write_records(args.output, empty_photos(files), {"source": "photos without people"}, len(files))


if __name__ == "__main__":
    run_command(main, PoseFileError, OSError)

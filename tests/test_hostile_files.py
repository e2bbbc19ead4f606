"""Files made to attack: each is refused with a documented error, and nothing in it is run."""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from torch import nn

from lcrnet_d2.checkpoint import LCRNetCheckpointer
from lcrnet_d2.config import load_config
from lcrnet_d2.data.datasets.pose_json import PoseFileError, load_pose_json
from lcrnet_d2.data.images import ImageFileError, check_image_size, read_image
from lcrnet_d2.structures import BODY13
from sources.mocap.bvh import parse_bvh
from sources.mocap.take import BrokenTakeError
from tests_support import write_tiny_set


class Attack:
    """Makes a folder when unpickled."""

    def __init__(self, made: Path) -> None:
        self.made = made

    def __reduce__(self):
        return os.mkdir, (str(self.made),)


@pytest.mark.parametrize("suffix", [".pkl", ".pth", ".pyth"])
def test_weights_that_are_an_attack(suffix: str, tmp_path: Path) -> None:
    made, file = tmp_path / "made", tmp_path / f"weights{suffix}"
    if suffix == ".pkl":
        file.write_bytes(pickle.dumps({"model": Attack(made)}))
    else:
        torch.save({"model": Attack(made), "model_state": Attack(made)}, file)
    with pytest.raises(ValueError, match=rf"weights\{suffix}"):
        LCRNetCheckpointer(nn.Linear(1, 1)).load(str(file))
    assert not made.exists()


def test_a_config_that_is_an_attack(tmp_path: Path) -> None:
    """Detectron2 by itself runs it: its merge_from_file allows unsafe tags."""
    made, file = tmp_path / "made", tmp_path / "config.yaml"
    file.write_text(f'OUTPUT_DIR: !!python/object/apply:os.mkdir ["{made}"]\n')
    with pytest.raises(yaml.YAMLError):
        load_config(file)
    assert not made.exists()


def pose_file(folder: Path, **changes: Any) -> Path:
    """A valid file of poses with fields of its second image or its first annotation changed."""
    path = write_tiny_set(folder)
    content = json.loads(path.read_text())
    for key, value in changes.items():
        target = content["images"][1] if key in content["images"][1] else content["annotations"][0]
        target[key] = value
    path.write_text(json.dumps(content))
    return path


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "a/../../b.png", "\0", "x" * 5000, ["a"] * 9])
def test_file_names_that_leave_the_image_folder(name: Any, tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    path = pose_file(tmp_path / "set", file_name=name)
    if name in ("x" * 5000, ["a"] * 9):  # no way out, and no such file
        load_pose_json(path, tmp_path / "images", BODY13)
        return
    with pytest.raises(PoseFileError, match=r"images\[1\]: file_name"):
        load_pose_json(path, tmp_path / "images", BODY13)


def test_a_link_that_leaves_the_image_folder(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "secret.png").write_bytes(b"")
    (tmp_path / "images" / "1.png").symlink_to(tmp_path / "secret.png")
    with pytest.raises(PoseFileError, match="leads out of"):
        load_pose_json(pose_file(tmp_path / "set"), tmp_path / "images", BODY13)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("keypoints", [0] * 100_000),
        ("keypoints", [10**400, 0, 2] * 13),
        ("keypoints", [[[[[]]]]] * 39),
        ("pose_3d", {"joints": 10**9}),
        ("bbox", [0, 0, 1e400, 1]),
        ("image_id", {}),
        ("width", 1e9),
        ("height", -1),
    ],
)
def test_json_that_claims_what_cannot_be(field: str, value: Any, tmp_path: Path) -> None:
    with pytest.raises(PoseFileError, match=field):
        load_pose_json(pose_file(tmp_path / "set", **{field: value}), tmp_path / "set", BODY13)


def test_bvh_that_claims_a_thousand_million_frames() -> None:
    text = "HIERARCHY\nROOT a\n{\nOFFSET 0 0 0\nCHANNELS 3 Xposition Yposition Zposition\n}\nMOTION\n"
    with pytest.raises(BrokenTakeError, match="1e\\+09 frames"):
        parse_bvh((text + "Frames: 1000000000\nFrame Time: 0.1\n0 0 0\n").encode(), "a.bvh")
    with pytest.raises(BrokenTakeError, match="1 frames follow"):
        parse_bvh((text + "Frames: 9000000\nFrame Time: 0.1\n0 0 0\n").encode(), "a.bvh")


def test_bvh_whose_few_numbers_move_many_nodes() -> None:
    """A MB of text that asks for 5,000 frames of 4,000 nodes: half a gigabyte."""
    ends = "End Site\n{\nOFFSET 0 0 0\n}\n" * 3999
    head = f"HIERARCHY\nROOT a\n{{\nOFFSET 0 0 0\nCHANNELS 3 Xposition Yposition Zposition\n{ends}}}\nMOTION\n"
    with pytest.raises(BrokenTakeError, match="5000 frames of 4000 nodes"):
        parse_bvh((head + "Frames: 5000\nFrame Time: 0.1\n" + "0 0 0\n" * 5000).encode(), "a.bvh")


def test_an_image_bomb(tmp_path: Path) -> None:
    """150 kB that unpack to 450 MB."""
    Image.new("1", (12_500, 12_000)).save(tmp_path / "bomb.png")
    assert (tmp_path / "bomb.png").stat().st_size < 200_000
    with pytest.raises(ImageFileError, match=r"bomb\.png: 12500 x 12000 px: more than 128 Mi pixels"):
        read_image(tmp_path / "bomb.png")


def test_formats_that_start_other_programs_are_no_images(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((9, 9, 3), np.uint8)).save(tmp_path / "a.eps")
    (tmp_path / "a.eps").rename(tmp_path / "a.png")
    with pytest.raises(ImageFileError):
        read_image(tmp_path / "a.png")


def test_sizes_that_no_photo_has(tmp_path: Path) -> None:
    check_image_size(1, 50)
    check_image_size(9000, 12_000)
    for height, width, message in ((0, 9, "without pixels"), (1, 51, "50 times"), (20_000, 20_000, "128 Mi")):
        with pytest.raises(ImageFileError, match=message):
            check_image_size(height, width)
    Image.new("L", (400, 2)).save(tmp_path / "strip.png")
    with pytest.raises(ImageFileError, match=r"strip\.png: 400 x 2 px"):
        read_image(tmp_path / "strip.png")

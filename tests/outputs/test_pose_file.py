from __future__ import annotations

import csv
import json
import os
import pickle
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lcrnet_d2.detected_people import PERSON_FIELDS, DetectedPeople
from lcrnet_d2.outputs.pose_csv import COLUMNS, write_csv
from lcrnet_d2.outputs.pose_file import (
    PosedImage,
    people_to_json,
    read_poses,
    read_poses_npz,
    write_poses,
    write_poses_npz,
)
from lcrnet_d2.outputs.skeleton_conversion import convert_people
from lcrnet_d2.placement import OrthographicCamera, PinholeCamera
from lcrnet_d2.structures import BODY13, COCO17, Skeleton
from people_support import standing_people


def images() -> list[PosedImage]:
    """Everything there can be: several people, nobody, tracked, placed, not placed, broken."""
    spreads = np.random.default_rng(0).random((3, 13)).astype(np.float32)
    three = standing_people(3, noise=0.03, spreads_3d=spreads)
    tracked = replace(three[:2], identities=np.array([4, 2]))
    return [
        PosedImage("a.jpg", three),
        PosedImage("nobody.jpg", DetectedPeople.nobody(BODY13, (50, 60))),
        PosedImage("broken.jpg", None, "cannot read the image broken.jpg"),
        PosedImage("v.mp4", tracked.placed(PinholeCamera(500, 510, 160, 120)), frame=0, time=0.0),
        PosedImage("v.mp4", None, "frame 1 does not decode", frame=1, time=0.04),
        PosedImage("o.jpg", three.placed(OrthographicCamera(100, 160, 120))),
    ]


def assert_same(a: PosedImage, b: PosedImage, px: float, m: float) -> None:
    assert (a.file_name, a.error, a.frame, a.time) == (b.file_name, b.error, b.frame, b.time)
    assert (a.people is None) == (b.people is None)
    if a.people is None or b.people is None:
        return
    p, q = a.people, b.people
    assert (p.image_size, p.skeleton, p.camera, p.interpolated) == (q.image_size, q.skeleton, q.camera, q.interpolated)
    tolerance = {"keypoints_2d": px, "boxes": 10 * px, "spreads_2d": px, "poses_3d": m, "spreads_3d": m}
    for name in PERSON_FIELDS:
        x, y = getattr(p, name), getattr(q, name)
        assert (x is None) == (y is None), name
        if x is not None:
            assert x.dtype == y.dtype, name
            np.testing.assert_allclose(x, y, atol=tolerance.get(name, m), rtol=0, err_msg=name)


def test_json_comes_back(tmp_path: Path) -> None:
    write_poses(tmp_path / "poses.json", images(), BODY13)
    for a, b in zip(images(), read_poses(tmp_path / "poses.json"), strict=True):
        assert_same(a, b, px=6e-4, m=6e-6)


def test_npz_comes_back(tmp_path: Path) -> None:
    write_poses_npz(tmp_path / "poses.npz", images(), BODY13)
    for a, b in zip(images(), read_poses_npz(tmp_path / "poses.npz"), strict=True):
        assert_same(a, b, px=2e-5, m=0)


def test_a_converted_skeleton_with_joints_that_cannot_be_had_comes_back(tmp_path: Path) -> None:
    converted = [i if i.people is None else replace(i, people=convert_people(i.people, "COCO17")) for i in images()]
    write_poses(tmp_path / "poses.json", converted, COCO17)
    write_poses_npz(tmp_path / "poses.npz", converted, COCO17)
    assert "NaN" not in (tmp_path / "poses.json").read_text()
    from_json, from_npz = read_poses(tmp_path / "poses.json"), read_poses_npz(tmp_path / "poses.npz")
    for a, b, c in zip(converted, from_json, from_npz, strict=True):
        assert_same(a, b, px=6e-4, m=6e-6)
        assert_same(a, c, px=2e-5, m=0)
    read = from_json[0].people
    assert read is not None and read.skeleton is COCO17 and "nose" in read.interpolated


def test_a_skeleton_of_ones_own_comes_back(tmp_path: Path) -> None:
    own = Skeleton("OWN", (*BODY13.joints[::-1],), BODY13.bones)
    people = replace(standing_people(1), skeleton=own)
    write_poses(tmp_path / "poses.json", [PosedImage("a", people)], own)
    write_poses_npz(tmp_path / "poses.npz", [PosedImage("a", people)], own)
    for (image,) in (read_poses(tmp_path / "poses.json"), read_poses_npz(tmp_path / "poses.npz")):
        assert image.people is not None and image.people.skeleton == own


def test_the_json_explains_itself(tmp_path: Path) -> None:
    write_poses(tmp_path / "poses.json", images(), BODY13)
    content = json.loads((tmp_path / "poses.json").read_text())
    assert content["joint_names"] == list(BODY13.joints) and content["origin"] == "body centre"
    assert content["axes"] == "x right, y down, z away from the camera"
    assert content["units"] == {
        "keypoints_2d": "px",
        "pose_3d": "m",
        "spread_2d": "px",
        "spread_3d": "m",
        "translation": "m",
    }
    perspective, orthographic = content["images"][3]["camera"], content["images"][5]["camera"]
    assert perspective == {"kind": "perspective", "fx": 500, "fy": 510, "cx": 160, "cy": 120}
    assert orthographic == {"kind": "orthographic", "pixels_per_metre": 100, "cx": 160, "cy": 120}
    assert content["images"][0]["camera"] is None


def test_the_npz_explains_itself_and_needs_no_pickle(tmp_path: Path) -> None:
    write_poses_npz(tmp_path / "poses.npz", images(), BODY13)
    with np.load(tmp_path / "poses.npz", allow_pickle=False) as file:
        assert json.loads(str(file["header"]))["joint_names"] == list(BODY13.joints)
        assert file["image"].tolist() == [0, 0, 0, 3, 3, 5, 5, 5]
        assert file["keypoints_2d"].shape == (8, 13, 2)
        # Files hold COCO indices: half a pixel less than memory.
        np.testing.assert_allclose(file["keypoints_2d"][:3], images()[0].people.keypoints_2d - 0.5, atol=2e-5)


def test_files_hold_pixel_indices_and_say_what_is_inside() -> None:
    found = standing_people(4)
    entries = people_to_json(found)
    assert entries[0]["keypoints_2d"][0][0] == pytest.approx(found.keypoints_2d[0, 0, 0] - 0.5, abs=1e-3)
    assert all(entries[0]["in_image"]) and not all(entries[3]["in_image"])
    assert people_to_json(standing_people(0)) == []


def test_nothing_at_all(tmp_path: Path) -> None:
    write_poses(tmp_path / "poses.json", [], BODY13)
    write_poses_npz(tmp_path / "poses.npz", [], BODY13)
    assert read_poses(tmp_path / "poses.json") == read_poses_npz(tmp_path / "poses.npz") == []


def test_what_is_no_pose_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "poses.json"
    for text in ("{", "[]", '{"version": 1}', '{"version": 99}'):
        path.write_text(text)
        with pytest.raises(ValueError, match=r"poses\.json is not a (poses\.json|whole JSON file)"):
            read_poses(path)
    npz = tmp_path / "poses.npz"
    npz.write_bytes(b"no archive")
    with pytest.raises(ValueError, match=r"poses\.npz is not an \.npz with scores, "):
        read_poses_npz(npz)
    np.savez(npz, header=np.array({"version": 1}, dtype=object))  # a pickle within
    with pytest.raises(ValueError, match=r"poses\.npz is not an \.npz with scores, "):
        read_poses_npz(npz)
    npz.write_bytes(pickle.dumps([1]))
    with pytest.raises(ValueError, match=r"poses\.npz is not an \.npz with scores, "):
        read_poses_npz(npz)
    for read in (read_poses, read_poses_npz):
        with pytest.raises(FileNotFoundError):
            read(tmp_path / "none")


def test_hostile_and_huge_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "poses.json"
    write_poses(path, [], BODY13)
    content = json.loads(path.read_text())
    for entry in ([1], "text", {"file_name": "a", "people": 3, "camera": None}):
        path.write_text(json.dumps(content | {"images": [entry]}))
        with pytest.raises(ValueError, match=r"is not a poses\.json"):
            read_poses(path)
    path.write_text("[" * 100_000)
    with pytest.raises(ValueError, match="is not a whole JSON file"):
        read_poses(path)
    npz = tmp_path / "poses.npz"
    zeros = dict.fromkeys((*PERSON_FIELDS, "image", "header", "image_info"), np.zeros(10**6))
    np.savez_compressed(npz, **zeros)  # 112 MB in 0.1 MB
    with pytest.raises(ValueError, match="at most .* MB are read"):
        read_poses_npz(npz)


def test_many_frames_with_nobody_in_them_come_back(tmp_path: Path) -> None:
    """They pack well, but not to less than the 1/100 that a bomb would."""
    frames = [PosedImage("v" * 100, DetectedPeople.nobody(BODY13, (4, 4)), frame=i, time=i / 25) for i in range(2000)]
    write_poses_npz(tmp_path / "poses.npz", frames, BODY13)
    with zipfile.ZipFile(tmp_path / "poses.npz") as archive:
        info = archive.getinfo("image_info.npy")
    assert info.file_size < 70 * info.compress_size
    assert len(read_poses_npz(tmp_path / "poses.npz")) == 2000


def test_file_names_that_are_no_unicode(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9.jpg")  # of an old disk; "caf\udce9.jpg"
    image = [PosedImage(name, standing_people(1))]
    write_poses(tmp_path / "poses.json", image, BODY13)
    write_poses_npz(tmp_path / "poses.npz", image, BODY13)
    write_csv(tmp_path / "poses.csv", image)
    assert read_poses(tmp_path / "poses.json")[0].file_name == name
    assert read_poses_npz(tmp_path / "poses.npz")[0].file_name == name
    rows = list(csv.DictReader((tmp_path / "poses.csv").open(encoding="utf-8")))
    assert rows[0]["file_name"] == "caf\\udce9.jpg"


def test_a_table_of_joints(tmp_path: Path) -> None:
    write_csv(tmp_path / "poses.csv", images())
    rows = list(csv.DictReader((tmp_path / "poses.csv").open()))
    assert tuple(rows[0]) == COLUMNS and len(rows) == 13 * (3 + 2 + 3)
    first, tracked, orthographic = rows[0], rows[13 * 3 + 13], rows[-1]
    people = images()[0].people
    assert first["joint"] == "right_ankle" and float(first["x_px"]) == pytest.approx(
        people.keypoints_2d[0, 0, 0] - 0.5, abs=1e-3
    )
    assert first["identity"] == first["camera"] == first["camera_z_away_m"] == first["frame"] == ""
    assert (tracked["identity"], tracked["frame"], tracked["person"]) == ("2", "0", "1")
    assert tracked["camera"] == "perspective fx=500 fy=510 cx=160 cy=120"
    assert orthographic["camera"].startswith("orthographic pixels_per_metre=100")
    placed = images()[3].people
    assert float(tracked["camera_z_away_m"]) == pytest.approx(placed.in_camera()[1, 0, 2], abs=1e-5)

"""The same studio in every layout gives the same poses; broken files are named."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import human36m_support as studio
import prepare_human36m
from human36m_support import CAMERAS, FRAMES, in_camera, in_picture
from lcrnet_d2.data.datasets.pose_json import PoseFileError, load_pose_json, read_pose_info
from lcrnet_d2.structures import BODY13
from sources.human36m_cameras import read_metadata

SHOULDER = BODY13.index("left_shoulder")
OF_32 = 17  # the left shoulder among the recorded joints

#: layout -> (writes it, arguments); every argument is relative to the folder.
LAYOUTS: dict[str, tuple[Callable[[Path], object], list[str]]] = {
    "originals": (studio.write_originals, ["."]),
    "videopose3d": (studio.write_videopose, ["data_3d_h36m.npz"]),
    "mks0601": (studio.write_mks, ["."]),
    "mmpose": (lambda folder: studio.write_mmpose(folder, 1), ["h36m_train.npz", "--cameras", "cameras.pkl"]),
    "h36m-fetch": (studio.write_fetch, ["."]),
}


def prepare(folder: Path, layout: str, *more: str) -> tuple[int, Path]:
    source, *options = LAYOUTS[layout][1]
    arguments = [layout, str(folder / source)]
    arguments += [str(folder / o) if o.endswith(".pkl") else o for o in options]
    output = folder / "out" / "poses.json"
    arguments += ["--metadata", str(studio.write_metadata(folder)), "--output", str(output), *more]
    return prepare_human36m.main(arguments), output


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_the_same_poses(tmp_path: Path, layout: str) -> None:
    LAYOUTS[layout][0](tmp_path)
    code, output = prepare(tmp_path, layout, "--protocol", "P2", "--part", "test", "--subjects", "S9", "--step", "5")
    assert code == 0 and read_pose_info(output)["head"] == "joint 9 of 17"
    records = load_pose_json(output, tmp_path, BODY13)
    assert len(records) == 2 * 4 * len(range(0, FRAMES, 5))  # trials, cameras, frames
    by_size = {c: [r for r in records if r["camera"]["cx"] == 500.5 and _is_of(r, c)] for c in range(4)}
    for c, seen in by_size.items():
        assert len(seen) == 2 * 3, f"camera {c + 1}"
        for record, frame in zip(seen, (0, 5, 10) * 2, strict=True):
            person = record["annotations"][0]
            shoulder = person["pose_3d"][SHOULDER] + person["root_position"]
            assert np.abs(shoulder - in_camera("S9", c)[frame, OF_32]).max() < 1e-4  # m
            place = person["keypoints"][3 * SHOULDER : 3 * SHOULDER + 2]
            assert np.abs(np.array(place) - 0.5 - in_picture("S9", c)[frame, OF_32]).max() < 0.05  # px
            assert (record["width"], record["height"]) == (1000, 1002 if c in (0, 3) else 1000)
    # S9's "Greeting" is shifted, "Greeting 1" is not.
    more = ["--part", "test", "--subjects", "S9", "--cameras-used", CAMERAS[0], "--step", "1"]
    assert len(load_pose_json(prepare(tmp_path, layout, *more)[1], tmp_path, BODY13)) == 2 * FRAMES
    kept = load_pose_json(prepare(tmp_path, layout, *more, "--skip-corrupt")[1], tmp_path, BODY13)
    assert len(kept) == FRAMES
    # P3: camera 3 and trial 1 alone.
    records = load_pose_json(prepare(tmp_path, layout, "--protocol", "P3", "--part", "test")[1], tmp_path, BODY13)
    assert len(records) == 2 * 3 and all(_is_of(record, 2) for record in records)  # S9 and S11, frames 0 5 10


def _is_of(record: dict, camera: int) -> bool:
    name = record["file_name"]
    return CAMERAS[camera] in name or f"ca_{camera + 1}" in name


def test_rotation_of_the_metadata_is_the_one_worked_out_by_hand(tmp_path: Path) -> None:
    metadata = read_metadata(studio.write_metadata(tmp_path))
    for c, serial in enumerate(CAMERAS):
        _, rotation, position = studio.extrinsics(c)
        camera = metadata.cameras["S5", serial]
        assert camera.rotation is not None and np.allclose(camera.rotation, rotation, atol=1e-8)
        assert camera.position is not None and np.allclose(camera.position, position, atol=1e-6)
    assert metadata.named("S11", "TakingPhoto 1", "").trial == 2
    assert metadata.takes["S11", "Photo", 1] == "TakingPhoto"


def test_without_2d_files_the_poses_are_projected(tmp_path: Path) -> None:
    studio.write_originals(tmp_path)
    for file in tmp_path.rglob("D2_Positions/*"):
        file.unlink()
    _, output = prepare(tmp_path, "originals", "--part", "test", "--step", "1", "--subjects", "S1")
    person = load_pose_json(output, tmp_path, BODY13)[0]["annotations"][0]
    expected = in_picture("S1", 1)[0, OF_32]
    assert np.abs(np.array(person["keypoints"][3 * SHOULDER : 3 * SHOULDER + 2]) - 0.5 - expected).max() < 0.01


def halve(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


@pytest.mark.parametrize("layout", ["originals", "mks0601", "h36m-fetch"])
def test_a_cut_file_is_named_and_left_out(tmp_path: Path, layout: str, capsys) -> None:
    LAYOUTS[layout][0](tmp_path)
    whole = load_pose_json(prepare(tmp_path, layout, *_BOTH)[1], tmp_path, BODY13)
    pattern = {"originals": "S9/*/D3*/Greeting 1.54138969.cdf", "mks0601": "*9_joint_3d.json"}
    cut = sorted(tmp_path.glob(pattern.get(layout, "S9/Greeting-1/annot.h5")))[0]
    halve(cut)
    code, output = prepare(tmp_path, layout, *_BOTH)
    kept = load_pose_json(output, tmp_path, BODY13)
    assert code == 0 and 0 < len(kept) < len(whole)
    assert cut.name in capsys.readouterr().err


_BOTH = ["--protocol", "P2", "--part", "test"]


@pytest.mark.parametrize("layout", ["videopose3d", "mmpose"])
def test_a_cut_file_of_everything_is_refused(tmp_path: Path, layout: str) -> None:
    LAYOUTS[layout][0](tmp_path)
    halve(tmp_path / LAYOUTS[layout][1][0])
    with pytest.raises(PoseFileError, match="h36m"):
        prepare(tmp_path, layout)
    assert not (tmp_path / "out").exists()


def test_poses_with_nan_and_of_other_shapes_are_left_out(tmp_path: Path, capsys) -> None:
    broken = studio.world_poses("S9")
    broken[3, 0, 0] = np.nan
    poses = {"S9": {"Greeting 1": broken, "Greeting": studio.world_poses("S9")[:, :17]}, "S11": {}}
    np.savez(tmp_path / "data_3d_h36m.npz", positions_3d=np.array(poses, dtype=object))
    assert prepare(tmp_path, "videopose3d", *_BOTH)[0] == 1
    told = capsys.readouterr().err
    assert "no number" in told and "expected (F, 32, 3)" in told and "nothing written" in told


class Malicious:
    def __reduce__(self) -> tuple:
        return print, ("run",)


def test_a_pickle_that_runs_code_is_refused(tmp_path: Path, capsys) -> None:
    np.savez(tmp_path / "data_3d_h36m.npz", positions_3d=np.array({"S9": Malicious()}, dtype=object))
    with pytest.raises(PoseFileError, match="only arrays"):
        prepare(tmp_path, "videopose3d")
    assert "run" not in capsys.readouterr().out
    assert zipfile.is_zipfile(tmp_path / "data_3d_h36m.npz")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [("</w0>", "", "not a whole"), ("[1.57", "[", "w0 holds"), ("mapping", "other", "no table of takes")],
)
def test_broken_metadata_is_refused(tmp_path: Path, old: str, new: str, message: str) -> None:
    path = studio.write_metadata(tmp_path)
    text = path.read_text()
    path.write_text(text.replace(old, new) if old != "[1.57" else text.replace(text.split("[")[1].split()[0], "", 1))
    with pytest.raises(PoseFileError, match=message):
        read_metadata(path)


def test_what_a_layout_needs_is_asked_for() -> None:
    for layout in ("originals", "videopose3d", "mmpose"):
        with pytest.raises(SystemExit):
            prepare_human36m.main([layout, "x", "--output", "y"])

from __future__ import annotations

import csv
import json
import os
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from demo_support import run
from lcrnet_d2 import demo
from lcrnet_d2.modeling.roi_heads import LCRNetROIHeads
from lcrnet_d2.outputs.pose_file import read_poses, read_poses_npz
from lcrnet_d2.placement import OrthographicCamera, PinholeCamera
from lcrnet_d2.structures import BODY13, COCO17
from model_support import CONFIG, OPTS

pytestmark = pytest.mark.usefixtures("no_log_handlers")


def test_every_input_is_listed_and_a_broken_one_stops_nothing(weights: Path, photos: Path, tmp_path: Path) -> None:
    poses = run(weights, tmp_path / "out", "--input", str(photos), str(tmp_path / "none.jpg"))
    assert [Path(i["file_name"]).name for i in poses["images"]] == ["a.jpg", "broken.jpg", "grey.png", "none.jpg"]
    a, broken, _, none = poses["images"]
    assert "broken.jpg" in broken["error"] and "no image" in none["error"]
    assert (a["width"], a["height"]) == (120, 80)
    assert sorted(p.name for p in (tmp_path / "out").glob("*.png")) == ["0000_a.png", "0002_grey.png"]
    assert poses["joint_names"] == list(BODY13.joints)
    assert poses["axes"] == "x right, y down, z away from the camera" and poses["units"]["pose_3d"] == "m"
    assert a["camera"]["kind"] == "perspective" and a["camera"]["fx"] == pytest.approx(60 / np.tan(np.radians(30)))


def test_pictures_of_an_earlier_run_are_pointed_out(
    weights: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In a folder used before, pictures of other photos would pass for those of this run."""
    out = tmp_path / "out"
    run(weights, out, "--input", str(photos / "a.jpg"))
    assert "not of this run" not in capsys.readouterr().out
    os.utime(out / "0000_a.png", (0, 0))
    os.utime(out / "poses.json", (0, 0))  # written again
    run(weights, out, "--input", str(photos / "grey.png"))
    assert "not of this run, and left there: 0000_a.png and 0 more" in capsys.readouterr().out


def test_people_are_written_as_promised(weights: Path, photos: Path, tmp_path: Path) -> None:
    people = run(weights, tmp_path / "out", "--input", str(photos / "a.jpg"))["images"][0]["people"]
    assert people
    for person in people:
        points, pose = np.array(person["keypoints_2d"]), np.array(person["pose_3d"])
        assert points.shape == (13, 2) and pose.shape == (13, 3) and len(person["in_image"]) == 13
        assert np.abs(pose[BODY13.torso].mean(0)).max() < 1e-4
        inside = ((points + 0.5 >= 0) & (points + 0.5 < [120, 80])).all(1)
        assert inside.tolist() == person["in_image"]
        assert len(person["translation"]) == 3 and "identity" not in person


def test_all_files_tell_the_same(weights: Path, photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(weights, out, "--input", str(photos), "--save", "json", "npz", "csv", "--no-pictures")
    assert sorted(p.name for p in out.iterdir()) == ["poses.csv", "poses.json", "poses.npz"]
    from_json, from_npz = read_poses(out / "poses.json"), read_poses_npz(out / "poses.npz")
    rows = list(csv.DictReader((out / "poses.csv").open()))
    assert len(rows) == 13 * sum(len(i.people) for i in from_json if i.people is not None) > 0
    for a, b in zip(from_json, from_npz, strict=True):
        assert a.file_name == b.file_name and a.error == b.error
        if a.people is not None and b.people is not None:
            np.testing.assert_allclose(a.people.in_camera(), b.people.in_camera(), atol=1e-4)


def test_a_page_of_the_pictures_and_of_a_video(weights: Path, photos: Path, clip: Path, tmp_path: Path) -> None:
    run(weights, tmp_path / "photos_out", "--input", str(photos), "--no-pictures", "--html")
    page = (tmp_path / "photos_out" / "people.html").read_text()
    assert "a.jpg" in page and "grey.png" in page and "broken.jpg" not in page
    run(weights, tmp_path / "video_out", "--video-input", str(clip), "--no-pictures", "--html", "--max-frames", "2")
    page = (tmp_path / "video_out" / "people.html").read_text()
    assert "frame 1" in page and "frame 2" not in page


def test_processes_share_a_folder_and_one_joins_what_they_found(weights: Path, photos: Path, tmp_path: Path) -> None:
    arguments = ("--input", str(photos / "a.jpg"), str(photos / "grey.png"), "--no-pictures")
    alone = run(weights, tmp_path / "alone", *arguments)
    shared = tmp_path / "shared"
    for share in ("0/2", "1/2"):
        assert not run(weights, shared, *arguments, "--shard", share)
    assert len(list(shared.glob("unfinished-*/*.pt"))) == 2
    joined = run(weights, shared, *arguments)
    assert joined == alone and not list(shared.glob("unfinished-*"))


@pytest.mark.parametrize("stopped", ["detection.write_image", "outputs.pose_export.write_pose_files"])
def test_a_stopped_run_goes_on(
    weights: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stopped: str
) -> None:
    """Stopped at the first picture, when the next has been predicted too; or while results are written."""
    arguments = ("--input", str(photos))
    alone = run(weights, tmp_path / "alone", *arguments)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(f"lcrnet_d2.{stopped}", interrupt)
        run(weights, tmp_path / "out", *arguments)
    assert list((tmp_path / "out").glob("unfinished-*/*.pt"))
    monkeypatch.setattr(LCRNetROIHeads, "forward", interrupt)  # the network must not be asked again
    assert run(weights, tmp_path / "out", *arguments) == alone


def interrupt(*arguments: object, **keywords: object) -> None:
    raise KeyboardInterrupt


def test_joints_of_another_skeleton(weights: Path, photos: Path, tmp_path: Path) -> None:
    poses = run(weights, tmp_path / "out", "--input", str(photos / "a.jpg"), "--skeleton", "coco17")
    assert poses["joint_names"] == list(COCO17.joints) and "nose" in poses["images"][0]["interpolated"]
    eye, knee = (COCO17.index(joint) for joint in ("left_eye", "left_knee"))
    person = poses["images"][0]["people"][0]
    assert person["pose_3d"][eye] == [None] * 3 and None not in person["pose_3d"][knee]


@pytest.mark.parametrize(
    ("options", "camera"),
    [
        (["--focal-length", "150"], PinholeCamera(150, 150, 60, 40)),
        (["--focal-length", "150", "160", "--principal-point", "50", "30"], PinholeCamera(150, 160, 50, 30)),
        (["--fov", "90"], PinholeCamera(60, 60, 60, 40)),  # half of 120 px at 45 degrees
    ],
)
def test_the_camera_is_the_one_asked_for(
    weights: Path, photos: Path, tmp_path: Path, options: list[str], camera: PinholeCamera
) -> None:
    run(weights, tmp_path / "out", "--input", str(photos / "a.jpg"), *options, "--no-pictures")
    (image,) = read_poses(tmp_path / "out" / "poses.json")
    assert image.people is not None and isinstance(image.people.camera, PinholeCamera)
    assert list(vars(image.people.camera).values()) == pytest.approx(list(vars(camera).values()))


def test_an_orthographic_camera_gives_no_depth(weights: Path, photos: Path, tmp_path: Path) -> None:
    run(weights, tmp_path / "out", "--input", str(photos / "a.jpg"), "--orthographic")
    (image,) = read_poses(tmp_path / "out" / "poses.json")
    assert image.people is not None and isinstance(image.people.camera, OrthographicCamera)
    assert (np.nan_to_num(image.people.translations[:, 2]) == 0).all()


def test_the_licence_of_published_weights_is_said_once(photos: Path, tmp_path: Path) -> None:
    """In a process of its own, which has the program's log handlers."""
    command = [sys.executable, "-m", "lcrnet_d2", "--config-file", "lcrnet_movenet_free", "--no-pictures"]
    command += ["--input", str(photos / "a.jpg"), "--output", str(tmp_path / "out"), "--opts", "MODEL.DEVICE", "cpu"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert printed.count("Licence: ") == 1


def test_a_video_or_webcam_that_is_not_there(weights: Path, photos: Path, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="no video at .*none.mp4"):
        run(weights, tmp_path / "out", "--video-input", str(tmp_path / "none.mp4"))
    (tmp_path / "text.mp4").write_text("no video")
    with pytest.raises(SystemExit, match="cannot read the video .*text.mp4"):
        run(weights, tmp_path / "out", "--video-input", str(tmp_path / "text.mp4"))
    with pytest.raises(SystemExit, match="no webcam number 97: is it plugged in"):
        run(weights, tmp_path / "out", "--webcam", "97")


def test_a_video_among_the_pictures_is_pointed_out(weights: Path, photos: Path, clip: Path, tmp_path: Path) -> None:
    poses = run(weights, tmp_path / "out", "--input", str(clip), str(photos / "a.jpg"), "--no-pictures")
    assert "--video-input" in poses["images"][0]["error"]


def test_zero_people(weights: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save = ["--save", "json", "npz", "csv"]
    poses = run(weights, tmp_path / "out", "--input", str(photos / "a.jpg"), *save, threshold="1e9")
    assert poses["images"][0]["people"] == [] and (tmp_path / "out" / "0000_a.png").is_file()
    assert "0 people" in (out := capsys.readouterr().out) and "--confidence-threshold" in out


def test_a_large_picture_and_a_turned_one(weights: Path, tmp_path: Path) -> None:
    Image.fromarray(np.full((2160, 3840, 3), 120, np.uint8)).save(tmp_path / "large.jpg")
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.full((60, 90, 3), 120, np.uint8)).save(tmp_path / "turned.jpg", exif=exif)
    poses = run(weights, tmp_path / "out", "--input", str(tmp_path), threshold="0")
    large, turned = poses["images"]
    assert (large["width"], large["height"]) == (3840, 2160) and large["people"]
    assert (turned["width"], turned["height"]) == (60, 90)
    assert min(cv2.imread(str(tmp_path / "out" / "0000_large.png")).shape[:2]) >= 1000


def test_a_folder_of_mixed_files(weights: Path, photos: Path, tmp_path: Path) -> None:
    """270 files of other kinds and 30 named like pictures, every third of them broken."""
    folder = tmp_path / "mixed"
    folder.mkdir()
    tiny = cv2.imencode(".png", np.full((24, 32, 3), 99, np.uint8))[1].tobytes()
    for i in range(300):
        if i % 10:
            (folder / f"{i:04d}.{('txt', 'mp4', 'JSON')[i % 3]}").write_bytes(b"other")
        else:
            (folder / f"{i:04d}.PNG").write_bytes(tiny[: 20 if i % 30 == 0 else None])
    poses = run(weights, tmp_path / "out", "--input", str(folder), "--no-pictures", threshold="1e9")
    assert len(poses["images"]) == 30
    assert [i for i, image in enumerate(poses["images"]) if "error" in image] == list(range(0, 30, 3))


def test_nothing_but_broken_pictures_is_a_failure(weights: Path, photos: Path, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="none of 1 images or frames could be read"):
        run(weights, tmp_path / "out", "--input", str(photos / "broken.jpg"))
    assert "error" in json.loads((tmp_path / "out" / "poses.json").read_text())["images"][0]


def test_what_is_in_a_folder_beside_images_is_counted(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("b.mov", "c.mov", "README", "d.HEIC", "e.jfif", ".hidden"):
        (photos / name).touch()
    (photos / "more").mkdir()
    shutil.copy(photos / "a.jpg", photos / "more" / "f.JP2")
    assert [f.name for f in demo.find_images([str(photos)])] == ["a.jpg", "broken.jpg", "d.HEIC", "e.jfif", "grey.png"]
    left_out = "2 .mov, 1 .txt, 1 without an ending, 1 folders (--recursive reads them)"
    assert f"5 images; left out: {left_out}" in capsys.readouterr().out
    assert [f.name for f in demo.find_images([str(photos)], recursive=True)][-1] == "f.JP2"


def test_an_input_that_is_not_there_leaves_nothing(weights: Path, tmp_path: Path) -> None:
    for option in ("--input", "--video-input"):
        with pytest.raises(SystemExit, match="no (images among|video at) .*none"):
            run(weights, tmp_path / "out", option, str(tmp_path / "none"))
    assert not (tmp_path / "out").exists()


def test_an_empty_folder_and_an_unwritable_output_are_said_at_once(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(SystemExit, match="no images among"):
        demo.main(["--config-file", CONFIG, "--input", str(tmp_path / "empty"), "--output", str(tmp_path / "out")])
    blocked = photos / "a.jpg" / "out"
    with pytest.raises(SystemExit, match="cannot write to --output"):
        demo.main(["--config-file", CONFIG, "--input", str(photos), "--output", str(blocked)])


def test_weights_and_configs_that_do_not_fit_are_refused(weights: Path, photos: Path, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="does not fit the config"):
        demo.main(
            ["--config-file", CONFIG, "--input", str(photos), "--output", str(tmp_path / "out")]
            + ["--opts", *OPTS, "MODEL.LCRNET.NUM_ANCHOR_POSES", "7", "MODEL.WEIGHTS", str(weights)]
        )
    with pytest.raises(SystemExit, match="no config at nowhere.yaml"):
        demo.main(["--config-file", "nowhere.yaml", "--input", str(photos), "--output", str(tmp_path / "out")])
    with pytest.raises(SystemExit, match="NO.SUCH.KEY"):
        run(weights, tmp_path / "out", "--input", str(photos), "--opts", "NO.SUCH.KEY", "1")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--input", "a.jpg", "--smooth"], "need a video or webcam"),
        (["--input", "a.jpg", "--save", "bvh"], "need a video or webcam"),
        (["--input", "a.jpg", "--webcam"], "not allowed with"),
        (["--input", "a.jpg", "--fov", "180"], "less than 180"),
        (["--input", "a.jpg", "--focal-length", "-5"], "not above 0"),
        (["--input", "a.jpg", "--focal-length", "5", "--fov", "60"], "not allowed with"),
        (["--input", "a.jpg", "--focal-length", "1", "2", "3"], "one or two numbers"),
        (["--video-input", "a.mp4", "--max-frames", "0"], "no whole number above 0"),
        (["--video-input", "a.mp4", "--max-frames", "-3"], "no whole number above 0"),
        ([], "one of the arguments --input --video-input --webcam is required"),
    ],
)
def test_options_that_contradict_are_explained(
    options: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        demo.main(["--config-file", CONFIG, "--output", str(tmp_path), *options])
    assert message in capsys.readouterr().err


def test_files_alone_are_images_or_a_video() -> None:
    photos = demo.parse_arguments(["a.jpg", "folder"])
    assert photos.input == ["a.jpg", "folder"] and photos.config_file == "lcrnet_movenet_free"
    for video in ("a.MP4", "rtsp://camera/1"):
        args = demo.parse_arguments([video, "--track"])
        assert args.input is None and args.video_input == video and args.output == Path("output")


def test_the_package_is_a_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever stands behind `lcrnet_d2` after pip install, too."""
    monkeypatch.setattr("sys.argv", ["lcrnet_d2", str(tmp_path / "none.jpg"), "--output", str(tmp_path / "out")])
    with pytest.raises(SystemExit, match=r"\Ano images among .*none\.jpg\Z"):
        runpy.run_module("lcrnet_d2", run_name="__main__")


def test_names_that_a_shell_would_expand(photos: Path) -> None:
    shutil.copy(photos / "a.jpg", photos / "b.jpg")
    names = [f.name for f in demo.find_images([str(photos / "?.jpg"), str(photos / "grey.png")])]
    assert names == ["a.jpg", "b.jpg", "grey.png"]
    (photos / "a folder").mkdir()  # is not taken for a missing image
    assert [f.name for f in demo.find_images([str(photos / "a*")])] == ["a.jpg"]

from __future__ import annotations

import json
import runpy
from pathlib import Path

import pytest

import train_net
from lcrnet_d2.data.anchor_clustering import cluster_poses
from lcrnet_d2.structures import BODY13
from tests_support import needs_lite_weights, random_poses, seen_at, write_tiny_set

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
def options(tmp_path: Path) -> list[str]:
    needs_lite_weights()
    file, name = write_tiny_set(tmp_path / "set"), f"cli_{tmp_path.name}"  # names are registered once per process
    poses = random_poses(60, 0)
    cluster_poses(seen_at(poses, 0, 0, 50), poses, BODY13, 4, True, 0).save(tmp_path / "anchors.npz")
    values = {
        "DATASETS.POSE_FILES": repr([[name, str(file), str(file.parent)]]),
        "DATASETS.TRAIN": f"('{name}',)",
        "DATASETS.TEST": f"('{name}',)",
        "TEST.LCRNET.THRESHOLD_DATASET": name,
        "MODEL.LCRNET.NUM_ANCHOR_POSES": "4",
        "MODEL.LCRNET.UPPER_BODY": "True",
        "MODEL.LCRNET.ANCHOR_POSES": str(tmp_path / "anchors.npz"),
        "MODEL.FPN.OUT_CHANNELS": "8",
        "MODEL.ROI_BOX_HEAD.FC_DIM": "8",
        "INPUT.MIN_SIZE_TRAIN": "(96,)",
        "INPUT.MIN_SIZE_TEST": "96",
        "SOLVER.IMS_PER_BATCH": "2",
        "SOLVER.MAX_ITER": "2",
        "OUTPUT_DIR": str(tmp_path / "out"),
    }
    return [text for pair in values.items() for text in pair]


CONFIG = ["--config-file", str(ROOT / "configs" / "quick_schedules" / "lcrnet_lite0_demo.yaml")]


def test_what_a_user_can_mend_is_said_in_one_line(options: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["train_net.py", *CONFIG, *options, "MODEL.DEVICE", "cuda"])
    with pytest.raises(SystemExit, match=r"there is no GPU here: add MODEL.DEVICE cpu to the command\Z"):
        runpy.run_path(train_net.__file__, run_name="__main__")


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (("NO.SUCH.KEY", "1"), "NO.SUCH.KEY 1: .*NO.SUCH.KEY"),
        (("DATASETS.TRAIN", "('mine',)"), r"DATASETS.TRAIN names \['mine'\]"),
        (("MODEL.WEIGHTS", "{folder}/none.pth"), "no weights at .*none.pth"),
        (("MODEL.WEIGHTS", "{folder}/lfs.pth"), "lfs.pth: it is a pointer of Git LFS, not the file itself"),
        (("MODEL.WEIGHTS", "{folder}/page.pth"), "page.pth: it is a web page, not the file itself"),
        (("MODEL.LCRNET.ANCHOR_POSES", "{folder}/empty.npz"), "empty.npz is not .*: the file is empty"),
    ],
)
def test_what_is_wrong_is_named_before_the_first_iteration(
    options: list[str], tmp_path: Path, option: tuple[str, str], message: str
) -> None:
    (tmp_path / "lfs.pth").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:12\nsize 9\n")
    (tmp_path / "page.pth").write_text("<!DOCTYPE html><html><body>Sign in</body></html>")
    (tmp_path / "empty.npz").touch()
    key, value = option
    arguments = train_net.parse_arguments([*CONFIG, *options, key, value.format(folder=tmp_path)])
    with pytest.raises((ValueError, OSError), match=message):
        train_net.launch_main(arguments)


def test_images_that_are_not_there_are_counted_at_the_start(options: list[str], tmp_path: Path) -> None:
    for number in (0, 3):
        next((tmp_path / "set").rglob(f"*{number}.png")).unlink()
    with pytest.raises(FileNotFoundError, match=r"2 of \d images of DATASETS.TRAIN are not there, the first is .*png"):
        train_net.launch_main(train_net.parse_arguments([*CONFIG, *options]))


def test_trains_in_two_processes_then_evaluates_and_goes_on_in_one(options: list[str], tmp_path: Path) -> None:
    train_net.launch_main(train_net.parse_arguments([*CONFIG, "--num-gpus", "2", *options]))
    assert (tmp_path / "out" / "last_checkpoint").read_text() == "model_final.pth"
    final = str(tmp_path / "out" / "model_final.pth")
    results = train_net.main(train_net.parse_arguments([*CONFIG, "--eval-only", *options, "MODEL.WEIGHTS", final]))
    assert "pose_ppi" in results and "keypoints_nms" in results
    saved = json.loads((tmp_path / "out" / "inference" / f"cli_{tmp_path.name}" / "pose_predictions.json").read_text())
    assert len(saved["images"]) == 6
    train_net.main(train_net.parse_arguments([*CONFIG, "--resume", *options, "SOLVER.MAX_ITER", "3"]))
    assert "Starting training from iteration 2" in (tmp_path / "out" / "log.txt").read_text()

from __future__ import annotations

import json
from pathlib import Path

import cv2
import demo
import numpy as np
import pytest
from detectron2.modeling import build_model

from lcrnet_d2.checkpoint import LCRNetCheckpointer
from lcrnet_d2.config import load_config
from lcrnet_d2.structures import BODY13, AnchorPoses

OPTS = ["MODEL.LCRNET.NUM_ANCHOR_POSES", "4", "MODEL.LCRNET.UPPER_BODY", "True", "MODEL.FPN.OUT_CHANNELS", "8"]
OPTS += ["MODEL.ROI_BOX_HEAD.FC_DIM", "8", "MODEL.DEVICE", "cpu"]
CONFIG = "Base-LCRNet-Lite0-FPN.yaml"


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory, anchors: AnchorPoses) -> Path:
    """An untrained model: it finds people everywhere, which is what a test of the demo wants."""
    folder = tmp_path_factory.mktemp("weights")
    model = build_model(load_config(CONFIG, OPTS))
    model.roi_heads.box_predictor.set_anchor_poses(anchors)
    LCRNetCheckpointer(model, str(folder)).save("model")
    return folder / "model.pth"


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for name, shape in {"a.jpg": (80, 120, 3), "grey.png": (90, 60)}.items():
        cv2.imwrite(str(folder / name), rng.integers(0, 255, shape, np.uint8))
    (folder / "broken.jpg").write_bytes(b"no image")
    (folder / "notes.txt").write_text("not asked for")
    return folder


def run(weights: Path, inputs: list[str], output: Path) -> dict:
    demo.main(
        ["--config-file", CONFIG, "--input", *inputs, "--output", str(output)]
        + ["--confidence-threshold", "0.5", "--opts", *OPTS, "MODEL.WEIGHTS", str(weights)]
    )
    return json.loads((output / "poses.json").read_text())


def test_every_input_is_listed_and_a_broken_one_stops_nothing(weights: Path, photos: Path, tmp_path: Path) -> None:
    poses = run(weights, [str(photos), str(tmp_path / "none.jpg")], tmp_path / "out")
    by_name = {Path(i["file_name"]).name: i for i in poses["images"]}
    assert set(by_name) == {"a.jpg", "broken.jpg", "grey.png", "none.jpg"}
    assert "broken.jpg" in by_name["broken.jpg"]["error"] and "no image" in by_name["none.jpg"]["error"]
    assert (by_name["a.jpg"]["width"], by_name["a.jpg"]["height"]) == (120, 80)
    assert len(list((tmp_path / "out").glob("*.png"))) == 2
    assert poses["joint_names"] == list(BODY13.joints)
    assert poses["axes"] == "x right, y down, z away from the camera" and poses["units"]["pose_3d"] == "m"


def test_people_are_written_as_promised(weights: Path, photos: Path, tmp_path: Path) -> None:
    people = run(weights, [str(photos / "a.jpg")], tmp_path / "out")["images"][0]["people"]
    assert people
    for person in people:
        assert set(person) >= {"score", "box", "keypoints_2d", "pose_3d", "anchor_class", "in_image"}
        points, pose = np.array(person["keypoints_2d"]), np.array(person["pose_3d"])
        assert points.shape == (13, 2) and pose.shape == (13, 3) and len(person["in_image"]) == 13
        assert np.abs(pose[BODY13.torso].mean(0)).max() < 1e-4
        inside = ((points + 0.5 >= 0) & (points + 0.5 < [120, 80])).all(1)
        assert inside.tolist() == person["in_image"]


def test_an_empty_folder_and_an_unwritable_output_are_said_at_once(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(SystemExit, match="no images among"):
        demo.main(["--config-file", CONFIG, "--input", str(tmp_path / "empty"), "--output", str(tmp_path / "out")])
    blocked = photos / "a.jpg" / "out"
    with pytest.raises(SystemExit, match="cannot write to --output"):
        demo.main(["--config-file", CONFIG, "--input", str(photos), "--output", str(blocked)])


def test_weights_of_another_model_are_refused(weights: Path, photos: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="does not fit the config"):
        demo.main(
            ["--config-file", CONFIG, "--input", str(photos), "--output", str(tmp_path / "out")]
            + ["--opts", *OPTS, "MODEL.LCRNET.NUM_ANCHOR_POSES", "7", "MODEL.WEIGHTS", str(weights)]
        )

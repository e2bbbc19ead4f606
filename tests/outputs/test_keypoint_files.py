"""Files of other programs, read back by the evaluation."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools.coco import COCO

from lcrnet_d2.evaluation.predictions import read_saved_predictions
from lcrnet_d2.outputs.keypoint_files import write_coco_results, write_openpose
from lcrnet_d2.outputs.pose_file import PosedImage
from lcrnet_d2.structures import BODY13, COCO17, OPENPOSE25
from people_support import standing_people

LIMBS = [BODY13.index(joint) for joint in BODY13.joints if joint != "head"]


def images() -> list[PosedImage]:
    one, other = standing_people(2), standing_people(1, x=150)
    return [
        PosedImage("photos/000000000139.jpg", one),
        PosedImage("photos/broken.jpg", None, "cut"),
        PosedImage("photos/b.jpg", other),
    ]


def records() -> list[dict[str, Any]]:
    names = ("/data/000000000139.jpg", "/data/b.jpg", "/data/c.jpg")
    height, width = standing_people(1).image_size
    return [{"file_name": name, "image_id": i, "width": width, "height": height} for i, name in enumerate(names)]


def test_coco_results(tmp_path: Path) -> None:
    write_coco_results(tmp_path / "coco_results.json", images()[:1])
    entries = json.loads((tmp_path / "coco_results.json").read_text())
    truth = COCO()
    truth.dataset = {"info": {}, "images": [{"id": 139}], "categories": [{"id": 1}], "annotations": []}
    truth.createIndex()
    assert len(truth.loadRes(str(tmp_path / "coco_results.json")).anns) == len(entries) == 2
    keypoints = np.reshape(entries[0]["keypoints"], (17, 3))
    people = images()[0].people
    assert people is not None and entries[0]["score"] == pytest.approx(float(people.scores[0]))
    assert (keypoints[COCO17.index("left_eye")] == 0).all() and keypoints[COCO17.index("left_hip"), 2] == 2
    hip = people.keypoints_2d[0, BODY13.index("left_hip")]
    assert keypoints[COCO17.index("left_hip"), :2] == pytest.approx(hip - 0.5, abs=1e-3)


@pytest.mark.parametrize("kind", ["coco", "openpose"])
def test_what_is_written_is_evaluated_the_same(kind: str, tmp_path: Path) -> None:
    shown = images() if kind == "openpose" else [replace(images()[0]), replace(images()[2], file_name="1.jpg")]
    there = records()
    if kind == "coco":
        there[1]["image_id"] = 1
        write_coco_results(tmp_path / "saved", shown)
    else:
        write_openpose(tmp_path / "saved", shown)
        assert sorted(p.name for p in (tmp_path / "saved").iterdir()) == [
            "000000000139_keypoints.json",
            "b_keypoints.json",
        ]
    read = read_saved_predictions(tmp_path / "saved", BODY13, there)
    assert [p.image_id for p in read] == [0, 1] and [len(p.ppi) for p in read] == [2, 1]
    for prediction, image in zip(read, (shown[0], shown[-1]), strict=True):
        assert image.people is not None and not len(prediction.nms)
        np.testing.assert_allclose(prediction.ppi.poses_2d[:, LIMBS], image.people.keypoints_2d[:, LIMBS], atol=1e-3)
        assert np.isfinite(prediction.ppi.poses_2d).all() and np.isnan(prediction.ppi.poses_3d).all()


def test_openpose_names_tell_frames_and_folders_apart(tmp_path: Path) -> None:
    people = standing_people(1)
    shown = [PosedImage("v.mp4", people, "", 7, 0.7), PosedImage("a/x.jpg", people), PosedImage("b/x.jpg", people)]
    write_openpose(tmp_path, shown)
    names = ["v_000000000007_keypoints.json", "x_2_keypoints.json", "x_keypoints.json"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    (person,) = json.loads((tmp_path / names[0]).read_text())["people"]
    joints = np.reshape(person["pose_keypoints_2d"], (25, 3))
    left, right = (joints[OPENPOSE25.index(f"{side}_hip")] for side in ("left", "right"))
    assert joints[OPENPOSE25.index("pelvis"), :2] == pytest.approx((left + right)[:2] / 2, abs=1e-3)
    assert (joints[OPENPOSE25.index("left_heel")] == 0).all()
    assert left[2] == pytest.approx(float(people.confidences[0]))


def test_what_is_neither_is_refused(tmp_path: Path) -> None:
    (tmp_path / "list.json").write_text('[{"image_id": 5, "keypoints": [], "score": 1}]')
    with pytest.raises(
        ValueError, match="list.json is not a list of COCO's results: its image_id 5 is not in the data"
    ):
        read_saved_predictions(tmp_path / "list.json", BODY13, records())
    with pytest.raises(ValueError, match="no NAME_keypoints.json of an image of the data set"):
        read_saved_predictions(tmp_path, BODY13, records())
    (tmp_path / "b_keypoints.json").write_text('{"people": [{"pose_keypoints_2d": [1, 2]}]}')
    with pytest.raises(ValueError, match=r"b_keypoints\.json is not OpenPose's JSON"):
        read_saved_predictions(tmp_path, BODY13, records())

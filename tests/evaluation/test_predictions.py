import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from lcrnet_d2.evaluation import (
    evaluate_predictions,
    load_predictions,
    predictions_from_instances,
    read_saved_predictions,
    save_predictions,
    truth_from_dict,
)
from lcrnet_d2.outputs.pose_file import PosedImage, write_poses
from lcrnet_d2.structures import BODY13, COCO17, H36M17
from people_support import standing_people


@pytest.fixture
def predictions(drawn):
    rng = np.random.default_rng(0)
    poses_2d = np.stack([drawn.pose_2d((100, 130)), drawn.pose_2d((250, 130))]) + rng.normal(0, 3, (2, 13, 2))
    poses_3d = drawn.standing() + rng.normal(0, 0.05, (2, 13, 3))
    outputs = [drawn.output(poses_2d, [1.7, 0.3], poses_3d), drawn.output([])]
    outputs[0]["instances"].pred_integrated_keypoints = torch.as_tensor((poses_2d + 2) / [400, 300]).float()
    return [predictions_from_instances(drawn.record([], i), o["instances"]) for i, o in enumerate(outputs)]


def test_saved_predictions_are_evaluated_alike(drawn, predictions, tmp_path):
    save_predictions(tmp_path / "p.json", predictions, BODY13)
    loaded = load_predictions(tmp_path / "p.json", BODY13)
    people = [drawn.person((100, 130)), drawn.person((250, 130))]
    truths = [truth_from_dict(drawn.record(people if i == 0 else [], i), 13) for i in (0, 1)]
    before, after = (evaluate_predictions(truths, p, BODY13, ppi_score_threshold=0.3) for p in (predictions, loaded))
    assert before["pose_ppi"]["mpjpe_mm"] > 10
    for task, metrics in before.items():
        assert after[task] == pytest.approx(metrics, abs=0.02, nan_ok=True)  # rounded to 0.01 mm; no limb has a depth
    np.testing.assert_array_equal(loaded[0].nms.classes, predictions[0].nms.classes)
    np.testing.assert_allclose(loaded[0].nms.boxes, predictions[0].nms.boxes, atol=1e-3)


def test_the_file_says_what_its_numbers_are(predictions, tmp_path):
    save_predictions(tmp_path / "p.json", predictions, BODY13)
    content = json.loads((tmp_path / "p.json").read_text())
    assert content["joint_names"] == list(BODY13.joints)
    assert {"version", "units", "axes", "origin"} <= content.keys()
    first = content["images"][0]
    assert (first["file_name"], first["width"], first["height"]) == ("0.jpg", 400, 300)
    np.testing.assert_allclose(first["people"][1]["keypoints_2d"], predictions[0].ppi.poses_2d[1] - 0.5, atol=1e-3)
    assert content["images"][1]["people"] == []


def test_says_why_a_file_is_refused(predictions, tmp_path):
    file = tmp_path / "p.json"
    save_predictions(file, predictions, BODY13)
    with pytest.raises(ValueError, match="those of H36M17"):
        load_predictions(file, H36M17)
    for spoilt in (
        "{",
        "[]",
        '{"version": 1}',
        json.dumps({**json.loads(file.read_text()), "version": 9}),
        json.dumps({**json.loads(file.read_text()), "images": [{"file_name": "a.jpg"}]}),
    ):
        file.write_text(spoilt)
        with pytest.raises(ValueError, match="not a file of predictions"):
            load_predictions(file, BODY13)
        save_predictions(file, predictions, BODY13)


def pose_file(path, drawn, names, error=None):
    person = replace(
        standing_people(image_size=(300, 400)),
        keypoints_2d=drawn.pose_2d((100, 100))[None].astype(np.float32),
        poses_3d=drawn.standing()[None].astype(np.float32),
    )
    images = [PosedImage(name, person) for name in names]
    write_poses(path, [*images, *([PosedImage(error, None, "no image")] if error else [])], BODY13)
    return path


def records(*names):
    return [{"file_name": name, "image_id": i, "width": 400, "height": 300} for i, name in enumerate(names)]


def test_poses_json_is_read_with_pixels_made_continuous(drawn, tmp_path):
    path = pose_file(tmp_path / "poses.json", drawn, ["b.jpg"], error="broken.jpg")
    (read,) = read_saved_predictions(path, BODY13, records("/data/a.jpg", "/data/b.jpg"))
    assert read.image_id == 1 and len(read.nms) == 0
    assert read.ppi.poses_2d[0] == pytest.approx(drawn.pose_2d((100, 100)))
    assert read.ppi.poses_3d[0] == pytest.approx(drawn.standing(), abs=1e-5)


def test_names_are_told_apart_by_as_many_parts_as_it_takes(drawn, tmp_path):
    there = records("/data/TS1/0.jpg", "/data/TS2/0.jpg")
    path = pose_file(tmp_path / "poses.json", drawn, ["elsewhere/TS2/0.jpg"])
    assert read_saved_predictions(path, BODY13, there)[0].image_id == 1
    with pytest.raises(ValueError, match="'0.jpg' is 2 images"):
        read_saved_predictions(pose_file(path, drawn, ["0.jpg"]), BODY13, there)
    with pytest.raises(ValueError, match="'c.jpg' is no image"):
        read_saved_predictions(pose_file(path, drawn, ["c.jpg"]), BODY13, there)


def test_predictions_of_a_resized_picture_are_refused(drawn, tmp_path):
    """Half as large, every joint would be wrong, and the figures would only look bad."""
    path = pose_file(tmp_path / "poses.json", drawn, ["a.jpg", "b.jpg"])
    there = records("a.jpg", "b.jpg")
    there[1] |= {"width": 200, "height": 150}
    told = r"1 of 2 images are of another size.*b.jpg is 400 x 300 px here and 200 x 150 px there"
    with pytest.raises(ValueError, match=told):
        read_saved_predictions(path, BODY13, there)


def test_other_files_are_refused_by_name(drawn, tmp_path):
    with pytest.raises(FileNotFoundError, match="no saved predictions"):
        read_saved_predictions(tmp_path / "none.json", BODY13, [])
    path = pose_file(tmp_path / "poses.json", drawn, ["a.jpg"])
    with pytest.raises(ValueError, match="COCO17"):
        read_saved_predictions(path, COCO17, records("a.jpg"))
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | {"version": 9}))
    with pytest.raises(ValueError, match="version 9"):
        read_saved_predictions(path, BODY13, records("a.jpg"))
    path.write_text("{")
    with pytest.raises(ValueError, match="is not a file of predictions"):
        read_saved_predictions(path, BODY13, [])

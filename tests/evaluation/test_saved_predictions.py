import json
from dataclasses import replace

import numpy as np
import pytest

from lcrnet_d2.evaluation import load_predictions, save_predictions
from lcrnet_d2.evaluation.people import predictions_from_instances
from lcrnet_d2.evaluation.saved_predictions import read_saved_predictions
from lcrnet_d2.outputs.pose_file import PosedImage, write_poses
from lcrnet_d2.structures import BODY13, COCO17
from people_support import standing_people


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


def test_what_evaluators_save_is_read_the_same(drawn, tmp_path):
    record = drawn.record([drawn.person()], 5)
    made = predictions_from_instances(record, drawn.output([drawn.pose_2d((100, 100))])["instances"])
    save_predictions(tmp_path / "saved.json", [made], BODY13)
    (read,) = read_saved_predictions(tmp_path / "saved.json", BODY13, [record])
    (expected,) = load_predictions(tmp_path / "saved.json", BODY13)
    assert read.image_id == 5 and np.array_equal(read.nms.poses_2d, expected.nms.poses_2d)


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

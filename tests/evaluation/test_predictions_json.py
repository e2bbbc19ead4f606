import json

import numpy as np
import pytest
import torch

from lcrnet_d2.evaluation import (
    evaluate_predictions,
    load_predictions,
    predictions_from_instances,
    save_predictions,
    truth_from_dict,
)
from lcrnet_d2.structures import BODY13, H36M17


@pytest.fixture
def predictions(drawn):
    rng = np.random.default_rng(0)
    poses_2d = np.stack([drawn.pose_2d((100, 130)), drawn.pose_2d((250, 130))]) + rng.normal(0, 3, (2, 13, 2))
    poses_3d = drawn.standing() + rng.normal(0, 0.05, (2, 13, 3))
    outputs = [drawn.output(poses_2d, [1.7, 0.3], poses_3d), drawn.output([])]
    outputs[0]["instances"].pred_integrated_keypoints = torch.as_tensor((poses_2d + 2) / [400, 300]).float()
    return [predictions_from_instances(drawn.record([], i), o["instances"]) for i, o in enumerate(outputs)]


def test_saved_predictions_are_judged_alike(drawn, predictions, tmp_path):
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

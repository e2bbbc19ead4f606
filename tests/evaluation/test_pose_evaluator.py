import copy

import numpy as np
import pytest
from detectron2.evaluation import print_csv_format
from detectron2.utils import comm

from lcrnet_d2.evaluation import PoseEvaluator, load_predictions
from lcrnet_d2.structures import BODY13


@pytest.fixture
def scenes(drawn):
    """Ten images with two people each, and what a model of middling skill finds in them."""
    rng = np.random.default_rng(0)
    records, outputs = [], []
    for i in range(10):
        centres = [(80, 120), (280, 140)] + rng.uniform(-10, 10, (2, 2))
        records.append(drawn.record([drawn.person(c) for c in centres], i))
        truth_2d = np.stack([drawn.pose_2d(c) for c in [*centres, (180, 130)]])  # and a ghost
        poses_2d = truth_2d + rng.normal(0, 8, truth_2d.shape)
        poses_3d = drawn.standing() + rng.normal(0, 0.1, (3, 13, 3))
        outputs.append(drawn.output(poses_2d, rng.random(3) * [1.5, 1.5, 1.0], poses_3d))
    return records, outputs


def run(evaluator, records, outputs, rows=range(10)):
    evaluator.reset()
    for i in rows:
        evaluator.process([records[i]], [outputs[i]])
    return evaluator


def test_results_go_through_detectron2s_table(scenes, registered, caplog):
    records, outputs = scenes
    results = run(PoseEvaluator(registered(records), BODY13), *scenes).evaluate()
    assert list(results) == ["pose_ppi", "pose_nms", "common"]
    assert results["pose_ppi"]["recall"] == 100 and results["pose_ppi"]["fp_per_image"] == 1
    with caplog.at_level("INFO", logger="detectron2.evaluation.testing"):
        print_csv_format(results)
    assert "mpjpe_rigid_mm" in caplog.text


def test_batches_and_repetition_change_nothing(scenes, registered):
    records, outputs = scenes
    evaluator = PoseEvaluator(registered(records), BODY13)
    one_by_one = run(evaluator, *scenes).evaluate()
    evaluator.reset()
    evaluator.process(records, outputs)
    assert evaluator.evaluate() == one_by_one
    assert evaluator.evaluate() == one_by_one


def test_annotations_and_outputs_are_left_alone(scenes, registered):
    records, outputs = scenes
    before = copy.deepcopy(scenes)
    run(PoseEvaluator(registered(records), BODY13), *scenes).evaluate()
    assert str(records) == str(before[0])
    for output, copied in zip(outputs, before[1], strict=True):
        for name, value in copied["instances"].get_fields().items():
            value, now = (getattr(v, "tensor", v) for v in (value, output["instances"].get(name)))
            assert value.equal(now)


def test_two_processes_give_the_same_as_one(scenes, registered, monkeypatch):
    records, outputs = scenes
    name = registered(records)
    alone = run(PoseEvaluator(name, BODY13), *scenes)
    expected, expected_thresholds = alone.evaluate(), alone.choose_thresholds(0.3)

    # The sampler gave image 5 to both.
    main, other = (run(PoseEvaluator(name, BODY13), *scenes, rows) for rows in (range(6), range(5, 10)))
    monkeypatch.setattr(comm, "synchronize", lambda: None)
    monkeypatch.setattr(comm, "gather", lambda data, dst: [data, other._predictions])
    assert main.evaluate() == expected
    assert main.choose_thresholds(0.3) == expected_thresholds

    monkeypatch.setattr(comm, "is_main_process", lambda: False)
    monkeypatch.setattr(comm, "gather", lambda data, dst: [])
    assert other.evaluate() == {}
    monkeypatch.setattr(comm, "all_gather", lambda data: [expected_thresholds, data])
    assert other.choose_thresholds(0.3) == expected_thresholds


def test_thresholds_chosen_on_validation_hold_there(scenes, registered):
    records, outputs = scenes
    name = registered(records)
    val = run(PoseEvaluator(name, BODY13), *scenes)
    with pytest.raises(RuntimeError, match="inference_on_dataset"):
        val.choose_thresholds()
    val.evaluate()
    chosen = val.choose_thresholds(max_fp_per_image=0.2)
    test = PoseEvaluator(
        name, BODY13, nms_score_threshold=chosen.nms.score, ppi_score_threshold=chosen.ppi.score, distributed=False
    )
    results = run(test, *scenes).evaluate()
    for method, threshold in (("pose_nms", chosen.nms), ("pose_ppi", chosen.ppi)):
        assert results[method]["fp_per_image"] == threshold.fp_per_image <= 0.2
        assert results[method]["recall"] == pytest.approx(100 * threshold.recall)
        assert 0 < threshold.recall < 1
    assert test.choose_thresholds(0.2) == chosen


def test_images_not_processed_count_and_are_reported(scenes, registered, caplog):
    records, outputs = scenes
    results = run(PoseEvaluator(registered(records), BODY13), *scenes, rows=range(4)).evaluate()
    assert results["pose_ppi"]["recall"] == pytest.approx(40)
    assert "6 of 10 images were not processed" in caplog.text


def test_predictions_can_be_written(scenes, registered, tmp_path):
    records, outputs = scenes
    run(PoseEvaluator(registered(records), BODY13, output_dir=tmp_path / "new"), *scenes).evaluate()
    assert len(load_predictions(tmp_path / "new" / "pose_predictions.json", BODY13)) == 10


def test_says_which_data_set_is_unknown():
    with pytest.raises(ValueError, match="'no_such_people' is not registered"):
        PoseEvaluator("no_such_people", BODY13)

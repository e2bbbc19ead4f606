import numpy as np
import pytest
import torch
from detectron2.evaluation import print_csv_format
from detectron2.utils import comm

from lcrnet_d2.evaluation import (
    PROTOCOL_NAMES,
    PoseEvaluator,
    ProtocolEvaluator,
    build_protocol,
    evaluate_predictions,
    predictions_from_instances,
    truth_from_dict,
)
from lcrnet_d2.structures import BODY13, AnchorPoses, margin_box, to_box_units

LEFT, RIGHT = (100.0, 130.0), (250.0, 130.0)


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


@pytest.fixture
def walk(drawn):
    """Five frames of Human3.6M with one person each, found 13 mm off in depth (9 of 13 joints) in all but the last."""
    records, outputs = [], []
    for i in range(5):
        marks = {"subject": "S11", "action": "Walking", "camera_serial": "55011271", "frame": 64 * i, "trial": 1}
        records.append(drawn.record([drawn.person((150, 130))], i, **marks))
        pose = drawn.standing()
        pose[[j for j in range(13) if j not in BODY13.torso], 2] += 0.013
        found = i < 4
        outputs.append(drawn.output([drawn.pose_2d((150, 130))] * found, poses_3d=[pose] * found if found else None))
    return records, outputs


def test_results_go_through_detectron2s_table_and_into_files(walk, registered, tmp_path, caplog):
    evaluator = ProtocolEvaluator(
        registered(walk[0]), BODY13, build_protocol("human36m_p1", BODY13), output_dir=tmp_path / "out"
    )
    results = run(evaluator, *walk, range(5)).evaluate()
    assert results["human36m_p1_ppi"]["mpjpe_mm"] == pytest.approx(9, abs=1e-3)
    assert results["human36m_p1_ppi"]["coverage"] == 80
    assert "coverage" in (tmp_path / "out" / "report.md").read_text()
    assert (tmp_path / "out" / "pose_predictions.json").is_file()
    with caplog.at_level("INFO", logger="detectron2.evaluation.testing"):
        print_csv_format(results)
    assert "mpjpe_mm_mean_of_actions" in caplog.text


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match="not registered"):
        ProtocolEvaluator("nowhere", BODY13, build_protocol("pck_3d", BODY13))
    with pytest.raises(ValueError, match="known are human36m"):
        build_protocol("p4", BODY13)
    with pytest.raises(ValueError, match="place"):
        build_protocol("camera_space", BODY13)
    assert {"human36m_p1", "mpii_single", "mpii_multi", "camera_space", "mpi_inf_3dhp"} <= set(PROTOCOL_NAMES)


@pytest.fixture
def evaluate(drawn):
    """Results of pairs of (annotations, model output), one per image."""

    def evaluate(*images, **options):
        records = [drawn.record(people, i) for i, (people, _) in enumerate(images)]
        truths = [truth_from_dict(record, 13) for record in records]
        outputs = [o["instances"] for _, o in images]
        predictions = [predictions_from_instances(r, o) for r, o in zip(records, outputs, strict=True)]
        return evaluate_predictions(truths, predictions, BODY13, **options)

    return evaluate


def off(pose_3d, joint, metres):
    pose_3d = pose_3d.copy()
    pose_3d[BODY13.index(joint), 0] += metres
    return pose_3d


def test_perfect_people(drawn, evaluate):
    people = [drawn.person(LEFT), drawn.person(RIGHT)]
    results = evaluate((people, drawn.output([drawn.pose_2d(RIGHT), drawn.pose_2d(LEFT)])))
    for method in ("pose_ppi", "pose_nms"):
        got = results[method]
        assert got["mpjpe_mm"] == pytest.approx(0, abs=1e-3) and got["mpjpe_rigid_mm"] == pytest.approx(0, abs=1e-3)
        assert got["recall"] == got["pck_3d_150mm"] == got["pck_2d"] == got["pck_2d_all"] == 100
        assert (got["n_images"], got["n_people"], got["n_found"], got["n_found_3d"]) == (1, 2, 2, 2)
        assert got["fp_per_image"] == 0
    assert results["common"]["n_people"] == 2


def test_nms_and_ppi_are_evaluated_apart(drawn, evaluate):
    """A wrist (not part of the body centre) 0.13 m off is 10 mm on the mean, 0.26 m is 20 mm and a wrong joint."""
    pose_2d, pose_3d = drawn.pose_2d(LEFT), drawn.standing()
    output = drawn.output(
        [pose_2d],
        poses_3d=[off(pose_3d, "left_wrist", 0.13)],
        seed_poses_2d=[pose_2d + np.eye(13)[:, :1] * 50],  # an ankle 50 px off: 52 % of the size
        seed_poses_3d=[off(pose_3d, "left_wrist", 0.26)],
    )
    results = evaluate(([drawn.person(LEFT)], output))
    assert results["pose_ppi"]["mpjpe_mm"] == pytest.approx(10, abs=1e-3)
    assert results["pose_nms"]["mpjpe_mm"] == pytest.approx(20, abs=1e-3)
    assert results["pose_ppi"]["pck_3d_150mm"] == 100
    assert results["pose_nms"]["pck_3d_150mm"] == pytest.approx(100 * 12 / 13)
    assert results["pose_ppi"]["pck_2d"] == 100
    assert results["pose_nms"]["pck_2d"] == pytest.approx(100 * 12 / 13)
    assert results["common"]["ppi_mpjpe_mm"] == results["pose_ppi"]["mpjpe_mm"]
    assert results["common"]["nms_mpjpe_mm"] == results["pose_nms"]["mpjpe_mm"]


def test_thresholds_decide_who_is_found(drawn, evaluate):
    ghost = drawn.pose_2d((330, 200))
    image = (
        [drawn.person(LEFT), drawn.person(RIGHT)],
        drawn.output([drawn.pose_2d(LEFT), drawn.pose_2d(RIGHT), ghost], scores=[0.9, 0.3, 0.5]),
    )
    low = evaluate(image)
    assert (low["pose_ppi"]["recall"], low["pose_ppi"]["fp_per_image"]) == (100, 1)
    mixed = evaluate(image, ppi_score_threshold=0.5, nms_score_threshold=0.6)
    assert (mixed["pose_ppi"]["recall"], mixed["pose_ppi"]["fp_per_image"]) == (50, 1)
    assert (mixed["pose_nms"]["recall"], mixed["pose_nms"]["fp_per_image"]) == (50, 0)
    assert (mixed["pose_nms"]["pck_2d"], mixed["pose_nms"]["pck_2d_all"]) == (100, 50)
    none = evaluate(image, nms_score_threshold=2.0)
    assert none["pose_nms"]["recall"] == none["pose_nms"]["pck_2d_all"] == none["common"]["n_people"] == 0
    assert np.isnan(none["pose_nms"]["mpjpe_mm"]) and np.isnan(none["common"]["ppi_mpjpe_mm"])


def test_common_is_who_both_find(drawn, evaluate):
    """NMS loses the person on the right: PPI's error there must not count against it."""
    pose_3d = drawn.standing()
    output = drawn.output(
        [drawn.pose_2d(LEFT), drawn.pose_2d(RIGHT)],
        poses_3d=[off(pose_3d, "left_wrist", 0.13), off(pose_3d, "left_wrist", 0.39)],
        seed_poses_2d=[drawn.pose_2d(LEFT), drawn.pose_2d((330, 220))],
    )
    results = evaluate(([], drawn.output([])), ([drawn.person(LEFT), drawn.person(RIGHT)], output))
    assert (results["pose_ppi"]["n_found"], results["pose_nms"]["n_found"], results["common"]["n_people"]) == (2, 1, 1)
    assert results["pose_ppi"]["mpjpe_mm"] == pytest.approx(20, abs=1e-3)
    assert results["common"]["ppi_mpjpe_mm"] == pytest.approx(10, abs=1e-3)
    assert results["pose_nms"]["fp_per_image"] == 0.5


def test_people_without_3d_count_in_2d_only(drawn, evaluate):
    flat = drawn.person(RIGHT)
    del flat["pose_3d"]
    poses_3d = [off(drawn.standing(), "head", 0.13), off(drawn.standing(), "head", 9.0)]
    output = drawn.output([drawn.pose_2d(LEFT), drawn.pose_2d(RIGHT)], poses_3d=poses_3d)
    got = evaluate(([drawn.person(LEFT), flat], output))["pose_ppi"]
    assert (got["n_found"], got["n_found_3d"], got["recall"]) == (2, 1, 100)
    assert got["mpjpe_mm"] == pytest.approx(10, abs=1e-3)


def test_baselines_on_the_common_people(drawn, evaluate):
    pose_3d = drawn.standing()
    anchor_2d = torch.from_numpy(drawn.pose_2d((0, 0)))[None]
    anchor_2d = to_box_units(anchor_2d, margin_box(anchor_2d)).float()  # the box of the output has no margin
    anchor_3d = torch.from_numpy(off(pose_3d, "left_wrist", 0.52))[None].float()
    anchors = AnchorPoses(anchor_2d, anchor_3d, BODY13, 1, torch.ones(1).long(), torch.zeros(1))
    image = ([drawn.person(LEFT)], drawn.output([drawn.pose_2d(LEFT)]))
    common = evaluate(image, anchors=anchors, mean_pose=off(pose_3d, "head", 0.65))["common"]
    assert common["nms_mpjpe_mm"] == pytest.approx(0, abs=1e-3)
    assert common["anchor_mpjpe_mm"] == pytest.approx(40, abs=1e-3)
    assert common["mean_pose_mpjpe_mm"] == pytest.approx(50, abs=1e-3)
    # Head and ankles are a twelfth of 150 px too far in, 12.5 where 9.5 are allowed; the shoulders, next, 9.0.
    assert common["anchor_pck_2d"] == pytest.approx(100 * 10 / 13)
    assert not any("anchor" in key or "mean_pose" in key for key in evaluate(image)["common"])


def test_says_which_images_do_not_fit(drawn):
    truths = [truth_from_dict(drawn.record([], 1), 13)]
    output = drawn.output([])["instances"]
    mine, stranger = (predictions_from_instances(drawn.record([], i), output) for i in (1, 7))
    with pytest.raises(ValueError, match="2 predictions for 1 images"):
        evaluate_predictions(truths, [mine, mine], BODY13)
    with pytest.raises(ValueError, match="image_id 7"):
        evaluate_predictions(truths, [stranger], BODY13)
    with pytest.raises(ValueError, match="data set is empty"):
        evaluate_predictions([], [], BODY13)


def test_refined_joints_are_a_method_of_their_own(drawn, evaluate):
    """PPI has every joint 9 px off, of a size of 94.9 px; refined ones 3 px. 3D is one and the same."""
    pose_2d = drawn.pose_2d(LEFT)
    output = drawn.output([pose_2d + [3, 0]])
    output["instances"].pred_integrated_keypoints = torch.as_tensor((pose_2d + [9, 0])[None] / [400, 300]).float()
    results = evaluate(([drawn.person(LEFT)], output))
    common = results["common"]
    assert common["ppi_error_2d"] == pytest.approx(100 * 9 / 94.868, rel=1e-3)
    assert common["refined_error_2d"] == pytest.approx(100 * 3 / 94.868, rel=1e-3)
    assert common["refined_mpjpe_mm"] == common["ppi_mpjpe_mm"]
    assert results["pose_refined"]["recall"] == 100
    assert "pose_refined" not in evaluate(([drawn.person(LEFT)], drawn.output([pose_2d])))

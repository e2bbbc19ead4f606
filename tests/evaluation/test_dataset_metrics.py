import numpy as np
import pytest
import torch

from lcrnet_d2.evaluation import evaluate_predictions, predictions_from_instances, truth_from_dict
from lcrnet_d2.structures import BODY13, AnchorPoses, margin_box, to_box_units

LEFT, RIGHT = (100.0, 130.0), (250.0, 130.0)


@pytest.fixture
def judge(drawn):
    """Results of pairs of (annotations, model output), one per image."""

    def judge(*images, **options):
        records = [drawn.record(people, i) for i, (people, _) in enumerate(images)]
        truths = [truth_from_dict(record, 13) for record in records]
        outputs = [o["instances"] for _, o in images]
        predictions = [predictions_from_instances(r, o) for r, o in zip(records, outputs, strict=True)]
        return evaluate_predictions(truths, predictions, BODY13, **options)

    return judge


def off(pose_3d, joint, metres):
    pose_3d = pose_3d.copy()
    pose_3d[BODY13.index(joint), 0] += metres
    return pose_3d


def test_perfect_people(drawn, judge):
    people = [drawn.person(LEFT), drawn.person(RIGHT)]
    results = judge((people, drawn.output([drawn.pose_2d(RIGHT), drawn.pose_2d(LEFT)])))
    for method in ("pose_ppi", "pose_nms"):
        got = results[method]
        assert got["mpjpe_mm"] == pytest.approx(0, abs=1e-3) and got["mpjpe_rigid_mm"] == pytest.approx(0, abs=1e-3)
        assert got["recall"] == got["pck_3d_150mm"] == got["pck_2d"] == got["pck_2d_all"] == 100
        assert (got["n_images"], got["n_people"], got["n_found"], got["n_found_3d"]) == (1, 2, 2, 2)
        assert got["fp_per_image"] == 0
    assert results["common"]["n_people"] == 2


def test_every_value_is_a_float_and_no_key_has_a_dash(drawn, judge):
    for images in ([([drawn.person(LEFT)], drawn.output([]))], [([], drawn.output([]))]):
        for metrics in judge(*images, mean_pose=drawn.standing()).values():
            assert all(type(value) is float for value in metrics.values())
            assert not any("-" in key for key in metrics)  # Detectron2's print_csv_format skips those


def test_nms_and_ppi_are_judged_apart(drawn, judge):
    """A wrist (not part of the body centre) 0.13 m off is 10 mm on the mean, 0.26 m is 20 mm and a wrong joint."""
    pose_2d, pose_3d = drawn.pose_2d(LEFT), drawn.standing()
    output = drawn.output(
        [pose_2d],
        poses_3d=[off(pose_3d, "left_wrist", 0.13)],
        seed_poses_2d=[pose_2d + np.eye(13)[:, :1] * 50],  # an ankle 50 px off: 52 % of the size
        seed_poses_3d=[off(pose_3d, "left_wrist", 0.26)],
    )
    results = judge(([drawn.person(LEFT)], output))
    assert results["pose_ppi"]["mpjpe_mm"] == pytest.approx(10, abs=1e-3)
    assert results["pose_nms"]["mpjpe_mm"] == pytest.approx(20, abs=1e-3)
    assert results["pose_ppi"]["pck_3d_150mm"] == 100
    assert results["pose_nms"]["pck_3d_150mm"] == pytest.approx(100 * 12 / 13)
    assert results["pose_ppi"]["pck_2d"] == 100
    assert results["pose_nms"]["pck_2d"] == pytest.approx(100 * 12 / 13)
    assert results["common"]["ppi_mpjpe_mm"] == results["pose_ppi"]["mpjpe_mm"]
    assert results["common"]["nms_mpjpe_mm"] == results["pose_nms"]["mpjpe_mm"]


def test_the_root_is_the_body_centre(drawn, judge):
    moved = drawn.output([drawn.pose_2d(LEFT)], poses_3d=[drawn.standing() + [1.0, -2.0, 3.0]])
    assert judge(([drawn.person(LEFT)], moved))["pose_ppi"]["mpjpe_mm"] == pytest.approx(0, abs=1e-3)


def test_thresholds_decide_who_is_found(drawn, judge):
    ghost = drawn.pose_2d((330, 200))
    image = (
        [drawn.person(LEFT), drawn.person(RIGHT)],
        drawn.output([drawn.pose_2d(LEFT), drawn.pose_2d(RIGHT), ghost], scores=[0.9, 0.3, 0.5]),
    )
    low = judge(image)
    assert (low["pose_ppi"]["recall"], low["pose_ppi"]["fp_per_image"]) == (100, 1)
    mixed = judge(image, ppi_score_threshold=0.5, nms_score_threshold=0.6)
    assert (mixed["pose_ppi"]["recall"], mixed["pose_ppi"]["fp_per_image"]) == (50, 1)
    assert (mixed["pose_nms"]["recall"], mixed["pose_nms"]["fp_per_image"]) == (50, 0)
    assert (mixed["pose_nms"]["pck_2d"], mixed["pose_nms"]["pck_2d_all"]) == (100, 50)
    none = judge(image, nms_score_threshold=2.0)
    assert none["pose_nms"]["recall"] == none["pose_nms"]["pck_2d_all"] == none["common"]["n_people"] == 0
    assert np.isnan(none["pose_nms"]["mpjpe_mm"]) and np.isnan(none["common"]["ppi_mpjpe_mm"])


def test_common_is_who_both_find(drawn, judge):
    """NMS loses the person on the right: PPI's error there must not count against it."""
    pose_3d = drawn.standing()
    output = drawn.output(
        [drawn.pose_2d(LEFT), drawn.pose_2d(RIGHT)],
        poses_3d=[off(pose_3d, "left_wrist", 0.13), off(pose_3d, "left_wrist", 0.39)],
        seed_poses_2d=[drawn.pose_2d(LEFT), drawn.pose_2d((330, 220))],
    )
    results = judge(([], drawn.output([])), ([drawn.person(LEFT), drawn.person(RIGHT)], output))
    assert (results["pose_ppi"]["n_found"], results["pose_nms"]["n_found"], results["common"]["n_people"]) == (2, 1, 1)
    assert results["pose_ppi"]["mpjpe_mm"] == pytest.approx(20, abs=1e-3)
    assert results["common"]["ppi_mpjpe_mm"] == pytest.approx(10, abs=1e-3)
    assert results["pose_nms"]["fp_per_image"] == 0.5


def test_people_without_3d_count_in_2d_only(drawn, judge):
    flat = drawn.person(RIGHT)
    del flat["pose_3d"]
    poses_3d = [off(drawn.standing(), "head", 0.13), off(drawn.standing(), "head", 9.0)]
    output = drawn.output([drawn.pose_2d(LEFT), drawn.pose_2d(RIGHT)], poses_3d=poses_3d)
    got = judge(([drawn.person(LEFT), flat], output))["pose_ppi"]
    assert (got["n_found"], got["n_found_3d"], got["recall"]) == (2, 1, 100)
    assert got["mpjpe_mm"] == pytest.approx(10, abs=1e-3)


def test_baselines_on_the_common_people(drawn, judge):
    pose_3d = drawn.standing()
    anchor_2d = torch.from_numpy(drawn.pose_2d((0, 0)))[None]
    anchor_2d = to_box_units(anchor_2d, margin_box(anchor_2d)).float()  # the box of the output has no margin
    anchor_3d = torch.from_numpy(off(pose_3d, "left_wrist", 0.52))[None].float()
    anchors = AnchorPoses(anchor_2d, anchor_3d, BODY13, 1, torch.ones(1).long(), torch.zeros(1))
    image = ([drawn.person(LEFT)], drawn.output([drawn.pose_2d(LEFT)]))
    common = judge(image, anchors=anchors, mean_pose=off(pose_3d, "head", 0.65))["common"]
    assert common["nms_mpjpe_mm"] == pytest.approx(0, abs=1e-3)
    assert common["anchor_mpjpe_mm"] == pytest.approx(40, abs=1e-3)
    assert common["mean_pose_mpjpe_mm"] == pytest.approx(50, abs=1e-3)
    # Head and ankles are a twelfth of 150 px too far in, 12.5 where 9.5 are allowed; the shoulders, next, 9.0.
    assert common["anchor_pck_2d"] == pytest.approx(100 * 10 / 13)
    assert not any("anchor" in key or "mean_pose" in key for key in judge(image)["common"])


def test_the_order_of_people_and_images_changes_nothing(drawn):
    rng = np.random.default_rng(0)
    records, predictions, shuffled_records, shuffled_predictions = [], [], [], []
    for i in range(8):
        centres = rng.uniform([60, 80], [340, 220], size=(3, 2))
        people = [drawn.person(c) for c in centres]
        poses_2d = np.stack([drawn.pose_2d(c) for c in centres]) + rng.normal(0, 12, (3, 13, 2))
        poses_3d = drawn.standing() + rng.normal(0, 0.1, (3, 13, 3))
        scores = rng.random(3)
        for order, into_records, into_predictions in (
            (np.arange(3), records, predictions),
            (rng.permutation(3), shuffled_records, shuffled_predictions),
        ):
            record = drawn.record([people[k] for k in order], i)
            order = order[::-1].copy()
            output = drawn.output(poses_2d[order], scores[order], poses_3d[order])
            into_records.append(truth_from_dict(record, 13))
            into_predictions.append(predictions_from_instances(record, output["instances"]))
    options = {"nms_score_threshold": 0.3, "ppi_score_threshold": 0.3}
    straight = evaluate_predictions(records, predictions, BODY13, **options)
    assert 5 < straight["common"]["n_people"] < 24
    shuffled = evaluate_predictions(shuffled_records[::-1], shuffled_predictions, BODY13, **options)
    for task, metrics in straight.items():
        assert shuffled[task] == pytest.approx(metrics, nan_ok=True)


def test_images_without_predictions_have_no_detections(drawn):
    truths = [truth_from_dict(drawn.record([drawn.person(LEFT)], i), 13) for i in (1, 2)]
    output = drawn.output([drawn.pose_2d(LEFT)])["instances"]
    results = evaluate_predictions(truths, [predictions_from_instances(drawn.record([], 2), output)], BODY13)
    assert results["pose_ppi"]["recall"] == 50


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


def test_refined_joints_are_a_method_of_their_own(drawn, judge):
    """PPI has every joint 9 px off, of a size of 94.9 px; refined ones 3 px. 3D is one and the same."""
    pose_2d = drawn.pose_2d(LEFT)
    output = drawn.output([pose_2d + [3, 0]])
    output["instances"].pred_integrated_keypoints = torch.as_tensor((pose_2d + [9, 0])[None] / [400, 300]).float()
    results = judge(([drawn.person(LEFT)], output))
    common = results["common"]
    assert common["ppi_error_2d"] == pytest.approx(100 * 9 / 94.868, rel=1e-3)
    assert common["refined_error_2d"] == pytest.approx(100 * 3 / 94.868, rel=1e-3)
    assert common["refined_mpjpe_mm"] == common["ppi_mpjpe_mm"]
    assert results["pose_refined"]["recall"] == 100
    assert "pose_refined" not in judge(([drawn.person(LEFT)], drawn.output([pose_2d])))

import numpy as np
import pytest

from lcrnet_d2.evaluation.camera_space import camera_space_errors, report_3d_sets, report_camera_space
from lcrnet_d2.evaluation.people import ImagePredictions, PredictedPeople
from lcrnet_d2.structures import BODY13

CAMERA = {"fx": 400.0, "fy": 400.0, "cx": 200.0, "cy": 150.0}


def predicted(image_id, poses_2d, poses_3d) -> ImagePredictions:
    n = len(poses_2d)
    people = PredictedPeople.without_seeds(
        np.ones(n), np.reshape(poses_2d, (n, 13, 2)).astype(float), np.reshape(poses_3d, (n, 13, 3)).astype(float)
    )
    return ImagePredictions(image_id, f"{image_id}.jpg", 400, 300, people, people)


def test_errors_by_hand():
    """100 mm to the side and 120 mm away: roots and joints are 156 mm off; 90 and 120 make 150, not under it."""
    pose = np.random.default_rng(0).normal(0, 0.3, (3, 13, 3))
    true = np.array([[0.0, 0, 4]] * 3)
    moved = true + [[0.1, 0, 0.12], [0.09, 0, 0.1199], [0, 0, 0]]
    errors = camera_space_errors(pose, moved, pose, true)
    assert errors.root_mm == pytest.approx([156.2, 149.9, 0], abs=0.1)
    assert errors.root_xyz_mm[0] == pytest.approx([100, 0, 120])
    assert errors.pck_abs.tolist() == [0, 1, 1]


def test_report_of_found_and_missed_people(drawn):
    """Two people 4 m away, one is found and placed 50 mm too far; the third has no root position."""
    people = [drawn.person((100, 100), root_position=[-1.0, 0, 4]), drawn.person((300, 100), root_position=[1.0, 0, 4])]
    record = drawn.record([*people, drawn.person((200, 200))], camera=CAMERA)
    detected = predicted(1, [drawn.pose_2d((100, 100)), drawn.pose_2d((200, 200))], [drawn.standing()] * 2)

    def place(poses_2d, poses_3d, camera):
        assert camera == CAMERA and poses_2d.shape == (1, 13, 2)  # the third is not asked for
        return np.array([[-1.0, 0, 4.05]])

    report = report_camera_space([record, drawn.record([], 2)], [detected, predicted(2, [], [])], BODY13, place)
    metrics = report.metrics["camera_space_ppi"]
    assert (metrics["n_people"], metrics["n_found"]) == (2, 1)
    assert metrics["mrpe_mm"] == pytest.approx(50) and metrics["mrpe_z_mm"] == pytest.approx(50)
    assert (metrics["pck_abs_150mm"], metrics["pck_abs_150mm_all"]) == (100, 50)
    with pytest.raises(ValueError, match="root_position"):
        report_camera_space([drawn.record([drawn.person()])], [detected], BODY13, place)


def test_one_who_cannot_be_placed_does_not_spoil_the_mean_of_the_others(drawn):
    people = [drawn.person((100, 100), root_position=[-1.0, 0, 4]), drawn.person((300, 100), root_position=[1.0, 0, 4])]
    found = predicted(1, [drawn.pose_2d((100, 100)), drawn.pose_2d((300, 100))], [drawn.standing()] * 2)

    def place(poses_2d, poses_3d, camera):
        return np.array([[-1.0, 0, 4.05], [np.nan] * 3])

    report = report_camera_space([drawn.record(people, camera=CAMERA)], [found], BODY13, place)
    metrics = report.metrics["camera_space_nms"]
    assert (metrics["n_placed"], metrics["n_found"]) == (1, 2) and "| 1 / 2 / 2 |" in report.markdown
    assert metrics["mrpe_mm"] == pytest.approx(50) and metrics["mrpe_x_mm"] == pytest.approx(0)
    assert metrics["pck_abs_150mm"] == 50


def test_pck_counts_the_missed_and_says_how_many(drawn):
    record = drawn.record([drawn.person((100, 100)), drawn.person((300, 100))])
    detected = predicted(1, [drawn.pose_2d((100, 100))], [drawn.standing() + 2])
    report = report_3d_sets([record], [detected], BODY13)
    metrics = report.metrics["pck_3d_nms"]
    assert (metrics["pck_3d_150mm"], metrics["pck_3d_150mm_all"]) == (100, 50)
    assert metrics["auc_3d"] == pytest.approx(100 * 30 / 31)
    assert "1 / 2" in report.markdown and "95 % interval" in report.markdown


def test_sets_that_do_not_know_what_is_seen(drawn):
    """Joints that are all measured but perhaps hidden (v = 1) count where nothing need be seen."""
    record, detected = drawn.record([drawn.person(v=1)]), predicted(1, [drawn.pose_2d((100, 100))], [drawn.standing()])
    with pytest.raises(ValueError, match="4 joints seen"):
        report_3d_sets([record], [detected], BODY13)
    assert report_3d_sets([record], [detected], BODY13, min_joints_seen=0).metrics["pck_3d_ppi"]["n_found"] == 1


def test_the_root_matters(drawn):
    """Shoulders 200 mm too far away: to the pelvis only they are off, by 200 mm; to the centre, all by half."""
    pose = drawn.standing()
    pose[BODY13.indices(["right_shoulder", "left_shoulder"]), 2] += 0.2
    detected = predicted(1, [drawn.pose_2d((100, 100))], [pose])
    record = drawn.record([drawn.person((100, 100))])
    by_root = {root: report_3d_sets([record], [detected], BODY13, root=root) for root in ("pelvis", "body_centre")}
    shares = {root: report.metrics["pck_3d_ppi"]["pck_3d_150mm"] for root, report in by_root.items()}
    assert shares["pelvis"] == pytest.approx(100 * 11 / 13) and shares["body_centre"] == 100
    with pytest.raises(ValueError, match="unknown root"):
        report_3d_sets([record], [detected], BODY13, root="neck")

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lcrnet_d2.evaluation.human36m import (
    ACTIONS,
    CAMERAS,
    PROTOCOLS,
    human36m_errors,
    report_human36m,
    select_images,
    summarize_errors,
)
from lcrnet_d2.evaluation.people import ImagePredictions, PredictedPeople
from lcrnet_d2.structures import BODY13

J = len(BODY13)
SPREAD = np.random.default_rng(5).normal(0, 0.3, (J, 3))


def record(number, action="Walking", subject="S11", camera=CAMERAS[1], frame=0, trial=1, pose=SPREAD):
    keypoints = np.concatenate([500 + 300 * pose[:, :2], np.full((len(pose), 1), 2.0)], 1)
    return {
        "file_name": f"{number}.jpg",
        "image_id": number,
        "width": 1000,
        "height": 1000,
        "subject": subject,
        "action": action,
        "trial": trial,
        "camera_serial": camera,
        "frame": frame,
        "annotations": [{"keypoints": keypoints.ravel().tolist(), "pose_3d": pose - pose[[10, 11, 4, 5]].mean(0)}],
    }


def prediction(of, poses_3d, scores=(1.0,), shift_px=0.0):
    """Detections with the given 3D poses, and the true 2D pose moved to the right."""
    n = len(poses_3d)
    true_2d = np.reshape(of["annotations"][0]["keypoints"], (-1, 3))[:, :2]
    poses_2d = np.tile(true_2d + [shift_px, 0], (n, 1, 1))
    people = PredictedPeople.without_seeds(
        np.array(scores[:n], float), poses_2d, np.reshape(poses_3d, (n, len(true_2d), 3))
    )
    return ImagePredictions(of["image_id"], of["file_name"], 1000, 1000, people, people)


def moved(pose, millimetres):
    """Every joint but the torso moved in depth: the body centre stays, so 9 of 13 joints are off by so much."""
    off = np.zeros((J, 3))
    off[[j for j in range(J) if j not in BODY13.torso], 2] = millimetres / 1000
    return pose + off


def test_means_over_poses_and_over_actions_differ():
    """Three images of walking with 26 mm on 9 of 13 joints (18 mm), one of sitting with 52 (36 mm)."""
    records = [record(i, frame=64 * i) for i in range(3)] + [record(3, "Sitting", frame=192)]
    predictions = [prediction(r, [moved(SPREAD, 26 if r["action"] == "Walking" else 52)], shift_px=2) for r in records]
    results = summarize_errors(human36m_errors(records, predictions, BODY13, "ppi"))
    assert results["mpjpe_mm"] == pytest.approx((3 * 18 + 36) / 4)
    assert results["mpjpe_mm_mean_of_actions"] == pytest.approx((18 + 36) / 2)
    assert results["mpjpe_mm_Sitting"] == pytest.approx(36)
    assert results["error_2d_px"] == pytest.approx(2)
    assert np.isnan(results["mpjpe_mm_mean_of_6_actions"])


def test_the_top_scored_detection_counts_though_another_is_perfect():
    scene = record(0)
    seen = prediction(scene, [SPREAD, moved(SPREAD, 13)], scores=(0.4, 0.6))
    assert human36m_errors([scene], [seen], BODY13, "ppi").absolute_mm == pytest.approx(9)


def test_alignment_forgives_a_turn_and_the_root_a_shift():
    turn = np.array([[0, 0, 1], [0, 1, 0], [-1, 0, 0]])
    scene = record(0)
    errors = human36m_errors([scene], [prediction(scene, [SPREAD @ turn + 3])], BODY13, "ppi")
    assert errors.rigid_mm == pytest.approx(0, abs=1e-9) and errors.absolute_mm > 100
    shifted = human36m_errors([scene], [prediction(scene, [SPREAD + 3])], BODY13, "ppi")
    assert shifted.absolute_mm == pytest.approx(0, abs=1e-9)


def test_protocols_select_by_serial_frame_trial_and_subject():
    records = [
        record(0, frame=64),
        record(1, frame=65),
        record(2, frame=320, camera=CAMERAS[2]),
        record(3, frame=320, camera=CAMERAS[3], subject=9),
        record(4, frame=320, camera=CAMERAS[3], trial=2),
        record(5, frame=320, subject="S7"),
    ]
    rows = {name: [select_images(records, p)[0].tolist() for p in protocols] for name, protocols in PROTOCOLS.items()}
    assert rows == {"P1": [[0]], "P2": [[1, 2, 3, 4]], "P3": [[2], [3]]}


def test_p1_on_every_fifth_frame_is_told_apart():
    records = [record(i, frame=5 * i) for i in range(200)]
    predictions = [prediction(r, [SPREAD]) for r in records]
    assert (
        "but the images present are 320 frames apart" in report_human36m(records, predictions, BODY13, ("P1",)).markdown
    )


def test_the_report_prints_protocols_serials_coverage_and_the_paper():
    records = [record(i, action, frame=320 * i, camera=CAMERAS[2]) for i, action in enumerate(ACTIONS)]
    predictions = [prediction(r, [moved(SPREAD, 13)] if i else []) for i, r in enumerate(records)]
    report = report_human36m(records, predictions, BODY13)
    assert list(report.metrics) == [f"human36m_{p}_{m}" for p in ("p2", "p3_58860488") for m in ("nms", "ppi")]
    for text in ("Align. P3 (58860488)", "Align. P3 (60457274)", "87.7", "root: body centre", "(14 / 15)", "13 joints"):
        assert text in report.markdown
    assert "9.0 [9.0, 9.0] (14 / 15)" in report.markdown
    # Table 3 of P2 and PPI: nobody is found in the first action, which is none of the six
    rows = {
        line.split(" (")[0]: line for line in report.markdown.split("## P2")[1].split("## P3")[0].splitlines()[::-1]
    }
    assert rows["| mean over 15 actions | nan | nan | 93.3 | 93.3 | 87.7 |"]
    assert rows["| mean over 6 actions"].endswith("| 9.0 | 9.0 | 100.0 | 100.0 | 83.0 |")
    assert report.metrics["human36m_p2_ppi"]["coverage_of_6_actions"] == 100


def test_refined_poses_have_their_rows_in_every_table():
    """13 mm on 9 of 13 joints. The second image has no predictions, so it is not known to have heat maps."""
    scene, unseen = record(0, frame=320), record(1, frame=640)
    of_ppi, refined = (prediction(scene, [moved(SPREAD, mm)]) for mm in (26, 13))
    of_both = [dataclasses.replace(of_ppi, refined=refined.ppi), prediction(unseen, [])]
    report = report_human36m([scene, unseen], of_both, BODY13, ("P2",)).markdown
    assert "| this model + PPI + heat maps | 9.0 [9.0, 9.0] (1 / 2) |" in report
    assert "paper: LCR-Net + PPI + heat maps" not in report and "REFINED" not in report
    # Table 2, the heads of both tables of actions, the 2D error and depth.
    assert sum("PPI + heat maps" in line for line in report.splitlines()) == 5


def test_other_data_is_refused():
    with pytest.raises(ValueError, match="is this a Human3.6M data set"):
        select_images([{"file_name": "a.jpg"}], PROTOCOLS["P1"][0])
    scene = record(0)
    with pytest.raises(ValueError, match="2 people with a 3D pose"):
        human36m_errors([{**scene, "annotations": scene["annotations"] * 2}], [prediction(scene, [])], BODY13, "ppi")
    with pytest.raises(ValueError, match="none of the 1 images"):
        report_human36m([record(0, subject="S1")], [prediction(scene, [SPREAD])], BODY13)


@settings(max_examples=25)
@given(st.integers(0, 2**32 - 1), st.permutations(range(6)))
def test_the_order_of_images_changes_nothing_and_perfection_is_zero(seed, order):
    rng = np.random.default_rng(seed)
    records = [record(i, ACTIONS[i % 3], pose=rng.normal(0, 0.3, (J, 3))) for i in range(6)]
    truth = [r["annotations"][0]["pose_3d"] for r in records]
    predictions = [prediction(r, [t + rng.normal(0, 0.1, (J, 3))]) for r, t in zip(records, truth, strict=True)]
    straight = summarize_errors(human36m_errors(records, predictions, BODY13, "ppi"))
    permuted = human36m_errors([records[i] for i in order], [predictions[i] for i in order], BODY13, "ppi")
    assert summarize_errors(permuted) == pytest.approx(straight, nan_ok=True)
    perfect = [prediction(r, [t]) for r, t in zip(records, truth, strict=True)]
    results = summarize_errors(human36m_errors(records, perfect, BODY13, "ppi"))
    assert results["mpjpe_mm"] == pytest.approx(0, abs=1e-9)
    assert results["mpjpe_rigid_mm"] == pytest.approx(0, abs=1e-6)

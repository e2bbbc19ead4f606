import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.io import savemat

from lcrnet_d2.evaluation.mupots import (
    MuPoTSFrame,
    match_greedily,
    read_mupots,
    report_mupots,
    sequence_errors,
    summarize_sequences,
    to_mupots17,
)
from lcrnet_d2.evaluation.people import ImagePredictions, PredictedPeople
from lcrnet_d2.structures import BODY13, MUPOTS17

PELVIS = MUPOTS17.index("pelvis")
WRIST = MUPOTS17.index("right_wrist")


@pytest.fixture
def body(drawn):
    """(17, 3) m: the drawn person with MuPoTS's joints."""
    return to_mupots17(drawn.standing()[None], BODY13)[0]


def people(poses_2d, poses_3d) -> PredictedPeople:
    n = len(poses_2d)
    return PredictedPeople.without_seeds(np.ones(n), np.reshape(poses_2d, (n, 17, 2)), np.reshape(poses_3d, (n, 17, 3)))


def frame(bodies, xs, sequence="TS1", number=0) -> MuPoTSFrame:
    bodies = np.reshape(bodies, (len(bodies), 17, 3))
    pixels = np.array([100 * b[:, :2] + [x, 300] for b, x in zip(bodies, xs, strict=True)]).reshape(-1, 17, 2)
    return MuPoTSFrame(sequence, f"{sequence}/img_{number:06d}.jpg", pixels, bodies + [0, 0, 4])


def test_perfect_people_score_100_and_a_missing_one_costs_all_but_not_matched(body):
    scene = frame([body, body], [100, 500])
    row = summarize_sequences(sequence_errors([scene], [people(scene.poses_2d[:1], body[None])], MUPOTS17))["TS1"]
    assert (row["pck_all"], row["pck_matched"], row["n_people"], row["n_matched"]) == (50, 100, 2, 1)
    assert row["auc_matched"] == pytest.approx(100 * 30 / 31)  # no error is under 0 mm


def test_sequences_are_averaged_whatever_their_length(body):
    scenes = [frame([body], [100], "TS1", i) for i in range(3)] + [frame([body], [100], "TS2")]
    detected = [people(s.poses_2d, body[None]) for s in scenes[:3]] + [people([], [])]
    rows = summarize_sequences(sequence_errors(scenes, detected, MUPOTS17))
    assert (rows["TS1"]["pck_all"], rows["TS2"]["pck_all"], rows["mean"]["pck_all"]) == (100, 0, 50)
    assert rows["mean"]["pck_matched"] == 100 and np.isnan(rows["TS2"]["pck_matched"])
    assert rows["mean"]["n_people"] == 4


def test_matching_is_greedy_in_the_order_of_the_annotations():
    true = np.zeros((2, 17, 2))
    true[1] += 30
    pred = np.full((1, 17, 2), 31.0)
    assert match_greedily(true, pred).tolist() == [0, -1]  # the first takes it though the second is nearer
    assert match_greedily(true, pred + 9).tolist() == [-1, 0]  # 40 px is no longer under 40
    assert match_greedily(true, pred[:0]).tolist() == [-1, -1]
    assert match_greedily(true[:0], pred).tolist() == []


# Parents of joints 0 to 16 as the benchmark counts them (from 1), and its order of bones.
_PARENTS = [2, 16, 2, 3, 4, 2, 6, 7, 15, 9, 10, 15, 12, 13, 15, 15, 2]
_ORDER = [16, 2, 1, 17, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14]


def slow_percentages(frames, detected) -> tuple[float, float, float]:
    """3DPCK all and matched and AUC of all of one sequence, joint by joint."""
    errors = []  # one list per person, None where not matched
    for scene, guesses in zip(frames, detected, strict=True):
        free = set(range(len(guesses)))
        for truth_2d, truth_3d in zip(scene.poses_2d, scene.poses_3d, strict=True):
            near = {
                g: sum(max(abs(guesses.poses_2d[g, j] - truth_2d[j])) < 40 for j in range(1, 14)) for g in sorted(free)
            }
            best = max(near, key=lambda g: near[g], default=None)
            if best is None or near[best] == 0:
                errors.append(None)
                continue
            free.remove(best)
            guess = guesses.poses_3d[best] - guesses.poses_3d[best][14]
            truth = truth_3d - truth_3d[14]
            resized = {15: guess[14]}
            for joint in _ORDER:
                parent = _PARENTS[joint - 1]
                bone = guess[joint - 1] - guess[parent - 1]
                length = np.linalg.norm(truth[joint - 1] - truth[parent - 1])
                resized[joint] = resized[parent] + bone * length / np.linalg.norm(bone)
            errors.append([1000 * np.linalg.norm(resized[j] - truth[j - 1]) for j in range(1, 15)])
    everyone = [e for person in errors for e in (person or [1e9] * 14)]
    matched = [e for person in errors for e in person or []]
    auc = np.mean([[e < t for e in everyone] for t in range(0, 151, 5)])
    return 100 * np.mean([e < 150 for e in everyone]), 100 * np.mean([e < 150 for e in matched]), 100 * auc


@settings(max_examples=15)
@given(st.integers(0, 2**32 - 1))
def test_percentages_are_those_of_the_slow_twin(seed):
    rng = np.random.default_rng(seed)
    bodies = rng.normal(0, 0.3, (4, 2, 17, 3))
    scenes = [frame(pair, [100, 140], number=i) for i, pair in enumerate(bodies)]
    order = rng.permutation(3)
    detected = [
        people(
            np.concatenate([s.poses_2d + rng.normal(0, 25, s.poses_2d.shape), s.poses_2d[:1] + 30])[order],
            np.concatenate([s.poses_3d + rng.normal(0, 0.08, s.poses_3d.shape), s.poses_3d[:1] + 1])[order],
        )
        for s in scenes
    ]
    row = summarize_sequences(sequence_errors(scenes, detected, MUPOTS17))["TS1"]
    expected = slow_percentages(scenes, detected)
    assert [row["pck_all"], row["pck_matched"], row["auc_all"]] == pytest.approx(expected)


def annotation(body, valid=1):
    return {
        "annot2": (100 * body[:, :2] + [100, 300] - 0.5).T,
        "annot3": 2000 * body.T,
        "univ_annot3": 1000 * body.T,
        "isValidFrame": np.array([[valid]]),
    }


def test_annot_mat_is_read(tmp_path, body):
    cells = np.empty((2, 2), dtype=object)  # frames x people
    cells[0] = [annotation(body), annotation(body, valid=0)]
    cells[1] = [annotation(body), annotation(body + 1)]
    for name in ("TS10", "TS2"):
        (tmp_path / name).mkdir()
        savemat(tmp_path / name / "annot.mat", {"annotations": cells})
    frames = read_mupots(tmp_path)
    assert [f.file_name for f in frames] == [f"{s}/img_00000{i}.jpg" for s in ("TS2", "TS10") for i in range(2)]
    assert [len(f.poses_2d) for f in frames] == [1, 2, 1, 2]
    assert frames[1].poses_3d[0] == pytest.approx(body)
    assert frames[0].poses_2d[0] == pytest.approx(100 * body[:, :2] + [100, 300])


def test_json_is_read(tmp_path, body):
    people = [
        {
            "image_id": 7,
            "is_valid": valid,
            "keypoints_img": (100 * body[:, :2] + [100, 300] - 0.5).tolist(),
            "keypoints_cam": (1000 * body).tolist(),
        }
        for valid in (1, 0)
    ]
    file = tmp_path / "MuPoTS-3D.json"
    file.write_text(json.dumps({"images": [{"id": 7, "file_name": "TS1/img_000000.jpg"}], "annotations": people}))
    (only,) = read_mupots(file)
    assert (only.sequence, len(only.poses_2d)) == ("TS1", 1)
    assert only.poses_3d[0] == pytest.approx(body)
    file.write_text("{}")
    with pytest.raises(ValueError, match="is not a MuPoTS-3D.json"):
        read_mupots(file)
    with pytest.raises(FileNotFoundError, match="no TS"):
        read_mupots(tmp_path / "nothing")


def test_report(body, drawn):
    scene = frame([body], [100])
    detected = people(scene.poses_2d, body[None])
    report = report_mupots([scene], [ImagePredictions("a", scene.file_name, 0, 0, detected, detected)], MUPOTS17)
    assert report.metrics["mupots_ppi"]["pck_all"] == 100 == report.metrics["mupots_nms"]["pck_all_TS1"]
    assert "False positives cost nothing" in report.markdown


def test_depth_is_of_the_people_matched_at_the_size_predicted(body):
    """One of two is found, mirrored in depth and at half its size."""
    scene = frame([body, body], [100, 500])
    detected = people(scene.poses_2d[:1], 0.5 * body[None] * [1, 1, -1])
    report = report_mupots([scene], [ImagePredictions("a", scene.file_name, 0, 0, detected, detected)], MUPOTS17)
    metrics = report.metrics["mupots_ppi"]
    assert metrics["length_ratio_thigh"] == pytest.approx(0.5)
    assert metrics["depth_sign"] < 50 and "r of depth" in report.markdown


def test_thirteen_joints_become_seventeen(drawn):
    pose = drawn.standing()
    converted = to_mupots17(pose[None], BODY13)[0]
    named = dict(zip(MUPOTS17.joints, converted, strict=True))
    assert named["pelvis"] == pytest.approx([0, 0.25, 0]) and named["neck"] == pytest.approx([0, -0.25, 0])
    assert named["right_wrist"] == pytest.approx(pose[BODY13.index("right_wrist")])
    assert named["head"] == pytest.approx(named["head_top"])
    assert to_mupots17(converted[None], MUPOTS17)[0] == pytest.approx(converted)

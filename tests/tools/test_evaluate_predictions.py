from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from detectron2.structures import BoxMode

import evaluate_predictions
from lcrnet_d2.data.datasets.pose_json import write_pose_json
from lcrnet_d2.detected_people import DetectedPeople
from lcrnet_d2.evaluation import ImagePredictions, PredictedPeople, save_predictions
from lcrnet_d2.evaluation.mupots import to_mupots17
from lcrnet_d2.outputs.pose_file import PosedImage, write_poses
from lcrnet_d2.structures import BODY13
from people_support import standing_people

CAMERA = {"fx": 500.0, "fy": 500.0, "cx": 200.0, "cy": 150.0}
DISTANCE = np.array([0.0, 0.0, 4.0])


@pytest.fixture
def poses_3d() -> np.ndarray:
    """(3, 13, 3) m: three people, body-centred, one per image."""
    poses = np.random.default_rng(0).normal(0, 0.25, (3, 13, 3))
    return poses - poses[:, BODY13.torso].mean(1, keepdims=True)


@pytest.fixture
def poses_2d(poses_3d: np.ndarray) -> np.ndarray:
    """(3, 13, 2) px: seen from 4 m away."""
    points = poses_3d + DISTANCE
    return 500 * points[..., :2] / points[..., 2:] + [200, 150]


@pytest.fixture
def pose_file(tmp_path: Path, poses_2d: np.ndarray, poses_3d: np.ndarray) -> Path:
    records = []
    for number, (pose_2d, pose_3d) in enumerate(zip(poses_2d, poses_3d, strict=True)):
        person = {
            "bbox": [*pose_2d.min(0).tolist(), *pose_2d.max(0).tolist()],
            "bbox_mode": BoxMode.XYXY_ABS,
            "keypoints": np.column_stack([pose_2d, np.full(13, 2)]).ravel().tolist(),
            "pose_3d": pose_3d,
            "pose_3d_source": "measured",
            "root_position": DISTANCE,
        }
        records.append({"file_name": f"{number}.jpg", "image_id": number, "height": 300, "width": 400})
        records[-1] |= {"camera": CAMERA, "annotations": [person]}
    write_pose_json(tmp_path / "truth.json", records, BODY13)
    return tmp_path / "truth.json"


@pytest.fixture
def saved(tmp_path: Path, poses_2d: np.ndarray, poses_3d: np.ndarray) -> Path:
    """NMS finds everyone exactly, PPI only the first two."""
    predictions = []
    for number in range(3):
        one = slice(number, number + 1)
        exact = PredictedPeople.without_seeds(np.ones(1), poses_2d[one], poses_3d[one])
        ppi = exact[np.array([number < 2])]
        predictions.append(ImagePredictions(number, f"{number}.jpg", 400, 300, ppi, exact))
    save_predictions(tmp_path / "saved.json", predictions, BODY13)
    return tmp_path / "saved.json"


def one_person(pose_2d: np.ndarray, pose_3d: np.ndarray) -> DetectedPeople:
    one = standing_people(image_size=(300, 400))
    return replace(one, keypoints_2d=pose_2d[None].astype(np.float32), poses_3d=pose_3d[None].astype(np.float32))


def run(tmp_path: Path, *arguments: str | Path) -> dict:
    evaluate_predictions.main([*map(str, arguments), "--output", str(tmp_path / "out")])
    assert (tmp_path / "out" / "report.md").read_text().startswith("# ")
    return json.loads((tmp_path / "out" / "metrics.json").read_text())


def test_saved_predictions_against_a_pose_file(tmp_path: Path, pose_file: Path, saved: Path) -> None:
    metrics = run(tmp_path, "--protocol", "pck_3d", "--pose-file", pose_file, "--predictions", saved)
    assert metrics["pck_3d_nms"]["pck_3d_150mm_all"] == 100
    assert metrics["pck_3d_ppi"]["pck_3d_150mm_all"] == pytest.approx(200 / 3)


def test_camera_space_comes_from_placing_the_2d_pose(tmp_path: Path, pose_file: Path, saved: Path) -> None:
    metrics = run(tmp_path, "--protocol", "camera_space", "--pose-file", pose_file, "--predictions", saved)
    assert metrics["camera_space_nms"]["mrpe_mm"] < 1  # the file's digits
    assert metrics["camera_space_nms"]["pck_abs_150mm_all"] == 100


def test_cocos_ap_of_saved_predictions(tmp_path: Path, pose_file: Path, saved: Path) -> None:
    """PPI finds two of three exactly: recall is 2/3 and precision 1, which COCO averages at 101 recalls."""
    metrics = run(tmp_path, "--protocol", "coco", "--pose-file", pose_file, "--predictions", saved)
    assert metrics["keypoints_nms"]["AP"] == pytest.approx(100)
    assert metrics["keypoints_ppi"]["AP"] == pytest.approx(100 * 67 / 101)
    report = (tmp_path / "out" / "report.md").read_text()
    assert "3 images, 3 annotations" in report and "12 joints" in report and "100 % of the people" in report


def test_poses_json_is_evaluated_too(
    tmp_path: Path, pose_file: Path, poses_2d: np.ndarray, poses_3d: np.ndarray
) -> None:
    images = [
        PosedImage(f"photos/{number}.jpg", one_person(p2, p3))
        for number, (p2, p3) in enumerate(zip(poses_2d, poses_3d, strict=True))
    ]
    write_poses(tmp_path / "poses.json", images, BODY13)
    metrics = run(
        *(tmp_path, "--protocol", "mpi_inf_3dhp", "--pose-file", pose_file, "--predictions", tmp_path / "poses.json")
    )
    assert list(metrics) == ["pck_3d_ppi"] and metrics["pck_3d_ppi"]["pck_3d_150mm_all"] == 100


def test_mupots_from_its_json(tmp_path: Path, poses_2d: np.ndarray, poses_3d: np.ndarray) -> None:
    annotations = [
        {
            "image_id": number,
            "is_valid": 1,
            "keypoints_img": (to_mupots17(p2[None], BODY13)[0] - 0.5).tolist(),
            "keypoints_cam": (1000 * to_mupots17(p3[None] + DISTANCE, BODY13)[0]).tolist(),
        }
        for number, (p2, p3) in enumerate(zip(poses_2d, poses_3d, strict=True))
    ]
    images = [{"id": number, "file_name": f"TS1/img_00000{number}.jpg"} for number in range(3)]
    (tmp_path / "MuPoTS-3D.json").write_text(json.dumps({"images": images, "annotations": annotations}))
    people = [
        PosedImage(f"/somewhere/TS1/img_00000{number}.jpg", one_person(p2, p3))
        for number, (p2, p3) in enumerate(zip(poses_2d[:2], poses_3d[:2], strict=True))
    ]
    write_poses(tmp_path / "poses.json", people, BODY13)
    metrics = run(
        *(tmp_path, "--protocol", "mupots", "--mupots", tmp_path / "MuPoTS-3D.json"),
        *("--predictions", tmp_path / "poses.json"),
    )
    assert metrics["mupots_ppi"]["pck_matched"] == 100
    assert metrics["mupots_ppi"]["pck_all"] == pytest.approx(200 / 3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--protocol", "pck_3d"], "say what the ground truth is"),
        (["--protocol", "mupots"], "needs --mupots"),
        (["--protocol", "pck_3d", "--data-set", "nowhere"], "'nowhere' is not registered"),
        (["--protocol", "pck_3d", "--pose-file", "nowhere.json"], "nowhere.json"),
    ],
)
def test_what_is_missing_is_said(saved: Path, arguments: list[str], message: str) -> None:
    with pytest.raises(SystemExit, match=message):
        evaluate_predictions.main([*arguments, "--predictions", str(saved)])


def test_figure_5_is_drawn_of_saved_predictions(tmp_path: Path, pose_file: Path, saved: Path) -> None:
    run(tmp_path, "--protocol", "pck_3d", "--pose-file", pose_file, "--predictions", saved, "--figures")
    assert (tmp_path / "out" / "figure_5.png").stat().st_size > 10_000


def test_a_figure_without_a_folder_or_a_protocol_that_has_none_is_refused(saved: Path, pose_file: Path) -> None:
    truth = ["--pose-file", str(pose_file), "--predictions", str(saved), "--figures"]
    with pytest.raises(SystemExit, match="--figures needs --output"):
        evaluate_predictions.main(["--protocol", "pck_3d", *truth])
    for protocol in ("coco", "mupots"):
        with pytest.raises(SystemExit, match=f"no figure goes with the protocol {protocol}"):
            evaluate_predictions.main(["--protocol", protocol, *truth, "--output", "out"])


def test_the_report_is_there_though_the_figure_cannot_be(
    tmp_path: Path, pose_file: Path, poses_2d: np.ndarray, poses_3d: np.ndarray
) -> None:
    """poses.json has PPI alone, Figure 5 compares it with NMS."""
    write_poses(tmp_path / "poses.json", [PosedImage("0.jpg", one_person(poses_2d[0], poses_3d[0]))], BODY13)
    with pytest.raises(SystemExit, match="Figure 5 compares NMS with PPI"):
        run(
            *(tmp_path, "--protocol", "pck_3d", "--pose-file", pose_file, "--figures"),
            *("--predictions", tmp_path / "poses.json"),
        )
    assert "1 / 3" in (tmp_path / "out" / "report.md").read_text()


def test_a_protocol_the_data_cannot_have_is_refused(saved: Path, pose_file: Path) -> None:
    with pytest.raises(SystemExit, match="is this a Human3.6M data set"):
        evaluate_predictions.main(
            ["--protocol", "human36m_p1", "--pose-file", str(pose_file), "--predictions", str(saved)]
        )

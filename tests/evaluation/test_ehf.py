"""EHF's layout, on small made-up meshes: four vertices around each joint."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

import evaluate_predictions
from lcrnet_d2.evaluation.ehf import read_ehf, read_ply
from lcrnet_d2.outputs.pose_file import PosedImage, write_poses
from lcrnet_d2.structures import BODY13
from people_support import standing_people

TURN, SHIFT = np.array([-3.0, 0.1, -0.05]), np.array([0.0, 0.4, 2.5])
CORNERS = 0.03 * np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]])


def ply(vertices: np.ndarray, kind: str) -> bytes:
    """With a property and an element that are of no interest."""
    head = ["ply", f"format {kind} 1.0", f"element vertex {len(vertices)}", "property uchar red"]
    head += [f"property float {axis}" for axis in "xyz"] + ["element face 1", "property list uchar int vertex_indices"]
    if kind == "ascii":
        body = "".join(f"7 {x} {y} {z}\n" for x, y, z in vertices.tolist()).encode() + b"3 0 1 2\n"
    else:
        order = "<" if kind == "binary_little_endian" else ">"
        rows = np.zeros(len(vertices), [("red", "u1"), *((axis, order + "f4") for axis in "xyz")])
        for axis, column in zip("xyz", vertices.T, strict=True):
            rows[axis] = column
        body = rows.tobytes() + bytes([3]) + bytes(12)
    return "\n".join([*head, "end_header\n"]).encode() + body


@pytest.fixture
def joints() -> np.ndarray:
    """(2, 13, 3) m before the camera."""
    return standing_people(2, noise=0.05).poses_3d + [0, 0, 4]


@pytest.fixture
def folder(tmp_path: Path, joints: np.ndarray) -> Path:
    turn = Rotation.from_rotvec(TURN)
    for number, (pose, kind) in enumerate(zip(joints, ("binary_little_endian", "ascii"), strict=True), 1):
        vertices = turn.inv().apply((pose[:, None] + CORNERS).reshape(-1, 3) - SHIFT)
        (tmp_path / f"{number:02d}_align.ply").write_bytes(ply(vertices, kind))
    (tmp_path / "02_img.png").touch()
    camera = {"fx": 1500, "fy": 1500, "cx": 790.0, "cy": 600.0, "width": 1600, "height": 1200}
    (tmp_path / "camera.json").write_text(
        json.dumps(camera | {"rotation": TURN.tolist(), "translation": SHIFT.tolist()})
    )
    table = {name: list(range(4 * i, 4 * i + 4)) for i, name in enumerate(BODY13.joints)}
    (tmp_path / "table.json").write_text(json.dumps(table))
    return tmp_path


def test_a_table_makes_joints_before_the_camera(folder: Path, joints: np.ndarray) -> None:
    records = read_ehf(folder, folder / "table.json", folder / "camera.json", BODY13)
    assert [(r["file_name"], r["width"], r["height"]) for r in records] == [
        ("01_img.jpg", 1600, 1200),
        ("02_img.png", 1600, 1200),
    ]
    for record, pose in zip(records, joints, strict=True):
        (person,) = record["annotations"]
        np.testing.assert_allclose(person["pose_3d"] + person["root_position"], pose, atol=1e-6)
        expected = 1500 * pose[:, :2] / pose[:, 2:] + [790, 600]
        np.testing.assert_allclose(np.reshape(person["keypoints"], (13, 3))[:, :2], expected, atol=1e-3)


def test_a_regressor_makes_the_same_joints(folder: Path) -> None:
    order = np.random.default_rng(1).permutation(len(BODY13))
    regressor = np.kron(np.eye(len(BODY13)), np.full((1, 4), 0.25))[order]
    np.savez(folder / "regressor.npz", regressor=regressor, joint_names=np.array(BODY13.joints)[order])
    by_table, by_regressor = (
        read_ehf(folder, folder / name, folder / "camera.json", BODY13) for name in ("table.json", "regressor.npz")
    )
    for a, b in zip(by_table, by_regressor, strict=True):
        np.testing.assert_allclose(a["annotations"][0]["pose_3d"], b["annotations"][0]["pose_3d"], atol=1e-12)


@pytest.mark.parametrize("kind", ["ascii", "binary_little_endian", "binary_big_endian"])
def test_all_kinds_of_ply_are_read(tmp_path: Path, kind: str) -> None:
    vertices = np.random.default_rng(2).normal(size=(5, 3)).astype(np.float32)
    (tmp_path / "mesh.ply").write_bytes(ply(vertices, kind))
    np.testing.assert_array_equal(read_ply(tmp_path / "mesh.ply"), vertices)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "01_align.ply",
            "ply\nformat ascii 1.0\nelement face 1\nend_header\n",
            "is not a PLY mesh: its first element is face",
        ),
        ("01_align.ply", "solid", "01_align.ply is not a PLY mesh"),
        ("01_align.ply", ply(np.zeros((3, 3)), "ascii").decode(), "has 3 vertices, .*table.json is of 52"),
        ("01_align.ply", ply(np.full((52, 3), np.nan), "ascii").decode(), "not finite"),
        ("table.json", '{"head": [0]}', "it lacks right_ankle"),
        ("table.json", '{"head": [-1]}', "negative vertex"),
        ("camera.json", '{"fx": 1}', "is not a camera of EHF"),
    ],
)
def test_what_is_wrong_is_said(folder: Path, name: str, content: str, message: str) -> None:
    (folder / name).write_text(content)
    with pytest.raises(ValueError, match=message):
        read_ehf(folder, folder / "table.json", folder / "camera.json", BODY13)


def test_a_mesh_behind_the_camera_and_an_empty_folder_are_refused(folder: Path) -> None:
    camera = json.loads((folder / "camera.json").read_text())
    (folder / "camera.json").write_text(json.dumps(camera | {"translation": [0, 0, -9]}))
    with pytest.raises(ValueError, match="behind the camera"):
        read_ehf(folder, folder / "table.json", folder / "camera.json", BODY13)
    (folder / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="no meshes"):
        read_ehf(folder / "empty", folder / "table.json", folder / "camera.json", BODY13)


def test_poses_are_evaluated_from_the_folder(folder: Path, joints: np.ndarray) -> None:
    """Everyone twice as large: 0 mm after similarity alignment."""
    images = []
    for name, pose in zip(("01_img.jpg", "02_img.png"), joints, strict=True):
        points = 1500 * pose[:, :2] / pose[:, 2:] + [790, 600]
        found = replace(standing_people(image_size=(1200, 1600)), keypoints_2d=points[None].astype(np.float32))
        images.append(PosedImage(name, replace(found, poses_3d=2 * centred(pose)[None].astype(np.float32))))
    write_poses(folder / "poses.json", images, BODY13)
    arguments = [
        "--protocol",
        "ehf",
        "--ehf",
        folder,
        "--predictions",
        folder / "poses.json",
        "--output",
        folder / "out",
    ]
    with pytest.raises(SystemExit, match="needs --ehf-joints"):
        evaluate_predictions.main([str(a) for a in arguments])
    arguments += ["--ehf-joints", folder / "table.json", "--ehf-camera", folder / "camera.json"]
    evaluate_predictions.main([str(a) for a in arguments])
    metrics = json.loads((folder / "out" / "metrics.json").read_text())["ehf_ppi"]
    sizes = [1000 * np.linalg.norm(centred(pose), axis=-1).mean() for pose in joints]
    assert metrics["n_found"] == 2
    assert metrics["mpjpe_mm"] == pytest.approx(np.mean(sizes), rel=1e-3)
    assert metrics["mpjpe_similarity_mm"] == pytest.approx(0, abs=0.1)
    assert metrics["length_ratio_thigh"] == pytest.approx(2, rel=1e-3)


def centred(pose: np.ndarray) -> np.ndarray:
    return pose - pose[BODY13.torso].mean(0)

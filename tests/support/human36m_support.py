"""A studio like Human3.6M's, small enough to work out, written to disk in each layout the set is found in."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from lcrnet_d2.structures import BODY13, H36M17
from sources.human36m import CAMERAS, JOINTS_OF_32
from tests_support import standing_pose

FRAMES = 11
SUBJECTS = [f"S{number}" for number in range(1, 12)]
#: trial 1 and 2 of each subject; the real table differs between subjects too.
TAKES = {
    "S1": ("Directions 1", "Directions"),
    "S9": ("Greeting 1", "Greeting"),
    "S11": ("TakingPhoto", "TakingPhoto 1"),
}
ACTION_NUMBERS = {"S1": 2, "S9": 5, "S11": 8}
#: Turn of camera c about the vertical, in degrees; each stands 5 m from the middle, 1.5 m high, looking at it.
TURNS = (0.0, 90.0, 180.0, 30.0)
FOCAL, CENTRE = (1000.0, 1100.0), (500.0, 510.0)


def extrinsics(camera: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Angles, rotation (3, 3) written out by hand, position (3,) in m.

    Camera 1 looks along world y (z is up): x stays, up is -y of the camera, world y is its depth.
    """
    turn = np.radians(TURNS[camera])
    c, s = np.cos(turn), np.sin(turn)
    rotation = np.array([[c, -s, 0], [0, 0, -1], [s, c, 0]])
    return np.array([np.pi / 2, 0.0, turn]), rotation, np.array([0, 0, 1.5]) - 5 * rotation[2]


def world_poses(subject: str) -> np.ndarray:
    """(F, 32, 3) m, z up: someone facing -y, walking 0.1 m a frame along x, the right wrist rising 0.1 m a frame."""
    pose, _ = H36M17.convert_from(BODY13, standing_pose())
    pose[H36M17.index("head_top")] = pose[H36M17.index("head")] + torch.tensor([0.0, -0.1, 0.0])
    x, y, z = pose.double().numpy().T
    world = np.zeros((FRAMES, 32, 3))
    world[:, JOINTS_OF_32] = np.stack([x, z, 1.0 - y], 1)
    world[:, :, 0] += 0.1 * np.arange(FRAMES)[:, None] + 0.01 * int(subject[1:])
    world[:, JOINTS_OF_32[H36M17.index("right_wrist")], 2] += 0.1 * np.arange(FRAMES)
    return world


def in_camera(subject: str, camera: int) -> np.ndarray:
    """(F, 32, 3) m."""
    _, rotation, position = extrinsics(camera)
    return np.einsum("ij,fnj->fni", rotation, world_poses(subject) - position)


def in_picture(subject: str, camera: int) -> np.ndarray:
    """(F, 32, 2) px, no distortion."""
    poses = in_camera(subject, camera)
    return poses[..., :2] / poses[..., 2:] * FOCAL + CENTRE


def write_metadata(folder: Path) -> Path:
    placed = [np.concatenate([e[0], 1000 * e[2]]) for c in range(4) for e in [extrinsics(c)] for _ in SUBJECTS]
    lenses = [np.array([*FOCAL, *CENTRE, 0, 0, 0, 0, 0])] * 4
    numbers = " ".join(f"{v:.9g}" for v in np.concatenate([*placed, *lenses]))
    rows = [["action", "trial", *SUBJECTS]]
    for subject, takes in TAKES.items():
        for trial, take in enumerate(takes, 1):
            names = [take if s == subject else "" for s in SUBJECTS]
            rows.append([str(ACTION_NUMBERS[subject]), str(trial), *names])
    table = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    path = folder / "metadata.xml"
    path.write_text(f"<metadata><mapping>{table}</mapping><w0>[{numbers}]</w0></metadata>")
    return path


def write_originals(root: Path) -> Path:
    for subject, takes in TAKES.items():
        for take in takes:
            for c, serial in enumerate(CAMERAS):
                for folder, poses in (
                    ("D3_Positions_mono", 1000 * in_camera(subject, c)),
                    ("D2_Positions", in_picture(subject, c)),
                ):
                    file = root / subject / "MyPoseFeatures" / folder / f"{take}.{serial}.cdf"
                    file.parent.mkdir(parents=True, exist_ok=True)
                    _write_cdf(file, poses.reshape(1, FRAMES, -1))
    return root


def _write_cdf(path: Path, pose: np.ndarray) -> None:
    cdfwrite = pytest.importorskip("cdflib.cdfwrite", reason='pip install "lcrnet_d2[datasets]"')
    with cdfwrite.CDF(path) as file:
        spec = {"Variable": "Pose", "Data_Type": 45, "Num_Elements": 1, "Rec_Vary": True}
        file.write_var(spec | {"Dim_Sizes": list(pose.shape[1:])}, var_data=pose)


def write_videopose(folder: Path) -> Path:
    poses = {s: {take: world_poses(s).astype(np.float32) for take in takes} for s, takes in TAKES.items()}
    np.savez_compressed(folder / "data_3d_h36m.npz", positions_3d=np.array(poses, dtype=object))
    return folder / "data_3d_h36m.npz"


def write_mks(folder: Path) -> Path:
    for subject in TAKES:
        number, action = subject[1:], ACTION_NUMBERS[subject]
        name = TAKES[subject][0].split(" ")[0]
        images = [
            {
                "file_name": f"s_{number}_act_{action}_subact_{trial}_ca_{c + 1}_{frame + 1:06d}.jpg",
                "width": 1000,
                "height": 1002 if c in (0, 3) else 1000,
                "action_name": name,
                "action_idx": action,
                "subaction_idx": trial,
                "cam_idx": c + 1,
                "frame_idx": frame,
            }
            for trial in (1, 2)
            for c in range(4)
            for frame in range(FRAMES)
        ]
        cameras = {}
        for c in range(4):
            _, rotation, position = extrinsics(c)
            shift = -1000 * rotation @ position
            cameras[str(c + 1)] = {"R": rotation.tolist(), "t": shift.tolist(), "f": FOCAL, "c": CENTRE}
        poses = {str(f): (1000 * p).tolist() for f, p in enumerate(world_poses(subject)[:, JOINTS_OF_32])}
        parts = {"data": {"images": images}, "camera": cameras, "joint_3d": {str(action): {"1": poses, "2": poses}}}
        for part, content in parts.items():
            (folder / f"Human36M_subject{number}_{part}.json").write_text(json.dumps(content))
    return folder


def write_mmpose(folder: Path, step: int = 5) -> tuple[Path, Path]:
    """h36m_train.npz with every `step`-th frame, and cameras.pkl."""
    names, part, spatial, cameras = [], [], [], {}
    for subject, takes in TAKES.items():
        for c, serial in enumerate(CAMERAS):
            _, rotation, position = extrinsics(c)
            lens = {"f": np.array(FOCAL)[:, None], "c": np.array(CENTRE)[:, None]}
            lens |= {"k": np.zeros((3, 1)), "p": np.zeros((2, 1))}
            cameras[subject, serial] = {"R": rotation.T, "T": position[:, None], "id": serial, **lens}
            for take in takes:
                base = f"{subject}_{take.replace(' ', '_')}.{serial}"
                names += [f"{subject}/{base}/{base}_{f + 1:06d}.jpg" for f in range(0, FRAMES, step)]
                part.append(in_picture(subject, c)[::step, JOINTS_OF_32])
                spatial.append(in_camera(subject, c)[::step, JOINTS_OF_32])
    poses_2d, poses_3d = np.concatenate(part), np.concatenate(spatial)
    ones = np.ones((*poses_2d.shape[:2], 1))
    arrays = {"part": np.concatenate([poses_2d, ones], 2), "S": np.concatenate([poses_3d, ones], 2)}
    np.savez(folder / "h36m_train.npz", imgname=np.array(names), **arrays)
    (folder / "cameras.pkl").write_bytes(pickle.dumps(cameras))
    return folder / "h36m_train.npz", folder / "cameras.pkl"


def write_fetch(root: Path) -> Path:
    h5py = pytest.importorskip("h5py", reason='pip install "lcrnet_d2[datasets]"')
    for subject, takes in TAKES.items():
        name = {"TakingPhoto": "Photo"}.get(takes[0].split(" ")[0], takes[0].split(" ")[0])
        for trial in (1, 2):
            file = root / subject / f"{name}-{trial}" / "annot.h5"
            file.parent.mkdir(parents=True, exist_ok=True)
            with h5py.File(file, "w") as content:
                content["pose/3d"] = np.concatenate([1000 * in_camera(subject, c) for c in range(4)])
                content["pose/2d"] = np.concatenate([in_picture(subject, c) for c in range(4)])
                content["frame"] = np.tile(np.arange(1, FRAMES + 1), 4)
                content["camera"] = np.repeat([int(serial) for serial in CAMERAS], FRAMES)
                for serial in CAMERAS:
                    content[f"intrinsics/{serial}"] = [FOCAL[0], CENTRE[0], FOCAL[1], CENTRE[1]]
    return root

"""Human3.6M in the five layouts it is found in, each to `Take`s.

A reader yields, per take and camera that the `Choice` wants, a `Take` or the `PoseFileError` of a file that had to be
left out. Frames are numbered from 0 at 50 per second in all of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from lcrnet_d2.data.datasets.pose_json import PoseFileError, read_annotations
from lcrnet_d2.structures import H36M17
from lcrnet_d2.structures.bounded_files import read_h5, read_npz

from .human36m import CAMERAS, IMAGE_SIZES, JOINTS_OF_32, Camera, Choice, Take, TakeName
from .human36m_cameras import Cameras, Metadata

__all__ = ["IMAGE_NAME", "read_fetch", "read_mks", "read_mmpose", "read_originals", "read_videopose"]

#: Layouts without pictures (videos, or poses alone): how the pictures are expected to be named, frames from 1.
IMAGE_NAME = "{subject}/{subject}_{take}.{camera}/{subject}_{take}.{camera}_{frame:06d}.jpg"

_NO_DISTORTION = (np.zeros(3), np.zeros(2))
_J = len(H36M17)
_MAX_BYTES = 8 * 2**30  # mmpose's h36m_train.npz unpacks to 2.6 GB
_MONO = ("MyPoseFeatures/D3_Positions_mono", "Poses_D3_Positions_mono", "D3_Positions_mono")
_D2 = ("MyPoseFeatures/D2_Positions", "Poses_D2_Positions", "D2_Positions")

TakeResult = Take | PoseFileError


def read_originals(
    root: Path, choice: Choice, metadata: Metadata, image_name: str = IMAGE_NAME
) -> Iterator[TakeResult]:
    """(a) The set's own .cdf: `S1/MyPoseFeatures/D3_Positions_mono/Directions 1.54138969.cdf`, D2_Positions beside it.

    Where D2_Positions is missing the 2D is projected, with the lens's distortion.
    """
    for subject in choice.subjects:
        folders = [root / subject / name for name in _MONO if (root / subject / name).is_dir()]
        if not folders:
            yield PoseFileError(f"{root / subject}: none of {list(_MONO)} in it")
            continue
        for file in sorted(folders[0].glob("*.cdf")):
            take, camera = file.stem.rsplit(".", 1) if "." in file.stem else (file.stem, "")
            name = metadata.named(subject, take, camera)
            if choice.wants(name):
                try:
                    yield _original(file, root / subject, name, metadata.cameras[subject, camera], image_name)
                except PoseFileError as error:
                    yield error


def _original(file: Path, subject: Path, name: TakeName, camera: Camera, image_name: str) -> Take:
    poses_3d = _cdf_poses(file, 3) / 1000
    in_2d = [subject / folder / file.name for folder in _D2 if (subject / folder / file.name).is_file()]
    poses_2d = _cdf_poses(in_2d[0], 2) if in_2d else camera.project(poses_3d)
    if len(poses_2d) != len(poses_3d):
        raise PoseFileError(f"{file}: {len(poses_3d)} frames, but {len(poses_2d)} in {in_2d[0]}")
    return _take(name, poses_3d, poses_2d, np.arange(len(poses_3d)), camera, image_name)


def _cdf_poses(path: Path, dimensions: int) -> np.ndarray:
    """(F, 17, d) of a .cdf's variable Pose, (1, F, 32 d)."""
    try:
        import cdflib
    except ImportError as error:
        raise ImportError("reading .cdf files needs cdflib: pip install cdflib") from error
    try:
        pose = np.asarray(cdflib.CDF(path).varget("Pose"), dtype=np.float64)
    except Exception as error:  # cdflib raises whatever its parser trips over: struct, zlib, key errors ...
        raise PoseFileError(f"{path} is not a whole CDF file of poses: {error!r}") from error
    if pose.ndim < 2 or pose.shape[-1] != 32 * dimensions:
        raise PoseFileError(f"{path}: Pose has shape {pose.shape}, expected (1, F, {32 * dimensions})")
    return _checked(str(path), pose.reshape(-1, 32, dimensions)[:, JOINTS_OF_32])


def read_videopose(
    poses: dict[str, dict[str, np.ndarray]], choice: Choice, metadata: Metadata, image_name: str = IMAGE_NAME
) -> Iterator[TakeResult]:
    """(b) VideoPose3D's `data_3d_h36m.npz`: {subject: {take: (F, 32, 3) m in the studio}}; cameras of metadata.xml."""
    for subject in choice.subjects:
        if subject not in poses:
            yield PoseFileError(f"data_3d_h36m.npz holds {sorted(poses)}, no {subject}")
            continue
        for take, world in poses[subject].items():
            for serial in CAMERAS:
                name = metadata.named(subject, take, serial)
                if not choice.wants(name):
                    continue
                try:
                    yield _videopose_take(name, world, metadata.cameras[subject, serial], image_name)
                except PoseFileError as error:
                    yield error


def _videopose_take(name: TakeName, world: np.ndarray, camera: Camera, image_name: str) -> Take:
    where = f"data_3d_h36m.npz: {name}"
    if np.ndim(world) != 3 or np.shape(world)[1:] != (32, 3):
        raise PoseFileError(f"{where}: shape {np.shape(world)}, expected (F, 32, 3)")
    poses_3d = _checked(where, camera.to_camera(np.asarray(world, np.float64)[:, JOINTS_OF_32]))
    return _take(name, poses_3d, camera.project(poses_3d), np.arange(len(poses_3d)), camera, image_name)


def read_mks(folder: Path, choice: Choice, metadata: Metadata | None = None) -> Iterator[TakeResult]:
    """(c) `Human36M_subject1_{data,camera,joint_3d}.json`: mm in the studio, R, t, f, c, no distortion."""
    for subject in choice.subjects:
        try:
            parts = [
                read_annotations(folder / f"Human36M_subject{subject[1:]}_{p}.json")
                for p in ("data", "camera", "joint_3d")
            ]
            data, cameras, joints = parts
            groups: dict[TakeName, list[dict[str, Any]]] = {}
            for image in data["images"]:
                serial = CAMERAS[int(image["cam_idx"]) - 1]
                name = TakeName.of_take(subject, image["action_name"], serial)
                name = TakeName(subject, name.action, serial, None, int(image["subaction_idx"]))
                groups.setdefault(metadata.take(name) if metadata else name, []).append(image)
        except (PoseFileError, FileNotFoundError) as error:
            yield PoseFileError(str(error))
            continue
        except (KeyError, TypeError, IndexError) as error:
            yield PoseFileError(f"{folder}: subject {subject[1:]}: no {error} among the images of its data.json")
            continue
        for name, images in groups.items():
            if choice.wants(name):
                try:
                    yield _mks_take(name, images, cameras, joints)
                except (KeyError, TypeError, ValueError) as error:
                    yield PoseFileError(f"{folder}: {name}: {error!r} in its camera.json or joint_3d.json")


def _mks_take(name: TakeName, images: list[dict[str, Any]], cameras: dict[str, Any], joints: dict[str, Any]) -> Take:
    entry = cameras[str(images[0]["cam_idx"])]
    rotation, shift = np.array(entry["R"], float).reshape(3, 3), np.array(entry["t"], float).ravel() / 1000
    focal, centre = (np.array(entry[key], float).ravel() for key in ("f", "c"))
    camera = Camera(focal, centre, *_NO_DISTORTION, rotation=rotation, position=-rotation.T @ shift)
    poses = joints[str(images[0]["action_idx"])][str(images[0]["subaction_idx"])]
    world = np.array([poses[str(image["frame_idx"])] for image in images], float) / 1000
    if world.shape[1:] != (_J, 3):
        raise PoseFileError(f"poses of shape {world.shape[1:]}, expected ({_J}, 3)")
    poses_3d = _checked(str(name), camera.to_camera(world))
    frames = np.array([image["frame_idx"] for image in images])
    size = (images[0]["width"], images[0]["height"])
    files = [image["file_name"] for image in images]
    return Take(name, poses_3d, camera.project(poses_3d), frames, files, camera, size)


def read_mmpose(path: Path, choice: Choice, cameras: Cameras, metadata: Metadata | None = None) -> Iterator[TakeResult]:
    """(d) mmpose's `h36m_train.npz`: imgname, part (N, 17, 3) px, S (N, 17, 4) m in camera space."""
    if not path.is_file():
        raise FileNotFoundError(f"no annotation file at {path}")
    try:
        file = read_npz(path, ("imgname", "part", "S"), _MAX_BYTES)
        names, part, spatial = ([str(n) for n in file["imgname"]], *(file[k].astype(float) for k in ("part", "S")))
    except (ValueError, TypeError) as error:
        raise PoseFileError(f"{path} is not a whole file of mmpose's: {error}") from error
    if part.shape[:2] != (len(names), _J) or spatial.shape[:2] != (len(names), _J) or spatial.shape[2] < 3:
        raise PoseFileError(f"{path}: {len(names)} names, but part and S are {part.shape} and {spatial.shape}")
    groups: dict[str, list[int]] = {}
    for row, image in enumerate(names):
        groups.setdefault(str(Path(image).parent), []).append(row)
    for folder, rows in groups.items():
        match = re.fullmatch(r"(S\d+)_(.+)\.(\d+)", Path(folder).name)
        if match is None:
            yield PoseFileError(f"{path}: {folder} is not named like S1_Directions_1.54138969")
            continue
        subject, take, serial = match[1], match[2].replace("_", " "), match[3]
        named = metadata.named if metadata else TakeName.of_take
        name = named(subject, take, serial)
        if choice.wants(name):
            try:
                files, camera = [names[row] for row in rows], cameras[subject, serial]
                frames = np.array([int(Path(file).stem.rsplit("_", 1)[1]) - 1 for file in files])
                poses_3d = _checked(f"{path}: {folder}", spatial[rows, :, :3])
                yield Take(name, poses_3d, part[rows, :, :2], frames, files, camera, IMAGE_SIZES[serial])
            except PoseFileError as error:
                yield error
            except (KeyError, ValueError, IndexError) as error:
                yield PoseFileError(f"{path}: {folder}: no camera {error} in cameras.pkl, or no frame number")


def read_fetch(root: Path, choice: Choice, metadata: Metadata | None = None) -> Iterator[TakeResult]:
    """(e) h36m-fetch's `S1/Directions-1/annot.h5` with `imageSequence/54138969/img_000001.jpg` beside it."""
    for subject in choice.subjects:
        for file in sorted((root / subject).glob("*/annot.h5")):
            action, _, trial = file.parent.name.rpartition("-")
            if not trial.isdigit():
                yield PoseFileError(f"{file.parent} is not named like Directions-1")
                continue
            names = [TakeName.of_take(subject, action, serial) for serial in CAMERAS]
            names = [TakeName(n.subject, n.action, n.camera, None, int(trial)) for n in names]
            names = [name for name in (metadata.take(n) if metadata else n for n in names) if choice.wants(name)]
            try:
                yield from _fetch_takes(root, file, names)
            except PoseFileError as error:
                yield error


def _fetch_takes(root: Path, file: Path, names: list[TakeName]) -> list[Take]:
    keys = ("pose/2d", "pose/3d", "camera", "frame")
    try:
        content = read_h5(file, (*keys, *(f"intrinsics/{name.camera}" for name in names)))
        poses_2d, poses_3d, serials, frames = (content[key] for key in keys)
        lenses = {name.camera: content[f"intrinsics/{name.camera}"].astype(float) for name in names}
    except (ValueError, TypeError) as error:
        raise PoseFileError(f"{file} is not a whole annot.h5: {error}") from error
    count = len(frames)
    if (poses_2d.shape, poses_3d.shape, serials.shape) != ((count, 32, 2), (count, 32, 3), (count,)):
        raise PoseFileError(f"{file}: {count} frames, but poses {poses_2d.shape} and {poses_3d.shape}")
    poses_3d, poses_2d = poses_3d[:, JOINTS_OF_32] / 1000, poses_2d[:, JOINTS_OF_32].astype(float)
    takes = []
    for name in names:
        rows = serials == int(name.camera)
        if not rows.any():
            continue
        fx, cx, fy, cy = lenses[name.camera].tolist()
        camera = Camera(np.array([fx, fy]), np.array([cx, cy]), *_NO_DISTORTION)
        folder = file.parent.relative_to(root) / "imageSequence" / name.camera
        images = [str(folder / f"img_{frame:06d}.jpg") for frame in frames[rows]]
        checked = _checked(str(file), poses_3d[rows])
        takes.append(Take(name, checked, poses_2d[rows], frames[rows] - 1, images, camera, IMAGE_SIZES[name.camera]))
    return takes


def _take(
    name: TakeName, poses_3d: np.ndarray, poses_2d: np.ndarray, frames: np.ndarray, camera: Camera, image_name: str
) -> Take:
    words = {"subject": name.subject, "take": (name.take or name.action).replace(" ", "_"), "camera": name.camera}
    images = [image_name.format(frame=frame + 1, **words) for frame in frames.tolist()]
    return Take(name, poses_3d, poses_2d, frames, images, camera, IMAGE_SIZES[name.camera])


def _checked(where: str, poses: np.ndarray) -> np.ndarray:
    if not np.isfinite(poses).all():
        raise PoseFileError(f"{where}: a pose holds a coordinate that is no number")
    return poses

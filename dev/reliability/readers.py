"""Every reader of files that may come from anyone: a valid file of a few kB, and the errors documented for others."""

from __future__ import annotations

import json
import pickle
import sys
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
import torch
from PIL import Image
from scipy.io import savemat

sys.path.extend(
    str(Path(__file__).resolve().parents[2] / folder)
    for folder in ("", "tests/support", "tests/datasets/sources/mocap", "datasets")
)

from test_bvh import bvh
from test_c3d import as_mips, c3d

from lcrnet_d2.checkpoint.array_pickle import load_array_pickle, load_torch_file
from lcrnet_d2.checkpoint.tfjs_graph import read_graph_weights
from lcrnet_d2.data.anchor_clustering import cluster_poses
from lcrnet_d2.data.datasets.pose_json import PoseFileError, load_pose_json
from lcrnet_d2.data.images import ImageFileError, read_image
from lcrnet_d2.evaluation.predictions import load_predictions, read_coco_results
from lcrnet_d2.mocap import Lifter, PoseBase
from lcrnet_d2.structures import BODY13, COCO17, AnchorPoses
from lcrnet_d2.video.frames import VideoError, VideoReader, VideoWriter
from mocap_support import amc, asf
from sources.coco import read_coco
from sources.lspe import read_lspe_joints
from sources.mocap.asf_amc import parse_amc, parse_asf
from sources.mocap.bvh import read_bvh
from sources.mocap.c3d import read_c3d
from sources.mocap.rigs import read_rig
from sources.mocap.take import BrokenTakeError
from sources.mocap.takes import find_takes
from sources.mpii_files import read_mpii
from tests_support import random_poses, seen_at, write_tiny_set

__all__ = ["READERS", "Reader"]


class Reader(NamedTuple):
    """suffix: of its files; sample: writes a valid one; read: raises nothing on it; errors: for damaged ones."""

    suffix: str
    sample: Callable[[Path], object]
    read: Callable[[Path], object]
    errors: tuple[type[Exception], ...] = (ValueError,)


def _anchors(path: Path) -> None:
    poses = random_poses(40, 0)
    cluster_poses(seen_at(poses, 50, 50, 40), poses, BODY13, 4, True, 0).save(path)


def _mocap(path: Path) -> None:
    zeros = torch.zeros(5, dtype=torch.long)
    PoseBase(random_poses(5, 0), zeros, zeros, ("a.bvh",), ("a",), (120.0,)).save(path)


def _pose_json(path: Path) -> None:
    path.write_bytes(write_tiny_set(path.parent / "set", 3).read_bytes())


def _predictions(path: Path) -> None:
    pose = np.zeros((13, 3)).tolist()
    person = {"score": 1.0, "keypoints_2d": np.ones((13, 2)).tolist(), "pose_3d": pose, "anchor_class": 1}
    image = {"image_id": 1, "file_name": "a", "width": 9, "height": 9, "people": [person], "people_nms": [person]}
    path.write_text(json.dumps({"version": 1, "joint_names": list(BODY13.joints), "images": [image]}))


def _coco(path: Path) -> None:
    person = {"id": 1, "image_id": 7, "iscrowd": 0, "bbox": [8, 3, 24, 50], "area": 600.5, "keypoints": [9, 5, 2] * 17}
    image = {"id": 7, "file_name": "7.jpg", "width": 64, "height": 80}
    category = {"id": 1, "name": "person", "keypoints": list(COCO17.joints)}
    path.write_text(json.dumps({"images": [image], "annotations": [person], "categories": [category]}))


def _mpii_json(path: Path) -> None:
    joints = {"joints": [[5.0, 6.0]] * 16, "joints_vis": [1] * 16}
    path.write_text(json.dumps([{"image": "a.jpg", **joints, "center": [5.0, 6.0], "scale": 1.0}]))


def _mpii_h5(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["imgname"] = np.array([b"a.jpg", b"b.jpg"])
        file["part"], file["visible"] = np.ones((2, 16, 2)), np.ones((2, 16))
        file["center"], file["scale"] = np.ones((2, 2)), np.ones(2)


def _mpii_mat(path: Path) -> None:
    point = {"id": 3.0, "x": 5.0, "y": 6.0, "is_visible": 1.0}
    person = {"annopoints": {"point": [point, point]}, "objpos": {"x": 5.0, "y": 6.0}, "scale": 1.0}
    entries = [{"image": {"name": "a.jpg"}, "annorect": [person], "vididx": 1.0}] * 2
    single = np.empty((2, 1), object)
    single[:] = [[np.ones(1)], [np.ones(1)]]
    release = {"annolist": entries, "img_train": np.ones(2), "single_person": single}
    savemat(path, {"RELEASE": release}, do_compression=True)


def _lspe(path: Path) -> None:
    joints = np.ones((14, 3, 4))
    savemat(path, {"joints": joints})


def _image(path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (24, 32, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


def _checkpoint(path: Path) -> None:
    torch.save({"model": {"a.weight": torch.ones(3, 4), "b": torch.zeros(2)}, "iteration": 7}, path)


def _pickle(path: Path) -> None:
    path.write_bytes(pickle.dumps(OrderedDict(a=np.ones((3, 4), np.float32), b=np.float64(2), c=["x", 1]), protocol=2))


def _tfjs_graph(path: Path) -> None:
    path.with_suffix(".bin").write_bytes(np.ones(6, np.float32).tobytes())
    weights = [{"name": "a/kernel", "shape": [1, 2, 3], "dtype": "float32"}]
    manifest = [{"paths": [path.with_suffix(".bin").name], "weights": weights}]
    path.write_text(json.dumps({"format": "graph-model", "weightsManifest": manifest}))


def _video(path: Path) -> None:
    pictures = np.random.default_rng(0).integers(0, 255, (5, 24, 32, 3), dtype=np.uint8)
    with VideoWriter(path, 10) as writer:
        for number, picture in enumerate(pictures):
            writer.write(picture, number / 10)


def _read_video(path: Path) -> None:
    with VideoReader(path) as video:
        for _ in video:
            pass


def _coco_results(path: Path) -> None:
    path.write_text(json.dumps([{"image_id": 1, "category_id": 1, "keypoints": [9.5, 8.0, 2] * 17, "score": 0.5}]))


_RECORDS = [{"file_name": "1.jpg", "image_id": 1, "width": 64, "height": 48}]


def _rig(path: Path) -> None:
    joints = {joint: {joint: 0.5, "Hips": 0.5} for joint in BODY13.joints}
    path.write_text(json.dumps({"up": "z", "joints": joints}))


def _archive(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("01/01.asf", asf())
        archive.writestr("01/01_01.amc", amc([{}] * 3))


def _read_archive(path: Path) -> None:
    for found in find_takes(path):
        if isinstance(found, BrokenTakeError):
            raise found


_STANDING = asf()
_POSES: dict[str, Any] = {"root": (0.0, 1.0, 0.0, 0.0, 0.0, 0.0)}
READERS: dict[str, Reader] = {
    "anchor poses .npz": Reader(".npz", _anchors, AnchorPoses.load),
    "MoCap poses .npz": Reader(".npz", _mocap, PoseBase.load),
    "lifter .npz": Reader(".npz", lambda p: Lifter(BODY13, 8).save(p), Lifter.load),
    "pose JSON": Reader(".json", _pose_json, lambda p: load_pose_json(p, p.parent, BODY13), (PoseFileError,)),
    "predictions JSON": Reader(".json", _predictions, lambda p: load_predictions(p, BODY13)),
    "COCO JSON": Reader(".json", _coco, lambda p: list(read_coco(p)), (PoseFileError,)),
    "MPII JSON": Reader(".json", _mpii_json, read_mpii, (PoseFileError,)),
    "MPII .h5": Reader(".h5", _mpii_h5, read_mpii, (PoseFileError,)),
    "MPII .mat": Reader(".mat", _mpii_mat, read_mpii, (PoseFileError,)),
    "LSPE .mat": Reader(".mat", _lspe, read_lspe_joints, (PoseFileError,)),
    "PNG": Reader(".png", _image, read_image, (ImageFileError,)),
    "JPEG": Reader(".jpg", _image, read_image, (ImageFileError,)),
    "WebP": Reader(".webp", _image, read_image, (ImageFileError,)),
    "TIFF": Reader(".tif", _image, read_image, (ImageFileError,)),
    "AVIF": Reader(".avif", _image, read_image, (ImageFileError,)),
    "video": Reader(".mp4", _video, _read_video, (VideoError,)),
    "COCO results": Reader(".json", _coco_results, lambda p: read_coco_results(p, BODY13, _RECORDS)),
    "rig JSON": Reader(".json", _rig, read_rig),
    "checkpoint .pth": Reader(".pth", _checkpoint, load_torch_file),
    "weights .pkl": Reader(".pkl", _pickle, load_array_pickle),
    "TFJS graph model": Reader(".json", _tfjs_graph, read_graph_weights),
    "BVH": Reader(".bvh", lambda p: p.write_bytes(bvh([_POSES] * 3)), read_bvh, (BrokenTakeError,)),
    "ASF": Reader(
        ".asf", lambda p: p.write_bytes(asf()), lambda p: parse_asf(p.read_bytes(), str(p)), (BrokenTakeError,)
    ),
    "AMC": Reader(
        ".amc",
        lambda p: p.write_bytes(amc([{}] * 3)),
        lambda p: parse_amc(p.read_bytes(), str(p), parse_asf(_STANDING, "a.asf")),
        (BrokenTakeError,),
    ),
    "C3D": Reader(".c3d", lambda p: p.write_bytes(c3d(p.parent)), read_c3d, (BrokenTakeError,)),
    "MIPS C3D": Reader(".c3d", lambda p: p.write_bytes(as_mips(c3d(p.parent))), read_c3d, (BrokenTakeError,)),
    "zip of takes": Reader(".zip", _archive, _read_archive, (BrokenTakeError,)),
}

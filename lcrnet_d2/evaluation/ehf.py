"""EHF: a folder of frames of one person each, NN_img.jpg or .png beside the mesh NN_align.ply of their body.

The set has one camera and no joints: both are files of the user's. Joints are made of the mesh's vertices, by a table
or a regressor, so figures depend on it and go with its name. Shapes: V vertices, J joints.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from detectron2.structures import BoxMode
from scipy.spatial.transform import Rotation

from ..structures import Skeleton
from ..structures.bounded_files import read_json, read_npz, refused
from .depth_metrics import depth_table
from .people import MIN_JOINTS_SEEN, truth_from_dict
from .pose_evaluator import evaluate_predictions
from .report import METHOD_LABELS, Predictions, Records, Report, markdown_table, people_of_methods

__all__ = ["read_ehf", "read_joint_weights", "read_ply", "report_ehf"]

_MAX_BYTES = 2**28
_MESH, _IMAGES = "_align.ply", ("_img.jpg", "_img.png")
_BYTE_ORDERS = {"binary_little_endian": "<", "binary_big_endian": ">", "ascii": "="}
_NUMBERS = {"char": "i1", "uchar": "u1", "short": "i2", "ushort": "u2", "int": "i4", "uint": "u4"}
_NUMBERS |= {"int8": "i1", "uint8": "u1", "int16": "i2", "uint16": "u2", "int32": "i4", "uint32": "u4"}
_NUMBERS |= {"float": "f4", "double": "f8", "float32": "f4", "float64": "f8"}
_IN_TABLE = {"mpjpe_mm": "MPJPE (mm)", "mpjpe_rigid_mm": "rigid (mm)", "mpjpe_similarity_mm": "similarity (mm)"}
_IN_TABLE |= {"pck_3d_150mm": "3DPCK 150 mm (%)"}


def read_ehf(folder: str | Path, joints: str | Path, camera: str | Path, skeleton: Skeleton) -> list[dict[str, Any]]:
    """Dataset dicts of EHF's frames, in order, in the form of `people.truth_from_dict`, with camera and root_position.

    Args:
        folder: with NN_align.ply, in metres.
        joints: see `read_joint_weights`.
        camera: JSON of fx, fy, cx, cy, width, height in px, rotation, 3 x 3 or as a vector (Rodrigues), and
            translation in m: a point X of the mesh is at R X + t before the camera, x right, y down, z away.
        skeleton: names the J joints.

    Raises:
        FileNotFoundError: a file is missing, or no mesh is in the folder.
        ValueError: a file that does not hold what it should, a mesh behind the camera; the message names it.
    """
    meshes = sorted(Path(folder).glob(f"*{_MESH}"))
    if not meshes:
        raise FileNotFoundError(f"no meshes NN{_MESH} in {folder}; name the folder that EHF.zip unpacks to")
    with refused(camera, "a camera of EHF (fx, fy, cx, cy, width, height, rotation, translation)"):
        content = read_json(camera)
        names = ("fx", "fy", "cx", "cy")
        lens = {name: float(content[name]) for name in names}
        width, height = int(content["width"]), int(content["height"])
        turn = np.array(content["rotation"], dtype=np.float64)
        turn = turn if turn.shape == (3, 3) else Rotation.from_rotvec(turn.reshape(3)).as_matrix()
        shift = np.array(content["translation"], dtype=np.float64).reshape(3)
    weights = read_joint_weights(joints, skeleton)
    records = []
    for mesh in meshes:
        vertices = read_ply(mesh)
        if len(vertices) < weights.shape[1] or (len(vertices) > weights.shape[1] and not _is_table(joints)):
            raise ValueError(f"{mesh} has {len(vertices)} vertices, {joints} is of {weights.shape[1]}")
        poses = weights @ vertices[: weights.shape[1]] @ turn.T + shift
        if not (poses[:, 2] > 0).all():
            raise ValueError(f"{mesh} is behind the camera of {camera}; is its rotation the inverse?")
        number = mesh.name.removesuffix(_MESH)
        found = [f"{number}{end}" for end in _IMAGES if (mesh.parent / f"{number}{end}").is_file()]
        record = {"file_name": (found or [number + _IMAGES[0]])[0], "width": width, "height": height, "camera": lens}
        records.append(record | {"image_id": number, "annotations": [_annotation(poses, lens, skeleton)]})
    return records


def _annotation(joints: np.ndarray, lens: Mapping[str, float], skeleton: Skeleton) -> dict[str, Any]:
    """One person of joints (J, 3) m before the camera."""
    focal, middle = np.array([[lens["fx"], lens["fy"]], [lens["cx"], lens["cy"]]])
    points = focal * joints[:, :2] / joints[:, 2:] + middle
    root = joints[skeleton.torso].mean(0)
    return {
        "bbox": [*points.min(0).tolist(), *points.max(0).tolist()],
        "bbox_mode": BoxMode.XYXY_ABS,
        "keypoints": np.column_stack([points, np.full(len(points), 2)]).ravel().tolist(),
        "pose_3d": joints - root,
        "pose_3d_source": "measured",
        "root_position": root,
    }


def _is_table(joints: str | Path) -> bool:
    return Path(joints).suffix == ".json"


def read_joint_weights(path: str | Path, skeleton: Skeleton) -> np.ndarray:
    """(J, V) what joints are made of: a table, JSON of the vertices whose middle each joint is, {"head": [0, 8], ...},
    V being one more than the last vertex named; or a regressor, .npz of regressor (K, V) and joint_names (K,).

    Raises:
        FileNotFoundError: no such file.
        ValueError: neither, or a joint of the skeleton is not in it.
    """
    with refused(path, "a table of joints' vertices (.json), or a regressor and joint_names (.npz)"):
        if _is_table(path):
            table = {name: np.array(vertices) for name, vertices in read_json(path).items()}
            rows = {name: np.zeros(1 + max(v.max() for v in table.values())) for name in table}
            for name, vertices in table.items():
                if vertices.min() < 0:
                    raise ValueError(f"{name} has a negative vertex")
                rows[name][vertices] = 1 / len(vertices)
        else:
            content = read_npz(path, ("regressor", "joint_names"), _MAX_BYTES)
            rows = dict(zip(content["joint_names"].tolist(), content["regressor"].astype(np.float64), strict=True))
        missing = [name for name in skeleton.joints if name not in rows]
        if missing:
            raise ValueError(f"it lacks {', '.join(missing)}")
        return np.stack([rows[name] for name in skeleton.joints])


def read_ply(path: str | Path) -> np.ndarray:
    """(V, 3) vertices of a PLY file, text or binary, whose first element they are.

    Raises:
        FileNotFoundError: no such file.
        ValueError: no such PLY, larger than 256 MB, not finite.
    """
    with refused(path, "a PLY mesh"):
        if Path(path).stat().st_size > _MAX_BYTES:
            raise ValueError(f"it is larger than {_MAX_BYTES // 2**20} MB")
        head, _, rest = Path(path).read_bytes().partition(b"end_header")
        lines = [line.split() for line in head.decode("ascii").splitlines()]
        order = _BYTE_ORDERS[[line[1] for line in lines if line[:1] == ["format"]][0]]
        elements = [i for i, line in enumerate(lines) if line[:1] == ["element"]] + [len(lines)]
        (_, name, count), body = lines[elements[0]], rest.partition(b"\n")[2]
        if name != "vertex":
            raise ValueError(f"its first element is {name}, not vertex")
        properties = [line[1:] for line in lines[elements[0] : elements[1]] if line[:1] == ["property"]]
        names = [of for _, of in properties]
        if order == "=":
            numbers = np.array(body.split()[: int(count) * len(names)], dtype=np.float64).reshape(-1, len(names))
            columns = [numbers[:, names.index(axis)] for axis in "xyz"]
        else:
            rows = np.frombuffer(body, [(of, order + _NUMBERS[kind]) for kind, of in properties], int(count))
            columns = [rows[axis].astype(np.float64) for axis in "xyz"]
        vertices = np.stack(columns, 1)
        if not np.isfinite(vertices).all():
            raise ValueError("a vertex is not finite")
        return vertices


def report_ehf(
    records: Records,
    predictions: Predictions,
    skeleton: Skeleton,
    score_threshold: float = 0.0,
    min_joints_seen: int = MIN_JOINTS_SEEN,
) -> Report:
    """MPJPE, after rigid and similarity alignment too, and what depth is worth, of the people found.

    The records are those of `read_ehf`, or of any set with 3D.
    """
    truths = [truth_from_dict(record, len(skeleton), min_joints_seen) for record in records]
    results = evaluate_predictions(
        truths, predictions, skeleton, nms_score_threshold=score_threshold, ppi_score_threshold=score_threshold
    )
    methods = [method for method, _ in people_of_methods(predictions)]
    by_label = {METHOD_LABELS[method]: results[f"pose_{method}"] for method in methods}
    rows = [
        [label, f"{row['n_found_3d']:.0f} / {row['n_people']:.0f}", *(f"{row[name]:.1f}" for name in _IN_TABLE)]
        for label, row in by_label.items()
    ]
    protocol = (
        f"Errors of the people found, matched in 2D; root: body centre; {len(skeleton)} joints ({skeleton.name}), as "
        "the table or regressor makes them of the meshes.\n"
    )
    tables = [markdown_table(["", "found / people", *_IN_TABLE.values()], rows), depth_table(by_label)]
    metrics = {f"ehf_{method}": results[f"pose_{method}"] for method in methods}
    return Report(metrics, "\n".join(["# EHF\n", protocol, *tables]))

"""MuPoTS-3D: 3DPCK and AUC over all people or those matched, per sequence, without Matlab, and their report.

Shapes: M people annotated, N detected, J joints of the model. The benchmark's 17 joints are `MUPOTS17`.
2D in continuous px, 3D in m.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any, NamedTuple

import numpy as np
import torch

from ..structures import MUPOTS17, PIXEL_CENTRE, Skeleton
from ..structures.bounded_files import load_mat, read_json, refused
from .depth_metrics import depth_metrics, depth_table
from .metrics import AUC_THRESHOLDS_MM
from .people import PredictedPeople
from .report import METHOD_LABELS, Predictions, Report, markdown_table, mean_or_nan, people_of_methods

__all__ = ["MuPoTSFrame", "read_mupots", "report_mupots", "sequence_errors", "summarize_sequences", "to_mupots17"]

_MATCH_BELOW_PX = 40.0
_PCK_MM = 150.0
#: 13 joints decide who is matched: the first 14 but the head top. The first 14 are scored.
_MATCHING = slice(1, 14)
_SCORED = slice(0, 14)
_ROOT = MUPOTS17.index("pelvis")

# Child and parent, from the pelvis outwards: the order in which bones are given the true length.
_BONES = [
    (MUPOTS17.index(child), MUPOTS17.index(parent))
    for child, parent in (
        *(("spine", "pelvis"), ("neck", "spine"), ("head_top", "neck"), ("head", "neck")),
        *(("right_shoulder", "neck"), ("right_elbow", "right_shoulder"), ("right_wrist", "right_elbow")),
        *(("left_shoulder", "neck"), ("left_elbow", "left_shoulder"), ("left_wrist", "left_elbow")),
        *(("right_hip", "pelvis"), ("right_knee", "right_hip"), ("right_ankle", "right_knee")),
        *(("left_hip", "pelvis"), ("left_knee", "left_hip"), ("left_ankle", "left_knee")),
    )
]

_NAMES = {
    "n_people": "people",
    "n_matched": "matched",
    "recall": "recall (%)",
    "pck_all": "3DPCK all (%)",
    "pck_matched": "3DPCK matched (%)",
    "auc_all": "AUC all (%)",
    "auc_matched": "AUC matched (%)",
}
_PROTOCOL = (
    "MuPoTS-3D: people are matched in 2D, one-to-one, in the order of the annotations: most of 13 joints under 40 px "
    "off in x and y. Predictions are rescaled to the true bone lengths; root: pelvis (middle of the hips); "
    "14 joints, 3DPCK under 150 mm, AUC over 0, 5 ... 150 mm. all: people not matched are wrong; matched: they are "
    "left out. False positives cost nothing. Means are over sequences.\n"
)
_DEPTH = "## Depth of the people matched, at the size predicted\n"


@dataclass(frozen=True)
class MuPoTSFrame:
    """The people of one image that are to be found (isValidFrame).

    Attributes:
        sequence: "TS1" to "TS20".
        file_name: "TS1/img_000000.jpg".
        poses_2d: (M, 17, 2) px.
        poses_3d: (M, 17, 3) m: univ_annot3, which the benchmark scores; of MuPoTS-3D.json, which lacks it, annot3.
    """

    sequence: str
    file_name: str
    poses_2d: np.ndarray
    poses_3d: np.ndarray


def read_mupots(path: str | Path) -> list[MuPoTSFrame]:
    """Reads the folder with TS1/annot.mat, TS2/annot.mat ..., or MuPoTS-3D.json; frames in order.

    The folder gives the benchmark's own numbers. The JSON file has the people at their true size (annot3)
    instead of the universal one, so 150 mm mean something a little different: its numbers are not the same.

    Raises:
        FileNotFoundError: neither is there.
        ValueError: a file that does not hold what it should; the message names it.
    """
    path = Path(path)
    if path.is_file():
        return _read_json(path)
    files = sorted(path.glob("TS*/annot.mat"), key=lambda file: _number(file.parent.name))
    if not files:
        raise FileNotFoundError(f"no TS*/annot.mat under {path}, and it is no MuPoTS-3D.json")
    return [frame for file in files for frame in _read_annot(file)]


def _number(sequence: str) -> int:
    digits = re.sub(r"\D", "", sequence)
    return int(digits) if digits else 0


def _read_annot(file: Path) -> list[MuPoTSFrame]:
    sequence = file.parent.name
    frames = []
    with refused(file, "an annot.mat of MuPoTS-3D"):
        # cells: frames x people, each a struct of (2 or 3, 17) arrays
        for number, row in enumerate(load_mat(file)["annotations"]):
            valid = [person for person in row if bool(_field(person, "isValidFrame").item())]
            poses = [[_field(person, name).T for person in valid] for name in ("annot2", "univ_annot3")]
            frames.append(_frame(f"{sequence}/img_{number:06d}.jpg", *poses))
    return frames


def _field(person: np.ndarray, name: str) -> np.ndarray:
    struct = person[0, 0] if person.shape == (1, 1) else person
    if struct.dtype.names is None or name not in struct.dtype.names:
        raise ValueError(f"no field {name}; it has {struct.dtype.names}")
    value = struct[name]
    return value.item() if value.dtype == object and value.shape == () else value


def _read_json(file: Path) -> list[MuPoTSFrame]:
    with refused(file, "a MuPoTS-3D.json"):
        content = read_json(file)
        people: dict[int, list[Mapping[str, Any]]] = {image["id"]: [] for image in content["images"]}
        for annotation in content["annotations"]:
            if annotation["is_valid"]:
                people[annotation["image_id"]].append(annotation)
        images = sorted(content["images"], key=lambda image: (_number(image["file_name"].split("/")[0]), image["id"]))
        return [
            _frame(
                image["file_name"],
                [np.array(a["keypoints_img"])[:17, :2] for a in people[image["id"]]],
                [np.array(a["keypoints_cam"])[:17] for a in people[image["id"]]],
            )
            for image in images
        ]


def _frame(name: str, poses_2d: list[np.ndarray], poses_3d: list[np.ndarray]) -> MuPoTSFrame:
    try:
        xy = np.array(poses_2d, dtype=np.float64).reshape(len(poses_2d), 17, 2) + PIXEL_CENTRE
        xyz = np.array(poses_3d, dtype=np.float64).reshape(len(poses_2d), 17, 3) / 1000
    except ValueError as error:
        raise ValueError(f"{name}: people are not 17 joints: {error}") from error
    return MuPoTSFrame(name.split("/")[0], name, xy, xyz)


def to_mupots17(poses: np.ndarray, skeleton: Skeleton) -> np.ndarray:
    """(N, 17, d) of (N, J, d): neck and pelvis are the middles of shoulders and hips; 17 joints stay as they are.

    The head point stands for the head top too. Only the direction neck to head top matters in 3D: bones are
    rescaled.
    """
    converted, _ = MUPOTS17.convert_from(skeleton, torch.as_tensor(np.asarray(poses, dtype=np.float64)))
    return converted.numpy()


def match_greedily(true_2d: np.ndarray, pred_2d: np.ndarray) -> np.ndarray:
    """(M,) prediction of each person, -1 where none is left.

    People choose in the order of the annotations: of the predictions not yet taken the one with the most of
    13 joints under 40 px off in x and in y, the first of equals, if there is any such joint.

    Args:
        true_2d: (M, 17, 2) px.
        pred_2d: (N, 17, 2) px.
    """
    near = (np.abs(true_2d[:, None, _MATCHING] - pred_2d[None, :, _MATCHING]) < _MATCH_BELOW_PX).all(-1)
    counts = near.sum(-1)  # (M, N)
    chosen = np.full(len(true_2d), -1)
    for person in range(len(true_2d) if len(pred_2d) else 0):
        best = int(counts[person].argmax())
        if counts[person, best] > 0:
            chosen[person] = best
            counts[:, best] = 0
    return chosen


def rescale_bones(pred_3d: np.ndarray, true_3d: np.ndarray) -> np.ndarray:
    """(N, 17, 3) predictions with the directions of their bones and the lengths of the ground truth's.

    From the pelvis outwards, each bone is attached to its moved parent, in the direction it was predicted in.
    A joint predicted exactly where its parent is has no direction and stays with the parent.
    """
    pred = np.asarray(pred_3d, dtype=np.float64)
    rescaled = pred.copy()
    for child, parent in _BONES:
        bone = pred[:, child] - pred[:, parent]
        length = np.linalg.norm(bone, axis=-1, keepdims=True)
        true_length = np.linalg.norm(true_3d[:, child] - true_3d[:, parent], axis=-1, keepdims=True)
        direction = np.divide(bone, length, out=np.zeros_like(bone), where=length > 0)
        rescaled[:, child] = rescaled[:, parent] + true_length * direction
    return rescaled


class SequenceErrors(NamedTuple):
    """The people of one sequence.

    Attributes:
        errors_mm: (M, 14) of the scored joints, infinite for people not matched.
        is_matched: (M,) bool.
    """

    errors_mm: np.ndarray
    is_matched: np.ndarray


def sequence_errors(
    frames: Sequence[MuPoTSFrame], detected: Sequence[PredictedPeople], skeleton: Skeleton
) -> dict[str, SequenceErrors]:
    """Errors of each sequence, relative to the pelvis, predictions rescaled to the true bone lengths.

    Args:
        frames: of any sequences.
        detected: one method's detections in the same frames, in the same order.
        skeleton: names the J joints of the detections.
    """
    parts: dict[str, list[SequenceErrors]] = {}
    for frame, people in zip(frames, detected, strict=True):
        chosen = match_greedily(frame.poses_2d, to_mupots17(people.poses_2d, skeleton))
        matched = chosen >= 0
        errors = np.full((len(chosen), 17), np.inf)
        true_3d = frame.poses_3d[matched] - frame.poses_3d[matched][:, [_ROOT]]
        pred_3d = to_mupots17(people.poses_3d[chosen[matched]], skeleton)
        pred_3d = rescale_bones(pred_3d - pred_3d[:, [_ROOT]], true_3d)
        errors[matched] = 1000 * np.linalg.norm(pred_3d - true_3d, axis=-1)
        parts.setdefault(frame.sequence, []).append(SequenceErrors(errors[:, _SCORED], matched))
    return {
        sequence: SequenceErrors(*(np.concatenate(part) for part in zip(*of_frames, strict=True)))
        for sequence, of_frames in parts.items()
    }


def _matched_poses(
    frames: Sequence[MuPoTSFrame], detected: Sequence[PredictedPeople], skeleton: Skeleton
) -> tuple[np.ndarray, np.ndarray]:
    """(F, 17, 3) m of the people matched, predicted, at the size predicted, and true."""
    pairs = []
    for frame, people in zip(frames, detected, strict=True):
        chosen = match_greedily(frame.poses_2d, to_mupots17(people.poses_2d, skeleton))
        matched = chosen >= 0
        pairs.append((to_mupots17(people.poses_3d[chosen[matched]], skeleton), frame.poses_3d[matched]))
    pred, true = (np.concatenate(poses) for poses in zip(*pairs, strict=True))
    return pred, true


def summarize_sequences(sequences: Mapping[str, SequenceErrors]) -> dict[str, dict[str, float]]:
    """Percentages per sequence and, under "mean", their mean over sequences.

    Returns:
        For each sequence n_people, n_matched, recall, pck_all (a person not matched is wrong in all joints),
        pck_matched (only those matched), auc_all, auc_matched. AUC is the mean of 3DPCK over the 31 thresholds
        0, 5 ... 150 mm. A sequence without people (or nobody matched) is NaN and left out of the mean;
        n_people and n_matched are summed. False positives cost nothing.
    """
    rows = {sequence: _percentages(*errors) for sequence, errors in sequences.items()}
    mean: dict[str, float] = {}
    for name in _NAMES:
        values = np.array([row[name] for row in rows.values()])
        values = values[~np.isnan(values)]
        mean[name] = float(values.sum()) if name.startswith("n_") else mean_or_nan(values)
    return {**rows, "mean": mean}


def _percentages(errors_mm: np.ndarray, is_matched: np.ndarray) -> dict[str, float]:
    def share(errors: np.ndarray, thresholds: Sequence[float]) -> float:
        return 100 * float(np.mean([(errors < t).mean() for t in thresholds])) if errors.size else float("nan")

    matched = errors_mm[is_matched]
    return {
        "n_people": float(len(is_matched)),
        "n_matched": float(is_matched.sum()),
        "recall": 100 * mean_or_nan(is_matched),
        "pck_all": share(errors_mm, (_PCK_MM,)),
        "pck_matched": share(matched, (_PCK_MM,)),
        "auc_all": share(errors_mm, AUC_THRESHOLDS_MM),
        "auc_matched": share(matched, AUC_THRESHOLDS_MM),
    }


def report_mupots(
    frames: Sequence[MuPoTSFrame], predictions: Predictions, skeleton: Skeleton, score_threshold: float = 0.0
) -> Report:
    """3DPCK and AUC per sequence and their mean; depth and length of limbs of everyone matched.

    Predictions are of the `frames`, in their order. Those under the score threshold are none; as false positives cost
    nothing, 0 gives the best recall.
    """
    metrics, sections, depth = {}, [], {}
    for method, detected in people_of_methods(predictions, score_threshold):
        rows = summarize_sequences(sequence_errors(frames, detected, skeleton))
        depth[METHOD_LABELS[method]] = of_depth = depth_metrics(*_matched_poses(frames, detected, skeleton), MUPOTS17)
        metrics[f"mupots_{method}"] = (
            rows["mean"]
            | of_depth
            | {
                f"{name}_{sequence}": value
                for sequence, row in rows.items()
                if sequence != "mean"
                for name, value in row.items()
            }
        )
        cells = [
            [sequence, *(f"{row[n]:.0f}" if n.startswith("n_") else f"{row[n]:.1f}" for n in _NAMES)]
            for sequence, row in rows.items()
        ]
        sections.append(f"## {METHOD_LABELS[method]}\n\n" + markdown_table(["sequence", *_NAMES.values()], cells))
    count = f"{len(frames)} frames of {len({PurePath(f.file_name).parent for f in frames})} sequences.\n"
    return Report(metrics, "\n".join(["# MuPoTS-3D\n", _PROTOCOL, count, *sections, _DEPTH, depth_table(depth)]))

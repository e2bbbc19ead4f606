"""Human3.6M as in Sec. 4.1: protocols P1, P2, P3, Tables 2 and 3, and the 2D error of Table 4.

A dataset dict of a Human3.6M image holds, beside Detectron2's keys,

    subject        "S11" (or 11)
    action         "Walking", one of the 15 names of `ACTIONS` (the longer names of other releases are known too)
    trial          1 or 2: which of the two recordings of that action; needed by P3 only
    camera_serial  "55011271": cameras go by serial number, their order differs between programs
    frame          number of the frame in its video, counted from 0

and one annotation, with keypoints (continuous px) and pose_3d (J, 3) m relative to the body centre.
Shapes: N images, J joints. 3D in m, camera axes; results in mm and px.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ..structures import Skeleton, centre_poses
from .depth_metrics import depth_metrics
from .metrics import mpjpe
from .people import ImagePredictions
from .report import detected_people

__all__ = [
    "ACTIONS",
    "CAMERAS",
    "PROTOCOLS",
    "SIX_ACTIONS",
    "Human36MErrors",
    "Human36MProtocol",
    "human36m_errors",
    "select_images",
    "summarize_errors",
]

#: Serial numbers of cameras 1, 2, 3, 4, counting upwards.
CAMERAS = ("54138969", "55011271", "58860488", "60457274")

#: In the order of Table 3.
ACTIONS = (
    *("Directions", "Discussion", "Eating", "Greeting", "Phoning", "Photo", "Posing", "Purchases"),
    *("Sitting", "SittingDown", "Smoking", "Waiting", "WalkDog", "Walking", "WalkTogether"),
)
#: The six that methods without the other nine report. From the literature they come from: the paper names none.
SIX_ACTIONS = ("Discussion", "Eating", "Greeting", "Photo", "Walking", "WalkDog")
_OTHER_NAMES = {
    "TakingPhoto": "Photo",
    "WalkingDog": "WalkDog",
    "WalkingTogether": "WalkTogether",
    "Phone": "Phoning",
    "Pose": "Posing",
    "Purchase": "Purchases",
    "Smoke": "Smoking",
    "Wait": "Waiting",
    "Walk": "Walking",
}


@dataclass(frozen=True)
class Human36MProtocol:
    """Which images are scored, and what the model may have been trained on.

    Attributes:
        name: e.g. "P3 (58860488)".
        train_subjects, test_subjects: "S1" and so on.
        frame_step: frames 0, step, 2 step ... of each video.
        cameras: serial numbers.
        trials: of each action.
        has_absolute: the paper reports the error before alignment too.
        images_in_paper: size of its test set, where it says.
    """

    name: str
    train_subjects: tuple[str, ...]
    test_subjects: tuple[str, ...]
    frame_step: int
    cameras: tuple[str, ...]
    trials: tuple[int, ...]
    has_absolute: bool
    images_in_paper: int | None

    def describe(self, skeleton: Skeleton, frame_step_found: int) -> str:
        """All that a number needs beside it to be compared with another's."""
        serials = [f"{serial} (number {CAMERAS.index(serial) + 1} counting upwards)" for serial in self.cameras]
        step = f"every {_ordinal(self.frame_step)} frame of each video"
        if frame_step_found not in (0, self.frame_step):
            step += f" (but the images present are {frame_step_found} frames apart)"
        parts = [
            f"Human3.6M {self.name}: train {' '.join(self.train_subjects)}, test {' '.join(self.test_subjects)}",
            step,
            f"camera {', '.join(serials)}",
            f"trials {', '.join(map(str, self.trials))}",
            f"{len(skeleton)} joints ({skeleton.name})",
            "root: body centre (mean of shoulders and hips), subtracted from both poses",
            "Abs.: no alignment; Align.: best rigid transform without scale, fitted to the same joints",
            "the top-scored detection of each image; images without detection are in no mean, see coverage",
        ]
        return "; ".join(parts)


def _ordinal(number: int) -> str:
    return f"{number}{ {1: 'st', 2: 'nd', 3: 'rd'}.get(number % 10 if number % 100 not in (11, 12, 13) else 0, 'th') }"


_P2_TRAIN, _P2_TEST = ("S1", "S5", "S6", "S7", "S8"), ("S9", "S11")

#: "camera 3" of P3 is 58860488 counting serial numbers upwards and 60457274 to others: both are given.
PROTOCOLS: dict[str, tuple[Human36MProtocol, ...]] = {
    "P1": (Human36MProtocol("P1", (*_P2_TRAIN, "S9"), ("S11",), 64, CAMERAS[1:2], (1, 2), True, 928),),
    "P2": (Human36MProtocol("P2", _P2_TRAIN, _P2_TEST, 5, CAMERAS, (1, 2), True, 110_000),),
    "P3": tuple(
        Human36MProtocol(f"P3 ({serial})", _P2_TRAIN, _P2_TEST, 5, (serial,), (1,), False, None)
        for serial in CAMERAS[2:]
    ),
}


@dataclass(frozen=True)
class Human36MErrors:
    """What one method's top-scored detection gets wrong in each of N images; NaN where it detects nobody.

    Attributes:
        image_ids: N of them.
        actions: (N,) names.
        is_covered: (N,) bool, a person was detected.
        absolute_mm, rigid_mm: (N,) MPJPE without alignment and after the rigid one.
        error_2d_px: (N,) mean distance of all joints, hidden ones too, in px of the original image.
        depth: `depth_metrics` of the images covered.
    """

    image_ids: list[int | str]
    actions: np.ndarray
    is_covered: np.ndarray
    absolute_mm: np.ndarray
    rigid_mm: np.ndarray
    error_2d_px: np.ndarray
    depth: dict[str, float]


def select_images(records: Sequence[Mapping[str, Any]], protocol: Human36MProtocol) -> tuple[np.ndarray, int]:
    """(N,) rows of the protocol's test images, and the step between their frames (0 where there is one at most).

    Raises:
        ValueError: a dict lacks what makes it a Human3.6M image.
    """
    rows: list[int] = []
    for row, record in enumerate(records):
        needed = ("subject", "action", "camera_serial", "frame", *(() if len(protocol.trials) > 1 else ("trial",)))
        missing = [key for key in needed if record.get(key) is None]
        if missing:
            raise ValueError(f"{record.get('file_name')}: no {missing}; is this a Human3.6M data set?")
        if (
            int(record["frame"]) % protocol.frame_step == 0
            and str(record["camera_serial"]) in protocol.cameras
            and (len(protocol.trials) > 1 or int(record["trial"]) in protocol.trials)
            and f"S{str(record['subject']).lstrip('S')}" in protocol.test_subjects
        ):
            rows.append(row)
    return np.array(rows, dtype=int), math.gcd(*(int(records[row]["frame"]) for row in rows))


def human36m_errors(
    records: Sequence[Mapping[str, Any]], predictions: Sequence[ImagePredictions], skeleton: Skeleton, method: str
) -> Human36MErrors:
    """Errors of the top-scored detection of each image; of equal scores the first. Ground truth chooses nothing.

    Args:
        records: N dataset dicts (see the module).
        predictions: for the same images, in the same order.
        skeleton: names the J joints.
        method: of `report.METHODS`.

    Raises:
        ValueError: not one person with a 3D pose in an image.
    """
    people = [_only_person(record) for record in records]
    detected = [detected_people(p, method) for p in predictions]
    covered = np.array([len(d) > 0 for d in detected], dtype=bool)
    top = [int(d.scores.argmax()) for d in detected if len(d)]
    found = [d for d in detected if len(d)]
    n, j = len(found), len(skeleton)

    def stacked(poses: list[Any], columns: int) -> torch.Tensor:
        return torch.from_numpy(np.array(poses, dtype=np.float64).reshape(n, j, columns))

    annotated = [person for person, is_covered in zip(people, covered, strict=True) if is_covered]
    true_3d = centre_poses(stacked([person["pose_3d"] for person in annotated], 3), skeleton)
    pred_3d = centre_poses(stacked([d.poses_3d[i] for d, i in zip(found, top, strict=True)], 3), skeleton)
    true_2d = stacked([person["keypoints"] for person in annotated], 3)[..., :2]
    pred_2d = stacked([d.poses_2d[i] for d, i in zip(found, top, strict=True)], 2)

    def spread(values: torch.Tensor) -> np.ndarray:
        errors = np.full(len(records), np.nan)
        errors[covered] = values.numpy()
        return errors

    return Human36MErrors(
        image_ids=[p.image_id for p in predictions],
        actions=np.array([_action(record["action"]) for record in records], dtype=str),
        is_covered=covered,
        absolute_mm=spread(mpjpe(pred_3d, true_3d)),
        rigid_mm=spread(mpjpe(pred_3d, true_3d, align="rigid")),
        error_2d_px=spread((pred_2d - true_2d).norm(dim=-1).mean(1)),
        depth=depth_metrics(pred_3d, true_3d, skeleton),
    )


def _only_person(record: Mapping[str, Any]) -> Mapping[str, Any]:
    people = [a for a in record.get("annotations", []) if a.get("pose_3d") is not None]
    if len(people) != 1:
        raise ValueError(f"{record['file_name']}: {len(people)} people with a 3D pose, Human3.6M has one per image")
    return people[0]


def _action(name: str) -> str:
    return _OTHER_NAMES.get(name, name)


def summarize_errors(errors: Human36MErrors) -> dict[str, float]:
    """Means of the images covered, over poses and over actions.

    Returns:
        n_images, n_covered, coverage (%), and for each of mpjpe_mm, mpjpe_rigid_mm, error_2d_px its mean over
        poses, `<metric>_mean_of_actions` (of the actions present), `<metric>_mean_of_6_actions` (NaN unless all
        six are present) and `<metric>_<action>`; coverage_<action> and coverage_of_6_actions (%); those of
        `depth_metrics`. NaN where nothing is covered.
    """
    n, covered = len(errors.actions), errors.is_covered
    present = actions_in(errors)
    results = {"n_images": float(n), "n_covered": float(covered.sum()), "coverage": _percent(covered)}
    results["coverage_of_6_actions"] = _percent(covered[np.isin(errors.actions, SIX_ACTIONS)])
    values = {"mpjpe_mm": errors.absolute_mm, "mpjpe_rigid_mm": errors.rigid_mm, "error_2d_px": errors.error_2d_px}
    for metric, value in values.items():
        of_action = {a: _mean(value[covered & (errors.actions == a)]) for a in present}
        results[metric] = _mean(value[covered])
        results[f"{metric}_mean_of_actions"] = _mean(np.array(list(of_action.values())))
        results[f"{metric}_mean_of_6_actions"] = _mean(np.array([of_action.get(a, np.nan) for a in SIX_ACTIONS]))
        results.update({f"{metric}_{action}": mean for action, mean in of_action.items()})
    results.update({f"coverage_{a}": _percent(covered[errors.actions == a]) for a in present})
    return results | errors.depth


def actions_in(errors: Human36MErrors) -> list[str]:
    """The actions present, in Table 3's order, then others by name."""
    known = {action: place for place, action in enumerate(ACTIONS)}
    return sorted(set(errors.actions.tolist()), key=lambda action: (known.get(action, len(ACTIONS)), action))


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else math.nan


def _percent(flags: np.ndarray) -> float:
    return 100 * _mean(flags)

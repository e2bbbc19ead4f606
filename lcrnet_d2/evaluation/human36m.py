"""Human3.6M as in Sec. 4.1: protocols P1, P2, P3; Tables 2 and 3 and the 2D error of Table 4 in Markdown.

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
from .depth_metrics import depth_metrics, depth_table
from .metrics import mpjpe
from .report import (
    METHOD_LABELS,
    METHODS,
    Predictions,
    Records,
    Report,
    detected_people,
    markdown_table,
    mean_or_nan,
    mean_with_interval,
    methods_in,
)

__all__ = ["ACTIONS", "CAMERAS", "PROTOCOLS", "human36m_errors", "report_human36m", "select_images", "summarize_errors"]

#: Serial numbers of cameras 1, 2, 3, 4, counting upwards.
CAMERAS = ("54138969", "55011271", "58860488", "60457274")

#: In the order of Table 3.
ACTIONS = (
    *("Directions", "Discussion", "Eating", "Greeting", "Phoning", "Photo", "Posing", "Purchases"),
    *("Sitting", "SittingDown", "Smoking", "Waiting", "WalkDog", "Walking", "WalkTogether"),
)
# The six that methods without the other nine report. From the literature they come from: the paper names none.
_SIX_ACTIONS = ("Discussion", "Eating", "Greeting", "Photo", "Walking", "WalkDog")
_OTHER_NAMES = {
    **{"TakingPhoto": "Photo", "WalkingDog": "WalkDog", "WalkingTogether": "WalkTogether", "Phone": "Phoning"},
    **{"Pose": "Posing", "Purchase": "Purchases", "Smoke": "Smoking", "Wait": "Waiting", "Walk": "Walking"},
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
        step = f"every {self.frame_step}th frame of each video"
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


def select_images(records: Records, protocol: Human36MProtocol) -> tuple[np.ndarray, int]:
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


def human36m_errors(records: Records, predictions: Predictions, skeleton: Skeleton, method: str) -> Human36MErrors:
    """Errors of the top-scored detection of each image; of equal scores the first. Ground truth chooses nothing.

    Arguments as in `report`; `method` of `METHODS`.

    Raises:
        ValueError: not one person with a 3D pose in an image.
    """
    people = [_only_person(record) for record in records]
    detected = [detected_people(p, method) for p in predictions]
    covered = np.array([len(d) > 0 for d in detected], dtype=bool)
    found = [(person, d, int(d.scores.argmax())) for person, d in zip(people, detected, strict=True) if len(d)]

    def stacked(poses: list[Any], columns: int) -> torch.Tensor:
        return torch.from_numpy(np.array(poses, dtype=np.float64).reshape(len(found), len(skeleton), columns))

    true_3d = centre_poses(stacked([person["pose_3d"] for person, _, _ in found], 3), skeleton)
    pred_3d = centre_poses(stacked([d.poses_3d[top] for _, d, top in found], 3), skeleton)
    true_2d = stacked([person["keypoints"] for person, _, _ in found], 3)[..., :2]
    pred_2d = stacked([d.poses_2d[top] for _, d, top in found], 2)

    def of_all(values: torch.Tensor) -> np.ndarray:
        errors = np.full(len(records), np.nan)
        errors[covered] = values.numpy()
        return errors

    return Human36MErrors(
        image_ids=[p.image_id for p in predictions],
        actions=np.array([_OTHER_NAMES.get(r["action"], r["action"]) for r in records], dtype=str),
        is_covered=covered,
        absolute_mm=of_all(mpjpe(pred_3d, true_3d)),
        rigid_mm=of_all(mpjpe(pred_3d, true_3d, align="rigid")),
        error_2d_px=of_all((pred_2d - true_2d).norm(dim=-1).mean(1)),
        depth=depth_metrics(pred_3d, true_3d, skeleton),
    )


def _only_person(record: Mapping[str, Any]) -> Mapping[str, Any]:
    people = [a for a in record.get("annotations", []) if a.get("pose_3d") is not None]
    if len(people) != 1:
        raise ValueError(f"{record['file_name']}: {len(people)} people with a 3D pose, Human3.6M has one per image")
    return people[0]


def summarize_errors(errors: Human36MErrors) -> dict[str, float]:
    """Means of the images covered, over poses and over actions.

    Returns:
        n_images, n_covered, coverage (%), and for each of mpjpe_mm, mpjpe_rigid_mm, error_2d_px its mean over
        poses, `<metric>_mean_of_actions` (of the actions present), `<metric>_mean_of_6_actions` (NaN unless all
        six are present) and `<metric>_<action>`; coverage_<action> and coverage_of_6_actions (%); those of
        `depth_metrics`. NaN where nothing is covered.
    """
    n, covered = len(errors.actions), errors.is_covered
    present = _actions_in(errors)
    results = {"n_images": float(n), "n_covered": float(covered.sum()), "coverage": 100 * mean_or_nan(covered)}
    results["coverage_of_6_actions"] = 100 * mean_or_nan(covered[np.isin(errors.actions, _SIX_ACTIONS)])
    values = {"mpjpe_mm": errors.absolute_mm, "mpjpe_rigid_mm": errors.rigid_mm, "error_2d_px": errors.error_2d_px}
    for metric, value in values.items():
        of_action = {a: mean_or_nan(value[covered & (errors.actions == a)]) for a in present}
        results[metric] = mean_or_nan(value[covered])
        results[f"{metric}_mean_of_actions"] = mean_or_nan(np.array(list(of_action.values())))
        results[f"{metric}_mean_of_6_actions"] = mean_or_nan(np.array([of_action.get(a, np.nan) for a in _SIX_ACTIONS]))
        results.update({f"{metric}_{action}": mean for action, mean in of_action.items()})
    results.update({f"coverage_{a}": 100 * mean_or_nan(covered[errors.actions == a]) for a in present})
    return results | errors.depth


def _actions_in(errors: Human36MErrors) -> list[str]:
    """The actions present, in Table 3's order, then others by name."""
    known = {action: place for place, action in enumerate(ACTIONS)}
    return sorted(set(errors.actions.tolist()), key=lambda action: (known.get(action, len(ACTIONS)), action))


# Table 2's rows of LCR-Net, mm: (method, protocol) to (Abs., Align.); None where the paper has none.
_PAPER_TABLE_2: dict[tuple[str, str], tuple[float | None, float]] = {
    **{("nms", "P1"): (65.9, 55.6), ("nms", "P2"): (89.8, 72.3), ("nms", "P3"): (None, 73.1)},
    **{("ppi", "P1"): (63.2, 53.4), ("ppi", "P2"): (87.7, 71.6), ("ppi", "P3"): (None, 72.7)},
}
# Table 3's means of LCR-Net + PPI, mm: P2, without alignment. Its rows are not in the paper's text.
_PAPER_TABLE_3 = {"mean over 15 actions": 87.7, "mean over 6 actions": 83.0}
_PAPER_ERROR_2D_PX = 8.50  # Table 4
_NOT_MEASURED = "n/a"


def report_human36m(
    records: Records, predictions: Predictions, skeleton: Skeleton, protocol_names: Sequence[str] = ("P1", "P2", "P3")
) -> Report:
    """Evaluates the protocols of which the data set holds images.

    Arguments as in `report`; `protocol_names` are keys of `PROTOCOLS`.

    Raises:
        ValueError: no image belongs to any of the protocols.
    """
    methods = methods_in(predictions)
    errors: dict[tuple[str, str], Human36MErrors] = {}
    sections: list[str] = []
    protocols = [p for name in protocol_names for p in PROTOCOLS[name]]
    for protocol in protocols:
        rows, step = select_images(records, protocol)
        if not len(rows):
            continue
        of_protocol = {
            m: human36m_errors([records[r] for r in rows], [predictions[r] for r in rows], skeleton, m) for m in methods
        }
        errors |= {(method, protocol.name): e for method, e in of_protocol.items()}
        sections.append(_section(protocol, of_protocol, protocol.describe(skeleton, step)))
    if not errors:
        asked = "; ".join(p.describe(skeleton, 0) for p in protocols)
        raise ValueError(f"none of the {len(records)} images belongs to: {asked}")
    head = "# Human3.6M\n\n" + _table_2(errors, protocols)
    keys = {p.name: p.name.lower().replace(" (", "_").rstrip(")") for p in protocols}  # P3 (58860488): p3_58860488
    metrics = {f"human36m_{keys[name]}_{m}": summarize_errors(e) for (m, name), e in errors.items()}
    return Report(metrics, head + "\n" + "\n".join(sections))


def _table_2(errors: Mapping[tuple[str, str], Human36MErrors], protocols: Sequence[Human36MProtocol]) -> str:
    """Table 2: mm, means over poses with how many of the images they cover, beside the paper's rows.

    `errors` come by method and name of the protocol; the protocols are the columns.
    """
    columns = [(p, kind) for p in protocols for kind in (("Abs.", "Align.") if p.has_absolute else ("Align.",))]
    rows = []
    for method in METHODS:
        if method in {of_method for of_method, _ in _PAPER_TABLE_2}:
            numbers = [_PAPER_TABLE_2[method, p.name.split()[0]][kind == "Align."] for p, kind in columns]
            cells = [_NOT_MEASURED if mm is None else f"{mm:.1f}" for mm in numbers]
            rows.append([f"paper: LCR-Net + {METHOD_LABELS[method]}", *cells])
        if any(of_method == method for of_method, _ in errors):
            cells = [_cell(errors.get((method, protocol.name)), kind) for protocol, kind in columns]
            rows.append([f"this model + {METHOD_LABELS[method]}", *cells])
    title = "Table 2: MPJPE in mm, mean over poses [95 % interval] (images with a detection / images)\n\n"
    return title + markdown_table(["", *(f"{kind} {p.name}" for p, kind in columns)], rows)


def _per_action_table(errors: Mapping[str, Human36MErrors], kind: str, protocol_name: str) -> str:
    """Table 3: mm per action, then the mean over poses, over the actions, and over the six of the literature.

    `errors` come by method, `kind` is "Abs." or "Align."; the paper's means stand beside those of "P2".
    """
    metric = "mpjpe_mm" if kind == "Abs." else "mpjpe_rigid_mm"
    summaries = {method: summarize_errors(e) for method, e in errors.items()}
    actions = _actions_in(next(iter(errors.values())))
    keys = {action: (f"{metric}_{action}", f"coverage_{action}") for action in actions}
    keys["mean over poses"] = (metric, "coverage")
    keys[f"mean over {len(actions)} actions"] = (f"{metric}_mean_of_actions", "coverage")
    keys[f"mean over 6 actions ({', '.join(_SIX_ACTIONS)})"] = (f"{metric}_mean_of_6_actions", "coverage_of_6_actions")
    rows = [[name, *(f"{s[key]:.1f}" for key in of_row for s in summaries.values())] for name, of_row in keys.items()]
    header = [kind, *(f"{METHOD_LABELS[m]} (mm)" for m in errors)]
    header += [f"{METHOD_LABELS[m]} coverage (%)" for m in errors]
    if (protocol_name, kind) == ("P2", "Abs."):
        header.append("paper: PPI")
        paper = {
            name: next((mm for start, mm in _PAPER_TABLE_3.items() if name.startswith(start)), "") for name in keys
        }
        rows = [[*row, f"{paper[row[0]]}"] for row in rows]
    return markdown_table(header, rows)


def _section(protocol: Human36MProtocol, errors: Mapping[str, Human36MErrors], description: str) -> str:
    n = len(next(iter(errors.values())).actions)
    size = f"{n} images" + (f" (the paper: {protocol.images_in_paper})" if protocol.images_in_paper else "")
    rows = [
        [METHOD_LABELS[m], mean_with_interval(e.error_2d_px[e.is_covered], 2), f"{e.is_covered.sum()} / {n}"]
        for m, e in errors.items()
    ]
    error_2d = markdown_table(
        ["2D error", "px", "images covered"], [["paper + PPI", f"{_PAPER_ERROR_2D_PX:.2f}", ""], *rows]
    )
    kinds = ("Abs.", "Align.") if protocol.has_absolute else ("Align.",)
    tables = [_per_action_table(errors, kind, protocol.name) for kind in kinds]
    depth = depth_table({METHOD_LABELS[m]: e.depth for m, e in errors.items()})
    return "\n".join([f"## {protocol.name}\n", f"{description}. {size}.\n", *tables, error_2d, depth])


def _cell(errors: Human36MErrors | None, kind: str) -> str:
    if errors is None:
        return _NOT_MEASURED
    values = errors.absolute_mm if kind == "Abs." else errors.rigid_mm
    covered = errors.is_covered
    return f"{mean_with_interval(values[covered])} ({covered.sum()} / {len(covered)})"

"""Figure 5: 3D errors of NMS, PPI and PPI after rigid alignment, sorted, and four exemplary cases.

Needs predictions and ground truth only, so it can be drawn of anybody's. Shapes: F people, J joints.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch

from lcrnet_d2.data import read_image
from lcrnet_d2.evaluation import ImagePredictions, align_poses, mpjpe, truth_from_dict
from lcrnet_d2.evaluation.matching import FoundPeople, find_people
from lcrnet_d2.evaluation.people import MIN_JOINTS_SEEN
from lcrnet_d2.evaluation.report import detected_people
from lcrnet_d2.structures import Skeleton, centre_poses
from lcrnet_d2.visualization.figures import new_figure, save_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from mpl_toolkits.mplot3d import Axes3D

__all__ = ["CASES", "PairedPoses", "draw_figure_5", "exemplary_cases", "pair_found_people", "pair_top_scored"]

#: The caption's four, from left to right.
CASES = ("NMS is already accurate", "PPI helps", "alignment helps", "failure")
_COLOURS = {"nms": "tab:green", "ppi": "tab:blue", "aligned": "tab:red", "true": "black"}
_LABELS = {"nms": "NMS", "ppi": "PPI", "aligned": "PPI, rigidly aligned", "true": "ground truth"}


class PairedPoses(NamedTuple):
    """F people that NMS and PPI both found, 3D relative to the body centre.

    Attributes:
        images: (F,) which of the data set's images.
        true_3d, measured: (F, J, 3) m and (F, J) bool, the joints that count.
        nms_3d, ppi_3d, aligned_3d: (F, J, 3) m; the last is PPI's after rigid alignment.
        ppi_2d: (F, J, 2) px.
        nms_mm, ppi_mm, aligned_mm: (F,) MPJPE.
    """

    images: np.ndarray
    true_3d: np.ndarray
    measured: np.ndarray
    nms_3d: np.ndarray
    ppi_3d: np.ndarray
    aligned_3d: np.ndarray
    ppi_2d: np.ndarray
    nms_mm: np.ndarray
    ppi_mm: np.ndarray
    aligned_mm: np.ndarray


def pair_top_scored(
    records: Sequence[Mapping[str, Any]], predictions: Sequence[ImagePredictions], skeleton: Skeleton
) -> PairedPoses:
    """Human3.6M's way: the top-scored detection of each method, of images with one person."""
    rows: list[tuple[int, np.ndarray, np.ndarray, np.ndarray, np.ndarray]] = []
    for image, (record, of_image) in enumerate(zip(records, predictions, strict=True)):
        people = [a for a in record["annotations"] if a.get("pose_3d") is not None]
        if len(people) != 1:
            raise ValueError(f"{record['file_name']}: {len(people)} people with a 3D pose, Human3.6M has one per image")
        if len(of_image.nms) and len(of_image.ppi):
            nms, ppi = of_image.nms.scores.argmax(), of_image.ppi.scores.argmax()
            poses = (of_image.nms.poses_3d[nms], of_image.ppi.poses_3d[ppi], of_image.ppi.poses_2d[ppi])
            rows.append((image, np.asarray(people[0]["pose_3d"]), *poses))
    if not rows:
        raise ValueError("Figure 5 compares NMS with PPI: no image has predictions of both")
    images, true_3d, nms_3d, ppi_3d, ppi_2d = (np.stack(column) for column in zip(*rows, strict=True))
    return _paired(images, true_3d, np.ones(true_3d.shape[:2], dtype=bool), nms_3d, ppi_3d, ppi_2d, skeleton)


def pair_found_people(
    records: Sequence[Mapping[str, Any]],
    predictions: Sequence[ImagePredictions],
    skeleton: Skeleton,
    thresholds: Mapping[str, float] | None = None,
    min_joints_seen: int = MIN_JOINTS_SEEN,
) -> PairedPoses:
    """Any set's way: the people that both methods find, matched in 2D one-to-one.

    Args:
        thresholds: score threshold of "nms" and of "ppi"; 0 if None.

    Raises:
        ValueError: there are none.
    """
    truths = [truth_from_dict(record, len(skeleton), min_joints_seen) for record in records]
    least = thresholds or {"nms": 0.0, "ppi": 0.0}
    nms, ppi = (
        find_people(truths, [detected_people(p, method, least[method]) for p in predictions])
        for method in ("nms", "ppi")
    )
    row_of = {tuple(key): row for row, key in enumerate(ppi.keys.tolist())}
    known = np.flatnonzero(nms.measured_3d.any(1)).tolist()
    common = [row for row in known if tuple(nms.keys[row].tolist()) in row_of]
    if not common:
        raise ValueError("Figure 5 compares NMS with PPI: nobody with a 3D pose is found by both")
    nms = nms.rows(np.array(common))
    ppi = ppi.rows(np.array([row_of[tuple(key)] for key in nms.keys.tolist()]))
    return _paired_found(nms, ppi, skeleton)


def _paired_found(nms: FoundPeople, ppi: FoundPeople, skeleton: Skeleton) -> PairedPoses:
    poses = (nms.detected.poses_3d, ppi.detected.poses_3d, ppi.detected.poses_2d)
    return _paired(nms.keys[:, 0], nms.true_3d, nms.measured_3d, *poses, skeleton)


def _paired(
    images: np.ndarray,
    true_3d: np.ndarray,
    measured: np.ndarray,
    nms_3d: np.ndarray,
    ppi_3d: np.ndarray,
    ppi_2d: np.ndarray,
    skeleton: Skeleton,
) -> PairedPoses:
    true, nms, ppi = (
        centre_poses(torch.from_numpy(poses.astype(np.float64)), skeleton).numpy()
        for poses in (true_3d, nms_3d, ppi_3d)
    )
    aligned = align_poses(ppi, true, measured)
    errors = [mpjpe(poses, true, measured) for poses in (nms, ppi, aligned)]
    return PairedPoses(images, true, measured, nms, ppi, aligned, ppi_2d, *errors)


def exemplary_cases(nms_mm: np.ndarray, ppi_mm: np.ndarray, aligned_mm: np.ndarray) -> list[int]:
    """The people that show the caption's four cases best, fewer of fewer than four people; each once.

    1: NMS is accurate and neither PPI nor alignment changes much. 2: PPI is better than the median and improves
    most over NMS. 3: PPI is within a tenth of NMS and alignment gains most. 4: the worst after alignment.
    """
    helped = np.where(ppi_mm <= np.median(ppi_mm), nms_mm - ppi_mm, -np.inf)
    turned = np.where(np.abs(nms_mm - ppi_mm) <= 0.1 * nms_mm, ppi_mm - aligned_mm, -np.inf)
    merits = (-(nms_mm + np.abs(nms_mm - ppi_mm) + np.abs(ppi_mm - aligned_mm)), helped, turned, aligned_mm)
    chosen: list[int] = []
    for merit in merits[: len(ppi_mm)]:
        free = np.setdiff1d(np.arange(len(ppi_mm)), chosen)
        chosen.append(int(free[merit[free].argmax()]))
    return chosen


def draw_figure_5(
    paired: PairedPoses, records: Sequence[Mapping[str, Any]], skeleton: Skeleton, path: Path, title: str = ""
) -> None:
    """Writes the figure as a PNG: the three curves above, the four cases below.

    Args:
        records: dataset dicts; a case whose picture is not on disk is drawn in 3D only.
    """
    figure = new_figure(10, 9)
    figure.set_layout_engine("none")  # the automatic one gives up on 3D axes
    space = {"left": 0.07, "right": 0.99, "top": 0.95, "bottom": 0.01, "hspace": 0.32, "wspace": 0.05}
    grid = figure.add_gridspec(3, len(CASES), height_ratios=(1.2, 0.9, 1.1), **space)
    order = np.argsort(paired.ppi_mm, kind="stable")
    cases = exemplary_cases(paired.nms_mm, paired.ppi_mm, paired.aligned_mm)
    _draw_curves(figure.add_subplot(grid[0, :]), paired, order, cases, title)
    for column, person in enumerate(cases):
        errors = f"{paired.nms_mm[person]:.0f}, {paired.ppi_mm[person]:.0f}, {paired.aligned_mm[person]:.0f} mm"
        picture = figure.add_subplot(grid[1, column])
        _draw_picture(picture, records[int(paired.images[person])]["file_name"], paired.ppi_2d[person], skeleton)
        picture.set_title(f"{column + 1}: {CASES[column]}\n{errors}", fontsize=8)
        poses = {
            "true": paired.true_3d[person],
            "nms": paired.nms_3d[person],
            "ppi": paired.ppi_3d[person],
            "aligned": paired.aligned_3d[person],
        }
        _draw_overlaid(figure.add_subplot(grid[2, column], projection="3d"), poses, skeleton)
    save_figure(figure, path)


def _draw_curves(axes: Axes, paired: PairedPoses, order: np.ndarray, cases: list[int], title: str) -> None:
    places = np.arange(1, len(order) + 1)
    for name, errors in (("nms", paired.nms_mm), ("aligned", paired.aligned_mm), ("ppi", paired.ppi_mm)):
        width = 2.0 if name == "ppi" else 0.7
        axes.plot(places, errors[order], color=_COLOURS[name], label=_LABELS[name], linewidth=width)
    place_of = np.argsort(order)
    for number, person in enumerate(cases, 1):
        axes.annotate(str(number), (float(place_of[person] + 1), float(paired.ppi_mm[person])), fontsize=11)
    axes.set(xlabel="people, by the error of PPI", ylabel="3D error (mm)", title=title, ylim=(0, None))
    axes.legend(loc="upper left")
    axes.grid(alpha=0.3)


def _draw_picture(axes: Axes, file_name: str, pose_2d: np.ndarray, skeleton: Skeleton) -> None:
    axes.set_axis_off()
    if not Path(file_name).is_file():
        axes.text(0.5, 0.5, "no picture", ha="center", transform=axes.transAxes)
        return
    image = read_image(file_name, "RGB")
    axes.imshow(image)
    for a, b in skeleton.bone_indices:
        axes.plot(*pose_2d[[a, b]].T, color=_COLOURS["ppi"], linewidth=1.5)
    axes.set(xlim=(0, image.shape[1]), ylim=(image.shape[0], 0))


def _draw_overlaid(axes: Axes3D, poses: Mapping[str, np.ndarray], skeleton: Skeleton) -> None:
    """Poses (J, 3) m over each other, seen from the front, a little from the side and above."""
    for name, pose in poses.items():
        x, depth, up = pose[:, 0], pose[:, 2], -pose[:, 1]
        for a, b in skeleton.bone_indices:
            axes.plot(x[[a, b]], depth[[a, b]], up[[a, b]], color=_COLOURS[name], linewidth=1.2)
    half = max(0.6, max(float(np.abs(pose).max()) for pose in poses.values()))
    axes.set(xlim=(-half, half), ylim=(-half, half), zlim=(-half, half), xticklabels=[], yticklabels=[], zticklabels=[])
    axes.set_box_aspect((1, 1, 1), zoom=1.3)  # pyright: ignore[reportArgumentType]  stub says int
    axes.view_init(elev=12, azim=-65)

"""Tables 1 to 4 on the synthetic set, and NMS against PPI over their thresholds.

Every function takes the runs and the folder for its picture, and returns Markdown. Errors are compared on the
people that all runs of a table find, so that no run gains by finding the easy ones only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np

from lcrnet_d2.evaluation.mpii import pckh_curve, single_person_errors
from lcrnet_d2.evaluation.report import detected_people, markdown_table, mean_with_interval
from lcrnet_d2.structures import BODY13
from lcrnet_d2.visualization.figures import new_figure, save_figure

from .experiments import COMPARED_K, GRID_K, SYNTHETIC, runs_of_k
from .people_errors import PeopleErrors
from .runs import SyntheticRuns
from .subsets import by_facing, by_joints_inside, with_mpii_marks

__all__ = ["LABEL", "common", "ppi", "table1", "table2", "table3", "table4"]

_T_3D = (0.05, 0.1, 0.2, 0.3, 0.5)
_IOU = (0.08, 0.2, 0.35, 0.5)


def common(*errors: PeopleErrors) -> np.ndarray:
    """(N,) bool: found by all."""
    return np.logical_and.reduce([e.found for e in errors])


def mean_over_runs(errors: Sequence[PeopleErrors], name: str) -> np.ndarray:
    """(N,) mean over runs of one of their arrays."""
    return np.mean([getattr(e, name) for e in errors], axis=0)


def table1(runs: SyntheticRuns, folder: Path) -> str:
    """Table 1: K; classification alone (the anchor pose of the class), regression alone (K = 1), both."""
    of_k = {k: [runs.results(run).errors for run in runs_of_k(k)] for k in COMPARED_K}
    everyone = [errors[method] for of_runs in of_k.values() for errors in of_runs for method in ("nms", "ppi")]
    rows_used = common(*everyone)
    table, curves = [], {name: [] for name in _CURVES}
    for k, of_runs in of_k.items():
        nms, ppi_ = ([errors[method] for errors in of_runs] for method in ("nms", "ppi"))
        arrays = {
            "classification alone": mean_over_runs(nms, "anchor_mm")[rows_used],
            "NMS": mean_over_runs(nms, "mpjpe_mm")[rows_used],
            "NMS, aligned": mean_over_runs(nms, "rigid_mm")[rows_used],
            "PPI": mean_over_runs(ppi_, "mpjpe_mm")[rows_used],
            "PPI, aligned": mean_over_runs(ppi_, "rigid_mm")[rows_used],
        }
        for name, values in arrays.items():
            curves[name].append(float(values.mean()) if len(values) else np.nan)
        spread = _between_seeds([e.mpjpe_mm[rows_used] for e in nms])
        found = "{:.0f} / {:.0f}".format(*(100 * mean_over_runs(e, "found").mean() for e in (nms, ppi_)))
        nearest = f"{1000 * float(runs.anchors(runs_of_k(k)[0]).mean_distances.mean()):.0f}"
        cells = [mean_with_interval(values) for values in arrays.values()]
        pck = mean_with_interval(mean_over_runs(ppi_, "pck_3d"))
        table.append([str(k), str(len(of_runs)), nearest, found, *cells, spread, pck])
    _draw_table1(curves, folder / "table1.png")
    header = ["K", "seeds", "D to the nearest anchor", "found NMS / PPI (%)", *_CURVES]
    header += ["NMS between seeds", "3DPCK of all, PPI (%)"]
    return (
        "# Table 1: the number K of anchor poses\n\n" + LABEL + "3D error in mm, mean [95 % interval over people], "
        f"over the {rows_used.sum()} of {len(rows_used)} people that every run finds by NMS and by PPI. K = 1 is "
        "regression alone; classification alone is the anchor pose of the NMS seed's class, unregressed. 3DPCK is over "
        "all people, one not found being wrong in every joint.\n\n"
        + markdown_table(header, table)
        + "\nThe paper, on Human3.6M P1: NMS 71.7, 70.7, 77.0, 85.6 mm for K = 50, 100, 200, 500 (aligned 59.3, 58.0, "
        "63.6, 66.1): best at 100.\n\n![error against K](table1.png)\n"
    )


_CURVES = ("classification alone", "NMS", "NMS, aligned", "PPI", "PPI, aligned")
LABEL = "**Synthetic set** (no Human3.6M or MPII was on disk, or it was asked for). "


def _between_seeds(errors: Sequence[np.ndarray]) -> str:
    if len(errors) < 2 or not len(errors[0]):
        return ""
    means = [e.mean() for e in errors]
    return f"{min(means):.1f} to {max(means):.1f}"


def _draw_table1(curves: Mapping[str, Sequence[float]], path: Path) -> None:
    figure = new_figure(6, 4)
    axes = figure.subplots()
    for name, values in curves.items():
        axes.plot(range(len(COMPARED_K)), values, "o--" if "aligned" in name else "o-", label=name)
    axes.set_xticks(range(len(COMPARED_K)), [str(k) for k in COMPARED_K])
    axes.set(xlabel="K anchor poses", ylabel="3D error (mm)", title="Synthetic set: error against K")
    axes.legend(fontsize=8)
    axes.grid(alpha=0.3)
    save_figure(figure, path)


def table2(runs: SyntheticRuns, folder: Path) -> str:
    """Table 2: NMS and PPI, before and after rigid alignment; regression alone beside them."""
    del folder  # no picture
    (best,) = (run for run in SYNTHETIC if run.name == f"K{GRID_K}")
    errors, alone = runs.results(best).errors, runs.results(runs_of_k(1)[0]).errors
    shown = {f"LCR-Net + {m.upper()}, K = {GRID_K}": errors[m] for m in ("nms", "ppi")}
    shown |= {f"regression alone (K = 1) + {m.upper()}": alone[m] for m in ("nms", "ppi")}
    used = common(*shown.values())
    rows = [
        [
            name,
            mean_with_interval(e.mpjpe_mm[used]),
            mean_with_interval(e.rigid_mm[used]),
            mean_with_interval(100.0 * e.found),
            f"{e.fp_per_image:.2f}",
            mean_with_interval(e.pck_3d),
        ]
        for name, e in shown.items()
    ]
    gain = errors["nms"].mpjpe_mm[used] - errors["ppi"].mpjpe_mm[used]
    header = ["", "Abs. (mm)", "Align. (mm)", "found (%)", "false positives / image", "3DPCK of all (%)"]
    return (
        f"# Table 2: NMS and PPI\n\n{LABEL}Errors over the {used.sum()} of {len(used)} people that all rows find. What "
        f"PPI gains over NMS, person by person: {mean_with_interval(gain)} mm [95 % interval].\n\n"
        + markdown_table(header, rows)
        + "\nThe paper, on Human3.6M: NMS 65.9 and PPI 63.2 mm on P1, 89.8 and 87.7 mm on P2 (aligned 55.6 and 53.4, "
        "72.3 and 71.6).\n"
    )


def table3(runs: SyntheticRuns, folder: Path) -> str:
    """Table 3 has a row per action; here people are told apart by the direction they face and by what is hidden."""
    del folder  # no picture
    errors = runs.results(runs_of_k(GRID_K)[0]).errors
    truths = runs.truths()
    used = common(*errors.values())
    rows = []
    for name, members in (by_facing(truths, BODY13) | by_joints_inside(truths)).items():
        cells = [mean_with_interval(errors[m].mpjpe_mm[used & members]) for m in ("nms", "ppi")]
        found = [f"{100 * errors[m].found[members].mean():.0f}" if members.any() else "n/a" for m in ("nms", "ppi")]
        rows.append([name, str(int((used & members).sum())), *cells, *found])
    header = ["people", "n", "NMS (mm)", "PPI (mm)", "found NMS (%)", "found PPI (%)"]
    return (
        f"# Table 3: by kind of people\n\n{LABEL}There are no actions here: people are told apart by the direction "
        f"they face and by how many joints are outside. K = {GRID_K}, errors over people that NMS and PPI both "
        "find.\n\n" + markdown_table(header, rows)
    )


def table4(runs: SyntheticRuns, folder: Path) -> str:
    """Table 4: 2D, in px and as PCKh@0.5."""
    del folder  # no picture
    result = runs.results(runs_of_k(GRID_K)[0])
    records = with_mpii_marks(runs.records(), runs.truths())
    rows = []
    for method in ("nms", "ppi"):
        detected = [detected_people(p, method, result.thresholds[method]) for p in result.predictions]
        single = single_person_errors(records, detected, BODY13)
        sizes = np.array([a["head_size"] for r in records for a in r["annotations"] if "head_size" in a])
        pixels = single.errors * sizes[:, None]
        found = single.annotated & single.is_found[:, None]
        at_half = pckh_curve(single, (0.5,)).mean[0]
        rows.append([method.upper(), mean_with_interval(pixels[found]), f"{at_half:.1f}", _share(single.is_found)])
    header = [f"K = {GRID_K}", "2D error (px of 320 x 240)", "PCKh@0.5 of all (%)", "selected / people"]
    return (
        f"# Table 4: 2D\n\n{LABEL}MPII's single-person selection by place and size (docs/evaluation.md); a head is "
        "taken for 20 cm wide at the person's depth. The 2D error is over joints inside the picture of the people "
        "selected, PCKh over everyone.\n\n"
        + markdown_table(header, rows)
        + "\nThe paper: 8.50 px on Human3.6M (pictures of 1000 x 1000), PCKh@0.5 74.2 % on MPII's test set.\n"
    )


def _share(flags: np.ndarray) -> str:
    return f"{int(flags.sum())} / {len(flags)}"


def ppi(runs: SyntheticRuns, folder: Path) -> str:
    """Sec. 3.5 and 4: NMS against PPI over T_3D and the IoU threshold, on saved proposals."""
    experiment = runs_of_k(GRID_K)[0]
    rules = runs.default_rules(experiment)
    cells = {
        (t, iou): runs.results(experiment, replace(rules, t_3d=t, iou_threshold=iou)).errors
        for t, iou in product(_T_3D, _IOU)
    }
    used = common(*(errors[m] for errors in cells.values() for m in ("nms", "ppi")))
    parts = {
        "PPI, error in mm": lambda e: _mean(e["ppi"].mpjpe_mm[used]),
        "PPI, aligned, mm": lambda e: _mean(e["ppi"].rigid_mm[used]),
        "PPI, found, %": lambda e: _mean(100 * e["ppi"].found),
    }
    sections = [f"## {name}\n\n{_grid(cells, show)}" for name, show in parts.items()]
    of_nms = {iou: cells[_T_3D[0], iou]["nms"] for iou in _IOU}
    rows = [
        ["error, mm", *(_mean(e.mpjpe_mm[used]) for e in of_nms.values())],
        ["aligned, mm", *(_mean(e.rigid_mm[used]) for e in of_nms.values())],
        ["found, %", *(_mean(100 * e.found) for e in of_nms.values())],
    ]
    sections.append("## NMS\n\n" + markdown_table(["IoU", *map(str, _IOU)], rows))
    if used.any():
        _draw_grid(cells, used, folder / "ppi.png")
    return (
        f"# NMS against PPI over T_3D and IoU\n\n{LABEL}K = {GRID_K}; the same saved proposals throughout, score "
        f"thresholds chosen on validation data for each cell. Errors over the {used.sum()} of {len(used)} people "
        "that all cells find.\n\n" + "\n".join(sections) + ("\n![error against T_3D](ppi.png)\n" if used.any() else "")
    )


def _mean(values: np.ndarray) -> str:
    return f"{values.mean():.1f}" if len(values) else "n/a"


def _grid(
    cells: Mapping[tuple[float, float], dict[str, PeopleErrors]], show: Callable[[dict[str, PeopleErrors]], str]
) -> str:
    rows = [[f"T_3D = {1000 * t:.0f} mm", *(show(cells[t, iou]) for iou in _IOU)] for t in _T_3D]
    return markdown_table(["IoU", *map(str, _IOU)], rows)


def _draw_grid(cells: Mapping[tuple[float, float], dict[str, PeopleErrors]], used: np.ndarray, path: Path) -> None:
    figure = new_figure(6, 4)
    axes = figure.subplots()
    for iou in _IOU:
        means = [np.mean(cells[t, iou]["ppi"].mpjpe_mm[used]) for t in _T_3D]
        (line,) = axes.plot([1000 * t for t in _T_3D], means, "o-", label=f"PPI, IoU {iou}")
        axes.axhline(cells[_T_3D[0], iou]["nms"].mpjpe_mm[used].mean(), color=line.get_color(), linestyle=":")
    axes.set(xlabel="T_3D (mm)", ylabel="3D error (mm)", title="Synthetic set: PPI (lines) and NMS (dotted)")
    axes.legend(fontsize=8)
    axes.grid(alpha=0.3)
    save_figure(figure, path)

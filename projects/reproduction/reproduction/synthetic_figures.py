"""Figures 5 and 6 on the synthetic set: functions of the runs and the folder for pictures that return Markdown."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from lcrnet_d2.evaluation.mpii import PCKhCurve, RarityCurve, pckh_curve, rarity_curve, single_person_errors
from lcrnet_d2.evaluation.report import detected_people, markdown_table, mean_with_interval
from lcrnet_d2.structures import BODY13

from .experiments import GRID_K, SYNTHETIC, runs_of_k
from .figure5 import CASES, draw_figure_5, exemplary_cases, pair_found_people
from .figure6 import draw_figure_6
from .people_errors import rarities
from .runs import SyntheticRuns
from .subsets import with_mpii_marks
from .synthetic_tables import LABEL, common

__all__ = ["fig5", "fig6"]

_BAD_MM = 130.0
_NOBODY = "Nobody is found by both NMS and PPI: the training was too short.\n"


def fig5(runs: SyntheticRuns, folder: Path) -> str:
    """Figure 5: errors of NMS, PPI and PPI + rigid alignment, sorted, and four exemplary cases."""
    result = runs.results(runs_of_k(GRID_K)[0])
    if not common(*result.errors.values()).any():
        return f"# Figure 5: errors sorted\n\n{LABEL}{_NOBODY}"
    records = runs.records()
    paired = pair_found_people(records, result.predictions, BODY13, result.thresholds)
    draw_figure_5(paired, records, BODY13, folder / "fig5.png", f"Synthetic set, K = {GRID_K}")
    errors = {"NMS": paired.nms_mm, "PPI": paired.ppi_mm, "PPI, aligned": paired.aligned_mm}
    rows = [
        [name, mean_with_interval(e), f"{np.median(e):.1f}", f"{100 * (e > _BAD_MM).mean():.0f}"]
        for name, e in errors.items()
    ]
    cases = exemplary_cases(paired.nms_mm, paired.ppi_mm, paired.aligned_mm)
    shown = [
        [f"{number}: {what}", *(f"{e[person]:.0f}" for e in errors.values())]
        for number, (what, person) in enumerate(zip(CASES, cases, strict=False), 1)
    ]
    better = 100 * (paired.ppi_mm < paired.nms_mm).mean()
    return (
        f"# Figure 5: errors sorted\n\n{LABEL}The {len(paired.ppi_mm)} people that NMS and PPI both find; PPI is "
        f"better than NMS for {better:.0f} % of them.\n\n![errors sorted](fig5.png)\n\n"
        + markdown_table(["", "mean (mm)", "median (mm)", f"over {_BAD_MM:.0f} mm (%)"], rows)
        + "\n"
        + markdown_table(["case", *(f"{name} (mm)" for name in errors)], shown)
        + "\nGreen NMS, blue PPI, red PPI after rigid alignment, black ground truth. The paper: of its 928 frames "
        "fewer than 20 are over 130 mm.\n"
    )


def fig6(runs: SyntheticRuns, folder: Path) -> str:
    """Figure 6: PCKh, and PCKh and 3D error against rarity; more training data beside less."""
    (half,) = (e for e in SYNTHETIC if e.name == "half")
    compared = {"half of the data": half, "all data": runs_of_k(GRID_K)[0]}
    truths = runs.truths()
    records = with_mpii_marks(runs.records(), truths)
    curves: dict[str, PCKhCurve] = {}
    rarity: dict[str, RarityCurve] = {}
    for name, experiment in compared.items():
        result = runs.results(experiment)
        for method in ("nms", "ppi"):
            detected = [detected_people(p, method, result.thresholds[method]) for p in result.predictions]
            single = single_person_errors(records, detected, BODY13)
            curves[f"{name}, {method.upper()}"] = pckh_curve(single)
            if method == "ppi":
                rarity[f"{name}, PPI"] = rarity_curve(single, runs.anchors(compared["all data"]))
    draw_figure_6(curves, rarity, folder / "fig6.png", f"Synthetic set, K = {GRID_K}")
    header = ["", "PCKh@0.5 (%)", "PCKh@1 (%)"]
    rows = [[name, f"{curve.mean[50]:.1f}", f"{curve.mean[100]:.1f}"] for name, curve in curves.items()]
    return (
        f"# Figure 6: PCKh, and rarity of the pose\n\n{LABEL}Left: MPII's single-person protocol, a head taken for "
        "20 cm wide at the person's depth. Right: per-pose PCKh@0.5 of PPI against D to the nearest of the anchor "
        "poses made from all data, a dot for each person, the line a mean over 101.\n\n![PCKh and rarity](fig6.png)\n\n"
        + markdown_table(header, rows)
        + "\n"
        + _error_against_rarity(runs)
    )


def _error_against_rarity(runs: SyntheticRuns) -> str:
    from scipy.stats import spearmanr

    experiment = runs_of_k(GRID_K)[0]
    errors = runs.results(experiment).errors
    used = common(*errors.values())
    if not used.any():
        return _NOBODY
    rarity = rarities(runs.truths(), runs.anchors(experiment))
    order = np.flatnonzero(used)[np.argsort(rarity[used], kind="stable")]
    rows = [
        [
            f"{100 * rarity[part[0]]:.0f} to {100 * rarity[part[-1]]:.0f}",
            str(len(part)),
            *(mean_with_interval(errors[m].mpjpe_mm[part]) for m in ("nms", "ppi")),
        ]
        for part in np.array_split(order, 5)
        if len(part)
    ]
    correlation = float(np.asarray(spearmanr(rarity[used], errors["ppi"].mpjpe_mm[used]))[0])
    header = ["rarity (cm), fifths of the people", "n", "NMS (mm)", "PPI (mm)"]
    return (
        markdown_table(header, rows) + f"\nRank correlation (Spearman) of rarity and PPI's error: {correlation:.2f}.\n"
    )

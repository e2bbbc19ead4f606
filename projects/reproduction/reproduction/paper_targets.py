"""Tables 1 to 4, Figures 5 and 6 on Human3.6M and MPII: Markdown of the runs of `paper_runs.PAPER`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from lcrnet_d2.evaluation.human36m import PROTOCOLS as HUMAN36M
from lcrnet_d2.evaluation.human36m import human36m_errors, select_images
from lcrnet_d2.evaluation.mpii import pckh_curve, rarity_curve, single_person_errors
from lcrnet_d2.evaluation.report import detected_people, markdown_table, mean_with_interval, methods_in

from .figure5 import draw_figure_5, pair_top_scored
from .figure6 import draw_figure_6
from .paper_runs import PAPER, PaperRun, PaperRuns, is_on_disk

__all__ = ["PAPER_TARGETS"]


def table1(runs: PaperRuns, folder: Path) -> str:
    """Table 1: NMS on P1 for each K."""
    del folder  # no picture
    rows = []
    for run in PAPER["table1"]:
        result = runs.result(run)
        images, _ = select_images(result.records, HUMAN36M["P1"][0])
        errors = human36m_errors(
            [result.records[i] for i in images], [result.predictions[i] for i in images], result.skeleton, "nms"
        )
        covered = errors.is_covered
        cells = [mean_with_interval(values[covered]) for values in (errors.absolute_mm, errors.rigid_mm)]
        rows.append(
            [str(run.num_anchor_poses), *cells, f"{covered.sum()} / {len(covered)}", *_TABLE_1[run.num_anchor_poses]]
        )
    header = ["K", "NMS (mm)", "NMS, aligned (mm)", "images covered", "paper: NMS", "paper: NMS, aligned"]
    return (
        "# Table 1: the number K of anchor poses\n\nHuman3.6M P1, MPJPE in mm, mean [95 % interval over images]; "
        "13 joints, root: body centre.\n\n" + markdown_table(header, rows)
    )


#: The paper's Table 1; the K of its first column (74.2, 64.5) is not legible in the text we have.
_TABLE_1 = {
    1: ("", ""),
    50: ("71.7", "59.3"),
    100: ("70.7", "58.0"),
    200: ("77.0", "63.6"),
    500: ("85.6", "66.1"),
}


def _reports(target: str, title: str) -> Callable[[PaperRuns, Path], str]:
    """The protocols' own reports, which hold the paper's numbers beside ours; of runs whose data are there."""

    def write(runs: PaperRuns, folder: Path) -> str:
        del folder  # no picture
        parts = [f"# {title}\n"]
        for run in PAPER[target]:
            body = runs.result(run).report.markdown if is_on_disk(run) else "The data are not on disk.\n"
            parts.append(f"## {run.title} ({run.config})\n\n{_one_level_down(body)}")
        return "\n".join(parts)

    return write


def _one_level_down(markdown: str) -> str:
    return "\n".join("##" + line if line.startswith("#") else line for line in markdown.split("\n"))


def fig5(runs: PaperRuns, folder: Path) -> str:
    """Figure 5 on P1."""
    (run,) = PAPER["fig5"]
    result = runs.result(run)
    images, _ = select_images(result.records, HUMAN36M["P1"][0])
    records = [result.records[i] for i in images]
    paired = pair_top_scored(records, [result.predictions[i] for i in images], result.skeleton)
    draw_figure_5(paired, records, result.skeleton, folder / "fig5.png", "Human3.6M P1")
    return f"# Figure 5: errors sorted\n\nHuman3.6M P1, {len(paired.ppi_mm)} images.\n\n![errors sorted](fig5.png)\n"


def fig6(runs: PaperRuns, folder: Path) -> str:
    """Figure 6 on MPII's validation set."""
    curves, rarity = {}, {}
    there = [run for run in PAPER["fig6"] if _can_run(runs, run)]
    for run in there:
        result = runs.result(run)
        for method in methods_in(result.predictions):
            detected = [detected_people(p, method) for p in result.predictions]
            single = single_person_errors(result.records, detected, result.skeleton)
            curves[f"{run.title}, {method.upper()}"] = pckh_curve(single)
            if method == "ppi" and result.anchors is not None:
                rarity[run.title] = rarity_curve(single, result.anchors)
    draw_figure_6(curves, rarity, folder / "fig6.png", "MPII, validation set")
    rows = [[name, f"{curve.mean[50]:.1f}", f"{curve.mean[100]:.1f}"] for name, curve in curves.items()]
    left_out = [run.title for run in PAPER["fig6"] if run not in there]
    note = f"\nWithout weights and left out: {', '.join(left_out)}.\n" if left_out else ""
    return (
        "# Figure 6: PCKh, and rarity of the pose\n\n![PCKh and rarity](fig6.png)\n\n"
        + markdown_table(["", "PCKh@0.5 (%)", "PCKh@1 (%)"], rows)
        + "\nThe paper, on its own validation set: PPI about 75 and 90 %, with COCO 78.5 % at 0.5.\n"
        + note
    )


def _can_run(runs: PaperRuns, run: PaperRun) -> bool:
    """The first run is needed; those with more data are shown where they are trained, or may be."""
    return run is PAPER["fig6"][0] or runs.has_weights(run) or (runs.may_train and runs.has_training_data(run))


#: target: what writes it.
PAPER_TARGETS: dict[str, Callable[[PaperRuns, Path], str]] = {
    "table1": table1,
    "table2": _reports("table2", "Table 2: Human3.6M"),
    "table3": _reports("table3", "Table 3: per action"),
    "table4": _reports("table4", "Table 4: 2D"),
    "fig5": fig5,
    "fig6": fig6,
}

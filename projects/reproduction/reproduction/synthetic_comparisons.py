"""What the paper says in words, on the synthetic set: truncation, the amount of data; and what the trainings took.

Every function takes the runs and the folder for pictures, and returns Markdown.
"""

from __future__ import annotations

from pathlib import Path

from lcrnet_d2.evaluation.report import markdown_table, mean_with_interval

from .experiments import GRID_K, SYNTHETIC, Experiment, runs_of_k
from .runs import SyntheticRuns
from .sets import TRUNCATED_SET
from .synthetic_tables import LABEL, common

__all__ = ["cost", "data", "truncation"]


def truncation(runs: SyntheticRuns, folder: Path) -> str:
    """Sec. 4.2, "Dealing with truncation": with and without upper-body anchor poses, on people who are cut off."""
    del folder  # no picture
    pair = {e.name: e for e in SYNTHETIC if e.crops}
    names = {"full_body": "full-body anchor poses only", "upper_body": "upper-body anchor poses too"}
    results = {name: runs.results(pair[name], None, TRUNCATED_SET).errors for name in names}
    used = common(*(errors[m] for errors in results.values() for m in ("nms", "ppi")))
    rows = [
        [
            f"{names[name]}, {method.upper()}",
            mean_with_interval(100.0 * errors[method].found),
            mean_with_interval(errors[method].mpjpe_mm[used]),
            mean_with_interval(errors[method].pck_3d),
        ]
        for name, errors in results.items()
        for method in ("nms", "ppi")
    ]
    header = ["", "found (%)", "3D error (mm)", "3DPCK of all (%)"]
    return (
        f"# Upper-body anchor poses on truncated people\n\n{LABEL}Test pictures are cut at the thighs of their largest "
        f"person; both runs trained on random crops, K = {GRID_K}. Errors are of all joints, those cut off too, "
        f"over the {used.sum()} of {len(used)} people that all rows find.\n\n" + markdown_table(header, rows)
    )


def cost(runs: SyntheticRuns, folder: Path) -> str:
    """What the trainings took, for those who want to plan."""
    del folder  # no picture
    took = {e.name: figures for e in SYNTHETIC if (figures := runs.training_figures(e)) is not None}
    rows = [
        [
            name,
            *(str(t[key]) for key in ("iterations", "images_per_iteration", "processes", "device")),
            f"{t['seconds'] / 60:.1f}",
            str(t["peak_memory_mb"]),
        ]
        for name, t in took.items()
    ]
    header = ["training", "iterations", "images each", "processes", "device", "minutes", "peak memory (MB)"]
    return (
        f"# Time and memory\n\n{LABEL}Of each training, without evaluation; memory is the main process's, and its peak "
        "so far where several were trained in one go.\n\n" + markdown_table(header, rows)
    )


def data(runs: SyntheticRuns, folder: Path) -> str:
    """Sec. 4.2 on the amount of training data: half of it and all."""
    del folder  # no picture
    (half,) = (e for e in SYNTHETIC if e.name == "half")
    compared: dict[str, Experiment] = {"half of the images": half, "all images": runs_of_k(GRID_K)[0]}
    results = {name: runs.results(e).errors for name, e in compared.items()}
    used = common(*(errors[m] for errors in results.values() for m in ("nms", "ppi")))
    rows = [
        [
            f"{name}, {method.upper()}",
            mean_with_interval(errors[method].mpjpe_mm[used]),
            mean_with_interval(errors[method].rigid_mm[used]),
            mean_with_interval(100.0 * errors[method].found),
            mean_with_interval(errors[method].pck_3d),
        ]
        for name, errors in results.items()
        for method in ("nms", "ppi")
    ]
    header = ["", "3D error (mm)", "aligned (mm)", "found (%)", "3DPCK of all (%)"]
    return (
        f"# Half and all of the training data\n\n{LABEL}K = {GRID_K}, the same number of iterations, the warm-up too. "
        f"Errors over the {used.sum()} of {len(used)} people that all rows find.\n\n"
        + markdown_table(header, rows)
        + "\nThe paper, on MPII: PCKh@0.5 from about 75 to 78.5 % with COCO added, about twice the data.\n"
    )

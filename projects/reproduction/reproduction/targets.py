"""What `projects/reproduction/reproduce.py` can make, by name, on which data, and the order of the page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from . import synthetic_comparisons, synthetic_figures, synthetic_tables
from .page import write_page, write_part
from .paper_runs import PAPER, PaperRuns, is_on_disk
from .paper_targets import PAPER_TARGETS
from .runs import SyntheticRuns

__all__ = ["TARGETS", "reproduce"]

_SYNTHETIC_TARGETS: dict[str, Callable[[SyntheticRuns, Path], str]] = {
    "table1": synthetic_tables.table1,
    "table2": synthetic_tables.table2,
    "table3": synthetic_tables.table3,
    "table4": synthetic_tables.table4,
    "ppi": synthetic_tables.ppi,
    "truncation": synthetic_comparisons.truncation,
    "data": synthetic_comparisons.data,
    "fig5": synthetic_figures.fig5,
    "fig6": synthetic_figures.fig6,
    "cost": synthetic_comparisons.cost,
}

#: In the order of the page.
TARGETS = tuple(_SYNTHETIC_TARGETS)


def reproduce(
    names: Sequence[str],
    folder: Path,
    *,
    synthetic: bool = False,
    opts: Sequence[str] = (),
    processes: int = 1,
    may_train: bool = False,
) -> Path:
    """Makes tables and figures, each as folder/NAME.md with its pictures, and all there are as folder/index.html.

    Args:
        names: of `TARGETS`.
        synthetic: use the synthetic set even where Human3.6M and MPII are on disk.
        opts: config KEY VALUE pairs for every run.
        processes: to train in; on GPUs, how many of them.
        may_train: train on Human3.6M and MPII too; on the synthetic set that is always done.

    Returns:
        The page.

    Raises:
        FileNotFoundError: weights for Human3.6M or MPII that are neither there nor to be trained.
    """
    on_synthetic = SyntheticRuns(folder / "synthetic", opts, processes)
    on_paper = PaperRuns(folder / "human36m", opts, processes, may_train)
    for name in names:
        print(f"=== {name}", flush=True)
        if not synthetic and name in PAPER and is_on_disk(PAPER[name][0]):
            text = PAPER_TARGETS[name](on_paper, folder)
        else:
            text = _SYNTHETIC_TARGETS[name](on_synthetic, folder)
        write_part(folder, name, text)
        write_page(folder, TARGETS)
    return write_page(folder, TARGETS)

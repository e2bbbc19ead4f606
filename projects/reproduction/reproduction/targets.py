"""What `reproduce.py` can make of Human3.6M and MPII, by name, and the order of the page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from .page import write_page, write_part
from .paper_runs import PAPER, PaperRuns, is_on_disk
from .paper_targets import PAPER_TARGETS

__all__ = ["TARGETS", "reproduce"]

#: In the order of the page.
TARGETS = tuple(PAPER_TARGETS)


def reproduce(
    names: Sequence[str], folder: Path, *, opts: Sequence[str] = (), processes: int = 1, may_train: bool = False
) -> Path:
    """Makes tables and figures, each as folder/NAME.md with its pictures, and all there are as folder/index.html.

    Args:
        names: of `TARGETS`.
        opts: config KEY VALUE pairs for every run.
        processes: to train in; on GPUs, how many of them.
        may_train: train where weights are missing.

    Returns:
        The page.

    Raises:
        FileNotFoundError: a data set that is not prepared; weights that are neither there nor to be trained.
    """
    runs = PaperRuns(folder / "runs", opts, processes, may_train)
    for name in names:
        if not is_on_disk(PAPER[name][0]):
            raise FileNotFoundError(
                f"{name}: the test set of configs/{PAPER[name][0].config} is not on disk; prepare it with "
                "datasets/prepare_human36m.py or prepare_mpii.py (datasets/README.md)"
            )
        print(f"=== {name}", flush=True)
        write_part(folder, name, PAPER_TARGETS[name](runs, folder))
        write_page(folder, TARGETS)
    return write_page(folder, TARGETS)

"""The trainings behind the tables and figures, as a table; their sizes are in the configs they name."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

__all__ = ["COMPARED_K", "GRID_K", "SEEDS_OF_K", "SYNTHETIC", "Experiment", "runs_of_k"]

_CONFIGS = Path(__file__).parents[1] / "configs"
_WARM_UP = str(_CONFIGS / "lcrnet_lite0_reproduce_warm_up.yaml")
_HEAD = str(_CONFIGS / "lcrnet_lite0_reproduce.yaml")


@dataclass(frozen=True)
class Experiment:
    """One training.

    Attributes:
        name: of its folder.
        num_anchor_poses: K.
        config: name below the package's configs.
        start: the experiment whose final weights, but for the head, it starts from; "" for those of the config.
        upper_body: with the K upper-body classes (Sec. 4.2).
        share: of the training images, the same ones for every experiment with that share.
        seed: of weights and order of the images.
        crops: train on random crops, which cut people off.
    """

    name: str
    num_anchor_poses: int
    config: str = _HEAD
    start: str = "warm_up"
    upper_body: bool = False
    share: float = 1.0
    seed: int = 0
    crops: bool = False


#: Table 1's question on the synthetic set, and how many seeds each K gets.
SEEDS_OF_K = {1: 1, 10: 2, 50: 2, 100: 2, 200: 1}
COMPARED_K = tuple(SEEDS_OF_K)
#: K of the NMS and PPI grid, of the figures, and of the experiments beside Table 1.
GRID_K = 50


def runs_of_k(num_anchor_poses: int) -> tuple[Experiment, ...]:
    """The runs of one K that differ in the seed only."""
    first = Experiment(f"K{num_anchor_poses}", num_anchor_poses)
    more = range(1, SEEDS_OF_K[num_anchor_poses])
    return (first, *(replace(first, name=f"{first.name}_seed{seed}", seed=seed) for seed in more))


_HALF_WARM_UP = Experiment("warm_up_half", 30, _WARM_UP, start="", share=0.5)

#: In the order they are trained: what says most first.
SYNTHETIC = (
    Experiment("warm_up", 30, _WARM_UP, start=""),
    *(runs_of_k(k)[0] for k in COMPARED_K),
    Experiment("full_body", GRID_K, crops=True),
    Experiment("upper_body", GRID_K, crops=True, upper_body=True),
    *(run for k in COMPARED_K for run in runs_of_k(k)[1:]),
    _HALF_WARM_UP,
    Experiment("half", GRID_K, start=_HALF_WARM_UP.name, share=0.5),
)

"""Figure 6: PCKh against the threshold, and per-pose PCKh@0.5 against the rarity of the pose."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from lcrnet_d2.evaluation.mpii import PCKhCurve, RarityCurve
from lcrnet_d2.visualization.figures import new_figure, save_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw_figure_6"]


def draw_figure_6(
    curves: Mapping[str, PCKhCurve], rarity: Mapping[str, RarityCurve], path: Path, title: str = ""
) -> None:
    """Writes the figure as a PNG.

    Args:
        curves: the left part, by label.
        rarity: the right part, by label; it is left out if there are none (no anchor poses).
        path: .png to write.
    """
    figure = new_figure(10 if rarity else 5, 4)
    axes = figure.subplots(1, 2 if rarity else 1, squeeze=False)[0]
    _draw_pckh(axes[0], curves)
    if rarity:
        _draw_rarity(axes[1], rarity)
    figure.suptitle(title)
    save_figure(figure, path)


def _draw_pckh(axes: Axes, curves: Mapping[str, PCKhCurve]) -> None:
    for label, curve in curves.items():
        axes.plot(curve.thresholds, curve.mean, label=label)
    axes.set(xlabel="distance / head size", ylabel="PCKh (%)", xlim=(0, 1), ylim=(0, 100))
    axes.legend(loc="upper left")
    axes.grid(alpha=0.3)


def _draw_rarity(axes: Axes, rarity: Mapping[str, RarityCurve]) -> None:
    for label, curve in rarity.items():
        (line,) = axes.plot(curve.rarity_m * 100, curve.smoothed, label=label)
        axes.plot(curve.rarity_m * 100, curve.pckh, ".", color=line.get_color(), markersize=1, alpha=0.4)
    axes.set(xlabel="rarity: D to the nearest anchor pose (cm)", ylabel="per-pose PCKh@0.5 (%)", ylim=(0, 100))
    axes.legend(loc="upper right")
    axes.grid(alpha=0.3)

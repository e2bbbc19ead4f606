"""The paper's tables, of the heads that a study has trained: Markdown, and the numbers that claims are judged by.

Every function takes the study, and where it matters the best K, and returns a `Part`. Errors are compared on the people
that all rows find; intervals are 95 % bootstrap, images drawn. Shapes: N people to be found, S seeds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from lcrnet_d2.evaluation import truth_from_dict
from lcrnet_d2.evaluation.report import markdown_table
from lcrnet_d2.structures import BODY13
from lcrnet_d2.visualization.figures import new_figure, save_figure

from .heads import HeadPlan
from .judging import T_3D, paired_difference
from .people_errors import PeopleErrors, rarities
from .study import Study
from .subsets import by_facing, by_joints_inside, by_pose

__all__ = ["IOU", "Part", "best_k", "classification", "common", "data", "explanations", "grid", "mean_of", "shown"]
__all__ += ["table1", "table2", "table3", "truncated"]

IOU = (0.08, 0.2, 0.35, 0.5)
_METHODS = ("nms", "ppi")


class Part(NamedTuple):
    """A section: Markdown without its title, and numbers by name; a difference is [mean, low, high]."""

    markdown: str
    numbers: dict[str, Any]


def common(*errors: PeopleErrors) -> np.ndarray:
    """(N,) bool: found by all."""
    return np.logical_and.reduce([e.found for e in errors])


def mean_of(errors: Sequence[PeopleErrors], name: str) -> np.ndarray:
    """(N,) mean over seeds of one of their arrays."""
    return np.mean([getattr(e, name) for e in errors], axis=0)


def shown(values: np.ndarray, images: np.ndarray) -> str:
    """ "110.2 [105.0, 115.9]": a mean over people and its interval."""
    if not len(values):
        return "n/a"
    mean, low, high = paired_difference(values, np.zeros_like(values), images)
    return f"{mean:.1f} [{low:.1f}, {high:.1f}]"


def _signed(difference: Sequence[float]) -> str:
    return "{:+.1f} [{:+.1f}, {:+.1f}]".format(*difference)


def best_k(study: Study) -> int:
    """K of the least error of PPI on val, over the people of val that all find, mean over seeds."""
    of_k_ = {
        k: [study.errors(plan, "val", "ppi") for plan in study.questions.of_k(k)] for k in study.questions.compared_k
    }
    used = common(*(e for errors in of_k_.values() for e in errors))
    if not used.any():
        raise ValueError(
            "nobody in val is found by all heads: they are trained too little, or there are too few images"
        )
    return min(study.questions.compared_k, key=lambda k: float(mean_of(of_k_[k], "mpjpe_mm")[used].mean()))


def table1(study: Study, best: int, folder: Path) -> Part:
    """Table 1: K, classification alone, NMS and PPI, with and without alignment."""
    images = study.images_of_people("test")
    of = {
        k: {m: [study.errors(p, "test", m) for p in study.questions.of_k(k)] for m in _METHODS}
        for k in study.questions.compared_k
    }
    used = common(*(e for by_method in of.values() for errors in by_method.values() for e in errors))
    rows, curves, numbers = (
        [],
        {name: [] for name in _CURVES},
        {"best_k": best, "most_k": study.questions.compared_k[-1], "n": int(used.sum())},
    )
    ppi_of_best = mean_of(of[best]["ppi"], "mpjpe_mm")
    for k in study.questions.compared_k:
        nms, ppi = (of[k][m] for m in _METHODS)
        arrays = dict(
            zip(
                _CURVES,
                (mean_of(e, n)[used] for e, n in zip((nms, nms, nms, ppi, ppi), _ARRAYS, strict=True)),
                strict=True,
            )
        )
        for name, values in arrays.items():
            curves[name].append(float(values.mean()))
        worse = paired_difference(arrays["PPI"], ppi_of_best[used], images[used])
        numbers[f"K{k}"] = {name: float(v.mean()) for name, v in arrays.items()} | {"worse_than_best": worse}
        numbers[f"K{k}"]["nms_worse_than_best"] = paired_difference(
            arrays["NMS"], mean_of(of[best]["nms"], "mpjpe_mm")[used], images[used]
        )
        numbers[f"K{k}"]["nms_minus_ppi"] = paired_difference(arrays["NMS"], arrays["PPI"], images[used])
        numbers[f"K{k}"]["anchor_minus_nms"] = paired_difference(
            arrays["classification alone"], arrays["NMS"], images[used]
        )
        seeds = [float(e.mpjpe_mm[used].mean()) for e in ppi]
        found = " / ".join(f"{100 * mean_of(e, 'found').mean():.0f}" for e in (nms, ppi))
        rows.append(
            [str(k), f"{1000 * float(study.anchors(study.questions.of_k(k)[0]).mean_distances.mean()):.0f}", found]
            + [shown(v, images[used]) for v in arrays.values()]
            + [_signed(worse), f"{min(seeds):.0f} to {max(seeds):.0f}", f"{mean_of(ppi, 'pck_3d').mean():.1f}"]
        )
    _draw(curves, study.questions.compared_k, folder / "table1.png")
    header = [
        "K",
        "D to the nearest anchor",
        "found NMS / PPI (%)",
        *_CURVES,
        f"PPI beside K = {best}",
        "PPI, by seed",
        "3DPCK of all (%)",
    ]
    text = (
        f"3D error in mm over the {used.sum()} of {len(used)} people that every head finds by NMS and by PPI, mean of "
        f"{len(study.questions.of_k(1))} seeds. K = 1 is regression alone; classification alone is the anchor "
        f"pose of NMS's class, unregressed. K = {best} is best on val.\n\n"
    )
    paper = (
        "\nThe paper, Human3.6M P1: NMS 71.7, 70.7, 77.0, 85.6 mm for K = 50, 100, 200, 500 (aligned 59.3, 58.0, 63.6, "
        "66.1).\n"
    )
    return Part(text + markdown_table(header, rows) + paper + "\n![error against K](images/table1.png)\n", numbers)


_CURVES = ("classification alone", "NMS", "NMS, aligned", "PPI", "PPI, aligned")
_ARRAYS = ("anchor_mm", "mpjpe_mm", "rigid_mm", "mpjpe_mm", "rigid_mm")


def _draw(curves: Mapping[str, Sequence[float]], compared: Sequence[int], path: Path) -> None:
    figure = new_figure(7, 4)
    axes = figure.subplots()
    for name, values in curves.items():
        axes.plot(range(len(compared)), values, "o-", label=name)
    axes.set(xlabel="K", ylabel="3D error (mm)", xticks=range(len(compared)), xticklabels=list(map(str, compared)))
    axes.legend(fontsize=8)
    axes.grid(alpha=0.3)
    save_figure(figure, path)


def classification(study: Study) -> Part:
    """Why large K lose: what is left when the class is known."""
    rows, numbers = [], {}
    for k in study.questions.compared_k:
        seeds = [study.result(plan) for plan in study.questions.of_k(k)]
        mean = {name: float(np.mean([s["regions"][name] for s in seeds])) for name in seeds[0]["regions"]}
        numbers[f"K{k}"] = mean
        steps = "/".join(str(s["training"]["steps"]) for s in seeds)
        cells = [f"{mean[n]:.1f}" for n in ("anchor_mm", "predicted_mm", "nearest_mm", "right_percent")]
        rows.append([str(k), *cells, steps, "/".join(f"{s['t_3d']:.1f}" for s in seeds)])
    header = [
        "K",
        "anchor pose predicted",
        "regressed, class predicted",
        "regressed, class known",
        "class right (%)",
        "steps",
        "T_3D (m)",
    ]
    text = (
        "3D error in mm of single regions on people of test, before NMS and PPI. If the class were known, the error "
        "would fall as the third column says; what classification costs is its distance to the second. Steps until "
        "val no longer improves, and T_3D chosen on val, by seed.\n\n"
    )
    return Part(text + markdown_table(header, rows), numbers)


def data(study: Study) -> Part:
    """Sec. 4.2 on the amount of data, and K against it."""
    images = study.images_of_people("test")
    of = {
        (k, s): [study.errors(p, "test", "ppi") for p in study.questions.of_data(k, s)]
        for k in study.questions.checked_k
        for s in study.questions.shares
    }
    used = common(*(e for errors in of.values() for e in errors))
    rows, numbers = [], {"n": int(used.sum()), "checked_k": study.questions.checked_k}
    mean = {key: mean_of(errors, "mpjpe_mm")[used] for key, errors in of.items()}
    for k in study.questions.checked_k:
        gains = [
            paired_difference(mean[k, a], mean[k, b], images[used])
            for a, b in zip(study.questions.shares, study.questions.shares[1:], strict=False)
        ]
        numbers[f"K{k}"] = {"gains": gains, "mm": [float(mean[k, s].mean()) for s in study.questions.shares]}
        pck = [f"{mean_of(of[k, s], 'pck_3d').mean():.1f}" for s in study.questions.shares]
        rows.append(
            [
                str(k),
                *(shown(mean[k, s], images[used]) for s in study.questions.shares),
                *map(_signed, gains),
                " / ".join(pck),
            ]
        )
    counts = [round(share * len(study.records("train"))) for share in study.questions.shares]
    best = [min(study.questions.checked_k, key=lambda k, s=s: float(mean[k, s].mean())) for s in study.questions.shares]
    numbers["best_by_share"] = best
    of_half, of_all = study.questions.shares[-2:]
    few, many = (
        mean[k, of_half] - mean[k, of_all] for k in (study.questions.checked_k[0], study.questions.checked_k[-1])
    )
    numbers["many_gain_more"] = paired_difference(many, few, images[used])
    header = [
        "K",
        *(f"{n:,} images" for n in counts),
        "gained by the first doubling",
        "by the second",
        "3DPCK of all (%)",
    ]
    text = f"PPI, 3D error in mm over the {used.sum()} of {len(used)} people that all find. Best K: {best}.\n\n"
    return Part(text + markdown_table(header, rows), numbers)


def table2(study: Study, best: int) -> Part:
    """Table 2: NMS and PPI, beside regression alone and the network's own head."""
    images = study.images_of_people("test")
    heads = {
        f"K = {best}": study.questions.of_k(best),
        "regression alone, K = 1": study.questions.of_k(1),
        "the network's own head": [study.own_head],
    }
    of = {
        f"{n} + {m.upper()}": [study.errors(p, "test", m) for p in plans]
        for n, plans in heads.items()
        for m in _METHODS
    }
    own = of["the network's own head + PPI"]
    used = common(*(e for errors in list(of.values())[: -len(_METHODS)] for e in errors))
    nms, ppi = (of[f"K = {best} + {m}"] for m in ("NMS", "PPI"))
    two = common(*nms, *ppi)
    numbers: dict[str, Any] = {"n": int(two.sum())}
    for name, key in (("mpjpe_mm", "abs"), ("rigid_mm", "align")):
        a, b = mean_of(nms, name)[two], mean_of(ppi, name)[two]
        numbers[key] = {"nms": float(a.mean()), "ppi": float(b.mean()), "gain": paired_difference(a, b, images[two])}
    both = two & own[0].found
    numbers["own_minus_ours"] = paired_difference(
        mean_of(own, "mpjpe_mm")[both], mean_of(ppi, "mpjpe_mm")[both], images[both]
    )
    rows = []
    for name, e in of.items():
        of_row = used & np.logical_and.reduce([one.found for one in e])
        rows.append(
            [
                name,
                str(int(of_row.sum())),
                *(shown(mean_of(e, n)[of_row], images[of_row]) for n in ("mpjpe_mm", "rigid_mm")),
                shown(100 * mean_of(e, "found"), images),
                f"{np.mean([one.fp_per_image for one in e]):.2f}",
                shown(mean_of(e, "pck_3d"), images),
            ]
        )
    header = ["", "people", "Abs. (mm)", "Align. (mm)", "found (%)", "false positives / image", "3DPCK of all (%)"]
    text = f"Errors over the {used.sum()} of {len(used)} people that all trained heads find. "
    gains = [
        f"{100 * numbers[k]['gain'][0] / numbers[k]['nms']:.1f} %, {_signed(numbers[k]['gain'])} mm"
        for k in ("abs", "align")
    ]
    text += (
        f"Over the {two.sum()} that NMS and PPI of K = {best} find: {numbers['abs']['nms']:.1f} and "
        f"{numbers['abs']['ppi']:.1f} mm, aligned {numbers['align']['nms']:.1f} and {numbers['align']['ppi']:.1f}; PPI "
        f"gains {gains[0]}, aligned {gains[1]}. The network's own head, over people both find: "
        f"{_signed(numbers['own_minus_ours'])} mm.\n\n"
    )
    paper = (
        "\nThe paper, Human3.6M: NMS 65.9 and PPI 63.2 mm on P1, 89.8 and 87.7 on P2 (aligned 55.6 and 53.4, 72.3 and "
        "71.6).\n"
    )
    return Part(text + markdown_table(header, rows) + paper, numbers)


def table3(study: Study, best: int) -> Part:
    """Table 3: by the way people face, what is cut off, and the kind of pose."""
    images = study.images_of_people("test")
    truths = [truth_from_dict(record, len(BODY13)) for record in study.records("test")]
    nms, ppi = ([study.errors(p, "test", m) for p in study.questions.of_k(best)] for m in _METHODS)
    used = common(*nms, *ppi)
    rows, helped = [], 0
    kinds = by_facing(truths, BODY13) | by_joints_inside(truths) | by_pose(truths, BODY13)
    for name, members in kinds.items():
        both = used & members
        a, b = mean_of(nms, "mpjpe_mm")[both], mean_of(ppi, "mpjpe_mm")[both]
        gain = paired_difference(a, b, images[both])
        helped += gain[0] > 0
        found = [f"{100 * mean_of(e, 'found')[members].mean():.0f}" if members.any() else "n/a" for e in (nms, ppi)]
        rows.append([name, str(int(both.sum())), shown(a, images[both]), shown(b, images[both]), _signed(gain), *found])
    header = ["people", "n", "NMS (mm)", "PPI (mm)", "PPI gains", "found NMS (%)", "found PPI (%)"]
    text = (
        f"K = {best}, people that NMS and PPI find with every seed. Kinds of pose are told apart by "
        "the directions of trunk and limbs: the recordings say what a take shows, not what a frame does.\n\n"
    )
    return Part(text + markdown_table(header, rows), {"kinds": len(kinds), "helped": int(helped)})


def truncated(study: Study, best: int) -> Part:
    """Sec. 4.2, "Dealing with truncation"."""
    images = study.images_of_people("test_cut")
    plans = {
        "full-body anchor poses only": study.questions.of_k(best),
        "upper-body anchor poses too": study.questions.truncation(best),
    }
    of = {
        f"{n}, {m.upper()}": [study.errors(p, "test_cut", m) for p in ps] for n, ps in plans.items() for m in _METHODS
    }
    used = common(*(e for errors in of.values() for e in errors))
    rows = [
        [
            name,
            shown(100 * mean_of(e, "found"), images),
            shown(mean_of(e, "mpjpe_mm")[used], images[used]),
            shown(mean_of(e, "pck_3d"), images),
        ]
        for name, e in of.items()
    ]
    full, upper = (of[f"{name}, PPI"] for name in plans)
    found = paired_difference(100 * mean_of(upper, "found"), 100 * mean_of(full, "found"), images)
    error = paired_difference(mean_of(upper, "mpjpe_mm")[used], mean_of(full, "mpjpe_mm")[used], images[used])
    whole = [[study.errors(p, "test", "ppi") for p in ps] for ps in plans.values()]
    both = common(*whole[0], *whole[1])
    of_whole = paired_difference(
        mean_of(whole[1], "mpjpe_mm")[both], mean_of(whole[0], "mpjpe_mm")[both], study.images_of_people("test")[both]
    )
    header = ["", "found (%)", "3D error (mm)", "3DPCK of all (%)"]
    text = (
        f"K = {best}. Images of test cut at the thighs of their largest person; errors are of all joints, those cut "
        f"off too, over the {used.sum()} of {len(used)} people that all rows find. Upper-body anchor poses "
        f"change what PPI finds by {_signed(found)} points and its error by {_signed(error)} mm; on whole images by "
        f"{_signed(of_whole)} mm.\n\n"
    )
    return Part(text + markdown_table(header, rows), {"found": found, "error": error, "whole": of_whole})


def explanations(study: Study, best: int) -> Part:
    """Experiments that could refute an explanation: one thing changed, beside Table 1's heads of that K and seed."""
    images = study.images_of_people("test")
    rows, numbers = [], {}
    for why, plans in study.questions.explanations(best).items():
        for k in sorted({plan.k for plan in plans}):
            changed = [plan for plan in plans if plan.k == k]
            same = study.questions.of_k(k)[: len(changed)]
            of = [[study.errors(p, "test", "ppi") for p in ps] for ps in (changed, same)]
            used = common(*of[0], *of[1])
            a, b = (mean_of(e, "mpjpe_mm")[used] for e in of)
            difference = paired_difference(a, b, images[used])
            numbers[f"{why}, K{k}"] = difference
            regions = [
                f"{np.mean([study.result(p)['regions']['predicted_mm'] for p in ps]):.1f}" for ps in (changed, same)
            ]
            rows.append(
                [
                    why,
                    _changed(changed[0]),
                    str(k),
                    shown(b, images[used]),
                    shown(a, images[used]),
                    _signed(difference),
                    " / ".join(regions),
                ]
            )
    header = [
        "if true, this would help",
        "changed",
        "K",
        "PPI before (mm)",
        "after (mm)",
        "difference",
        "single regions, before / after",
    ]
    text = "Two seeds each; people that all four heads find.\n\n"
    return Part(text + markdown_table(header, rows), numbers)


def _changed(plan: HeadPlan) -> str:
    return ", ".join(part.replace("_", " ") for part in plan.name.split("-")[1:] if not part.startswith("seed"))


def grid(cells: Mapping[tuple[float, float], Mapping[str, PeopleErrors]], images: np.ndarray, folder: Path) -> Part:
    """Fig. 5's method, over T_3D and IoU: PPI and NMS of the same pose proposals, thresholds chosen on val for each."""
    used = common(*(e for of in cells.values() for e in of.values()))
    parts: dict[str, Callable[[PeopleErrors], str]] = {
        "3D error (mm)": lambda e: f"{e.mpjpe_mm[used].mean():.1f}",
        "aligned (mm)": lambda e: f"{e.rigid_mm[used].mean():.1f}",
        "found (%)": lambda e: f"{100 * e.found.mean():.1f}",
    }
    rows = []
    for what, cell in parts.items():
        rows.append([f"NMS, {what}", *(cell(cells[T_3D[0], iou]["nms"]) for iou in IOU)])
        rows += [[f"PPI, T_3D {1000 * t:.0f} mm, {what}", *(cell(cells[t, iou]["ppi"]) for iou in IOU)] for t in T_3D]
    error = {key: of["ppi"].mpjpe_mm[used] for key, of in cells.items()}
    t_3d, iou = min(error, key=lambda key: float(error[key].mean()))
    numbers = {"best_t_3d": t_3d, "best_iou": iou, "n": int(used.sum())}
    over_iou = {i: error[t_3d, i] for i in IOU}
    worst = max(IOU, key=lambda i: float(over_iou[i].mean()))
    numbers["iou_span"] = paired_difference(over_iou[worst], over_iou[iou], images[used])
    numbers["error"] = float(over_iou[iou].mean())
    figure = new_figure(6, 4)
    axes = figure.subplots()
    for i in IOU:
        (line,) = axes.plot([1000 * t for t in T_3D], [error[t, i].mean() for t in T_3D], "o-", label=f"PPI, IoU {i}")
        axes.axhline(cells[T_3D[0], i]["nms"].mpjpe_mm[used].mean(), color=line.get_color(), linestyle=":")
    axes.set(xlabel="T_3D (mm)", ylabel="3D error (mm)", title="PPI (lines) and NMS (dotted)")
    axes.legend(fontsize=8)
    axes.grid(alpha=0.3)
    save_figure(figure, folder / "grid.png")
    text = f"Over the {used.sum()} of {len(used)} people that all cells find.\n\n"
    return Part(
        text + markdown_table(["IoU", *map(str, IOU)], rows) + "\n![error against T_3D](images/grid.png)\n", numbers
    )


def rarity(study: Study, best: int) -> Part:
    """Fig. 6 right, in 3D: the error against D to the nearest anchor pose."""
    from scipy.stats import spearmanr

    images = study.images_of_people("test")
    truths = [truth_from_dict(record, len(BODY13)) for record in study.records("test")]
    nms, ppi = ([study.errors(p, "test", m) for p in study.questions.of_k(best)] for m in _METHODS)
    used = common(*nms, *ppi)
    rare = rarities(truths, study.anchors(study.questions.of_k(best)[0]))
    error = mean_of(ppi, "mpjpe_mm")
    rows = [
        [
            f"{100 * rare[part[0]]:.0f} to {100 * rare[part[-1]]:.0f}",
            str(len(part)),
            *(shown(mean_of(e, "mpjpe_mm")[part], images[part]) for e in (nms, ppi)),
        ]
        for part in np.array_split(np.flatnonzero(used)[np.argsort(rare[used], kind="stable")], 5)
    ]
    draws = np.random.default_rng(0).integers(used.sum(), size=(500, used.sum()))
    correlations = [spearmanr(rare[used][d], error[used][d])[0] for d in draws]
    correlation = [float(spearmanr(rare[used], error[used])[0]), *map(float, np.percentile(correlations, [2.5, 97.5]))]
    text = "Rank correlation of rarity and PPI's error: {:.2f} [{:.2f}, {:.2f}].\n\n".format(*correlation)
    header = ["rarity (cm), fifths of the people", "n", "NMS (mm)", "PPI (mm)"]
    return Part(text + markdown_table(header, rows), {"correlation": correlation})

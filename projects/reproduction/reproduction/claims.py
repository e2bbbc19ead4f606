"""The paper's claims beside what was found: each with its number there, ours and its interval, and a verdict.

A verdict follows from the interval alone; why, and what could refute that, is in README.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from lcrnet_d2.evaluation.report import markdown_table

__all__ = ["CLAIMS", "Claim", "claims_table", "verdict"]

_Numbers = Mapping[str, Mapping[str, Any]]
#: "No influence": less than this share of the error.
_LITTLE = 0.02


class Claim(NamedTuple):
    """text, there: the claim and the paper's number; needs: names of parts; found: of their numbers, ours as text and
    the difference [mean, low, high] that is above zero if the claim holds, or None where it cannot be asked here.
    """

    text: str
    there: str
    needs: tuple[str, ...]
    found: Callable[[_Numbers], tuple[str, Sequence[float] | None]]


def verdict(difference: Sequence[float] | None) -> str:
    """ "holds" where the whole interval is above zero, "does not hold" where none of it is, else "not decided"."""
    if difference is None:
        return "cannot be asked here"
    _, low, high = difference
    return "holds" if low > 0 else "does not hold" if high <= 0 else "not decided: the interval holds 0"


def _mm(difference: Sequence[float], unit: str = "mm") -> str:
    return "{:+.1f} {unit} [{:+.1f}, {:+.1f}]".format(*difference, unit=unit)


def _against_one(n: _Numbers) -> tuple[str, Sequence[float]]:
    best, worse = n["table1"]["best_k"], n["table1"]["K1"]["worse_than_best"]
    return f"K = {best} is best on val; K = 1 is worse by {_mm(worse)} (PPI)", worse


def _too_many(n: _Numbers) -> tuple[str, Sequence[float]]:
    most = n["table1"]["most_k"]
    worse = n["table1"][f"K{most}"]
    return (
        f"K = {most} is worse than K = {n['table1']['best_k']} by {_mm(worse['nms_worse_than_best'])} (NMS), "
        f"{_mm(worse['worse_than_best'])} (PPI)",
        worse["nms_worse_than_best"],
    )


def _regression_helps(n: _Numbers) -> tuple[str, Sequence[float]]:
    best = n["table1"][f"K{n['table1']['best_k']}"]
    return f"the anchor pose alone is worse by {_mm(best['anchor_minus_nms'])}", best["anchor_minus_nms"]


def _ppi(name: str) -> Callable[[_Numbers], tuple[str, Sequence[float]]]:
    def found(n: _Numbers) -> tuple[str, Sequence[float]]:
        of = n["table2"][name]
        return (
            f"{of['nms']:.1f} and {of['ppi']:.1f} mm: {100 * of['gain'][0] / of['nms']:.1f} %, {_mm(of['gain'])}",
            of["gain"],
        )

    return found


def _every_kind(n: _Numbers) -> tuple[str, Sequence[float] | None]:
    of = n["table3"]
    return f"better for {of['helped']} of {of['kinds']} kinds of people", (of["helped"] - of["kinds"] + 0.5,) * 3


def _iou(n: _Numbers) -> tuple[str, Sequence[float]]:
    of = n["grid"]
    mean, low, high = of["iou_span"]
    least = _LITTLE * of["error"]
    return (
        f"best T_3D {1000 * of['best_t_3d']:.0f} mm; best and worst IoU of 0.08 to 0.5 differ by "
        f"{_mm(of['iou_span'])}, where {100 * _LITTLE:.0f} % would be {least:.1f}",
        (least - mean, least - high, least - low),
    )


def _more_data(n: _Numbers) -> tuple[str, Sequence[float]]:
    gains = {k: n["data"][f"K{k}"]["gains"][-1] for k in n["data"]["checked_k"]}
    text = ", ".join(f"{_mm(gain)} with K = {k}" for k, gain in gains.items())
    return f"twice the images gain {text}", list(gains.values())[-1]


def _larger_k(n: _Numbers) -> tuple[str, Sequence[float]]:
    of, checked = n["data"], n["data"]["checked_k"]
    return (
        f"the last doubling gains {_mm(of['many_gain_more'])} more with K = {checked[-1]} than with {checked[0]}; "
        f"best of {checked} with a quarter, half and all images: {of['best_by_share']}",
        of["many_gain_more"],
    )


def _truncation(n: _Numbers) -> tuple[str, Sequence[float]]:
    of = n["truncation"]
    return f"found {_mm(of['found'], 'points')}, error {_mm(of['error'])}", of["found"]


def _rare(n: _Numbers) -> tuple[str, Sequence[float]]:
    of = n["rarity"]["correlation"]
    return "rank correlation of rarity and error {:.2f} [{:.2f}, {:.2f}]".format(*of), of


def _pckh(n: _Numbers) -> tuple[str, Sequence[float] | None]:
    name = f"K = {n['table1']['best_k']}, PPI"
    return "{:.1f} and {:.1f} % on rendered scenes, other images and other heads".format(*n["fig5"]["pckh"][name]), None


def _heat_maps(n: _Numbers) -> tuple[str, Sequence[float]]:
    seen, hidden = (
        next(v for k, v in n["joints"].items() if k.endswith(what) and k.startswith("K")) for what in ("seen", "hidden")
    )
    return (
        f"joints seen: {seen['ppi']:.1f} % of the person's size, heat maps gain {_mm(seen['gain'], 'points')}; hidden: "
        f"{hidden['ppi']:.1f} %, {_mm(hidden['gain'], 'points')}",
        seen["gain"],
    )


def _whole(n: _Numbers) -> tuple[str, Sequence[float]]:
    return f"training the backbone too gains {_mm(n['whole']['whole_gains'])}", n["whole"]["whole_gains"]


def _not_here(reason: str) -> Callable[[_Numbers], tuple[str, Sequence[float] | None]]:
    return lambda n: (reason, None)


CLAIMS = (
    Claim(
        "Classification over anchor poses and regression beat regression alone: K = 1 is too few (Sec. 4.1)",
        "no number",
        ("table1",),
        _against_one,
    ),
    Claim(
        "Too many anchor poses harm: they are too similar to tell apart (Table 1)",
        "NMS, K = 500 against 100: +14.9 mm",
        ("table1",),
        _too_many,
    ),
    Claim("Regression refines the classified anchor pose (Sec. 3.3)", "no number", ("table1",), _regression_helps),
    Claim("PPI improves over NMS (Table 2, Abs.)", "65.9 and 63.2 mm: 4.1 %; P2 2.3 %", ("table2",), _ppi("abs")),
    Claim("and after alignment (Table 2, Align.)", "55.6 and 53.4 mm: 4.0 %; P2 1.0 %", ("table2",), _ppi("align")),
    Claim("PPI helps for every action (Table 3)", "15 of 15", ("table3",), _every_kind),
    Claim("T_3D = 200 mm; the IoU has no influence (Sec. 4.1)", "200 mm; none", ("grid",), _iou),
    Claim("More training data helps (Sec. 4.2)", "PCKh@0.5 about 75 to 78.5 %, twice the data", ("data",), _more_data),
    Claim("With more data a larger K becomes better (Sec. 4.2)", "100 to 200", ("data",), _larger_k),
    Claim("Upper-body anchor poses deal with truncation (Sec. 4.2)", "no number", ("truncation",), _truncation),
    Claim("Rare poses are worse (Fig. 6)", "a curve", ("rarity",), _rare),
    Claim("PCKh@0.5 and @1 (Fig. 6)", "about 75 and 90 % on MPII", ("table1", "fig5"), _pckh),
    Claim(
        "Fully convolutional maps would place joints better (Sec. 4.2, future work)",
        "no number",
        ("joints",),
        _heat_maps,
    ),
    Claim(
        "Localization, classification and regression gain by training together (Sec. 3)",
        "no number",
        ("whole",),
        _whole,
    ),
    Claim(
        "State of the art on Human3.6M (Tables 2 and 3)",
        "63.2, 87.7 mm",
        (),
        _not_here("Human3.6M may not be had without a licence; `reproduce.py` runs its protocols where it is"),
    ),
    Claim(
        "MPII test set, multi-person AP (Table 4, Sec. 4.2)",
        "74.2 %, 49 %",
        (),
        _not_here("MPII's annotations go with a licence; `reproduce.py` runs its protocol where it is"),
    ),
)


def claims_table(numbers: _Numbers) -> str:
    """Markdown of the claims whose parts there are."""
    rows = []
    for claim in CLAIMS:
        if all(name in numbers for name in claim.needs):
            ours, difference = claim.found(numbers)
            rows.append([claim.text, claim.there, ours, verdict(difference)])
    return markdown_table(["claim", "there", "here", "verdict"], rows)

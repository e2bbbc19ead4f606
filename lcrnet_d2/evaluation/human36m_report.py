"""Human3.6M results as the paper lays them out: Table 2, Table 3 and Table 4's 2D error, in Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..structures import Skeleton
from .depth_metrics import depth_table
from .human36m import (
    PROTOCOLS,
    SIX_ACTIONS,
    Human36MErrors,
    Human36MProtocol,
    actions_in,
    human36m_errors,
    select_images,
    summarize_errors,
)
from .people import ImagePredictions
from .report import METHOD_LABELS, METHODS, Report, markdown_table, mean_with_interval, methods_in

__all__ = ["PAPER_TABLE_2", "PAPER_TABLE_3", "per_action_table", "report_human36m", "table_2"]

#: Table 2's rows of LCR-Net, mm: (method, protocol) to (Abs., Align.); None where the paper has none.
PAPER_TABLE_2: dict[tuple[str, str], tuple[float | None, float]] = {
    ("nms", "P1"): (65.9, 55.6),
    ("nms", "P2"): (89.8, 72.3),
    ("nms", "P3"): (None, 73.1),
    ("ppi", "P1"): (63.2, 53.4),
    ("ppi", "P2"): (87.7, 71.6),
    ("ppi", "P3"): (None, 72.7),
}
#: Table 3's means of LCR-Net + PPI, mm: P2, without alignment. Its rows are not in the paper's text.
PAPER_TABLE_3 = {"mean over 15 actions": 87.7, "mean over 6 actions": 83.0}
_PAPER_ERROR_2D_PX = 8.50  # Table 4
_NOT_MEASURED = "n/a"


def report_human36m(
    records: Sequence[Mapping[str, Any]],
    predictions: Sequence[ImagePredictions],
    skeleton: Skeleton,
    protocol_names: Sequence[str] = ("P1", "P2", "P3"),
) -> Report:
    """Evaluates the protocols of which the data set holds images.

    Args:
        records: dataset dicts in the form of `human36m`.
        predictions: for the same images, in the same order.
        skeleton: names the joints.
        protocol_names: keys of `human36m.PROTOCOLS`.

    Raises:
        ValueError: no image belongs to any of the protocols.
    """
    methods = methods_in(predictions)
    errors: dict[tuple[str, str], Human36MErrors] = {}
    sections: list[str] = []
    protocols = [p for name in protocol_names for p in PROTOCOLS[name]]
    for protocol in protocols:
        rows, step = select_images(records, protocol)
        if not len(rows):
            continue
        of_protocol = {
            m: human36m_errors([records[r] for r in rows], [predictions[r] for r in rows], skeleton, m) for m in methods
        }
        errors |= {(method, protocol.name): e for method, e in of_protocol.items()}
        sections.append(_section(protocol, of_protocol, protocol.describe(skeleton, step)))
    if not errors:
        asked = "; ".join(p.describe(skeleton, 0) for p in protocols)
        raise ValueError(f"none of the {len(records)} images belongs to: {asked}")
    head = "# Human3.6M\n\n" + table_2(errors, protocols)
    metrics = {f"human36m_{_key(protocol)}_{m}": summarize_errors(e) for (m, protocol), e in errors.items()}
    return Report(metrics, head + "\n" + "\n".join(sections))


def table_2(errors: Mapping[tuple[str, str], Human36MErrors], protocols: Sequence[Human36MProtocol]) -> str:
    """Table 2: mm, means over poses with how many of the images they cover, beside the paper's rows.

    Args:
        errors: by method and name of the protocol.
        protocols: the columns.
    """
    columns = [(p, kind) for p in protocols for kind in (("Abs.", "Align.") if p.has_absolute else ("Align.",))]
    rows = []
    for method in METHODS:
        if method in {of_method for of_method, _ in PAPER_TABLE_2}:
            numbers = [_paper_cell(method, protocol, kind) for protocol, kind in columns]
            rows.append([f"paper: LCR-Net + {METHOD_LABELS[method]}", *numbers])
        if any(of_method == method for of_method, _ in errors):
            cells = [_cell(errors.get((method, protocol.name)), kind) for protocol, kind in columns]
            rows.append([f"this model + {METHOD_LABELS[method]}", *cells])
    title = "Table 2: MPJPE in mm, mean over poses [95 % interval] (images with a detection / images)\n\n"
    return title + markdown_table(["", *(f"{kind} {p.name}" for p, kind in columns)], rows)


def per_action_table(errors: Mapping[str, Human36MErrors], kind: str, protocol_name: str) -> str:
    """Table 3: mm per action, then the mean over poses, over the actions, and over the six of the literature.

    Args:
        errors: by method.
        kind: "Abs." or "Align.".
        protocol_name: the paper's means stand beside those of "P2".
    """
    metric = "mpjpe_mm" if kind == "Abs." else "mpjpe_rigid_mm"
    summaries = {method: summarize_errors(e) for method, e in errors.items()}
    actions = actions_in(next(iter(errors.values())))
    keys = {action: (f"{metric}_{action}", f"coverage_{action}") for action in actions}
    keys["mean over poses"] = (metric, "coverage")
    keys[f"mean over {len(actions)} actions"] = (f"{metric}_mean_of_actions", "coverage")
    keys[f"mean over 6 actions ({', '.join(SIX_ACTIONS)})"] = (f"{metric}_mean_of_6_actions", "coverage_of_6_actions")
    rows = [[name, *(f"{s[key]:.1f}" for key in of_row for s in summaries.values())] for name, of_row in keys.items()]
    header = [kind, *(f"{METHOD_LABELS[m]} (mm)" for m in errors)]
    header += [f"{METHOD_LABELS[m]} coverage (%)" for m in errors]
    if (protocol_name, kind) == ("P2", "Abs."):
        header.append("paper: PPI")
        rows = [[*row, _paper_mean(row[0])] for row in rows]
    return markdown_table(header, rows)


def _paper_mean(row_name: str) -> str:
    return next((f"{mm:.1f}" for start, mm in PAPER_TABLE_3.items() if row_name.startswith(start)), "")


def _section(protocol: Human36MProtocol, errors: Mapping[str, Human36MErrors], description: str) -> str:
    n = len(next(iter(errors.values())).actions)
    size = f"{n} images" + (f" (the paper: {protocol.images_in_paper})" if protocol.images_in_paper else "")
    rows = [
        [METHOD_LABELS[m], mean_with_interval(e.error_2d_px[e.is_covered], 2), f"{e.is_covered.sum()} / {n}"]
        for m, e in errors.items()
    ]
    error_2d = markdown_table(
        ["2D error", "px", "images covered"], [["paper + PPI", f"{_PAPER_ERROR_2D_PX:.2f}", ""], *rows]
    )
    kinds = ("Abs.", "Align.") if protocol.has_absolute else ("Align.",)
    tables = [per_action_table(errors, kind, protocol.name) for kind in kinds]
    depth = depth_table({METHOD_LABELS[m]: e.depth for m, e in errors.items()})
    return "\n".join([f"## {protocol.name}\n", f"{description}. {size}.\n", *tables, error_2d, depth])


def _paper_cell(method: str, protocol: Human36MProtocol, kind: str) -> str:
    absolute, aligned = PAPER_TABLE_2[method, protocol.name.split()[0]]
    value = absolute if kind == "Abs." else aligned
    return _NOT_MEASURED if value is None else f"{value:.1f}"


def _cell(errors: Human36MErrors | None, kind: str) -> str:
    if errors is None:
        return _NOT_MEASURED
    values = errors.absolute_mm if kind == "Abs." else errors.rigid_mm
    covered = errors.is_covered
    return f"{mean_with_interval(values[covered])} ({covered.sum()} / {len(covered)})"


def _key(protocol_name: str) -> str:
    """ "P3 (58860488)" as "p3_58860488"."""
    return protocol_name.lower().replace(" (", "_").rstrip(")")

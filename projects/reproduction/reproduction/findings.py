"""The stages of the findings, in order, and the page of what came out.

regions    what the frozen network sees of every image              regions.py, study.py
heads      Table 1's, then those that the best K asks for           heads.py, plan.py
parts      tables and figures, a JSON file for each                 tables.py, figures below
networks   heat maps, the whole network trained, real photos        networks.py
page       RESULTS.md of all there are                              claims.py
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lcrnet_d2.data.datasets.pose_json import load_pose_json
from lcrnet_d2.evaluation import truth_from_dict
from lcrnet_d2.evaluation.mpii import pckh_curve, rarity_curve, single_person_errors
from lcrnet_d2.evaluation.report import METHOD_LABELS, detected_people, markdown_table
from lcrnet_d2.modeling.ppi import Rules
from lcrnet_d2.structures import BODY13
from lcrnet_d2.structures.whole_files import save_npz, write_json, write_text

from . import tables
from .claims import claims_table
from .figure5 import CASES, draw_figure_5, exemplary_cases, pair_found_people
from .figure6 import draw_figure_6
from .heads import HeadPlan
from .judging import T_3D, KnownSet, judge, paired_difference, predictions_of, thresholds_of
from .networks import assemble, joint_errors, joint_kinds, photo_scores, predict, train_whole
from .people_errors import PeopleErrors
from .regions import RegionSet
from .study import Study
from .subsets import with_mpii_marks
from .tables import IOU, Part

__all__ = ["STAGES", "run_stage"]

STAGES = ("regions", "heads", "parts", "networks", "page")
_METHODS = ("nms", "ppi")


def run_stage(
    study: Study, stage: str, processes: int, photos: Mapping[str, tuple[Path, Path]], iterations: int
) -> None:
    """Does one of `STAGES`, as far as it is not done, and notes how long it took.

    Args:
        photos: by name annotations and folder of real photos, for "networks".
        iterations: of the whole network, for "networks".
    """
    started = time.monotonic()
    if stage == "regions":
        study.make_basis()
        for name in ("val_cut", "test_cut"):
            study.cut_images(name)
        study.run([(Study.make_regions, task) for task in study.region_tasks()], processes, "regions of 200 images")
    elif stage == "heads":
        make_heads(study, processes)
    elif stage == "parts":
        make_parts(study, processes)
    elif stage == "networks":
        make_networks(study, processes, photos, iterations)
    else:
        write_page(study)
    _note_time(study, stage, time.monotonic() - started)


def make_heads(study: Study, processes: int) -> None:
    """Trains what is missing: Table 1 and the data's heads, then those of the best K."""
    questions = study.questions
    _train(study, [*questions.first(), study.own_head], processes)
    best = tables.best_k(study)
    upper = questions.truncation(best)
    _train(study, [*upper, *(p for plans in questions.explanations(best).values() for p in plans)], processes)
    cut = [(Study.measure_cut, (plan,)) for plan in (*questions.of_k(best), *upper)]
    study.run(cut, processes, "heads on people cut off")


def _train(study: Study, plans: Sequence[HeadPlan], processes: int) -> None:
    missing = sorted({plan for plan in plans if not study.has_head(plan)}, key=lambda p: (-p.k, p.name))
    anchors = {(p.k, p.upper, p.anchors): p for p in missing}
    study.run([(Study.anchors, (p,)) for p in anchors.values()], processes, "anchor poses")
    study.run([(Study.make_head, (p,)) for p in missing], processes, "heads")


def make_parts(study: Study, processes: int) -> None:
    """Writes every table and figure of the heads there are."""
    best = tables.best_k(study)
    folder = study.folder / "images"
    study.run([(grid_row, (best, t)) for t in T_3D if not _grid_file(study, best, t).is_file()], processes, "T_3D")
    parts: dict[str, Callable[[], Part]] = {
        "table1": partial(tables.table1, study, best, folder),
        "classification": partial(tables.classification, study),
        "data": partial(tables.data, study),
        "table2": partial(tables.table2, study, best),
        "grid": partial(_grid, study, best, folder),
        "fig5": partial(figures, study, best, folder),
        "table3": partial(tables.table3, study, best),
        "rarity": partial(tables.rarity, study, best),
        "truncation": partial(tables.truncated, study, best),
        "explanations": partial(tables.explanations, study, best),
    }
    for name, make in parts.items():
        _write_part(study, name, make())


def _write_part(study: Study, name: str, part: Part) -> None:
    file = study.folder / "parts" / f"{name}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    write_json(file, part._asdict(), indent=1)


def _grid_file(study: Study, best: int, t_3d: float) -> Path:
    return study.folder / "grid" / f"K{best}_{1000 * t_3d:.0f}.npz"


def grid_row(study: Study, best: int, t_3d: float) -> None:
    """One T_3D with every IoU threshold: errors of NMS and PPI."""
    heads, val, test = study.trained_heads(study.questions.of_k(best)[0]), study.known("val"), study.known("test")
    rules = [replace(Rules.of_config(study.cfg), t_3d=t_3d, iou_threshold=iou) for iou in IOU]
    by_iou = zip(IOU, *(predictions_of(heads, known, rules) for known in (val, test)), strict=True)
    arrays: dict[str, Any] = {}
    for iou, on_val, on_test in by_iou:
        thresholds = thresholds_of(val, on_val, study.cfg.TEST.LCRNET.MAX_FALSE_POSITIVES)
        for method, errors in judge(test, on_test, thresholds, BODY13).items():
            arrays |= {f"{iou}/{method}/{name}": np.asarray(value) for name, value in vars(errors).items()}
    _grid_file(study, best, t_3d).parent.mkdir(parents=True, exist_ok=True)
    save_npz(_grid_file(study, best, t_3d), **arrays)


def _grid(study: Study, best: int, folder: Path) -> Part:
    cells = {}
    for t_3d in T_3D:
        arrays = np.load(_grid_file(study, best, t_3d))
        for iou in IOU:
            cells[t_3d, iou] = {
                m: PeopleErrors(**{name: arrays[f"{iou}/{m}/{name}"] for name in PeopleErrors.__dataclass_fields__})
                for m in _METHODS
            }
    return tables.grid(cells, study.images_of_people("test"), folder)


def figures(study: Study, best: int, folder: Path) -> Part:
    """Figures 5 and 6 of the first of the best K's heads; PCKh with half the images too where that was trained."""
    test = study.known("test")
    plans = {f"K = {best}": study.questions.of_k(best)[0]}
    if best in study.questions.checked_k:
        plans |= {f"K = {best}, half of the images": study.questions.of_data(best, study.questions.shares[-2])[0]}
    predictions, records = {}, with_mpii_marks(test.records, test.truths)
    curves, rarity = {}, {}
    for name, plan in plans.items():
        heads, chosen = study.trained_heads(plan), study.result(plan)
        rules = replace(Rules.of_config(study.cfg), t_3d=chosen["t_3d"])
        (predictions[name],) = predictions_of(heads, test, [rules])
        for method in _METHODS:
            detected = [detected_people(p, method, chosen["thresholds"][method]) for p in predictions[name]]
            single = single_person_errors(records, detected, BODY13)
            curves[f"{name}, {method.upper()}"] = pckh_curve(single)
            if method == "ppi":
                rarity[name] = rarity_curve(single, study.anchors(plans[f"K = {best}"]))
    first = f"K = {best}"
    paired = pair_found_people(test.records, predictions[first], BODY13, study.result(plans[first])["thresholds"])
    draw_figure_5(paired, test.records, BODY13, folder / "fig5.png", f"Rendered test scenes, {first}")
    draw_figure_6(curves, rarity, folder / "fig6.png", "Rendered test scenes")
    errors = {"NMS": paired.nms_mm, "PPI": paired.ppi_mm, "PPI, aligned": paired.aligned_mm}
    spread = [
        [name, f"{e.mean():.1f}", f"{np.median(e):.1f}", f"{np.percentile(e, 90):.0f}", f"{100 * (e > 130).mean():.0f}"]
        for name, e in errors.items()
    ]
    cases = [
        [f"{number}: {what}", *(f"{e[person]:.0f}" for e in errors.values())]
        for number, (what, person) in enumerate(zip(CASES, exemplary_cases(*errors.values()), strict=False), 1)
    ]
    pckh = {name: [float(curve.mean[50]), float(curve.mean[100])] for name, curve in curves.items()}
    better = 100 * float((paired.ppi_mm < paired.nms_mm).mean())
    text = (
        f"The {len(paired.ppi_mm)} people that NMS and PPI of one head, {first}, both find; PPI is nearer for "
        f"{better:.0f} %. The paper: of 928 frames fewer than 20 are over 130 mm.\n\n![errors sorted](images/fig5.png)"
        "\n\n"
        + markdown_table(["", "mean (mm)", "median", "90th percentile", "over 130 mm (%)"], spread)
        + "\n"
        + markdown_table(["case", *(f"{name} (mm)" for name in errors)], cases)
        + "\n### Figure 6: PCKh, and rarity of the pose\n\nMPII's single-person selection; a head is taken for "
        "20 cm wide at the person's depth.\n\n![PCKh and rarity](images/fig6.png)\n\n"
        + markdown_table(
            ["", "PCKh@0.5 (%)", "PCKh@1 (%)"], [[n, f"{a:.1f}", f"{b:.1f}"] for n, (a, b) in pckh.items()]
        )
        + "\nThe paper, on its MPII validation set: PPI about 75 and 90 %, with COCO 78.5 % at 0.5.\n"
    )
    return Part(text, {"pckh": pckh, "ppi_better": better})


def make_networks(study: Study, processes: int, photos: Mapping[str, tuple[Path, Path]], iterations: int) -> None:
    """The best K's head in the network, and the whole trained further; what each makes of images."""
    best = tables.best_k(study)
    plan = study.questions.truncation(best)[0]
    names = ["the network as it came", f"K = {best} on frozen features", "the same, everything trained further"]
    assemble(study, plan)
    study.run([(trained_whole, (plan, iterations))], 1, "everything trained further")
    tasks = [(look, (i, plan, iterations, dict(photos))) for i in range(3) if not _look_file(study, i).is_file()]
    study.run(tasks, processes, "networks on images")
    looks = [np.load(_look_file(study, i)) for i in range(3)]
    _write_part(study, "joints", _joints_part(names, looks))
    _write_part(study, "whole", _whole_part(study, names, looks, plan, iterations))
    if photos:
        scores = [json.loads(_look_file(study, i).with_suffix(".json").read_text())["photos"] for i in range(3)]
        _write_part(study, "photos", _photos_part(names, scores))


def trained_whole(study: Study, plan: HeadPlan, iterations: int) -> None:
    """Trains the whole network unless that is done."""
    train_whole(study, assemble(study, plan), iterations)


def _look_file(study: Study, number: int) -> Path:
    return study.folder / "looks" / f"{number}.npz"


def look(study: Study, number: int, plan: HeadPlan, iterations: int, photos: Mapping[str, tuple[Path, Path]]) -> None:
    """What one of the three networks finds in the first half of val and test, and in photos."""
    assembled = assemble(study, plan)
    cfg = study.cfg if number == 0 else assembled
    if number == 2:
        cfg = train_whole(study, assembled, iterations)
    weights = study.weights if number == 0 else None
    known, found = {}, {}
    for name in ("val", "test"):
        records = study.records(name)
        records = records[: max(1, len(records) // 2)]
        truths = [truth_from_dict(record, len(BODY13)) for record in records]
        known[name] = KnownSet(records, truths, RegionSet(*[torch.zeros(0)] * len(RegionSet.__dataclass_fields__)))
        found[name] = predict(cfg, weights, records)
    thresholds = thresholds_of(known["val"], found["val"], study.cfg.TEST.LCRNET.MAX_FALSE_POSITIVES)
    thresholds.setdefault("refined", thresholds["ppi"])  # of a network without heat maps
    arrays: dict[str, Any] = {"kinds": joint_kinds(known["test"].records, known["test"].truths)}
    for method, errors in judge(known["test"], found["test"], thresholds, BODY13).items():
        arrays |= {f"{method}/{name}": np.asarray(value) for name, value in vars(errors).items()}
        detected = [detected_people(p, method, thresholds[method]) for p in found["test"]]
        arrays[f"{method}/joints"] = joint_errors(known["test"].truths, detected, BODY13)
    of_photos = {}
    for name, (file, folder) in photos.items():
        records = load_pose_json(file, folder, BODY13)
        of_photos[name] = photo_scores(records, predict(cfg, weights, records), thresholds, BODY13)
    file = _look_file(study, number)
    file.parent.mkdir(parents=True, exist_ok=True)
    write_json(file.with_suffix(".json"), {"thresholds": thresholds, "photos": of_photos})
    save_npz(file, **arrays)


def _joints_part(names: Sequence[str], looks: Sequence[Mapping[str, np.ndarray]]) -> Part:
    """2D errors of joints that are seen, hidden and outside, before and after heat maps."""
    rows, numbers = [], {}
    for name, of in zip(names, looks, strict=True):
        errors = {m: of[f"{m}/joints"] for m in METHOD_LABELS}
        both = np.logical_and.reduce([np.isfinite(e).all(1) for e in errors.values()])
        cells = {m: [100 * e[both][of["kinds"][both] == kind] for kind in (2, 1, 0)] for m, e in errors.items()}
        for method, of_kinds in cells.items():
            rows.append(
                [f"{name}, {METHOD_LABELS[method]}", *(f"{e.mean():.1f}" if len(e) else "n/a" for e in of_kinds)]
            )
        people = np.broadcast_to(np.arange(both.sum())[:, None], of["kinds"][both].shape)
        for kind, what in ((2, "seen"), (1, "hidden")):
            mask = of["kinds"][both] == kind
            numbers[f"{name}, {what}"] = {
                "ppi": float(cells["ppi"][2 - kind].mean()),
                "gain": paired_difference(cells["ppi"][2 - kind], cells["refined"][2 - kind], people[mask]),
            }
    header = ["", "joints seen", "hidden in the image", "outside"]
    text = (
        "2D error, % of the square root of the person's box, of people that NMS and PPI of a row's network find; "
        "half of test.\n\n"
    )
    return Part(text + markdown_table(header, rows), numbers)


def _whole_part(
    study: Study, names: Sequence[str], looks: Sequence[Mapping[str, np.ndarray]], plan: HeadPlan, iterations: int
) -> Part:
    """The check end to end: the network as images see it, and what training the backbone too would change."""
    errors = [
        {m: PeopleErrors(**{n: of[f"{m}/{n}"] for n in PeopleErrors.__dataclass_fields__}) for m in _METHODS}
        for of in looks
    ]
    images = study.images_of_people("test")[: len(errors[0]["ppi"].found)]
    used = tables.common(*(e for of in errors[1:] for e in of.values()))
    rows = [
        [
            f"{name} + {m.upper()}",
            str(int((used & e.found).sum())),
            *(tables.shown(v[used & e.found], images[used & e.found]) for v in (e.mpjpe_mm, e.rigid_mm)),
            f"{100 * e.found.mean():.1f}",
            f"{e.pck_3d.mean():.1f}",
        ]
        for name, of in zip(names, errors, strict=True)
        for m, e in of.items()
    ]
    kept = study.errors(plan, "test", "ppi").mpjpe_mm[: len(images)]
    same = np.isfinite(kept) & errors[1]["ppi"].found
    numbers = {
        "kept_minus_network": float(np.median(np.abs(kept[same] - errors[1]["ppi"].mpjpe_mm[same]))),
        "whole_gains": paired_difference(
            errors[1]["ppi"].mpjpe_mm[used], errors[2]["ppi"].mpjpe_mm[used], images[used]
        ),
    }
    header = ["", "people", "Abs. (mm)", "Align. (mm)", "found (%)", "3DPCK of all (%)"]
    text = (
        f"Half of test, from images to people, with upper-body classes and without the lifter; "
        f"{iterations} iterations of 8 images train everything. "
        f"Errors over the {used.sum()} of {len(used)} people that the last two networks find. The head on kept regions "
        f"and the same head in the network differ by {numbers['kept_minus_network']:.2f} mm a person (median).\n\n"
    )
    return Part(text + markdown_table(header, rows), numbers)


def _photos_part(names: Sequence[str], scores: Sequence[Mapping[str, Any]]) -> Part:
    rows, numbers = [], {}
    for photos in scores[0]:
        for name, of in zip(names, scores, strict=True):
            for method, one in of[photos].items():
                found, pck = (100 * np.array(one[key]) for key in ("found", "pck"))
                people = np.arange(len(found))
                rows.append(
                    [
                        f"{photos}: {name}, {METHOD_LABELS[method]}",
                        str(len(found)),
                        tables.shown(found, people),
                        tables.shown(pck, people),
                        f"{one['unmatched']:.2f}",
                    ]
                )
                numbers[f"{photos}, {name}, {method}"] = float(pck.mean())
    header = ["", "people", "found (%)", "PCK@0.1 of all (%)", "unmatched a photo"]
    text = "Real photos, score thresholds chosen on rendered val; the heads are trained on rendered scenes alone.\n\n"
    return Part(text + markdown_table(header, rows), numbers)


_TITLES = {
    "table1": "Table 1: the number K of anchor poses",
    "classification": "What classification costs",
    "data": "Half and twice the images, and K against data",
    "table2": "Table 2: NMS and PPI",
    "grid": "PPI and NMS over T_3D and IoU",
    "fig5": "Figure 5: errors sorted",
    "table3": "Table 3: by kind of people",
    "rarity": "Rare poses in 3D",
    "truncation": "Upper-body anchor poses on people cut off (Sec. 4.2)",
    "explanations": "Experiments that could refute an explanation",
    "joints": "Heat maps; joints seen and hidden",
    "whole": "End to end: the same head in the network, and the backbone trained with it",
    "photos": "Real photos",
}


def write_page(study: Study) -> Path:
    """RESULTS.md of the parts there are, the claims first."""
    parts = {}
    for name in _TITLES:
        file = study.folder / "parts" / f"{name}.json"
        if file.is_file():
            parts[name] = Part(**json.loads(file.read_text()))
    variance = float(np.load(study.folder / "basis.npz")["variance"])
    records = {name: len(study.records(name)) for name in ("train", "val", "test")}
    took = json.loads((study.folder / "minutes.json").read_text()) if (study.folder / "minutes.json").is_file() else {}
    text = (
        "# Results on rendered scenes\n\nWritten by `projects/reproduction/findings.py` ([README.md](README.md) says "
        f"how to read it, and what follows). `{study.model}`, frozen; {records['train']:,} images to train heads on, "
        f"{records['val']:,} of val, {records['test']:,} of test, whose people and motions neither the heads nor "
        f"the network have been trained on. The {study.basis().shape[1]:,} numbers kept of each region hold "
        f"{100 * variance:.1f} % of the variance of its pooled map, and all that the network's first layer uses.\n\n"
        "## What the paper claims, and what is found here\n\n"
        + claims_table({name: part.numbers for name, part in parts.items()})
    )
    for name, part in parts.items():
        text += f"\n## {_TITLES[name]}\n\n{part.markdown}"
    text += "\n## Time\n\n" + markdown_table(["stage", "minutes"], [[name, f"{m:.1f}"] for name, m in took.items()])
    file = study.folder / "RESULTS.md"
    write_text(file, text)
    return file


def _note_time(study: Study, stage: str, seconds: float) -> None:
    """Adds to the stage's minutes: of one that went on after an interruption all parts count."""
    file = study.folder / "minutes.json"
    minutes = json.loads(file.read_text()) if file.is_file() else {}
    minutes[stage] = round(minutes.get(stage, 0.0) + seconds / 60, 2)
    write_json(file, minutes)

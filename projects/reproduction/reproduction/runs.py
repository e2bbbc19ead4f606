"""The synthetic experiments' results: trained, run and measured on first use, then read from disk."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from detectron2.data import DatasetCatalog

from lcrnet_d2.data import LCRNetDatasetMapper
from lcrnet_d2.evaluation import ImagePredictions, ImageTruth, choose_score_threshold, truth_from_dict
from lcrnet_d2.evaluation.report import detected_people
from lcrnet_d2.structures import BODY13, AnchorPoses

from .experiments import SYNTHETIC, Experiment
from .people_errors import PeopleErrors, people_errors
from .proposals import Rules, SavedProposals, integrate, save_proposals
from .sets import TEST_SET, register_sets
from .training import TRAINING_FIGURES, config_of, ensure_trained, is_trained, load_model

__all__ = ["Results", "SyntheticRuns"]


class Results(NamedTuple):
    """Of one run on one test set.

    Attributes:
        predictions: of every image, whatever their score.
        thresholds: score threshold of "nms" and of "ppi" that counts, chosen on validation data.
        errors: by "nms" and "ppi", of what counts.
    """

    predictions: list[ImagePredictions]
    thresholds: dict[str, float]
    errors: dict[str, PeopleErrors]


class SyntheticRuns:
    """Experiments of `experiments.SYNTHETIC`, by need.

    Args:
        root: everything is written below it.
        opts: config KEY VALUE pairs for all of them, for smaller or larger trials.
        processes: to train in.
    """

    def __init__(self, root: Path, opts: Sequence[str] = (), processes: int = 1) -> None:
        self.root = root
        self.opts = list(opts)
        self.processes = processes
        register_sets()
        self.results = cache(self._results)

    def records(self, data_set: str = TEST_SET) -> list[dict[str, Any]]:
        return DatasetCatalog.get(data_set)

    def truths(self, data_set: str = TEST_SET) -> list[ImageTruth]:
        return [truth_from_dict(record, len(BODY13)) for record in self.records(data_set)]

    def default_rules(self, experiment: Experiment) -> Rules:
        """Those of its config."""
        return Rules.of_config(config_of(experiment, self.root, self.opts))

    def anchors(self, experiment: Experiment) -> AnchorPoses:
        cfg = _ensure_trained_with_start(experiment, self.root, self.opts, self.processes)
        return AnchorPoses.load(cfg.MODEL.LCRNET.ANCHOR_POSES)

    def training_figures(self, experiment: Experiment) -> dict[str, Any] | None:
        """What its training took (the last part of it, where it was interrupted); None if it is not trained."""
        file = self.root / experiment.name / TRAINING_FIGURES
        return json.loads(file.read_text()) if file.is_file() else None

    def prepare(self, experiment: Experiment, data_sets: Sequence[str]) -> None:
        """Trains it and saves its pose proposals, where that is not done."""
        cfg = _ensure_trained_with_start(experiment, self.root, self.opts, self.processes)
        missing = [name for name in data_sets if not self._proposals_file(experiment, name).is_file()]
        if not missing:
            return
        model, mapper = load_model(cfg), LCRNetDatasetMapper(cfg, False)  # pyright: ignore[reportCallIssue]
        for name in missing:
            print(f"pose proposals of {experiment.name} on {name}", flush=True)
            inputs = _Mapped(self.records(name), mapper)
            save_proposals(model, inputs, BODY13, self._proposals_file(experiment, name))

    def proposals(self, experiment: Experiment, data_set: str) -> SavedProposals:
        self.prepare(experiment, [data_set])
        return SavedProposals(self._proposals_file(experiment, data_set))

    def _proposals_file(self, experiment: Experiment, data_set: str) -> Path:
        return self.root / experiment.name / "proposals" / f"{data_set}.npz"

    def _results(self, experiment: Experiment, rules: Rules | None = None, data_set: str = TEST_SET) -> Results:
        """NMS and PPI of a run; scores count from the threshold chosen on the config's validation set."""
        rules = rules or self.default_rules(experiment)
        node = config_of(experiment, self.root, self.opts).TEST.LCRNET
        self.prepare(experiment, (node.THRESHOLD_DATASET, data_set))
        validation, predictions = (
            integrate(self.proposals(experiment, name), self.records(name), BODY13, rules)
            for name in (node.THRESHOLD_DATASET, data_set)
        )
        truths, validation_truths = self.truths(data_set), self.truths(node.THRESHOLD_DATASET)
        thresholds: dict[str, float] = {}
        errors: dict[str, PeopleErrors] = {}
        for method in ("nms", "ppi"):
            of_method = [detected_people(p, method) for p in validation]
            chosen = choose_score_threshold(validation_truths, of_method, node.MAX_FALSE_POSITIVES)
            thresholds[method] = chosen.score
            counted = [detected_people(p, method, chosen.score) for p in predictions]
            errors[method] = people_errors(truths, counted, BODY13, self.anchors(experiment))
        return Results(predictions, thresholds, errors)


def _ensure_trained_with_start(experiment: Experiment, root: Path, opts: list[str], processes: int) -> Any:
    """Trains the experiment it starts from first. Returns its config."""
    if experiment.start and not is_trained(config_of(experiment, root, opts)):
        (start,) = (e for e in SYNTHETIC if e.name == experiment.start)
        ensure_trained(start, root, opts, processes)
    return ensure_trained(experiment, root, opts, processes)


class _Mapped(Sequence[Mapping[str, Any]]):
    """Dataset dicts as the model wants them, read one by one."""

    def __init__(self, records: list[dict[str, Any]], mapper: LCRNetDatasetMapper) -> None:
        self._records = records
        self._mapper = mapper

    def __len__(self) -> int:
        return len(self._records)

    def __getitem__(self, index: int) -> Mapping[str, Any]:  # pyright: ignore[reportIncompatibleMethodOverride]
        given = self._mapper(self._records[index])
        assert given is not None  # only training leaves images out
        return given

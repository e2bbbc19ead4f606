"""Detectron2 evaluator that collects predictions and hands them to one benchmark's protocol."""

from __future__ import annotations

import logging
from collections import OrderedDict
from pathlib import Path

from detectron2.data import DatasetCatalog
from detectron2.utils import comm

from ..structures import Skeleton
from ..structures.whole_files import write_text
from .gathering import PredictionCollector, gather_predictions
from .predictions_json import save_predictions
from .report import Protocol, in_order_of

__all__ = ["ProtocolEvaluator"]

_logger = logging.getLogger(__name__)


class ProtocolEvaluator(PredictionCollector):
    """A benchmark's protocol (see `protocols.build_protocol`) on a registered data set.

        evaluator = ProtocolEvaluator("h36m_test", BODY13, build_protocol("human36m_p2", BODY13))
        inference_on_dataset(model, loader, evaluator)

    Args:
        dataset_name: in the DatasetCatalog; its dicts hold the ground truth in the form the protocol states.
        skeleton: names the joints of model and data set.
        protocol: of `protocols.build_protocol`.
        distributed: gather the predictions of all processes.
        output_dir: where given, report.md and pose_predictions.json are written there.

    Raises:
        ValueError: the data set is not registered.
    """

    def __init__(
        self,
        dataset_name: str,
        skeleton: Skeleton,
        protocol: Protocol,
        *,
        distributed: bool = True,
        output_dir: str | Path | None = None,
    ) -> None:
        super().__init__(dataset_name, skeleton, distributed)
        self._protocol = protocol
        self._output_dir = None if output_dir is None else Path(output_dir)

    def evaluate(self) -> dict[str, dict[str, float]]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """The protocol's metrics on the main process, {} on the others; the report is logged.

        Images of the data set that were not processed count as without detections.
        """
        gathered = gather_predictions(self._predictions, self._distributed)
        if self._distributed and not comm.is_main_process():
            return {}
        records = DatasetCatalog.get(self._dataset_name)
        if len(gathered) < len(records):
            _logger.warning(
                "%s: %d of %d images were not processed and count as without detections",
                self._dataset_name,
                len(records) - len(gathered),
                len(records),
            )
        if self._output_dir is not None:  # first: hours of inference are not lost to data that the protocol refuses
            self._output_dir.mkdir(parents=True, exist_ok=True)
            save_predictions(self._output_dir / "pose_predictions.json", gathered, self._skeleton)
        report = self._protocol(records, in_order_of(records, gathered, len(self._skeleton)))
        _logger.info("%s\n%s", self._dataset_name, report.markdown)
        if self._output_dir is not None:
            write_text(self._output_dir / "report.md", report.markdown)
        return OrderedDict(report.metrics)

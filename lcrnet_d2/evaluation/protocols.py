"""Benchmarks by name, so that an evaluator or a command can be told which one to run."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from ..structures import AnchorPoses, Skeleton
from ..structures.whole_files import write_text
from .camera_space import Placement, report_3d_sets, report_camera_space
from .coco import report_coco
from .ehf import report_ehf
from .human36m import report_human36m
from .mpii import report_mpii_multi, report_mpii_single
from .people import MIN_JOINTS_SEEN
from .photos import report_photos
from .pose_evaluator import PredictionCollector
from .report import Metrics, Predictions, Protocol, Records

__all__ = ["PROTOCOL_NAMES", "ProtocolEvaluator", "build_protocol"]

_logger = logging.getLogger(__name__)

_OF_3D = ("score_threshold", "min_joints_seen")

#: name: (function, what it measures, options of `build_protocol` it takes).
_PROTOCOLS: dict[str, tuple[Callable[..., Any], str, tuple[str, ...]]] = {
    "human36m": (report_human36m, "Human3.6M P1, P2 and P3, those the data set has images of", ()),
    "human36m_p1": (partial(report_human36m, protocol_names=("P1",)), "Human3.6M P1", ()),
    "human36m_p2": (partial(report_human36m, protocol_names=("P2",)), "Human3.6M P2", ()),
    "human36m_p3": (partial(report_human36m, protocol_names=("P3",)), "Human3.6M P3, for both cameras called 3", ()),
    "mpii_single": (report_mpii_single, "PCKh of MPII's single people", ("score_threshold", "anchors")),
    "mpii_multi": (report_mpii_multi, "mAP of MPII's groups", ("score_threshold",)),
    "coco": (report_coco, "OKS AP of the joints shared with COCO", ("score_threshold",)),
    "photos": (report_photos, "people found and PCK in photos, left and right, people cut off", ("score_threshold",)),
    "pck_3d": (report_3d_sets, "3DPCK and AUC, root: body centre", _OF_3D),
    "mpi_inf_3dhp": (partial(report_3d_sets, root="pelvis"), "3DPCK and AUC, root: pelvis", _OF_3D),
    "ehf": (report_ehf, "MPJPE and its alignments, depth of limbs; of EHF's meshes", _OF_3D),
    "camera_space": (report_camera_space, "MRPE and PCK_abs", (*_OF_3D, "place")),
}

#: name: what it measures.
PROTOCOL_NAMES = {name: what for name, (_, what, _) in _PROTOCOLS.items()}


def build_protocol(
    name: str,
    skeleton: Skeleton,
    *,
    score_threshold: float = 0.0,
    min_joints_seen: int = MIN_JOINTS_SEEN,
    anchors: AnchorPoses | None = None,
    place: Placement | None = None,
) -> Protocol:
    """A protocol, ready for `ProtocolEvaluator` or for saved predictions. MuPoTS-3D reads files: see `report_mupots`.

    Args:
        name: a key of `PROTOCOL_NAMES`.
        skeleton, score_threshold, min_joints_seen: as in `report`, where the protocol takes them; Human3.6M takes the
            top-scored detection whatever its score.
        anchors: the model's, for PCKh against rarity.
        place: puts detections into camera space; "camera_space" needs it.

    Raises:
        ValueError: an unknown name, or an option missing that the protocol needs.
    """
    if name not in _PROTOCOLS:
        raise ValueError(f"unknown protocol {name!r}; known are {', '.join(_PROTOCOLS)}")
    function, _, taken = _PROTOCOLS[name]
    if "place" in taken and place is None:
        raise ValueError(f"protocol {name!r} needs `place`, which puts detections into camera space")
    options: dict[str, Any] = {"score_threshold": score_threshold, "min_joints_seen": min_joints_seen}
    options |= {"anchors": anchors, "place": place}
    return partial(function, skeleton=skeleton, **{option: options[option] for option in taken})


class ProtocolEvaluator(PredictionCollector):
    """A benchmark's protocol on a registered data set; the report is logged.

        evaluator = ProtocolEvaluator("h36m_test", BODY13, build_protocol("human36m_p2", BODY13))
        inference_on_dataset(model, loader, evaluator)

    Args:
        protocol: of `build_protocol`; the data set's dicts hold the ground truth in the form it states.
        output_dir: where given, report.md and pose_predictions.json are written there.
        dataset_name, skeleton, distributed: as of `PredictionCollector`.
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
        super().__init__(dataset_name, skeleton, distributed=distributed, output_dir=output_dir)
        self._protocol = protocol

    def _results(self, records: Records, predictions: Predictions) -> Metrics:
        report = self._protocol(records, predictions)
        _logger.info("%s\n%s", self._dataset_name, report.markdown)
        if self._output_dir is not None:
            write_text(self._output_dir / "report.md", report.markdown)
        return report.metrics

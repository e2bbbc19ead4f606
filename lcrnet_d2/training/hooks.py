"""What happens beside the steps of training: the best checkpoint is kept, and images are drawn."""

from __future__ import annotations

# Detectron2's @configurable hides the arguments of what it wraps.
# pyright: reportCallIssue=false
from typing import Any

import torch
from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog
from detectron2.engine import HookBase, hooks
from detectron2.utils.events import get_event_storage
from torch import nn

from ..checkpoint import without_wrapper
from ..data import LCRNetDatasetMapper, read_image
from ..detected_people import DetectedPeople
from ..modeling import with_test_time_augmentation
from ..structures import SKELETONS
from ..visualization import draw_people

__all__ = ["ImageHook", "ResumableBestCheckpointer"]


class ResumableBestCheckpointer(hooks.BestCheckpointer):
    """Detectron2's, which would forget on resume what the best result was and overwrite it with the next."""

    def state_dict(self) -> dict[str, Any]:
        return {"best_metric": self.best_metric, "best_iter": self.best_iter}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.best_metric, self.best_iter = state["best_metric"], state["best_iter"]

    def after_train(self) -> None:
        """The last evaluation comes after model_final is written: where it is the best, model_final has to know."""
        before = self.best_metric
        super().after_train()
        if self.best_metric != before:
            self.trainer.iter -= 1  # by now it is that of a step never made, and resuming would skip one
            self._checkpointer.save("model_final", iteration=self.trainer.iter)
            self.trainer.iter += 1


class ImageHook(HookBase):
    """Every `period` iterations: what the model finds in a few test images, for TensorBoard."""

    def __init__(self, cfg: CfgNode, model: nn.Module, period: int, count: int = 4) -> None:
        self.cfg = cfg
        self.model = model
        self.period = period
        self.count = count

    def after_step(self) -> None:
        if (self.trainer.iter + 1) % self.period:
            return
        model = with_test_time_augmentation(self.cfg, without_wrapper(self.model))
        mapper = LCRNetDatasetMapper(self.cfg, False)
        skeleton = SKELETONS[self.cfg.MODEL.LCRNET.SKELETON]
        records = DatasetCatalog.get(self.cfg.DATASETS.TEST[0])[: self.count]
        model.eval()
        with torch.no_grad():
            for number, record in enumerate(records):
                people = model([mapper(record)])[0]["instances"].to("cpu")
                image = read_image(record["file_name"], "RGB")
                picture = draw_people(image, DetectedPeople.from_instances(people[:5], skeleton))
                get_event_storage().put_image(f"detections/{number}", picture.transpose(2, 0, 1))
        model.train()

"""How near the demo comes to the rate of its network: a stand-in that takes a known time, as a GPU's does."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

import cv2
import torch
from torch import nn

from lcrnet_d2 import PosePredictor
from lcrnet_d2.data.synthetic.scene import make_scene
from lcrnet_d2.detection import DetectionOptions, detect_in_images

from .report import Table
from .timing import Settings

__all__ = ["measure"]

_MODEL = "lcrnet_movenet_free"


class _StandIn(nn.Module):
    """Sleeps for so many seconds an image, and finds in each what a network found in the first."""

    def __init__(self, network: nn.Module, seconds: float) -> None:
        super().__init__()
        self.network, self.seconds, self.found = network.eval(), seconds, None

    def forward(self, inputs: list[dict[str, Any]]) -> list[dict[str, Any]]:
        self.found = self.found or self.network(inputs[:1])[0]
        time.sleep(self.seconds * len(inputs))
        return [self.found] * len(inputs)


@torch.no_grad()
def measure(settings: Settings) -> Table:
    """`tools/demo.py --no-pictures` on files, and the predictor called batch by batch, against the stand-in alone."""
    count, size, times = (4, (64, 96), (0.01,)) if settings.quick else (64, (480, 640), (0.02, 0.04, 0.08))
    predictor = PosePredictor(_MODEL, device="cpu")
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / f"{i}.jpg" for i in range(count)]
        for i, file in enumerate(files):
            cv2.imwrite(str(file), make_scene("train", 0, i, size).image)
        for seconds in times:
            network = _StandIn(predictor.network, seconds)
            asking = predictor.asking(network)
            asking(files[0])  # what is found takes time once
            started = time.perf_counter()
            for first in range(0, count, predictor.batch_size):
                asking(files[first : first + predictor.batch_size])
            turns = time.perf_counter() - started
            detect_in_images(asking, files, Path(folder), DetectionOptions(pictures=False))
            demo = time.perf_counter() - started - turns
            rows.append((1 / seconds, count / turns * seconds, count / demo * seconds))
    columns = ("images a second of the stand-in", "batch by batch, of its rate", "demo, of its rate")
    return Table(f"Demo without pictures, {count} files of {size[1]} x {size[0]} px", columns, rows)

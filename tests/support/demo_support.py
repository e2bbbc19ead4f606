"""Runs tools/demo.py on a small model."""

from __future__ import annotations

import json
from pathlib import Path

from lcrnet_d2 import demo
from model_support import CONFIG, OPTS


def run(weights: Path, output: Path, *arguments: str, threshold: str = "0.5") -> dict:
    demo.main(
        ["--config-file", CONFIG, "--output", str(output), "--confidence-threshold", threshold, *arguments]
        + ["--opts", *OPTS, "MODEL.WEIGHTS", str(weights)]
    )
    poses = output / "poses.json"
    return json.loads(poses.read_text()) if poses.exists() else {}

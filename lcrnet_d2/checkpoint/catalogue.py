"""The published weights that `lcrnet://NAME` and `lcrnet_d2.model_zoo` know, and where each is kept."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

__all__ = ["CATALOGUE", "WEIGHTS_FOLDER", "PublishedWeights", "find_weights"]

#: Weights that come with the package: lcrnet_d2/weights, in a checkout as in an installed wheel.
WEIGHTS_FOLDER = Path(__file__).parents[1] / "weights"


@dataclass(frozen=True)
class PublishedWeights:
    """A file of weights, and what belongs to it.

    Attributes:
        file: its name, in `WEIGHTS_FOLDER` or in the cache.
        config: the config to build it with, a name below the package's configs.
        sha256: of the file, 64 hexadecimal digits; tools/shrink_checkpoint.py prints it.
        licence: what the user may do with the weights, shown whenever they are loaded.
        urls: where the file can be had if it does not come with the package, tried in this order.

    Raises:
        ValueError: a file name with folders in it, or no sha256.
    """

    file: str
    config: str
    sha256: str
    licence: str
    urls: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if Path(self.file).name != self.file:
            raise ValueError(f"{self.file!r} is not a plain file name")
        if not re.fullmatch(r"[0-9a-f]{64}", self.sha256):
            raise ValueError(f"{self.file}: the sha256 {self.sha256!r} is not 64 hexadecimal digits")


#: Name -> weights. A new model is one entry here and its file in lcrnet_d2/weights (or a URL).
CATALOGUE: dict[str, PublishedWeights] = {
    "lcrnet_lite0_free": PublishedWeights(
        "lcrnet_lite0_free.pth",
        config="free/lcrnet_lite0_free.yaml",
        sha256="b0e564231d9d9670d7c3a594595438d6732019c65b34a8d99f4c28cf5ba1c073",
        licence="Apache-2.0, as the program: trained on rendered scenes of free material (MODEL_ZOO.md)",
    ),
    "lcrnet_lite0_research": PublishedWeights(
        "lcrnet_lite0_research.pth",
        config="research/lcrnet_lite0_research_l1.yaml",
        sha256="0adcdc5bea40097463affa1a48cd2b0c68a56225a9d76d1da527513ee7a898a0",
        licence="research, non-commercial: trained on photos of LSP Extended and Flickr (MODEL_ZOO.md)",
    ),
}


def find_weights(name: str) -> PublishedWeights:
    """The entry of a name; ValueError lists the names there are."""
    if name not in CATALOGUE:
        known = ", ".join(sorted(CATALOGUE)) or "none yet"
        raise ValueError(f"no published weights of the name {name!r}; known: {known}")
    return CATALOGUE[name]

"""The published models that `lcrnet://NAME` and `lcrnet_d2.model_zoo` know, and where each is kept."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

__all__ = ["CATALOGUE", "WEIGHTS_FOLDER", "PublishedFile", "PublishedModel", "find_model"]

#: Files that come with the package: lcrnet_d2/weights, in a checkout as in an installed wheel.
WEIGHTS_FOLDER = Path(__file__).parents[1] / "weights"


@dataclass(frozen=True)
class PublishedFile:
    """A file, and how to know that it is the right one.

    Attributes:
        name: in `WEIGHTS_FOLDER` or in the cache.
        sha256: 64 hexadecimal digits; tools/shrink_checkpoint.py prints it.
        urls: where the file can be had if it does not come with the package, tried in this order.

    Raises:
        ValueError: a name with folders in it, or no sha256.
    """

    name: str
    sha256: str
    urls: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if Path(self.name).name != self.name:
            raise ValueError(f"{self.name!r} is not a plain file name")
        if not re.fullmatch(r"[0-9a-f]{64}", self.sha256):
            raise ValueError(f"{self.name}: the sha256 {self.sha256!r} is not 64 hexadecimal digits")


@dataclass(frozen=True, kw_only=True)
class PublishedModel:
    """The files of a trained model, and what belongs to them.

    Attributes:
        weights: what MODEL.WEIGHTS names.
        anchor_poses: those the weights were trained with; further training labels its data by them.
        config: the config to build it with, a name below the package's configs.
        licence: what the user may do with the files, shown whenever they are loaded.
    """

    weights: PublishedFile
    anchor_poses: PublishedFile
    config: str
    licence: str


#: Name -> model. A new one is an entry here and its files in lcrnet_d2/weights (or URLs).
CATALOGUE: dict[str, PublishedModel] = {
    "lcrnet_lite0_free": PublishedModel(
        weights=PublishedFile(
            "lcrnet_lite0_free.pth", "b0e564231d9d9670d7c3a594595438d6732019c65b34a8d99f4c28cf5ba1c073"
        ),
        anchor_poses=PublishedFile(
            "lcrnet_lite0_free_anchors.npz", "a6ba68e06ffc4b9f0c5767c5d3f538d5cbde7a3bb67eb8193941fe0269b4f48d"
        ),
        config="free/lcrnet_lite0_free.yaml",
        licence="Apache-2.0, as the program: trained on rendered scenes of free material (MODEL_ZOO.md)",
    ),
    "lcrnet_lite0_research": PublishedModel(
        weights=PublishedFile(
            "lcrnet_lite0_research.pth", "0064632b6268d349b0a823ffaebb28090a2eec9a9cc6ab1562f5616d344d51ec"
        ),
        anchor_poses=PublishedFile(
            "lcrnet_lite0_research_anchors.npz", "c1285e5aaaea78a680dbd3c3ebf96472910aaccc03d9460fd2e0796ff81e64c5"
        ),
        config="research/lcrnet_lite0_research_scenes.yaml",
        licence="research, non-commercial: trained on photos of LSP Extended and Flickr (MODEL_ZOO.md)",
    ),
}


def find_model(name: str) -> PublishedModel:
    """The entry of a name; ValueError lists the names there are."""
    if name not in CATALOGUE:
        known = ", ".join(sorted(CATALOGUE)) or "none yet"
        raise ValueError(f"no published model of the name {name!r}; known: {known}")
    return CATALOGUE[name]

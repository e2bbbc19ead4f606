"""The published models that `lcrnet://NAME` and `lcrnet_d2.model_zoo` know, and where each is kept."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

__all__ = ["CATALOGUE", "RESEARCH_FOLDER", "WEIGHTS_FOLDER", "PublishedFile", "PublishedModel", "find_model"]

#: Files that come with the package: lcrnet_d2/weights, in a checkout as in an installed wheel.
WEIGHTS_FOLDER = Path(__file__).parents[1] / "weights"
#: Files for research alone: in a checkout of the repository, in no wheel.
RESEARCH_FOLDER = Path(__file__).parents[2] / "weights" / "research"


@dataclass(frozen=True)
class PublishedFile:
    """A file, and how to know that it is the right one.

    Attributes:
        name: in `WEIGHTS_FOLDER`, in `RESEARCH_FOLDER` or in the cache.
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


_NOTICE = "data and start weights with their sources' own terms: MODEL_ZOO.md"
#: Name -> model. A new one is an entry here and its files in `WEIGHTS_FOLDER` or `RESEARCH_FOLDER` (or URLs).
CATALOGUE: dict[str, PublishedModel] = {
    "lcrnet_movenet_free": PublishedModel(
        weights=PublishedFile(
            "lcrnet_movenet_free.pth", "3837d628ddc492036b5ac00d52e02d6cb71222785980206a857d8f9b1d3edd2e"
        ),
        anchor_poses=PublishedFile(
            "lcrnet_movenet_free_anchors.npz", "b79e8bc806d6cdbbb4b75489d8d6d814b44f77df3790419c583264fe4e1eab8d"
        ),
        config="free/lcrnet_movenet_free.yaml",
        licence=f"our work in it Apache-2.0; {_NOTICE}",
    ),
    "lcrnet_movenet_research": PublishedModel(
        weights=PublishedFile(
            "lcrnet_movenet_research.pth", "c540cc16b10136776e684560e6bfb5d17c495b33056920fe058b1f81f115bad1"
        ),
        anchor_poses=PublishedFile(
            "lcrnet_movenet_research_anchors.npz", "c59c87f4723e4ad114a2ced22a37cc9c600c63ae54efa997b81e972621c84648"
        ),
        config="research/lcrnet_movenet_research.yaml",
        licence=f"research, non-commercial: trained on photos of LSP Extended and Flickr; {_NOTICE}",
    ),
}
#: Models of earlier versions -> what took their place.
SUCCESSORS = {
    "lcrnet_lite0_free": "lcrnet_movenet_free",
    "lcrnet_lite0_research": "lcrnet_movenet_research",
}


def find_model(name: str) -> PublishedModel:
    """The entry of a name; ValueError names the successor of a former model, or lists the names there are."""
    if name in SUCCESSORS:
        raise ValueError(f"{name} is not published any more: use its successor, {SUCCESSORS[name]}")
    if name not in CATALOGUE:
        known = ", ".join(sorted(CATALOGUE)) or "none yet"
        raise ValueError(f"no published model of the name {name!r}; known: {known}")
    return CATALOGUE[name]

"""The published models, as `lcrnet_d2.model_zoo` and paths of Detectron2's PathManager know them.

`lcrnet://NAME` is what MODEL.WEIGHTS understands, `lcrnet://NAME/anchor_poses` what MODEL.LCRNET.ANCHOR_POSES does. A
file is looked for in the package, in the checkout's weights/research, then in the cache ($FVCORE_CACHE, else
~/.torch/iopath_cache), then downloaded. Its sha256 is compared before anything in it is read.
"""

from __future__ import annotations

import hashlib
import logging
import re
import shutil
import tempfile
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from detectron2.utils.file_io import PathManager
from iopath.common.file_io import PathHandler, file_lock, get_cache_dir

__all__ = [
    "ANCHOR_POSES_OF",
    "CATALOGUE",
    "LCRNET_WEIGHTS",
    "RESEARCH_FOLDER",
    "WEIGHTS_FOLDER",
    "LCRNetPathHandler",
    "PublishedFile",
    "PublishedModel",
    "file_sha256",
    "find_model",
    "published_file",
]

#: Prefix of MODEL.WEIGHTS for weights of the catalogue.
LCRNET_WEIGHTS = "lcrnet://"

#: What follows the name in MODEL.LCRNET.ANCHOR_POSES.
ANCHOR_POSES_OF = "/anchor_poses"

_TIMEOUT = 30.0  # seconds without a byte

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


class LCRNetPathHandler(PathHandler):
    """Resolves `lcrnet://NAME` to a checked local file and logs the licence of what is in it."""

    def _get_supported_prefixes(self) -> list[str]:
        return [LCRNET_WEIGHTS]

    def _get_local_path(self, path: str, force: bool = False, **kwargs: Any) -> str:
        model = find_model(_name_in(path))
        file = published_file(model.anchor_poses if path.endswith(ANCHOR_POSES_OF) else model.weights)
        logging.getLogger(__name__).info("%s (%s). Licence: %s", path, file, model.licence)
        return str(file)

    def _isfile(self, path: str, **kwargs: Any) -> bool:
        return _name_in(path) in CATALOGUE

    _exists = _isfile

    def _open(self, path: str, mode: str = "r", buffering: int = -1, **kwargs: Any) -> IO[Any]:
        if "w" in mode or "a" in mode or "+" in mode:
            raise OSError(f"{path} cannot be written")
        return open(self._get_local_path(path), mode, buffering)  # the caller closes it


def _name_in(path: str) -> str:
    return path.removeprefix(LCRNET_WEIGHTS).removesuffix(ANCHOR_POSES_OF)


def published_file(published: PublishedFile) -> Path:
    """The local copy of a published file, its sha256 checked; downloads it where it must.

    Raises:
        ValueError: the file in the package, or what was downloaded, has another sha256.
        FileNotFoundError: it is neither here nor to be had; the message says why for every URL.
    """
    for folder in (WEIGHTS_FOLDER, RESEARCH_FOLDER):
        if (folder / published.name).is_file():
            _check(folder / published.name, published)
            return folder / published.name
    cache = Path(get_cache_dir()) / "lcrnet"
    cached = cache / f"{published.sha256[:8]}-{published.name}"
    if not (cached.is_file() or published.urls):
        raise FileNotFoundError(
            f"{published.name} comes with a checkout of the repository, not with the installed package: take it from "
            f"weights/research there, and put it at {cached}"
        )
    cache.mkdir(parents=True, exist_ok=True)
    with file_lock(str(cached)):  # several processes of one training ask at once
        if cached.is_file() and file_sha256(cached) != published.sha256:
            logging.getLogger(__name__).warning("%s is damaged and fetched again", cached)
            cached.unlink()
        if not cached.is_file():
            _download(published, cached)
    return cached


def file_sha256(path: str | Path) -> str:
    """64 hexadecimal digits."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest()


def _check(file: Path, published: PublishedFile) -> None:
    found = file_sha256(file)
    if found != published.sha256:
        raise ValueError(
            f"{file} is not {published.name} as published: its sha256 is {found}, expected {published.sha256}. "
            "It was cut short or changed, or git left a pointer in its place; nothing in it was read"
        )


def _download(published: PublishedFile, target: Path) -> None:
    """Tries each URL; a file appears under its name only whole and checked."""
    failures = []
    for url in published.urls:
        with tempfile.NamedTemporaryFile(dir=target.parent, suffix=".part", delete=False) as partial:
            try:
                with urllib.request.urlopen(url, timeout=_TIMEOUT) as response:
                    shutil.copyfileobj(response, partial)
                partial.close()
                _check(Path(partial.name), published)
                Path(partial.name).replace(target)
                return
            except (OSError, ValueError) as error:  # no network, no such page, another file
                failures.append(f"{url}: {error}")
            finally:
                Path(partial.name).unlink(missing_ok=True)
    raise FileNotFoundError(
        f"could not fetch {published.name} ({'; '.join(failures)}). Without network, put the file at {target}"
    )


PathManager.register_handler(LCRNetPathHandler(), allow_override=True)

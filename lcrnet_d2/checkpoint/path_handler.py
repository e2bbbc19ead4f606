"""`lcrnet://NAME`, `lcrnet://NAME/anchor_poses`: a published model's files as paths of Detectron2's PathManager.

So MODEL.WEIGHTS understands the first and MODEL.LCRNET.ANCHOR_POSES the second.

A file is looked for in the package, in the checkout's weights/research, then in the cache ($FVCORE_CACHE, else
~/.torch/iopath_cache), then downloaded. Its sha256 is compared before anything in it is read.
"""

from __future__ import annotations

import hashlib
import logging
import shutil
import tempfile
import urllib.request
from pathlib import Path
from typing import IO, Any

from detectron2.utils.file_io import PathManager
from iopath.common.file_io import PathHandler, file_lock, get_cache_dir

from . import catalogue
from .catalogue import PublishedFile, find_model

__all__ = ["ANCHOR_POSES_OF", "LCRNET_WEIGHTS", "LCRNetPathHandler", "file_sha256", "published_file"]

#: Prefix of MODEL.WEIGHTS for weights of the catalogue.
LCRNET_WEIGHTS = "lcrnet://"

#: What follows the name in MODEL.LCRNET.ANCHOR_POSES.
ANCHOR_POSES_OF = "/anchor_poses"

_TIMEOUT = 30.0  # seconds without a byte


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
        return _name_in(path) in catalogue.CATALOGUE

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
    for folder in (catalogue.WEIGHTS_FOLDER, catalogue.RESEARCH_FOLDER):
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

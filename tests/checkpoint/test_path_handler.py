from __future__ import annotations

import hashlib
import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from detectron2.utils.file_io import PathManager
from torch import nn

from lcrnet_d2.checkpoint import LCRNetCheckpointer, catalogue
from lcrnet_d2.checkpoint.catalogue import CATALOGUE, PublishedFile, PublishedModel, file_sha256, published_file


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty package folder, an empty cache and an empty catalogue; returns a folder to publish from."""
    for folder in ("package", "cache", "web"):
        (tmp_path / folder).mkdir()
    monkeypatch.setattr(catalogue, "WEIGHTS_FOLDER", tmp_path / "package")
    monkeypatch.setattr(catalogue, "RESEARCH_FOLDER", tmp_path / "no checkout")
    monkeypatch.setenv("FVCORE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(catalogue, "CATALOGUE", {})
    return tmp_path


def publish(file: Path, licence: str = "CC0-1.0", **more: Any) -> PublishedFile:
    """An entry whose weights are a file that is there; with `more`, other fields of that file."""
    weights = PublishedFile(**{"name": file.name, "sha256": file_sha256(file), **more})
    anchor_poses = PublishedFile("tiny_anchors.npz", hashlib.sha256(b"anchor poses").hexdigest())
    catalogue.CATALOGUE["tiny"] = PublishedModel(
        weights=weights, anchor_poses=anchor_poses, config="x.yaml", licence=licence
    )
    return weights


def write_layer(path: Path, value: float) -> Path:
    torch.save({"model": {"weight": torch.full((1, 1), value).half(), "bias": torch.zeros(1).half()}}, path)
    return path


def test_weights_in_the_package_load_in_full_precision_and_name_their_licence(
    folders: Path, caplog: pytest.LogCaptureFixture
) -> None:
    publish(write_layer(folders / "package" / "tiny.pth", 3.5), licence="CC BY 4.0, trained on nothing")
    layer = nn.Linear(1, 1)
    with caplog.at_level(logging.INFO, "lcrnet_d2"):
        LCRNetCheckpointer(layer).load("lcrnet://tiny")
    assert layer.weight.item() == 3.5 and layer.weight.dtype == torch.float32
    assert "CC BY 4.0, trained on nothing" in caplog.text
    assert not list((folders / "cache").iterdir())


def test_weights_from_a_url_are_fetched_once(folders: Path) -> None:
    source = write_layer(folders / "web" / "tiny.pth", 1.0)
    weights = publish(source, urls=((folders / "web" / "absent.pth").as_uri(), source.as_uri()))
    first = published_file(weights)
    source.unlink()
    assert published_file(weights) == first and first.is_relative_to(folders / "cache")
    assert not list(first.parent.glob("*.part"))


def test_a_damaged_file_in_the_cache_is_fetched_again(folders: Path) -> None:
    source = write_layer(folders / "web" / "tiny.pth", 1.0)
    weights = publish(source, urls=(source.as_uri(),))
    published_file(weights).write_bytes(b"half a download")
    assert file_sha256(published_file(weights)) == weights.sha256


class Exploding:
    def __reduce__(self) -> tuple:
        return (pytest.fail, ("the file was read",))


def test_another_sha256_is_an_error_before_anything_is_read(folders: Path) -> None:
    import pickle

    file = folders / "package" / "tiny.pth"
    file.write_bytes(pickle.dumps(Exploding()))
    publish(file, sha256=hashlib.sha256(b"what was published").hexdigest())
    with pytest.raises(ValueError, match=r"tiny\.pth as published: its sha256 is .*nothing in it was read"):
        LCRNetCheckpointer(nn.Linear(1, 1)).load("lcrnet://tiny")


def test_a_wrong_download_is_an_error_and_leaves_nothing(folders: Path) -> None:
    source = write_layer(folders / "web" / "tiny.pth", 1.0)
    weights = publish(source, sha256="0" * 64, urls=(source.as_uri(),))
    with pytest.raises(FileNotFoundError, match=r"could not fetch tiny\.pth .*sha256.*put the file at"):
        published_file(weights)
    assert [p.suffix for p in (folders / "cache" / "lcrnet").iterdir()] in ([], [".lock"])


def test_no_network_says_where_to_put_the_file(folders: Path) -> None:
    source = write_layer(folders / "web" / "tiny.pth", 1.0)
    weights = publish(source, urls=("http://127.0.0.1:9/tiny.pth",))  # nobody listens on the discard port
    with pytest.raises(FileNotFoundError, match=r"127\.0\.0\.1:9/tiny\.pth: .*refused.*Without network, put") as caught:
        published_file(weights)
    place = Path(str(caught.value).rsplit(" at ", 1)[1])
    place.write_bytes(source.read_bytes())
    assert published_file(weights) == place


def test_unknown_names_list_the_known_ones(folders: Path) -> None:
    with pytest.raises(ValueError, match="'large'; known: none yet"):
        PathManager.get_local_path("lcrnet://large")
    publish(write_layer(folders / "package" / "tiny.pth", 1.0))
    with pytest.raises(ValueError, match="'large'; known: tiny"):
        LCRNetCheckpointer(nn.Linear(1, 1)).load("lcrnet://large")
    assert PathManager.isfile("lcrnet://tiny") and not PathManager.exists("lcrnet://large")


def test_paths_are_readable_and_not_writable(folders: Path) -> None:
    file = write_layer(folders / "package" / "tiny.pth", 1.0)
    publish(file)
    with PathManager.open("lcrnet://tiny", "rb") as opened:
        assert opened.read() == file.read_bytes()
    with pytest.raises(OSError, match="cannot be written"):
        PathManager.open("lcrnet://tiny", "wb")


def test_anchor_poses_have_a_path_of_their_own(folders: Path) -> None:
    publish(write_layer(folders / "package" / "tiny.pth", 1.0))
    (folders / "package" / "tiny_anchors.npz").write_bytes(b"anchor poses")
    assert PathManager.isfile("lcrnet://tiny/anchor_poses") and not PathManager.isfile("lcrnet://large/anchor_poses")
    assert Path(PathManager.get_local_path("lcrnet://tiny/anchor_poses")).read_bytes() == b"anchor poses"
    with pytest.raises(ValueError, match="'tiny/anchors'; known: tiny"):
        PathManager.get_local_path("lcrnet://tiny/anchors")


@pytest.mark.parametrize("change", [{"name": "../x.pth"}, {"sha256": "ABC"}, {"sha256": ""}], ids=str)
def test_entries_are_checked(change: dict) -> None:
    with pytest.raises(ValueError, match=r"plain file name|64 hexadecimal digits"):
        PublishedFile(**{"name": "x.pth", "sha256": "0" * 64, **change})


def test_what_a_checkout_holds_is_what_the_catalogue_says() -> None:
    """Files for research alone stay out of the package, and so of the wheel."""
    for name, model in CATALOGUE.items():
        folder = catalogue.RESEARCH_FOLDER if name.endswith("_research") else catalogue.WEIGHTS_FOLDER
        for file in (model.weights, model.anchor_poses):
            assert file_sha256(folder / file.name) == file.sha256
    published = {file.name for model in CATALOGUE.values() for file in (model.weights, model.anchor_poses)}
    for folder in (catalogue.WEIGHTS_FOLDER, catalogue.RESEARCH_FOLDER):
        others = {path.name for path in folder.iterdir()} - published
        assert all(name.startswith("lifter_") for name in others)


def test_weights_for_research_are_found_in_a_checkout(folders: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = publish(write_layer(folders / "web" / "tiny.pth", 1.0))
    with pytest.raises(FileNotFoundError, match=r"comes with a checkout .* weights/research there, and put it at"):
        published_file(file)
    monkeypatch.setattr(catalogue, "RESEARCH_FOLDER", folders / "web")
    assert published_file(file) == folders / "web" / "tiny.pth"


def test_a_former_models_name_is_an_error_that_names_the_successor() -> None:
    with pytest.raises(ValueError, match="use its successor, lcrnet_movenet_free"):
        PathManager.get_local_path("lcrnet://lcrnet_lite0_free")

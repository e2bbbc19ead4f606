from __future__ import annotations

import os
import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch

from lcrnet_d2.checkpoint.array_pickle import load_array_pickle, load_torch_file


def write(path: Path, content: object, protocol: int = 2) -> Path:
    path.write_bytes(pickle.dumps(content, protocol=protocol))
    return path


@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_tensors_arrays_and_containers_come_back(protocol: int, tmp_path: Path) -> None:
    content = {
        "model": OrderedDict(a=torch.arange(6.0).view(2, 3), b=torch.tensor([1, 2]), c=torch.zeros(0)),
        "transposed": torch.arange(6).view(2, 3).t(),
        "half": torch.ones(3).half(),
        "parameter": torch.nn.Parameter(torch.ones(2)),
        "cfg": {"SCALES": (600,), "ON": True, "NAME": "x", "MEANS": np.array([[[102.9801, 115.9465, 122.7717]]])},
        "anchor_poses": np.random.rand(3, 65).astype(np.float32),
        "scalar": np.float64(0.25),
    }
    loaded = load_array_pickle(write(tmp_path / "x.pkl", content, protocol))
    for key in ("a", "b", "c"):
        assert torch.equal(loaded["model"][key], content["model"][key])
    for key in ("transposed", "half", "parameter"):
        assert torch.equal(loaded[key], content[key])
    np.testing.assert_array_equal(loaded["anchor_poses"], content["anchor_poses"])
    np.testing.assert_array_equal(loaded["cfg"].pop("MEANS"), content["cfg"].pop("MEANS"))
    assert loaded["cfg"] == content["cfg"] and loaded["scalar"] == 0.25


class Calls:
    """Unpickles as a call of something."""

    def __init__(self, function: object, *args: object) -> None:
        self.call = (function, args)

    def __reduce__(self) -> tuple:
        return self.call


@pytest.mark.parametrize(
    ("attack", "named"),
    [
        (Calls(os.system, "touch {marker}"), "system"),
        (Calls(eval, "open('{marker}', 'w')"), "eval"),
        (Calls(torch.load, "{marker}"), "torch.serialization.load"),
        (Calls(getattr, "x", "upper"), "getattr"),
        (Path("x"), "pathlib"),
        (np.arange, "numpy.arange"),
    ],
    ids=["system", "eval", "torch.load", "getattr", "object", "function"],
)
def test_everything_else_is_refused_by_name(attack: object, named: str, tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    if isinstance(attack, Calls):
        attack.call = (attack.call[0], tuple(str(a).format(marker=marker) for a in attack.call[1]))
    with pytest.raises(ValueError, match=rf"x\.pkl.*it names .*{named}"):
        load_array_pickle(write(tmp_path / "x.pkl", {"model": [attack]}))
    assert not marker.exists()


def test_a_pickle_inside_a_tensors_memory_is_refused_too(tmp_path: Path) -> None:
    """torch.storage._load_from_bytes, which tensors in plain pickles name, unpickles its bytes without restraint."""
    marker = tmp_path / "marker"
    inner = write(tmp_path / "inner", Calls(os.system, f"touch {marker}")).read_bytes()
    outer = Calls(torch.storage._load_from_bytes, inner)
    with pytest.raises(ValueError, match="refused to read"):
        load_array_pickle(write(tmp_path / "x.pkl", {"model": outer}))
    assert not marker.exists()


@pytest.mark.parametrize(
    ("offset", "size", "stride"), [(0, (7,), (1,)), (5, (2,), (1,)), (0, (2, 2), (4, 2)), (-1, (1,), (1,))]
)
def test_a_tensor_beyond_its_memory_is_refused(
    offset: int, size: tuple[int, ...], stride: tuple[int, ...], tmp_path: Path
) -> None:
    storage = torch.arange(6.0).storage()
    lie = Calls(torch._utils._rebuild_tensor_v2, storage, offset, size, stride, False, OrderedDict())
    with pytest.raises(ValueError, match="a tensor of size"):
        load_array_pickle(write(tmp_path / "x.pkl", {"model": lie}))
    honest = Calls(torch._utils._rebuild_tensor_v2, storage, 1, (2, 2), (3, 1), False, OrderedDict())
    loaded = load_array_pickle(write(tmp_path / "x.pkl", {"model": honest}))
    assert loaded["model"].tolist() == [[1, 2], [4, 5]]


@pytest.mark.parametrize("content", [b"", b"text", pickle.dumps({"a": np.zeros(9)})[:-20], pickle.dumps([1])])
def test_other_and_damaged_files_are_named(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.pkl").write_bytes(content)
    with pytest.raises(ValueError, match=r"x\.pkl"):
        load_array_pickle(tmp_path / "x.pkl")


@pytest.mark.parametrize(
    "content",
    [
        b"\x80\x02}r\xff\xff\xff\x7f.",  # remembers a dict under number 2^31 - 1: a table of 32 GB
        b"\x80\x02cnumpy\nndarray\nJ\xff\xff\xff\x7f\x85R.",  # calls ndarray((2^31 - 1,))
        b"\x80\x02cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nJ\xff\xff\xff\x7f\x85U\x01b\x87R.",
        b"\x80\x02cnumpy.core.multiarray\nscalar\ncnumpy\ndtype\nX\x0b\x00\x00\x00V2000000000\x85RU\x00\x86R.",
        b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\x0f.",  # bytes of an exabyte
    ],
    ids=["memo", "ndarray", "reconstruct", "scalar", "bytes"],
)
def test_pickles_of_a_few_bytes_that_ask_for_gigabytes(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "bomb.pkl").write_bytes(content)
    with pytest.raises(ValueError, match=r"refused to read the pickle .*bomb\.pkl"):
        load_array_pickle(tmp_path / "bomb.pkl")


def test_packed_checkpoints_are_refused(tmp_path: Path) -> None:
    torch.save({"model": torch.zeros(1000)}, tmp_path / "a.pth")
    with zipfile.ZipFile(tmp_path / "a.pth") as whole, zipfile.ZipFile(tmp_path / "b.pth", "w", 8) as packed:
        for member in whole.infolist():
            packed.writestr(member.filename, whole.read(member))
    assert load_torch_file(tmp_path / "a.pth")["model"].shape == (1000,)
    with pytest.raises(ValueError, match="compressed"):
        load_torch_file(tmp_path / "b.pth")


class Number:
    """Unpickles as a number whose kind has such a state."""

    def __init__(self, kind: str, *state: object) -> None:
        self.call = (np._core.multiarray.scalar, (Kind(kind, state), bytes(8)))  # pyright: ignore

    def __reduce__(self) -> tuple:
        return self.call


class Kind:
    def __init__(self, kind: str, state: tuple) -> None:
        self.call = (np.dtype, (kind, False, True), state)

    def __reduce__(self) -> tuple:
        return self.call


def test_a_file_sets_no_flags_of_numpys(tmp_path: Path) -> None:
    """63: each of the 8 bytes of a number would be taken for a pointer to an object."""
    number = {"x": Number("f8", 3, "<", None, None, None, -1, -1, 63)}
    loaded = load_array_pickle(write(tmp_path / "x.pkl", number))
    assert loaded["x"] == 0.0 and not loaded["x"].dtype.hasobject


@pytest.mark.parametrize(
    ("kind", "state"),
    [
        ("f8", (3, "x", None, None, None, -1, -1, 0)),
        ("f8", (3, "<", ("f4", (2,)), None, None, -1, -1, 0)),
        ("V8", (3, "|", None, None, None, 8, 1, 0)),
        ("f8", (3,)),
        ("f8", 7),
    ],
)
def test_damaged_kinds_of_arrays_are_refused(kind: str, state: object, tmp_path: Path) -> None:
    number = Number(kind)
    number.call[1][0].call = (np.dtype, (kind, False, True), state)
    with pytest.raises(ValueError, match="refused to read the pickle"):
        load_array_pickle(write(tmp_path / "x.pkl", {"x": number}))


@pytest.mark.parametrize("protocol", [2, 4, 5])
@pytest.mark.parametrize("dtype", [">f4", "<i8", "bool", "U5", "S3", "complex64", "object"])
def test_kinds_of_arrays_come_back(dtype: str, protocol: int, tmp_path: Path) -> None:
    array = np.array([[1, 0], [2, 3]]).astype(dtype)
    loaded = load_array_pickle(write(tmp_path / "x.pkl", {"x": array}, protocol))["x"]
    plain = pickle.loads(pickle.dumps(array, protocol))  # has turned the bytes of >f4 round, but for protocol 5
    assert loaded.dtype == plain.dtype and (loaded == array).all()


@pytest.mark.parametrize("error", [OSError(22, "Invalid argument"), AssertionError("Invalid argument")])
def test_errors_of_torchs_reader_name_the_file(tmp_path: Path, monkeypatch, error: Exception) -> None:
    torch.save({"a": torch.ones(2)}, tmp_path / "x.pth")

    def invalid(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(torch, "load", invalid)
    with pytest.raises(ValueError, match=r"refused to read .*x\.pth: .*Invalid argument"):
        load_torch_file(tmp_path / "x.pth")
    with pytest.raises(FileNotFoundError):
        monkeypatch.undo()
        load_torch_file(tmp_path / "none.pth")

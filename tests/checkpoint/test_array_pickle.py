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

"""Files made to attack are refused with a ValueError that names them, before memory is taken or code is run."""

from __future__ import annotations

import json
import pickle
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
import scipy.io
from hypothesis import given
from hypothesis import strategies as st

from lcrnet_d2.structures.bounded_files import check_mat, load_mat, read_h5, read_json, read_npz

h5py = pytest.importorskip("h5py", reason='pip install "lcrnet_d2[datasets]"')
MB = 2**20


class Attack:
    """Makes a folder when unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.mkdir, (self.path,)


def npy(shape: tuple[int, ...], dtype: str, content: bytes) -> bytes:
    header = repr({"descr": dtype, "fortran_order": False, "shape": shape}).encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + content


def npz(path: Path, **members: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)
    return path


def test_npz_returns_what_was_saved(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "a.npz", x=np.arange(6).reshape(2, 3), name="text", more=1)
    arrays = read_npz(tmp_path / "a.npz", ("x", "name"), MB, optional=("more", "absent"))
    assert arrays["x"].tolist() == [[0, 1, 2], [3, 4, 5]] and str(arrays["name"]) == "text"
    assert sorted(arrays) == ["more", "name", "x"]


@pytest.mark.parametrize("shape", [(10**12,), (2**62, 4), (-1,), (3,), (5,)])
def test_npz_that_claims_other_sizes_than_it_has(shape: tuple[int, ...], tmp_path: Path) -> None:
    path = npz(tmp_path / "a.npz", x=npy(shape, "<f8", bytes(32)))
    with pytest.raises(ValueError, match=r"a\.npz is not an \.npz with x: x claims"):
        read_npz(path, ("x",), 10 * MB)
    assert read_npz(npz(path, x=npy((4,), "<f8", bytes(32))), ("x",), MB)["x"].tolist() == [0] * 4


def test_npz_bomb(tmp_path: Path) -> None:
    path = npz(tmp_path / "a.npz", x=npy((200 * MB,), "|u1", bytes(200 * MB)))
    assert path.stat().st_size < MB
    with pytest.raises(ValueError, match="it takes 210 MB, at most 67 MB are read"):
        read_npz(path, ("x",), 1000 * MB)


def test_npz_with_a_pickle_runs_nothing(tmp_path: Path) -> None:
    made = tmp_path / "made"
    attack = pickle.dumps(Attack(made))
    path = npz(tmp_path / "a.npz", x=npy((1,), "|O", attack))
    with pytest.raises(ValueError, match="a pickle"):
        read_npz(path, ("x",), MB)
    assert not made.exists()
    pickle.loads(attack)
    assert made.exists()  # it is one


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"not a zip", bytes(1000)])
def test_what_is_no_npz(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(ValueError, match=r"a\.npz is not an \.npz"):
        read_npz(tmp_path / "a.npz", ("x",), MB)
    with pytest.raises(FileNotFoundError):
        read_npz(tmp_path / "b.npz", ("x",), MB)


@pytest.mark.parametrize(
    "content", [b"[" * 100_000, b"1" * 5000, b"\xff\xfe", b"{", b'{"a": 1} {"b"', b'["\\ud800"'], ids=repr
)
def test_json_made_to_attack(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(ValueError, match=r"a\.json is not a whole JSON file"):
        read_json(tmp_path / "a.json")


def test_json_larger_than_allowed(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps([0] * 1000))
    assert read_json(tmp_path / "a.json") == [0] * 1000
    with pytest.raises(ValueError, match="at most"):
        read_json(tmp_path / "a.json", max_bytes=1000)


def test_h5_that_claims_terabytes(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("x", shape=(2**40,), chunks=(1024,), dtype="f8")
        file["y"] = np.arange(3)
    assert (tmp_path / "a.h5").stat().st_size < 100_000
    assert read_h5(tmp_path / "a.h5", ("y",))["y"].tolist() == [0, 1, 2]
    with pytest.raises(ValueError, match="MB are read"):
        read_h5(tmp_path / "a.h5", ("x",))


def test_h5_that_reaches_for_other_files(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["secret"] = np.arange(3)
    (tmp_path / "raw").write_bytes(bytes(24))
    layout = h5py.VirtualLayout(shape=(3,), dtype="i8")
    layout[:] = h5py.VirtualSource(str(tmp_path / "other.h5"), "secret", shape=(3,))
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["link"] = h5py.ExternalLink(str(tmp_path / "other.h5"), "secret")
        file["group"] = h5py.ExternalLink(str(tmp_path / "other.h5"), "/")
        file.create_dataset("raw", (3,), "i8", external=[(str(tmp_path / "raw"), 0, 24)])
        file.create_virtual_dataset("virtual", layout)
    for name in ("link", "group/secret", "raw", "virtual", "absent"):
        with pytest.raises(ValueError, match=name):
            read_h5(tmp_path / "a.h5", (name,))


def mat(*parts: tuple[int, bytes]) -> bytes:
    header = b"MATLAB 5.0 MAT-file".ljust(124) + struct.pack("<H", 0x0100) + b"IM"
    return header + b"".join(struct.pack("<II", kind, len(content)) + content for kind, content in parts)


def test_mat_bomb(tmp_path: Path) -> None:
    path = tmp_path / "a.mat"
    path.write_bytes(mat((15, zlib.compress(bytes(200 * MB)))))
    assert path.stat().st_size < MB
    with pytest.raises(ValueError, match="at most 67 MB"):
        check_mat(path)
    path.write_bytes(mat((15, zlib.compress(bytes(MB)))))
    check_mat(path)
    with pytest.raises(ValueError, match=r"at most 1 MB"):
        check_mat(path, max_bytes=MB - 1)


def test_mat_whose_parts_are_shorter_than_they_say(tmp_path: Path) -> None:
    (tmp_path / "a.mat").write_bytes(mat((14, bytes(80)))[:-8])
    with pytest.raises(ValueError, match=r"a part of 80 bytes, 72 are left"):
        check_mat(tmp_path / "a.mat")
    (tmp_path / "a.mat").write_bytes(b"no")
    with pytest.raises(ValueError, match="no header"):
        check_mat(tmp_path / "a.mat")


@given(st.binary(max_size=300))
def test_any_bytes_are_refused_or_read(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.mktemp("any") / "file"
    path.write_bytes(content)
    for read in (lambda: read_npz(path, ("x",), MB), lambda: read_h5(path, ("x",)), lambda: check_mat(path)):
        with pytest.raises(ValueError, match="file is not"):
            read()


def test_a_mat_is_read_and_one_that_scipy_trips_over_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scipy.io.savemat(tmp_path / "a.mat", {"x": np.ones(3)})
    assert load_mat(tmp_path / "a.mat", squeeze_me=True)["x"].tolist() == [1, 1, 1]

    def trip(*_: object, **__: object) -> None:
        raise TypeError("Expecting matrix here")  # what scipy says of a flipped bit in a part's type

    monkeypatch.setattr(scipy.io, "loadmat", trip)
    with pytest.raises(ValueError, match=r"a\.mat is not a whole Matlab file.*Expecting matrix"):
        load_mat(tmp_path / "a.mat")

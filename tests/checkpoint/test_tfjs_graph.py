from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra import numpy as hnp

from lcrnet_d2.checkpoint.tfjs_graph import read_graph_weights


def entry(name: str, shape: list[int], dtype: str = "float32", **quantization: Any) -> dict[str, Any]:
    return {"name": name, "shape": shape, "dtype": dtype} | ({"quantization": quantization} if quantization else {})


def write_graph(folder: Path, weights: list[dict[str, Any]], *files: bytes, **changes: Any) -> Path:
    """One group of weights in 0.bin, 1.bin, ..."""
    for number, content in enumerate(files):
        (folder / f"{number}.bin").write_bytes(content)
    manifest = [{"paths": [f"{number}.bin" for number in range(len(files))], "weights": weights}]
    content = {"format": "graph-model", "modelTopology": {}, "weightsManifest": manifest} | changes
    path = folder / "model.json"
    path.write_text(json.dumps(content))
    return path


def test_weights_lie_one_after_the_other_in_all_files_of_a_group(tmp_path: Path) -> None:
    """An array may begin in one file and end in the next: 2 + 4 numbers, cut after the third."""
    data = np.arange(6, dtype="<f4").tobytes()
    path = write_graph(tmp_path, [entry("a", [2]), entry("b", [1, 4])], data[:12], data[12:])
    weights = read_graph_weights(path)
    assert {name: value.tolist() for name, value in weights.items()} == {"a": [0, 1], "b": [[2, 3, 4, 5]]}


def test_quantized_weights_come_as_what_they_stand_for(tmp_path: Path) -> None:
    """float16 widened; bytes times scale plus min, whole where the weight is of whole numbers."""
    entries = [
        entry("half", [2], dtype="float32", original_dtype="float32") | {"quantization": {"dtype": "float16"}},
        entry("bytes", [3]) | {"quantization": {"dtype": "uint8", "scale": 0.5, "min": -1.0}},
        entry("whole", [1], "int32") | {"quantization": {"dtype": "uint16", "scale": 1.0, "min": -7.0}},
        entry("flag", [], "bool"),
    ]
    data = np.array([0.5, -3], "<f2").tobytes() + bytes([0, 1, 4]) + np.array([300], "<u2").tobytes() + b"\x01"
    weights = read_graph_weights(write_graph(tmp_path, entries, data))
    assert {name: value.tolist() for name, value in weights.items()} == {
        "half": [0.5, -3.0], "bytes": [-1.0, -0.5, 1.0], "whole": [293], "flag": True,
    }  # fmt: skip
    assert [str(value.dtype) for value in weights.values()] == ["float32", "float32", "int32", "bool"]


@given(hnp.arrays(np.float32, hnp.array_shapes(min_dims=0, max_dims=4, min_side=0)))
def test_arrays_come_back_as_written(tmp_path_factory: pytest.TempPathFactory, array: np.ndarray) -> None:
    folder = tmp_path_factory.mktemp("graph")
    path = write_graph(folder, [entry("w", list(array.shape))], array.astype("<f4").tobytes())
    np.testing.assert_array_equal(read_graph_weights(path)["w"], array)


def test_other_files_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no file at"):
        read_graph_weights(tmp_path / "absent.json")
    poses = tmp_path / "poses.json"
    poses.write_text(json.dumps({"version": 1, "images": []}))
    with pytest.raises(ValueError, match=r"poses\.json is not a TFJS graph model: it names no weights"):
        read_graph_weights(poses)
    with pytest.raises(ValueError, match="another kind"):
        read_graph_weights(write_graph(tmp_path, [], format="layers-model"))
    poses.write_text("[]")
    with pytest.raises(ValueError, match="another kind"):
        read_graph_weights(poses)
    poses.write_bytes(b"\x08\x01\x12")
    with pytest.raises(ValueError, match="not a whole JSON file"):
        read_graph_weights(poses)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([entry("w", [3])], "'w' ends at byte 12 of 8"),
        ([entry("w", [10**12, 10**12])], "ends at byte"),
        ([entry("w", [1])], "weights end at byte 4 of 8"),
        ([entry("w", [-2])], r"has the shape \[-2\]"),
        ([entry("w", [2.0])], r"has the shape \[2.0\]"),
        ([entry("w", [1]), entry("w", [1])], "two weights of the name 'w'"),
        ([entry("w", [2], "string")], "'w' is of type string"),
        ([entry("w", [1], "complex64")], "of type complex64"),
        ([{"name": "w"}], "shape"),
    ],
)
def test_damaged_files_are_refused(tmp_path: Path, weights: list, message: str) -> None:
    path = write_graph(tmp_path, weights, bytes(8))
    with pytest.raises(ValueError, match=rf"model\.json is not a TFJS graph model: .*{message}"):
        read_graph_weights(path)


@pytest.mark.parametrize("name", ["../secret.bin", "/etc/passwd", ".."])
def test_files_outside_the_folder_are_not_read(tmp_path: Path, name: str) -> None:
    (tmp_path / "secret.bin").write_bytes(bytes(4))
    folder = tmp_path / "model"
    folder.mkdir()
    path = write_graph(folder, [], weightsManifest=[{"paths": [name], "weights": [entry("w", [1])]}])
    with pytest.raises(ValueError, match=r"outside its folder|do not lie beside it"):
        read_graph_weights(path)


def test_missing_and_too_large_weights_are_refused_before_anything_is_read(tmp_path: Path) -> None:
    path = write_graph(tmp_path, [entry("w", [1])], bytes(4))
    (tmp_path / "0.bin").unlink()
    with pytest.raises(ValueError, match=r"its weights 0\.bin do not lie beside it"):
        read_graph_weights(path)
    with (tmp_path / "0.bin").open("wb") as file:
        file.truncate(2**30)
    with pytest.raises(ValueError, match="1074 MB, at most 268 MB are read"):
        read_graph_weights(path)

"""Reads the weights of TensorFlow.js graph models: a model.json and binary files beside it.

Their operations are not run, and are not read. The format: `weightsManifest` in the JSON lists groups of weights (name,
shape, dtype, quantization) that lie one after the other, little-endian, in the group's files
(https://github.com/tensorflow/tfjs/blob/master/tfjs-core/src/io/types.ts, `WeightsManifestConfig`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..structures.bounded_files import read_json, refused

__all__ = ["read_graph_weights"]

#: MoveNet's JSON files have 0.3 MB, its weights 5 to 12 MB; BlazePose's heaviest 27 MB.
_MAX_JSON_BYTES, _MAX_WEIGHT_BYTES = 64 * 2**20, 256 * 2**20
#: As the files hold them.
_DTYPES = {
    name: np.dtype(code)
    for name, code in {
        "float32": "<f4", "float16": "<f2", "int32": "<i4", "uint16": "<u2", "uint8": "u1", "bool": "?",
    }.items()
}  # fmt: skip


def read_graph_weights(model_json: str | Path) -> dict[str, np.ndarray]:
    """Name -> array of every weight of a TFJS graph model, in the file's layout.

    Kernels are (height, width, in, out), of depthwise convolutions (height, width, channels, multiplier). float16 and
    quantized weights come as the type they stand for, float32 mostly.

    Args:
        model_json: the model's JSON; the files it names must lie beside it.

    Raises:
        FileNotFoundError: no such JSON.
        ValueError: no graph model, damaged, a file of weights missing or in another folder, weights of text or of
            complex numbers, or more than 256 MB.
    """
    content = read_json(model_json, _MAX_JSON_BYTES)
    weights: dict[str, np.ndarray] = {}
    with refused(model_json, "a TFJS graph model"):
        if not isinstance(content, dict) or content.get("format", "graph-model") != "graph-model":
            raise ValueError("it is a JSON file of another kind")
        if "weightsManifest" not in content:
            raise ValueError("it names no weights (weightsManifest)")
        for group in content["weightsManifest"]:
            data = _read_files(Path(model_json).parent, group["paths"])
            for name, array in _arrays(data, group["weights"]):
                if name in weights:
                    raise ValueError(f"it has two weights of the name {name!r}")
                weights[name] = array
    return weights


def _read_files(folder: Path, names: list[str]) -> bytes:
    for name in names:
        if Path(name).name != name:
            raise ValueError(f"it names weights outside its folder: {name!r}")
        if not (folder / name).is_file():
            raise ValueError(f"its weights {name} do not lie beside it")
    size = sum((folder / name).stat().st_size for name in names)
    if size > _MAX_WEIGHT_BYTES:
        raise ValueError(f"its weights are {size / 1e6:.0f} MB, at most {_MAX_WEIGHT_BYTES / 1e6:.0f} MB are read")
    return b"".join((folder / name).read_bytes() for name in names)


def _arrays(data: bytes, entries: list[Mapping[str, Any]]) -> Iterator[tuple[str, np.ndarray]]:
    """Name and values of each weight in a group's bytes."""
    first = 0
    for entry in entries:
        name, shape, quantization = entry["name"], entry["shape"], entry.get("quantization")
        stored, wanted = (quantization or entry)["dtype"], entry["dtype"]
        if stored not in _DTYPES or wanted not in _DTYPES:
            raise ValueError(f"weight {name!r} is of type {stored}, expected one of {', '.join(_DTYPES)}")
        if not all(isinstance(side, int) and side >= 0 for side in shape):
            raise ValueError(f"weight {name!r} has the shape {shape}")
        last = first + math.prod(shape) * _DTYPES[stored].itemsize
        if last > len(data):
            raise ValueError(f"weight {name!r} ends at byte {last} of {len(data)}")
        values = np.frombuffer(data[first:last], _DTYPES[stored]).reshape(shape)
        yield name, _dequantized(values, quantization or {}, _DTYPES[wanted])
        first = last
    if first != len(data):
        raise ValueError(f"its weights end at byte {first} of {len(data)}")


def _dequantized(values: np.ndarray, quantization: Mapping[str, Any], dtype: np.dtype) -> np.ndarray:
    """What quantized numbers stand for: scale * number + min, whole where the weight is."""
    if "scale" not in quantization:
        return values.astype(dtype)
    exact = values * float(quantization["scale"]) + float(quantization["min"])
    return (exact.round() if dtype.kind == "i" else exact).astype(dtype)

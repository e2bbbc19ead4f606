from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lcrnet_d2.data import read_image

run_onnx = pytest.importorskip("run_onnx", reason="pip install onnx onnxruntime")


def save(image: Image.Image, path: Path) -> Path:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter
    image.save(path, exif=exif)
    return path


@pytest.mark.parametrize("mode", ["RGB", "L", "I;16", "RGBA", "LA", "P"])
def test_pictures_of_every_kind_are_read_as_the_package_reads_them(mode: str, tmp_path: Path) -> None:
    grey = np.linspace(0, 255, 5 * 7).reshape(5, 7)
    if mode == "I;16":
        image = Image.fromarray((257 * grey).astype(np.uint16))
    else:
        image = Image.fromarray(grey.astype(np.uint8)).convert(mode)
    if mode in ("RGBA", "LA"):
        image.putalpha(Image.fromarray(grey[::-1].astype(np.uint8)))
    path = save(image, tmp_path / "a.png")
    read = np.asarray(run_onnx.read_rgb(str(path)))
    assert read.shape == (7, 5, 3)
    np.testing.assert_array_equal(read, read_image(path, "RGB"))


def test_what_is_no_model_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    onnx = pytest.importorskip("onnx")
    (tmp_path / "text.onnx").write_text("no model")
    ends = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1]) for name in "xy"]
    graph = onnx.helper.make_graph([onnx.helper.make_node("Identity", ["x"], ["y"])], "g", ends[:1], ends[1:])
    foreign = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 16)], ir_version=8)
    (tmp_path / "foreign.onnx").write_bytes(foreign.SerializeToString())
    foreign.metadata_props.add(key="lcrnet", value='{"version": 1}')
    (tmp_path / "former.onnx").write_bytes(foreign.SerializeToString())
    messages = {"former.onnx": "has version 1, this file reads 2: export the model again"}
    messages |= {"none.onnx": "cannot read the model", "text.onnx": "cannot read the model"}
    messages["foreign.onnx"] = "was not written by tools/export_model.py"
    for name, message in messages.items():
        monkeypatch.setattr(sys, "argv", ["run_onnx.py", str(tmp_path / name), "a.jpg"])
        with pytest.raises(SystemExit, match=message):
            run_onnx.main()

import runpy
from pathlib import Path

import pytest
import torch
import torchvision

TOOL = runpy.run_path(str(Path(__file__).parents[2] / "tools" / "convert_backbone.py"))


def convert(*args: object) -> None:
    TOOL["main"](TOOL["parse_args"]([str(arg) for arg in args]))


def test_resnet_file_for_an_fpn_and_the_config_it_needs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    state = torchvision.models.resnet18().state_dict()
    torch.save(state, tmp_path / "in.pth")
    convert("resnet", tmp_path / "in.pth", tmp_path / "out.pth")
    written = torch.load(tmp_path / "out.pth", weights_only=True)["model"]
    assert torch.equal(written["backbone.bottom_up.stem.conv1.weight"], state["conv1.weight"])
    assert "MODEL.RESNETS.STRIDE_IN_1X1: False" in capsys.readouterr().out
    convert("resnet", tmp_path / "in.pth", tmp_path / "out.pth", "--no-fpn")
    assert "backbone.stem.conv1.weight" in torch.load(tmp_path / "out.pth", weights_only=True)["model"]


def test_vgg16_with_fpn_is_refused(tmp_path: Path) -> None:
    torch.save({}, tmp_path / "in.pth")
    with pytest.raises(SystemExit, match="leave out --fpn"):
        convert("vgg16", tmp_path / "in.pth", tmp_path / "out.pth", "--fpn")


def test_bad_input_is_named_and_a_missing_folder_made(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"none\.pth"):
        convert("resnet", tmp_path / "none.pth", tmp_path / "out.pth")
    torch.save([1], tmp_path / "list.pth")
    with pytest.raises(SystemExit, match=r"list\.pth holds a list, expected a state dict"):
        convert("resnet", tmp_path / "list.pth", tmp_path / "out.pth")
    torch.save(torchvision.models.resnet18().state_dict(), tmp_path / "in.pth")
    convert("resnet", tmp_path / "in.pth", tmp_path / "weights" / "out.pth")
    assert (tmp_path / "weights" / "out.pth").is_file()

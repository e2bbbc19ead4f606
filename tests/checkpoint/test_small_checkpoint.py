from __future__ import annotations

import runpy
from pathlib import Path

import pytest
import torch

from lcrnet_d2.checkpoint.catalogue import file_sha256
from lcrnet_d2.checkpoint.small_checkpoint import count_parameters, read_model, small_model

TOOL = runpy.run_path(str(Path(__file__).parents[2] / "tools" / "shrink_checkpoint.py"))


def state() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        "roi_heads.box_predictor.anchor_poses_3d": torch.full((1, 1, 3), 0.1),
        "roi_heads.box_head.fc1.weight": torch.randn(20, 10, generator=generator),
        "roi_heads.box_head.fc1.bias": torch.full((20,), 1e-9),
        "backbone.conv.weight": torch.randn(4, 3, 2, 2, generator=generator),
        "backbone.norm.num_batches_tracked": torch.tensor(3),
    }


def test_matrices_are_halved_and_the_rest_stays() -> None:
    small = small_model(state())
    assert list(small) == sorted(state())
    halved = {name for name, value in small.items() if value.dtype == torch.float16}
    assert halved == {"roi_heads.box_head.fc1.weight", "backbone.conv.weight"}
    for name, value in state().items():
        torch.testing.assert_close(small[name].to(value.dtype), value, rtol=2**-11, atol=1e-7)


@pytest.mark.parametrize("bad", [1e5, float("nan"), float("inf")])
def test_what_half_precision_cannot_hold_is_named(bad: float) -> None:
    with pytest.raises(ValueError, match="backbone.conv.weight is not finite"):
        small_model(state() | {"backbone.conv.weight": torch.tensor([[bad]])})


def test_numbers_by_part() -> None:
    """20 x 10 + 20; 3; 4 x 3 x 2 x 2 + 1."""
    counts = {"backbone": 49, "roi_heads.box_head": 220, "roi_heads.box_predictor": 3, "total": 272}
    assert count_parameters(state()) == counts


def test_the_tool_writes_the_same_bytes_for_the_same_weights(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The second checkpoint is in another order, of a DistributedDataParallel and of another iteration."""
    torch.save({"model": state(), "iteration": 7, "optimizer": {"state": torch.zeros(1000)}}, tmp_path / "a.pth")
    wrapped = {f"module.{name}": value for name, value in reversed(state().items())}
    torch.save({"model": wrapped, "iteration": 8}, tmp_path / "long_name.pth")
    TOOL["main"]([str(tmp_path / "a.pth"), str(tmp_path / "new" / "one.pth")])
    TOOL["main"]([str(tmp_path / "long_name.pth"), str(tmp_path / "two.pth")])
    one, two = (tmp_path / "new" / "one.pth"), (tmp_path / "two.pth")
    assert one.read_bytes() == two.read_bytes()
    printed = capsys.readouterr().out
    assert printed.count(file_sha256(one)) == 2 and "272 numbers" in printed
    assert torch.load(one, weights_only=True).keys() == {"model"}


@pytest.mark.parametrize("content", [{"weights": 1}, {"model": {"a": 1}}, [1]], ids=str)
def test_other_files_are_refused(content: object, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "x.pth")
    with pytest.raises(ValueError, match=r"x\.pth is no checkpoint"):
        read_model(tmp_path / "x.pth")
    with pytest.raises(SystemExit, match=r"x\.pth is no checkpoint"):
        TOOL["main"]([str(tmp_path / "x.pth"), str(tmp_path / "y.pth")])
    (tmp_path / "x.pth").write_bytes(b"text")
    with pytest.raises(SystemExit, match=r"refused to read .*x\.pth"):
        TOOL["main"]([str(tmp_path / "x.pth"), str(tmp_path / "y.pth")])
    assert not (tmp_path / "y.pth").exists()

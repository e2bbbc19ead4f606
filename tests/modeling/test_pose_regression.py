from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from lcrnet_d2.modeling import PoseTransform


def example(seed: int, dtype: torch.dtype) -> dict[str, Tensor]:
    """20 boxes and poses in an image of 1000 x 800, joints also outside box and image."""
    g = torch.Generator().manual_seed(seed)
    corner = torch.rand(20, 2, generator=g) * 800
    return {
        "boxes": torch.cat([corner, corner + 10 + torch.rand(20, 2, generator=g) * 190], 1).to(dtype),
        "anchors_2d": torch.rand(20, 13, 2, generator=g).to(dtype),
        "anchors_3d": torch.randn(20, 13, 3, generator=g).to(dtype) / 2,
        "poses_2d": (torch.rand(20, 13, 2, generator=g).to(dtype) * 1200 - 100),
        "poses_3d": torch.randn(20, 13, 3, generator=g).to(dtype) / 2,
    }


@given(seed=st.integers(0, 1000), scale=st.sampled_from([1.0, 5.0]))
def test_decoding_inverts_encoding(seed: int, scale: float) -> None:
    """Within 3e-7 of the largest coordinate in single precision; in double: test_any_box_decodes_what_it_encoded."""
    e = example(seed, torch.float32)
    transform = PoseTransform(scale)
    deltas = transform.get_deltas(**e)
    poses_2d, poses_3d = transform.apply_deltas(e["boxes"], e["anchors_2d"], e["anchors_3d"], deltas)
    torch.testing.assert_close(poses_2d, e["poses_2d"], atol=3e-7 * 1000, rtol=0)
    torch.testing.assert_close(poses_3d, e["poses_3d"], atol=1e-6, rtol=0)


def test_targets_by_hand() -> None:
    """A joint at the middle of a 100 x 200 box, the anchor's at its corner: half a box away; times 5."""
    deltas = PoseTransform(5.0).get_deltas(
        torch.tensor([[10.0, 20.0, 110.0, 220.0]]),
        torch.zeros(1, 1, 2),
        torch.zeros(1, 1, 3),
        torch.tensor([[[60.0, 120.0]]]),
        torch.tensor([[[0.1, 0.2, -0.3]]]),
    )
    torch.testing.assert_close(deltas, torch.tensor([[[2.5, 2.5, 0.5, 1.0, -1.5]]]))


def test_targets_do_not_depend_on_scale_and_position_of_the_person() -> None:
    e = example(0, torch.float64)
    transform = PoseTransform()
    moved = e | {"boxes": 3 * e["boxes"] + 7, "poses_2d": 3 * e["poses_2d"] + 7}
    torch.testing.assert_close(transform.get_deltas(**moved), transform.get_deltas(**e))


def test_boxes_without_size_and_no_boxes() -> None:
    e = example(0, torch.float32)
    flat = e | {"boxes": e["boxes"][:, [0, 1, 0, 1]]}
    assert torch.isfinite(PoseTransform().get_deltas(**flat)).all()
    nothing = {k: v[:0] for k, v in e.items()}
    assert PoseTransform().get_deltas(**nothing).shape == (0, 13, 5)


@given(seed=st.integers(0, 1000), flat=st.booleans())
def test_any_box_decodes_what_it_encoded(seed: int, flat: bool) -> None:
    e = example(seed, torch.float64)
    if flat:
        e["boxes"][:, 2:] = e["boxes"][:, :2]
    transform = PoseTransform(5.0)
    deltas = transform.get_deltas(**e)
    poses_2d, poses_3d = transform.apply_deltas(e["boxes"], e["anchors_2d"], e["anchors_3d"], deltas)
    torch.testing.assert_close(poses_2d, e["poses_2d"], atol=1e-6, rtol=0)
    torch.testing.assert_close(poses_3d, e["poses_3d"], atol=1e-9, rtol=0)
    assert deltas.dtype == poses_2d.dtype == poses_3d.dtype == torch.float64


@pytest.mark.parametrize("name", ["boxes", "anchors_2d", "anchors_3d", "poses_2d", "poses_3d"])
def test_a_number_that_is_none_stays_in_its_row(name: str) -> None:
    e = example(0, torch.float32)
    clean = PoseTransform().get_deltas(**e)
    e[name][7].view(-1)[0] = torch.inf
    spoilt = PoseTransform().get_deltas(**e)
    assert not torch.equal(spoilt[7], clean[7])
    assert torch.equal(spoilt[torch.arange(20) != 7], clean[torch.arange(20) != 7])


@pytest.mark.parametrize("scale", [0.0, -1.0, float("inf"), float("nan")])
def test_a_scale_is_positive_and_finite(scale: float) -> None:
    with pytest.raises(ValueError, match="POSE_REG_SCALE"):
        PoseTransform(scale)

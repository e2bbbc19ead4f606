from __future__ import annotations

import pytest
import torch

from lcrnet_d2.structures import BODY13, COCO17, H36M17, LCRNET17, LSP14, MPII16, MUPOTS17, SKELETONS, Skeleton


@pytest.mark.parametrize("skeleton", SKELETONS.values(), ids=str)
def test_flipping_twice_is_nothing_and_swaps_sides(skeleton: Skeleton) -> None:
    flip = skeleton.flip_indices
    assert [flip[i] for i in flip] == list(range(len(skeleton)))
    left = skeleton.index("left_knee")
    assert skeleton.joints[flip[left]] == "right_knee"


@pytest.mark.parametrize("skeleton", SKELETONS.values(), ids=str)
def test_every_skeleton_gives_the_thirteen_joints(skeleton: Skeleton) -> None:
    assert set(BODY13.sources_in(skeleton)) == set(BODY13.joints)


# Gather indices known from the data sets' own documentation, right ankle first, without the head.
@pytest.mark.parametrize(
    ("source", "gather"),
    [
        (H36M17, [3, 6, 2, 5, 1, 4, 16, 13, 15, 12, 14, 11]),
        (MPII16, [0, 5, 1, 4, 2, 3, 10, 15, 11, 14, 12, 13]),
        (LCRNET17, list(range(12))),
        (LSP14, [0, 5, 1, 4, 2, 3, 6, 11, 7, 10, 8, 9]),
        (COCO17, [16, 15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5]),
        (MUPOTS17, [10, 13, 9, 12, 8, 11, 4, 7, 3, 6, 2, 5]),
    ],
    ids=lambda value: value.name if isinstance(value, Skeleton) else "",
)
def test_conversion_gathers_the_documented_joints(source: Skeleton, gather: list[int]) -> None:
    poses = torch.randn(2, len(source), 3)
    converted, visibility = BODY13.convert_from(source, poses)
    torch.testing.assert_close(converted[:, :12], poses[:, gather])
    assert (visibility == 2).all()


def test_published_models_of_17_joints_in_the_order_of_human36m() -> None:
    """As two public programs that evaluate such a model gather its joints."""
    numbers = torch.arange(17)[:, None]
    in_order, _ = H36M17.convert_from(LCRNET17, numbers.float())
    assert in_order[:, 0].tolist() == [13, 4, 2, 0, 5, 3, 1, 14, 15, 16, 12, 11, 9, 7, 10, 8, 6]


def test_head_is_the_middle_of_the_head() -> None:
    lsp = torch.zeros(14, 2)
    lsp[LSP14.index("neck")], lsp[LSP14.index("head_top")] = torch.tensor([0.0, 0.0]), torch.tensor([0.0, -20.0])
    head, _ = BODY13.convert_from(LSP14, lsp)
    assert head[BODY13.index("head")].tolist() == [0.0, -10.0]
    h36m = torch.arange(17.0)[:, None]
    assert BODY13.convert_from(H36M17, h36m)[0][BODY13.index("head")].item() == 9


def test_a_face_needs_one_point_but_a_neck_is_no_head() -> None:
    face = torch.zeros(17, dtype=torch.long)
    face[COCO17.index("left_ear")] = 1
    points = torch.arange(34.0).view(17, 2)
    pose, visibility = BODY13.convert_from(COCO17, points, face)
    assert pose[BODY13.index("head")].tolist() == points[COCO17.index("left_ear")].tolist()
    assert visibility[BODY13.index("head")] == 1 and visibility.sum() == 1
    neck = torch.zeros(14, dtype=torch.long)
    neck[LSP14.index("neck")] = 2
    assert (BODY13.convert_from(LSP14, torch.ones(14, 2), neck)[1] == 0).all()


def test_body_parts() -> None:
    assert [BODY13.joints[i] for i in BODY13.lower_limbs] == ["right_ankle", "left_ankle", "right_knee", "left_knee"]
    assert len(BODY13.upper_body) == 9
    assert {BODY13.joints[i] for i in BODY13.torso} == {"right_hip", "left_hip", "right_shoulder", "left_shoulder"}


@pytest.mark.parametrize(
    ("joints", "bones", "message"),
    [
        (("left_knee",), (), "right_knee"),
        ((*BODY13.joints, "head"), (), "twice"),
        (BODY13.joints, (("head", "tail"),), "tail"),
        (("head",), (), "left_hip"),
    ],
)
def test_impossible_skeletons_are_refused(joints: tuple, bones: tuple, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Skeleton("bad", joints, bones)


def test_what_is_not_annotated_may_hold_anything() -> None:
    """Readers mark unknown joints by NaN, and 0 * NaN is NaN: it must not reach the head made of the face's rest."""
    v = torch.full((17,), 2)
    v[[COCO17.index("nose"), COCO17.index("left_knee")]] = 0
    points = torch.arange(34.0).view(17, 2)
    spoilt = torch.where(v[:, None] > 0, points, torch.nan)
    expected, _ = BODY13.convert_from(COCO17, points, v)
    pose, visibility = BODY13.convert_from(COCO17, spoilt, v)
    assert torch.equal(pose, expected) and torch.isfinite(pose).all()
    assert pose[BODY13.index("head")].tolist() == points[1:5].mean(0).tolist()
    assert visibility[BODY13.index("left_knee")] == 0


@pytest.mark.parametrize("skeleton", SKELETONS.values(), ids=str)
def test_conversion_moves_and_grows_with_the_pose(skeleton: Skeleton) -> None:
    poses, move = torch.randn(2, 3, len(skeleton), 3), torch.tensor([5.0, -7.0, 2.0])
    converted, _ = BODY13.convert_from(skeleton, poses)
    torch.testing.assert_close(BODY13.convert_from(skeleton, 4 * poses + move)[0], 4 * converted + move)
    torch.testing.assert_close(skeleton.convert_from(skeleton, poses)[0], poses)
    nobody, none_visible = BODY13.convert_from(skeleton, poses[:0])
    assert nobody.shape == (0, 3, 13, 3) and none_visible.shape == (0, 3, 13)

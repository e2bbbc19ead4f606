import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import lsq_linear

from lcrnet_d2.mocap import PseudoPoseSearch, ViewBase, is_searchable, random_views
from lcrnet_d2.mocap import pseudo_pose as module
from lcrnet_d2.mocap.pseudo_pose import ExtentBuffers, runs
from lcrnet_d2.structures import BODY13, COCO17, body_centre
from tests_support import random_poses

J = len(BODY13)
DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU"))]


def views_of(count: int, poses: int = 30, seed: int = 0) -> ViewBase:
    return random_views(random_poses(poses, seed), count, torch.Generator().manual_seed(seed))


def queries_of(count: int, seed: int = 5, noise: float = 4.0) -> tuple[torch.Tensor, torch.Tensor]:
    """People of about 300 px with some pixels of noise, and masks with all sorts of joints missing."""
    generator = torch.Generator().manual_seed(seed)
    poses_2d = views_of(count, 50, seed).poses_2d(slice(None)).double() * 200 + torch.tensor([320.0, 240.0])
    poses_2d = poses_2d + noise * torch.randn(poses_2d.shape, generator=generator)
    annotated = torch.rand(count, J, generator=generator) < 0.7
    annotated[:, BODY13.indices(["left_shoulder", "right_hip", "head", "left_knee"])] = True
    return poses_2d, annotated


def least_squares(query: np.ndarray, view: np.ndarray, mask: np.ndarray) -> tuple[float, float]:
    """Sum of squares and scale of the best x = s d + t with s >= 0: the slow obvious twin, by a solver."""
    q, d = query[mask], view[mask]
    ones, zeros = np.ones(len(d)), np.zeros(len(d))
    design = np.concatenate([np.stack([d[:, 0], ones, zeros], 1), np.stack([d[:, 1], zeros, ones], 1)])
    target = np.concatenate([q[:, 0], q[:, 1]])
    fit = lsq_linear(design, target, bounds=([0, -np.inf, -np.inf], np.inf), tol=1e-14)
    return 2 * float(fit.cost), float(fit.x[0])


@pytest.mark.parametrize("device", DEVICES)
def test_against_a_solver_over_all_views(device: str) -> None:
    views = views_of(300)
    poses_2d, annotated = queries_of(12)
    result = PseudoPoseSearch(views, device).find(poses_2d, annotated)
    all_2d = views.poses_2d(slice(None)).double().numpy()
    for i in range(len(poses_2d)):
        fits = [least_squares(poses_2d[i].numpy(), view, annotated[i].numpy()) for view in all_2d]
        best = int(np.argmin([cost for cost, _ in fits]))
        assert int(result.view_index[i]) == best
        assert float(result.scale[i]) == pytest.approx(fits[best][1], rel=1e-4)


@pytest.mark.parametrize("device", DEVICES)
def test_against_double_precision_over_a_larger_base(device: str) -> None:
    """Several blocks, shared masks and single ones; near-duplicates of the best view everywhere."""
    views = views_of(20_000, poses=5)
    poses_2d, annotated = queries_of(60, noise=0.3)
    annotated[20:] = annotated[20]
    index = PseudoPoseSearch(views, device).find(poses_2d, annotated).view_index
    d = views.poses_2d(slice(None)).double()
    for i in range(len(poses_2d)):
        q, v = poses_2d[i][annotated[i]], d[:, annotated[i]]
        q, v = q - q.mean(0), v - v.mean(1, keepdim=True)
        c = (v * q).sum((1, 2)) / v.flatten(1).norm(dim=1) / q.norm()
        assert c[index[i]] >= c.max() - 1e-12


def test_a_projection_finds_itself_and_the_answer_is_in_metres_of_the_camera() -> None:
    views = views_of(500)
    poses_2d = 150.0 * views.poses_2d(slice(40, 41)) + torch.tensor([77.0, 33.0])
    annotated = torch.ones(1, J, dtype=torch.bool)
    annotated[0, BODY13.indices(["left_ankle", "right_wrist"])] = False
    result = PseudoPoseSearch(views).find(poses_2d, annotated)
    assert result.view_index.tolist() == [40] and float(result.scale) == pytest.approx(150.0, rel=1e-4)
    assert torch.allclose(result.poses_3d[0], views.oriented(slice(40, 41))[0], atol=1e-6)
    assert body_centre(result.poses_3d, BODY13).abs().max() < 1e-5
    assert torch.allclose(result.poses_2d, poses_2d, atol=1e-2)  # the missing joints too
    assert float(result.error_px) < 1e-2


def test_annotated_joints_stay_and_missing_ones_are_completed() -> None:
    poses_2d, annotated = queries_of(5)
    poses_2d[~annotated] = torch.nan  # never looked at
    result = PseudoPoseSearch(views_of(500)).find(poses_2d, annotated)
    assert torch.equal(result.poses_2d[annotated], poses_2d[annotated].float())
    assert torch.isfinite(result.poses_2d).all()


def test_errors_by_hand() -> None:
    """A view and itself, one joint 13 px away, with 13 joints annotated: the others follow a little."""
    views = views_of(1)
    poses_2d = 100.0 * views.poses_2d(slice(0, 1)).double()
    moved = poses_2d.clone()
    moved[0, BODY13.index("head"), 1] -= 13.0
    annotated = torch.ones(1, J, dtype=torch.bool)
    result = PseudoPoseSearch(views).find(moved, annotated)
    cost, scale = least_squares(moved[0].numpy(), views.poses_2d(slice(0, 1))[0].double().numpy(), annotated[0].numpy())
    assert float(result.scale) == pytest.approx(scale, rel=1e-5)
    fitted = scale * (poses_2d[0] / 100 - poses_2d[0].mean(0) / 100) + moved[0].mean(0)
    distances = (fitted - moved[0]).norm(dim=-1)
    assert float((distances**2).sum()) == pytest.approx(cost, rel=1e-6)
    assert float(result.error_px) == pytest.approx(float(distances.mean()), rel=1e-5)
    sides = moved[0].amax(0) - moved[0].amin(0)
    assert float(result.error_relative) == pytest.approx(float(distances.mean() / sides.prod().sqrt()), rel=1e-5)


@given(st.floats(0.05, 20), st.floats(-500, 500), st.floats(-500, 500))
@settings(max_examples=15)
def test_scale_and_place_of_the_query_do_not_matter(scale: float, x: float, y: float) -> None:
    search = PseudoPoseSearch(views_of(300))
    poses_2d, annotated = queries_of(4)
    before = search.find(poses_2d, annotated)
    after = search.find(poses_2d * scale + torch.tensor([x, y]), annotated)
    assert torch.equal(before.view_index, after.view_index)
    assert torch.allclose(after.error_px, before.error_px * scale, rtol=1e-3)


def test_a_negative_scale_is_no_match() -> None:
    """A person standing on the head does not match one upright with scale -1."""
    views = views_of(1)
    upside_down = -100.0 * views.poses_2d(slice(0, 1))
    result = PseudoPoseSearch(views).find(upside_down, torch.ones(1, J, dtype=torch.bool))
    assert result.view_index.tolist() == [-1] and not result.found[0] and torch.isinf(result.error_px[0])


def test_of_equal_views_the_first_wins() -> None:
    views = views_of(3)
    copies = ViewBase(views.poses_3d, views.pose_index.repeat(6000), views.angles.repeat(6000, 1))
    poses_2d = 100.0 * views.poses_2d(slice(None))
    result = PseudoPoseSearch(copies).find(poses_2d, torch.ones(3, J, dtype=torch.bool))
    assert result.view_index.tolist() == [0, 1, 2]


def test_too_few_joints() -> None:
    def mask(*joints: str) -> torch.Tensor:
        row = torch.zeros(J, dtype=torch.bool)
        row[BODY13.indices(list(joints))] = True
        return row

    rows = torch.stack(
        [
            mask("left_shoulder", "right_hip", "left_knee", "head"),
            mask("left_shoulder", "right_hip", "left_knee"),  # three
            mask("left_elbow", "right_hip", "left_knee", "head"),  # no shoulder
            mask("left_shoulder", "left_wrist", "left_knee", "head"),  # no hip
            mask(),
        ]
    )
    assert is_searchable(rows, BODY13).tolist() == [True, False, False, False, False]
    poses_2d, _ = queries_of(5)
    result = PseudoPoseSearch(views_of(100)).find(poses_2d, rows)
    assert result.found.tolist() == [True, False, False, False, False]
    assert torch.equal(result.poses_2d[1, rows[1]], poses_2d[1, rows[1]].float())


def test_the_threshold_rejects() -> None:
    poses_2d, annotated = queries_of(20)
    search = PseudoPoseSearch(views_of(200))
    errors = search.find(poses_2d, annotated).error_relative
    limit = float(errors.median())
    strict = search.find(poses_2d, annotated, max_error=limit)
    assert torch.equal(strict.found, errors <= limit) and strict.found.sum() == 10


@pytest.mark.parametrize("budget", [2**22, 2**26])
def test_the_memory_budget_changes_nothing(budget: int) -> None:
    views = views_of(30_000)
    poses_2d, annotated = queries_of(50)
    wide = PseudoPoseSearch(views, memory_budget=2**29).find(poses_2d, annotated)
    narrow = PseudoPoseSearch(views, memory_budget=budget)
    assert torch.equal(narrow.find(poses_2d, annotated).view_index, wide.view_index)
    bytes_of_maxima = max(len(rows) for rows in narrow.batches(annotated)) * 30_000 / 256 * 4
    assert bytes_of_maxima <= budget


def test_batches_hold_each_searchable_query_once_sorted_by_mask() -> None:
    _, annotated = queries_of(100)
    annotated[::3] = annotated[0]
    annotated[50] = False
    rows = torch.cat(PseudoPoseSearch(views_of(100)).batches(annotated))
    assert sorted(rows.tolist()) == [i for i in range(100) if i != 50]
    changes = (annotated[rows][1:] != annotated[rows][:-1]).any(1).sum() + 1
    assert changes == len(annotated[rows].unique(dim=0))


def test_no_queries() -> None:
    result = PseudoPoseSearch(views_of(100)).find(torch.zeros(0, J, 2), torch.zeros(0, J, dtype=torch.bool))
    assert result.poses_3d.shape == (0, J, 3) and len(result.found) == 0


def test_bad_queries_are_refused() -> None:
    search = PseudoPoseSearch(views_of(100))
    poses_2d, annotated = queries_of(3)
    poses_2d[1, BODY13.index("head")] = torch.nan
    with pytest.raises(ValueError, match="2D pose 1 has an annotated joint that is not finite"):
        search.find(poses_2d[[0, 1]], annotated[[0, 1]])
    with pytest.raises(ValueError, match=r"expected \(N, 13, 2\)"):
        search.find(torch.zeros(2, len(COCO17), 2), torch.ones(2, len(COCO17), dtype=torch.bool))
    with pytest.raises(ValueError, match="memory budget"):
        PseudoPoseSearch(views_of(100), memory_budget=1000)


def test_the_scan_is_as_exact_as_it_is_taken_to_be() -> None:
    """The bound that decides which chunks are measured again."""
    views = views_of(20_000)
    poses_2d, annotated = queries_of(40)
    annotated[:, BODY13.indices(["left_ankle", "right_ankle"])] = False  # far from centred
    search = PseudoPoseSearch(views)
    q = module._directions(poses_2d, annotated).transpose(1, 2).flatten(1)
    maxima = search._scan(q.float(), annotated.float(), [1] * 40)
    blocks = search._base.double()
    extents = ExtentBuffers(40, blocks[0])
    scales = [extents.inverse_extent(block, annotated.double()).clone() for block in blocks]
    scales = torch.stack(scales, 1)  # (40, blocks, 4096)
    exact = torch.einsum("nc,bcv->nbv", q, blocks) * scales
    assert (maxima - exact.unflatten(-1, (-1, module._CHUNK)).amax(-1).flatten(1)).abs().max() < module._SCAN_ERROR


def test_runs_of_masks() -> None:
    """More than 26 queries of a mask stand alone; fewer share up to 128 rows, as long as they are neighbours."""
    assert runs([27, 3, 26, 1, 200, 5], 26) == [
        (slice(0, 27), slice(0, 1)),
        (slice(27, 57), slice(1, 4)),
        (slice(57, 257), slice(4, 5)),
        (slice(257, 262), slice(5, 6)),
    ]
    shared = runs([1] * 300, 26)
    assert [(rows.stop - rows.start, rows == masks) for rows, masks in shared] == [(128, True), (128, True), (44, True)]


def test_joints_in_one_place_are_no_pose() -> None:
    """Any view fits them with the scale 0 and no error at all."""
    result = PseudoPoseSearch(views_of(100)).find(torch.full((1, J, 2), 50.0), torch.ones(1, J, dtype=torch.bool))
    assert result.view_index.tolist() == [-1] and not result.found[0] and result.error_relative[0] == torch.inf

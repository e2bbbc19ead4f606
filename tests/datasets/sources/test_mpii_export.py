import numpy as np
import pytest
from scipy.io import loadmat

from lcrnet_d2.structures import BODY13, MPII16
from sources.mpii_export import export_multi_person, export_single_person, to_mpii16
from tests_support import REAL_DATA, needs_real_data

POSE = np.arange(32, dtype=float).reshape(16, 2) + 0.5


def read(path):
    return loadmat(path, squeeze_me=False)["pred"]


def test_single_person_file_has_the_benchmarks_structure(tmp_path):
    export_single_person(tmp_path / "pred_keypoints_mpii.mat", [[None, POSE], [], [np.full((16, 2), np.nan)]])
    pred = read(tmp_path / "pred_keypoints_mpii.mat")
    assert pred.shape == (1, 3) and pred.dtype.names == ("annorect",)
    first = pred["annorect"][0, 0]
    assert first.shape == (1, 2) and first["annopoints"][0, 0].size == 0
    points = first["annopoints"][0, 1]["point"][0, 0]
    assert points.shape == (1, 16) and points.dtype.names == ("x", "y", "id")
    assert [points[name][0, 2].item() for name in ("x", "y", "id")] == [
        5,
        6,
        2,
    ]  # of 4.5, 5.5
    assert pred["annorect"][0, 1].size == 0
    assert np.isnan(pred["annorect"][0, 2]["annopoints"][0, 0]["point"][0, 0]["x"][0, 0].item())


def test_a_killed_export_leaves_the_file_before(tmp_path, monkeypatch):
    export_single_person(tmp_path / "pred.mat", [[POSE]])
    before = (tmp_path / "pred.mat").read_bytes()

    def killed(file, content):
        file.write(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr("scipy.io.savemat", killed)
    with pytest.raises(KeyboardInterrupt):
        export_single_person(tmp_path / "pred.mat", [[POSE, POSE]])
    assert (tmp_path / "pred.mat").read_bytes() == before and len(list(tmp_path.iterdir())) == 1


def test_multi_person_file_has_scores(tmp_path):
    export_multi_person(tmp_path / "multi.mat", [(np.stack([POSE, POSE]), np.array([0.9, 1.5]))])
    points = read(tmp_path / "multi.mat")["annorect"][0, 0]["annopoints"][0, 1]["point"][0, 0]
    assert points.dtype.names == ("x", "y", "id", "score")
    assert points["score"][0, 7].item() == 1.5


def test_head_top_and_neck_lie_on_the_line_through_the_middle_of_the_head(drawn):
    pose = drawn.pose_2d((100, 100))  # shoulders at y = 75, the head at 50
    points = to_mpii16(pose[None], BODY13)[0]
    assert points[MPII16.index("thorax")] == pytest.approx([100, 75])
    assert points[MPII16.index("pelvis")] == pytest.approx([100, 125])
    assert points[MPII16.index("head_top")] == pytest.approx([100, 75 - 1.68 * 25])
    middle = points[MPII16.indices(["head_top", "neck"])].mean(0)
    assert middle == pytest.approx(pose[BODY13.index("head")])
    assert to_mpii16(np.zeros((0, 13, 2)), BODY13).shape == (0, 16, 2)
    assert to_mpii16(points[None], MPII16)[0] == pytest.approx(points)


@needs_real_data
def test_real_head_tops_are_met_but_not_by_the_middle_of_the_head():
    h5py = pytest.importorskip("h5py")
    with h5py.File(REAL_DATA / "mpii" / "valid.h5") as file:
        part, head_size = file["part"][:].astype(float), file["normalize"][:]
    known = (part > 0).all((1, 2))
    body = np.stack([part[:, MPII16.index(j)] if j != "head" else part[:, [8, 9]].mean(1) for j in BODY13.joints], 1)
    top = MPII16.index("head_top")
    exported = np.linalg.norm(to_mpii16(body, BODY13)[:, top] - part[:, top], axis=1) / head_size
    middle = np.linalg.norm(body[:, BODY13.index("head")] - part[:, top], axis=1) / head_size
    assert (exported[known] <= 0.5).mean() > 0.98 and (middle[known] <= 0.5).mean() < 0.01

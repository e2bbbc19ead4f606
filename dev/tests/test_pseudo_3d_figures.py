"""The tools behind docs/notes/pseudo_3d.md, on small bases."""

from __future__ import annotations

import json
import math
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

import add_pseudo_3d
import poses_2d_to_json
import pseudo_3d_held_out
import pseudo_3d_matching
import pseudo_3d_sheet
import pseudo_3d_speed
from lcrnet_d2.mocap import PoseBase, Take, is_searchable
from lcrnet_d2.structures import BODY13, COCO17, MPII16
from tests_support import random_poses, standing_pose

J = len(BODY13)


@pytest.fixture
def mocap(tmp_path: Path) -> Path:
    """20 poses each of two people."""
    takes = [Take(random_poses(20, seed).double().numpy(), np.arange(20), 120.0, f"0{seed}_01.amc") for seed in (1, 2)]
    PoseBase.from_takes(takes).save(tmp_path / "mocap.npz")
    return tmp_path / "mocap.npz"


def mpii_file(path: Path, people: int = 3) -> Path:
    """The standing person at 100 px per metre, each in a picture; all but the last belong to the training part."""
    pose, _ = MPII16.convert_from(BODY13, standing_pose())
    row = ",".join(f"{value:.3f}" for value in (100 * pose[:, :2] + 149.5).flatten().tolist())  # pixel indices
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("train_joints.csv", "".join(f"{n}.jpg,{row}\n" for n in range(people - 1)))
        archive.writestr("test_joints.csv", f"last.jpg,{row}\n")
    return path


def coco_file(path: Path) -> Path:
    """Two people of the first image, one of the second (val); the last has 7 annotated points."""
    xy = np.arange(3 * 17 * 2, dtype=np.int16).reshape(3, 17, 2)
    vis = np.full((3, 17), 2, np.uint8)
    vis[2, 7:] = 0
    images = {"image_index": np.array([0, 0, 1]), "image_id": np.array([9, 25]), "is_val": np.array([False, True])}
    np.savez(path, xy=xy, vis=vis, bbox=np.tile([1.0, 2, 3, 4], (3, 1)), wh=np.array([[640, 480], [50, 60]]), **images)
    return path


class TestPoses2DToJson:
    def test_mpii(self, tmp_path: Path) -> None:
        source, out = str(mpii_file(tmp_path / "csv.zip")), tmp_path / "mpii.json"
        poses_2d_to_json.main([source, "--part", "val", "--output", str(out)])
        content = json.loads(out.read_text())
        assert [image["file_name"] for image in content["images"]] == ["last.jpg"]
        keypoints = np.reshape(content["annotations"][0]["keypoints"], (J, 3))
        hip = 100 * standing_pose().numpy()[BODY13.index("left_hip"), :2] + 149.5
        assert keypoints[BODY13.index("left_hip")] == pytest.approx([*hip, 2], abs=1e-3)
        x1, y1, w, h = content["annotations"][0]["bbox"]  # holds the joints' pixel centres
        left, (right, bottom) = keypoints[:, 0].min() + 0.5, keypoints[:, :2].max(0) + 0.5
        assert [x1, x1 + w, y1 + h] == pytest.approx([left, right, bottom], abs=1e-3)
        assert (keypoints[:, 2] == 2).all()

    def test_coco_parts_and_the_least_number_of_points(self, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
        source, out = str(coco_file(tmp_path / "coco.npz")), tmp_path / "coco.json"
        poses_2d_to_json.main([source, "--part", "train", "--output", str(out)])
        content = json.loads(out.read_text())
        assert [(i["file_name"], i["width"], i["height"]) for i in content["images"]] == [
            ("000000000009.jpg", 640, 480)
        ]
        assert content["annotations"][1]["bbox"] == [1, 2, 3, 4]
        ankle = content["annotations"][0]["keypoints"][3 * BODY13.index("left_ankle") :][:3]
        assert ankle == [2 * COCO17.index("left_ankle"), 2 * COCO17.index("left_ankle") + 1, 2]
        poses_2d_to_json.main([source, "--part", "val", "--output", str(out)])
        ankle = json.loads(out.read_text())["annotations"][0]["keypoints"][3 * BODY13.index("left_ankle") :][:3]
        assert ankle == [0, 0, 0]  # not annotated
        poses_2d_to_json.main([source, "--min-annotated", "8", "--output", str(out)])
        assert "2 of 3 people in 1 images" in capsys.readouterr().out

    def test_another_file_is_refused_by_name(self, tmp_path: Path) -> None:
        np.savez(tmp_path / "other.npz", poses_3d=np.zeros(3))
        with pytest.raises(ValueError, match=r"other.npz holds no 2D poses .*xy"):
            poses_2d_to_json.read_poses(tmp_path / "other.npz")
        (tmp_path / "cut.zip").write_bytes(mpii_file(tmp_path / "csv.zip").read_bytes()[:-60])
        with pytest.raises(ValueError, match="cut.zip holds no 2D poses"):
            poses_2d_to_json.read_poses(tmp_path / "cut.zip")
        with pytest.raises(ValueError, match="unknown kind of file; known are"):
            poses_2d_to_json.read_poses(Path(__file__))
        with pytest.raises(FileNotFoundError, match="no 2D poses at"):
            poses_2d_to_json.read_poses(tmp_path / "absent.zip")


class TestHeldOut:
    def test_masks_have_as_many_joints_as_asked_for_and_are_searchable(self) -> None:
        generator = torch.Generator().manual_seed(0)
        for joints in (13, 10, 6, 4):
            annotated = pseudo_3d_held_out.annotated_joints(200, joints, generator)
            assert (annotated.sum(1) == joints).all() and is_searchable(annotated, BODY13).all()
        assert len(annotated.unique(dim=0)) > 50  # drawn, not one for all

    def test_the_held_out_subject_is_not_in_the_base(self, mocap: Path) -> None:
        """The other one is the same person half as large again: found with the right view, in the wrong size."""
        poses = random_poses(5, 0).double().numpy()
        takes = [Take(p, np.arange(5), 120.0, f"0{i}_01.amc") for i, p in enumerate((poses, 1.5 * poses))]
        (row,) = pseudo_3d_held_out.held_out(PoseBase.from_takes(takes), "CMU_00", 20_000, [12], 40, 2**26)
        assert row[:4] == (20_000, 12, "CMU_00", 40) and row.error_2d < 0.05
        of_size = 500 * np.linalg.norm(poses, axis=-1).mean()  # mm that all joints are too far out
        assert row.rigid == pytest.approx(of_size, rel=0.1)

    def test_totals_by_hand(self) -> None:
        rows = [
            pseudo_3d_held_out.Row(1000, 13, "a", 100, 50.0, 10.0, 40.0, 0.0, 0.05),
            pseudo_3d_held_out.Row(1000, 13, "b", 300, 70.0, 20.0, 40.0, 0.0, 0.05),
        ]
        total = pseudo_3d_held_out.total(rows)
        assert total.absolute == pytest.approx(65.0) and total.queries == 400
        variance = 0.25**2 * 100 / 100 + 0.75**2 * 400 / 300
        assert total.absolute_margin == pytest.approx(1.96 * math.sqrt(variance)) and total.rigid_margin == 0

    def test_a_second_run_adds_to_the_table(self, mocap: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
        table, plot = tmp_path / "t.csv", tmp_path / "t.png"
        arguments = [str(mocap), "--table", str(table), "--queries", "10", "--min-poses", "5", "--joints", "13", "6"]
        pseudo_3d_held_out.main([*arguments, "--views", "100"])
        first = pseudo_3d_held_out.read_table(table)
        pseudo_3d_held_out.main([*arguments, "--views", "1e3", "--plot", str(plot)])
        both = pseudo_3d_held_out.read_table(table)
        assert [row for row in both if row.views == 100] == first and len(both) == 8
        assert "| 1,000 | 13 |" in capsys.readouterr().out and plot.stat().st_size > 1000

    def test_an_unknown_subject_is_named(self, mocap: Path) -> None:
        with pytest.raises(ValueError, match="cannot hold out 'CMU_99'.*CMU_01"):
            next(pseudo_3d_held_out.held_out(PoseBase.load(mocap), "CMU_99", 10, [13], 5, 2**26))


class TestMatching:
    def test_change_by_hand(self) -> None:
        before, after = torch.tensor([1.0, 2.0, 3.0]), torch.tensor([0.9, 1.8, 2.7])
        percent, margin = pseudo_3d_matching.change(before, after)
        assert percent == pytest.approx(-10.0) and margin == pytest.approx(100 * 1.96 * 0.1 / math.sqrt(3) / 2)

    def test_wider_hips_leave_all_other_joints_and_the_body_centre(self) -> None:
        poses = random_poses(3, 0)
        wide = pseudo_3d_matching.with_hips(poses, 1.5)
        right, left = BODY13.indices(["right_hip", "left_hip"])
        assert torch.allclose(wide[:, left] - wide[:, right], 1.5 * (poses[:, left] - poses[:, right]), atol=1e-6)
        assert torch.allclose(wide[:, BODY13.torso].mean(1), poses[:, BODY13.torso].mean(1), atol=1e-6)
        others = [j for j in range(J) if j not in (right, left)]
        assert torch.equal(wide[:, others], poses[:, others])

    def test_someone_lying_is_matched_by_rolled_cameras_only(
        self, tmp_path: Path, mocap: Path, capsys: pytest.CaptureFixture
    ) -> None:
        poses_2d_to_json.main([str(mpii_file(tmp_path / "csv.zip", 4)), "--output", str(tmp_path / "mpii.json")])
        content = json.loads((tmp_path / "mpii.json").read_text())
        for person in content["annotations"]:
            keypoints = np.reshape(person["keypoints"], (J, 3))
            keypoints[:, :2] = keypoints[:, 1::-1] * [1, -1] + [0, 300]  # by 90 degrees
            person["keypoints"] = keypoints.ravel().tolist()
        (tmp_path / "lying.json").write_text(json.dumps(content))
        arguments = [str(tmp_path / "lying.json"), "--mocap", str(mocap), str(mocap), "--views", "4000"]
        pseudo_3d_matching.main([*arguments, "--rolls", "10", "180"])
        upright, rolled = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| lying")]
        assert "| mocap, seed 0 |" in upright and "| mocap, seed 0, roll 180 |" in rolled
        percent = float(rolled.split("|")[-2].split("%")[0])
        assert percent < -40
        with pytest.raises(SystemExit, match="1 rolls for 2 bases"):
            pseudo_3d_matching.main([*arguments, "--rolls", "10"])

    def test_more_poses_match_better(self, tmp_path: Path, mocap: Path, capsys: pytest.CaptureFixture) -> None:
        poses_2d_to_json.main([str(mpii_file(tmp_path / "csv.zip", 4)), "--output", str(tmp_path / "mpii.json")])
        base = PoseBase.load(mocap)
        base.select(torch.tensor([0])).save(tmp_path / "one.npz")
        bases = [str(tmp_path / "one.npz"), str(mocap)]
        pseudo_3d_matching.main([str(tmp_path / "mpii.json"), "--mocap", *bases, "--views", "2000"])
        one, all_, *_ = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| mpii")]
        assert "| 4 | one, seed 0 |" in one and "| -" in all_


class TestSpeed:
    def test_the_products_are_those_of_the_search(self) -> None:
        """sum m q d and sum m d^2 against einsum, over a base of more than one block."""
        generator = torch.Generator().manual_seed(0)
        poses_2d = torch.randn(5000, J, 2, generator=generator)
        q, masks = torch.randn(300, 2 * J, generator=generator), (torch.rand(300, J, generator=generator) < 0.5).float()
        blocks = pseudo_3d_speed.view_blocks(poses_2d)
        flat = poses_2d.transpose(1, 2).flatten(1)
        best = pseudo_3d_speed.one_product(q, blocks, maximum=True)
        assert torch.allclose(best, (q @ flat.T).amax(1), atol=1e-4)
        rest = len(poses_2d) % 4096
        products = pseudo_3d_speed.four_products(q, masks, blocks)
        last = slice(256, 300)  # the buffers hold the last rows of the last block
        squares = torch.einsum("nj,vjc->nv", masks[last], poses_2d[-rest:] ** 2)
        assert torch.allclose(products[1][: 44 * rest].view(44, rest), squares, atol=1e-4)

    def test_report_gives_ratios_to_the_first_of_a_kind(self) -> None:
        contenders = [pseudo_3d_speed.Contender(name, 10, lambda: None) for name in ("a: x", "a: y")]
        timings = [pseudo_3d_speed.Timing(200.0, 100.0), pseudo_3d_speed.Timing(100.0, 75.0)]
        assert pseudo_3d_speed.report(contenders, timings).splitlines()[-1] == "| a: y | 10 | 100 | 75 | 0.50 | 0.75 |"

    def test_measure_runs_all_in_turn(self) -> None:
        calls: list[str] = []
        contenders = [pseudo_3d_speed.Contender(n, 1, lambda n=n: calls.append(n) or sum(range(9**5))) for n in "ab"]
        timings = pseudo_3d_speed.measure(contenders, 2)
        assert "".join(calls) == "ababab" and all(t.wall > 0 for t in timings)


def test_sheet_of_what_add_pseudo_3d_wrote(tmp_path: Path, mocap: Path, capsys: pytest.CaptureFixture) -> None:
    poses_2d_to_json.main([str(mpii_file(tmp_path / "csv.zip", 5)), "--output", str(tmp_path / "mpii.json")])
    with pytest.raises(SystemExit, match="nobody with pseudo 3D"):
        pseudo_3d_sheet.main([str(tmp_path / "mpii.json"), "--output", str(tmp_path / "s.png")])
    out = tmp_path / "3d.json"
    add_pseudo_3d.main(
        [str(tmp_path / "mpii.json"), "--mocap", str(mocap), "--output", str(out), "--views", "500", "--device", "cpu"]
    )
    pseudo_3d_sheet.main([str(out), "--people", "3", "--output", str(tmp_path / "s.png")])
    assert (tmp_path / "s.png").stat().st_size > 1000 and "annotations [" in capsys.readouterr().out


def test_shares_above_limits() -> None:
    line = pseudo_3d_sheet.shares_above([0.01, 0.06, 0.08, 0.3])
    assert line.startswith("4 people, median error 0.0700; 75.0 % above 0.05, 50.0 % above 0.075, 25.0 % above 0.1")


def test_the_sides_of_the_sheet() -> None:
    """A wrist stretched towards the camera is seen on the left by a camera that has gone to the right."""
    pose = np.array([[0.0, 0.0, -0.5], [0.3, 0.2, 0.0]])
    assert pseudo_3d_sheet.turned(pose, 90.0) == pytest.approx(np.array([[-0.5, 0.0], [0.0, 0.2]]))
    assert pseudo_3d_sheet.turned(pose, 0.0) == pytest.approx(pose[:, :2])

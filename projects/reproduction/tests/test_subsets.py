from __future__ import annotations

import numpy as np
import pytest
import torch

from lcrnet_d2.evaluation import truth_from_dict
from lcrnet_d2.structures import BODY13
from reproduction.subsets import by_facing, by_joints_inside, by_pose, cut_off, with_mpii_marks
from tests_support import person, seen_at, standing_pose

CAMERA = {"fx": 400.0, "fy": 400.0, "cx": 160.0, "cy": 120.0}


def turned(degrees: float) -> torch.Tensor:
    """(J, 3) m: the standing person after a turn that takes a nose at -z, towards the camera, to +x at 90."""
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    turn = torch.tensor([[c, 0, -s], [0, 1, 0], [s, 0, c]], dtype=torch.float32)
    return standing_pose() @ turn.T


def image(*people: dict) -> dict:
    record = {"file_name": "a.jpg", "image_id": 0, "height": 240, "width": 320, "camera": CAMERA}
    return record | {"annotations": list(people)}


def test_which_way_people_face() -> None:
    assert turned(90)[BODY13.index("left_shoulder"), 2] > 0  # who looks to the picture's right has the left side behind
    record = image(*(person(turned(a), seen_at(turned(a), 160, 120, 100)) for a in (0, 90, 180, 270, 30)))
    facing = by_facing([truth_from_dict(record, 13)], BODY13)
    rows = {name: np.flatnonzero(members).tolist() for name, members in facing.items()}
    assert rows == {
        "facing the camera": [0, 4],
        "facing the picture's right": [1],
        "facing away": [2],
        "facing the picture's left": [3],
    }


def test_how_much_of_people_is_inside() -> None:
    record = image(*(person(standing_pose(), seen_at(standing_pose(), 160, y, 100)) for y in (120, 170, 215)))
    outside = by_joints_inside([truth_from_dict(record, 13)])
    # 240 px high: at y = 170 the ankles (0.8 m down) are out, at 215 the knees too
    assert [np.flatnonzero(members).tolist() for members in outside.values()] == [[0], [1], [2]]


def test_marks_of_mpii_are_place_size_and_head() -> None:
    seen = seen_at(standing_pose(), 160, 120, 100)
    record = image(person(standing_pose(), seen, root_position=[0.0, 0.0, 4.0]))
    (marked,) = with_mpii_marks([record], [truth_from_dict(record, 13)])
    (one,) = marked["annotations"]
    assert one["head_size"] == pytest.approx(0.2 * 400 / 4)
    assert one["scale"] == pytest.approx(float(np.ptp(seen[:, 1].numpy())) / 200)
    assert "objpos" not in record["annotations"][0]


def test_pictures_are_cut_at_the_largest_persons_thighs() -> None:
    small, large = (seen_at(standing_pose(), x, 100, scale) for x, scale in ((60, 40), (200, 100)))
    record = image(person(standing_pose(), small), person(standing_pose(), large))
    picture = np.arange(240)[:, None, None] * np.ones((1, 320, 3))
    cut, cut_record = cut_off(picture, record, BODY13)
    hips_and_knees = [BODY13.index(f"{s}_{j}") for s in ("left", "right") for j in ("hip", "knee")]
    assert len(cut) == cut_record["height"] == round(float(large[hips_and_knees, 1].mean()))
    assert cut[-1, 0, 0] == len(cut) - 1 and record["height"] == 240
    truth = truth_from_dict(cut_record, 13)
    assert truth.annotated_2d[1].sum() == 9 and truth.measured_3d[1].all()  # knees and ankles gone from 2D
    assert cut_off(picture, image(), BODY13)[1]["height"] == 240


def test_kinds_of_pose_are_told_apart_by_trunk_and_thighs() -> None:
    def of(**joints: tuple[float, float, float]) -> torch.Tensor:
        pose = standing_pose().clone()
        for name, place in joints.items():
            pose[BODY13.index(name)] = torch.tensor(place)
        return pose

    sits = of(left_knee=(0.1, 0.25, -0.4), right_knee=(-0.1, 0.25, -0.4))
    steps = of(left_knee=(0.1, 0.25, -0.4))
    lies = standing_pose()[:, [1, 0, 2]]
    waves = of(right_wrist=(-0.2, -0.8, 0.0))
    poses = [standing_pose(), sits, steps, lies, waves]
    record = image(*(person(pose, seen_at(pose, 160, 120, 60)) for pose in poses))
    kinds = by_pose([truth_from_dict(record, 13)], BODY13)
    assert [np.flatnonzero(members).tolist() for members in kinds.values()] == [[0, 4], [2], [1], [3], [3, 4]]

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from lcrnet_d2.detected_people import DetectedPeople
from lcrnet_d2.outputs.floor import find_floor
from lcrnet_d2.outputs.pose_export import write_pose_files
from lcrnet_d2.outputs.pose_file import PosedImage, read_poses
from lcrnet_d2.placement import PinholeCamera
from lcrnet_d2.structures import BODY13
from people_support import standing_people
from sources.mocap.bvh import parse_bvh_nodes
from tests_support import standing_pose

CAMERA_HEIGHT, PITCH = 1.6, 12.0  # m, degrees down


def seen(places: list[tuple[float, float]], lifted: dict[int, float] | None = None) -> DetectedPeople:
    """People who stand upright at places (x, z) of the world before a camera that looks down a little."""
    tilt = Rotation.from_euler("x", -PITCH, degrees=True).as_matrix()  # level camera axes -> camera axes
    pose = standing_pose().double().numpy()
    poses = np.repeat(pose[None], len(places), 0)
    for row, by in (lifted or {}).items():
        poses[row, BODY13.index("left_ankle"), 1] -= by
    lowest = pose[:, 1].max() + 0.08  # y down: the ankles are 8 cm above the floor
    level = np.array([[x, CAMERA_HEIGHT - lowest, -z] for x, z in places])
    people = standing_people(len(places))
    return replace(
        people,
        poses_3d=(poses @ tilt.T).astype(np.float32),
        translations=(level @ tilt.T).astype(np.float32),
        in_image=np.ones((len(places), 13), dtype=bool),
        camera=PinholeCamera(500, 500, 160, 120),
    )


def test_the_floor_of_a_camera_that_looks_down() -> None:
    people = seen([(0.0, -3.0), (1.0, -5.0), (-1.5, -4.0), (0.5, -7.0)], lifted={1: 0.4})
    floor = find_floor([people])
    assert floor is not None and floor.height == pytest.approx(CAMERA_HEIGHT, abs=0.03)
    world = floor.to_world(people.in_camera())
    np.testing.assert_allclose(world[:, BODY13.index("right_ankle"), 1], 0.08, atol=0.03)
    body = world[:, BODY13.torso].mean(1)
    np.testing.assert_allclose(body[:, [0, 2]], [[0.0, -3.0], [1.0, -5.0], [-1.5, -4.0], [0.5, -7.0]], atol=0.1)
    assert np.linalg.det(floor.rotation) == pytest.approx(1.0)
    assert np.allclose(floor.rotation @ floor.rotation.T, np.eye(3))


def test_one_person_who_stands_still_says_where_up_is() -> None:
    floor = find_floor([seen([(0.3, -4.0)])] * 3)
    assert floor is not None and floor.height == pytest.approx(CAMERA_HEIGHT, abs=0.01)
    down = Rotation.from_euler("x", -PITCH, degrees=True).as_matrix() @ [0.0, -1.0, 0.0]
    np.testing.assert_allclose(floor.rotation[1], down, atol=1e-3)


def test_feet_beyond_the_image_show_no_floor() -> None:
    people = seen([(0.0, -3.0)])
    hidden = people.in_image.copy()
    hidden[:, BODY13.lower_limbs] = False
    assert find_floor([replace(people, in_image=hidden)]) is None
    assert find_floor([standing_people(2)]) is None and find_floor([]) is None  # not placed; nobody


def test_files_are_in_world_coordinates(tmp_path: Path) -> None:
    people = replace(seen([(0.0, -3.0), (1.0, -5.0), (-1.0, -4.0)]), identities=np.arange(3))
    images = [PosedImage("v.mp4", people, "", frame, frame / 10) for frame in range(2)]
    floor = find_floor([people])
    write_pose_files(tmp_path, images, BODY13, ["json", "bvh"], fps=10, floor=floor)
    content = json.loads((tmp_path / "poses.json").read_text())
    assert content["floor"]["height"] == pytest.approx(CAMERA_HEIGHT, abs=0.03)
    world = np.array([person["pose_world"] for person in content["images"][0]["people"]])
    assert world[:, BODY13.index("left_ankle"), 1] == pytest.approx([0.08] * 3, abs=0.03)
    assert len(read_poses(tmp_path / "poses.json")) == 2  # reads what it knows
    bvh = parse_bvh_nodes((tmp_path / "person_001.bvh").read_bytes(), "p.bvh")
    foot = bvh.positions[0, bvh.tree.names.index("LeftFoot")] / 100
    np.testing.assert_allclose(foot, world[1, BODY13.index("left_ankle")], atol=0.01)

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from human36m_support import CAMERAS, CENTRE, FOCAL, FRAMES, JOINTS_OF_32, extrinsics, in_camera, in_picture
from lcrnet_d2.data.datasets.pose_json import PoseFileError
from lcrnet_d2.structures import BODY13, H36M17
from sources.human36m import PROTOCOLS, Camera, Choice, Take, TakeName, take_records

WRIST = BODY13.index("right_wrist")


def lens(**changes: np.ndarray) -> Camera:
    return replace(Camera(np.array(FOCAL), np.array(CENTRE), np.zeros(3), np.zeros(2)), **changes)


@pytest.fixture
def take() -> Take:
    poses = in_camera("S1", 0)[:, JOINTS_OF_32], in_picture("S1", 0)[:, JOINTS_OF_32]
    name = TakeName.of_take("S1", "Directions 1", CAMERAS[0])
    return Take(name, *poses, np.arange(FRAMES), [f"{i}.jpg" for i in range(FRAMES)], lens(), (1000, 1002))


def test_a_point_up_and_to_the_right_of_a_studio_camera() -> None:
    _, rotation, position = extrinsics(0)
    camera = lens(rotation=rotation, position=position)
    point = np.array([1.0, 0.0, 2.5])  # 1 m right of the middle, 1 m above the camera, 5 m away
    assert np.allclose(camera.to_camera(point), [1, -1, 5])
    assert np.allclose(camera.project(camera.to_camera(point)), [500 + 200, 510 - 220])
    with pytest.raises(ValueError, match="place is not known"):
        lens().to_camera(point)


def test_distortion_by_hand() -> None:
    """At (0.5, 0): r^2 = 1/4; k = (0.4, 0, 0.64) gives 1 + 0.1 + 0.01; p2 adds 0.5 * 0.02 and 0.25 * 0.02 to x."""
    camera = lens(radial=np.array([0.4, 0.0, 0.64]), tangential=np.array([0.04, 0.02]))
    x, y = camera.project(np.array([1.0, 0.0, 2.0]))
    assert np.isclose(x, 500 + 1000 * (0.5 * (1.11 + 0.5 * 0.02) + 0.25 * 0.02))
    assert np.isclose(y, 510 + 1100 * 0.25 * 0.04)


def test_a_record_is_what_the_loader_expects(take: Take) -> None:
    records = list(take_records(take, Choice(("S1",))))
    assert [r["file_name"] for r in records] == take.images
    person = records[2]["annotations"][0]
    pose = torch.from_numpy(person["pose_3d"])
    assert pose[BODY13.torso].mean(0).abs().max() < 1e-6 and person["pose_3d_source"] == "measured"
    # The person stands 5 m before the camera, x at 0.2 + 0.01; the body centre is 1 m high up to the mean.
    assert np.allclose(person["root_position"][[0, 2]], [0.21, 5.0], atol=0.02)
    camera, keypoints = records[2]["camera"], np.array(person["keypoints"]).reshape(-1, 3)
    placed = person["pose_3d"] + person["root_position"]
    projected = placed[:, :2] / placed[:, 2:] * [camera["fx"], camera["fy"]] + [camera["cx"], camera["cy"]]
    assert np.abs(projected - keypoints[:, :2]).max() < 0.01  # px; the file's rounding is 0.002 px here
    assert (keypoints[:, 2] == 1).all()


def test_head_9_is_the_middle_and_10_the_top(take: Take) -> None:
    middle, top = (
        next(take_records(take, Choice(("S1",)), head))["annotations"][0]["pose_3d"][BODY13.index("head")]
        for head in (9, 10)
    )
    assert np.allclose(top - middle, [0, -0.1, 0], atol=1e-5)  # 10 cm higher; y is down
    assert take.poses_3d[0, H36M17.index("head")][1] != take.poses_3d[0, 10][1]
    with pytest.raises(ValueError, match="expected 9"):
        next(take_records(take, Choice(("S1",)), 8))


def test_a_step_that_the_file_cannot_give_is_refused(take: Take) -> None:
    """10 of 50 frames a second: every 64th frame would be every 320th, a fifth of P1's 928."""
    tenth = replace(take, frames=5 * np.arange(FRAMES))
    (error,) = take_records(tenth, Choice(("S1",), step=64))
    assert isinstance(error, PoseFileError) and "every 5th frame" in str(error) and "--step" in str(error)
    assert len(list(take_records(tenth, Choice(("S1",), step=5)))) == FRAMES
    assert len(list(take_records(tenth, Choice(("S1",))))) == FRAMES  # all that it holds


def test_subsampling_by_step_and_by_distance() -> None:
    """The wrist rises 0.1 m a frame, which moves the pose by D = 0.1 / 13 m a frame; walking alone moves it by 0."""
    poses = torch.zeros(FRAMES, len(BODY13), 3)
    poses[:, WRIST, 1] = -0.1 * torch.arange(FRAMES)
    numbers = np.arange(FRAMES)
    assert Choice(("S1",), step=4).frames(numbers, poses) == [0, 4, 8]
    assert Choice(("S1",), step=4).frames(numbers + 1, poses) == [3, 7]  # numbers 4 and 8
    assert Choice(("S1",), min_distance=2.9 * 0.1 / 13).frames(numbers, poses) == [0, 3, 6, 9]
    assert Choice(("S1",), step=2, min_distance=2.9 * 0.1 / 13).frames(numbers, poses) == [0, 4, 8]
    assert Choice(("S1",), min_distance=0.001).frames(numbers, torch.zeros_like(poses)) == [0]
    assert Choice(("S1",)).frames(np.arange(0), poses[:0]) == []


def test_the_papers_protocols() -> None:
    """P1: S11, camera 2, every 64th frame; P2: S9 and S11, every 5th; P3: camera 3, trial 1."""
    train, test = PROTOCOLS["P1"]
    assert train.subjects == ("S1", "S5", "S6", "S7", "S8", "S9")
    assert (test.subjects, test.cameras, test.step) == (("S11",), ("55011271",), 64)
    train, test = PROTOCOLS["P2"]
    assert not set(train.subjects) & set(test.subjects) and "S9" not in train.subjects and test.step == 5
    third = PROTOCOLS["P3"][1]
    assert third.wants(TakeName.of_take("S9", "Walking", "58860488", trial=1))
    assert not third.wants(TakeName.of_take("S9", "Walking", "58860488", trial=2))
    assert not third.wants(TakeName.of_take("S9", "Walking", "60457274", trial=1))
    with pytest.raises(ValueError, match="metadata"):
        third.wants(TakeName.of_take("S9", "Walking", "58860488"))


def test_corrupt_takes_and_other_names_of_actions() -> None:
    careful = Choice(("S9", "S11"), skip_corrupt=True)
    assert not careful.wants(TakeName.of_take("S9", "Greeting", CAMERAS[0]))
    assert careful.wants(TakeName.of_take("S9", "Greeting 1", CAMERAS[0]))
    assert not careful.wants(TakeName.of_take("S11", "Directions", CAMERAS[0]))
    assert TakeName.of_take("S1", "TakingPhoto 1", "").action == "Photo"
    assert TakeName.of_take("S1", "WalkingDog", "").action == "WalkDog"
    with pytest.raises(ValueError, match="metadata"):
        careful.wants(TakeName("S9", "Greeting", CAMERAS[0], None, 1))

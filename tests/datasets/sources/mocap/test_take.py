import pickle

import numpy as np
import pytest

from lcrnet_d2.structures import BODY13
from lcrnet_d2.structures.pose_geometry import UP_TO_CAMERA
from sources.mocap.take import (
    BrokenTakeError,
    Take,
    body_take,
    bounded_text,
    text_of,
    to_camera_axes,
    turned_upright,
)


def a_take(frames: int, fps: float) -> Take:
    return Take(np.zeros((frames, 13, 3)), np.arange(1, frames + 1), fps, "a.amc")


def along(axis: str) -> np.ndarray:
    return np.eye(3)["xyz".index(axis[-1])] * (-1 if axis[0] == "-" else 1)


@pytest.mark.parametrize("up", UP_TO_CAMERA)
def test_axes_are_turned_not_mirrored(up: str) -> None:
    assert np.linalg.det(UP_TO_CAMERA[up]) == pytest.approx(1.0)
    assert to_camera_axes(along(up), up).tolist() == [0.0, -1.0, 0.0]  # y down: up is negative


def upright_in(up: str, frames: int) -> np.ndarray:
    """(F, J, 3): nothing but a head above hips."""
    joints = np.zeros((frames, 13, 3))
    joints[:, BODY13.index("head")] = 0.7 * along(up)
    return joints


@pytest.mark.parametrize("up", UP_TO_CAMERA)
def test_who_seems_to_lie_is_asked_about(up: str) -> None:
    """A studio's z read as y would lay everybody down, without a word."""
    joints = upright_in(up, 8)
    if up == "y":
        assert (turned_upright(joints, None, "y", "a.bvh") == to_camera_axes(joints, "y")).all()
        return
    with pytest.raises(BrokenTakeError, match=f"a.bvh: with y up, .* in 0% of the frames.*--up={up} .* or --up=y if"):
        turned_upright(joints, None, "y", "a.bvh")
    assert (turned_upright(joints, up, "y", "a.bvh") == to_camera_axes(joints, up)).all()
    assert (turned_upright(joints, "y", "y", "a.bvh") == to_camera_axes(joints, "y")).all()  # it does lie


def test_who_lies_down_in_the_end_is_not_asked_about() -> None:
    joints = np.concatenate([upright_in("y", 3), upright_in("z", 7)])
    assert len(turned_upright(joints, None, "y", "a.amc")) == 10


def test_who_faces_plus_z_of_a_y_up_studio_faces_the_camera() -> None:
    assert to_camera_axes(np.array([0.0, 0.0, 1.0]), "y").tolist() == [0.0, 0.0, -1.0]  # z away: towards is negative


@pytest.mark.parametrize(
    ("frames", "fps", "kept"),
    [(30, 120.0, [1, 13, 25]), (10, 25.0, [1, 4, 6, 9]), (3, 5.0, [1, 2, 3]), (0, 120.0, [])],
)
def test_subsampling_to_10_keeps_the_rate(frames: int, fps: float, kept: list[int]) -> None:
    """Every twelfth frame, every 2.5th, and all of a take that is slower."""
    assert a_take(frames, fps).subsample(10.0).frames.tolist() == kept


def test_the_error_crosses_processes_with_its_line() -> None:
    error = pickle.loads(pickle.dumps(BrokenTakeError("a.amc", 7, "frame 2 lacks ['root']")))
    assert str(error) == "a.amc:7: frame 2 lacks ['root']" and error.line == 7


def test_a_last_line_without_end_is_refused() -> None:
    with pytest.raises(BrokenTakeError, match="a.amc:2: the last line has no end"):
        bounded_text(b"1\nroot 1.2", "a.amc")


def test_a_byte_order_mark_is_no_text_and_an_empty_file_is_called_so() -> None:
    assert text_of(b"\xef\xbb\xbfHIERARCHY", "a.bvh") == "HIERARCHY"
    with pytest.raises(BrokenTakeError, match=r"a.bvh: the file is empty \(0 bytes\)"):
        text_of(b"", "a.bvh")


def test_a_cloud_of_points_is_no_body() -> None:
    points = np.random.default_rng(0).normal(size=(50, 13, 3))
    with pytest.raises(BrokenTakeError, match="no body"):
        body_take(points, np.arange(50), 120.0, "a.c3d")

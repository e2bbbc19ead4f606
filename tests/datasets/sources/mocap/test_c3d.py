import math
import multiprocessing
import os
import signal
import struct
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lcrnet_d2.structures import BODY13
from mocap_support import real_file
from sources.mocap.c3d import _check_size, joints_from_markers, parse_c3d, read_apart
from sources.mocap.take import BrokenTakeError
from sources.mocap.takes import read_take
from tests_support import needs_real_data

# A standing person in metres, z up, facing +x, left is +y; (x, |y|, z) of the left markers.
_SIDES = {
    "FHD": (0.10, 0.08, 1.70),
    "BHD": (-0.10, 0.08, 1.70),
    "FWT": (0.10, 0.13, 1.00),
    "BWT": (-0.10, 0.13, 1.00),
    "SHO": (0.00, 0.20, 1.46),
    "ELB": (0.00, 0.30, 1.20),
    "WRA": (0.28, 0.27, 1.20),
    "WRB": (0.28, 0.33, 1.20),
    "KNE": (0.00, 0.16, 0.50),
    "ANK": (0.00, 0.145, 0.10),
    "HEE": (-0.08, 0.10, 0.03),
    "TOE": (0.15, 0.10, 0.03),
    "MT5": (0.08, 0.15, 0.03),
}
_MIDDLE = {"C7": (-0.08, 0, 1.45), "CLAV": (0.08, 0, 1.45), "T10": (-0.1, 0, 1.15), "STRN": (0.1, 0, 1.15)}


def markers() -> dict[str, np.ndarray]:
    """(1, 3) by name."""
    sides = {"L": 1.0, "R": -1.0}
    placed = {s + name: (x, sign * y, z) for s, sign in sides.items() for name, (x, y, z) in _SIDES.items()}
    return {name: np.array([place], dtype=float) for name, place in (placed | _MIDDLE).items()}


def c3d(tmp_path, frames: int = 3, labels: dict[str, str] | None = None, unit: str = "mm", prefix: str = "A:") -> bytes:
    ezc3d = pytest.importorskip("ezc3d")
    file = ezc3d.c3d()
    places = markers()
    file["parameters"]["POINT"]["UNITS"]["value"] = [unit]
    file["parameters"]["POINT"]["RATE"]["value"] = [120.0]
    file["parameters"]["POINT"]["LABELS"]["value"] = [(labels or {}).get(m, prefix + m) for m in places]
    points = np.ones((4, len(places), frames))
    points[:3] = 1000.0 * np.stack([place[0] for place in places.values()], 1)[..., None]
    file["data"]["points"] = points
    file.write(str(tmp_path / "a.c3d"))
    return (tmp_path / "a.c3d").read_bytes()


def test_marker_rule_by_hand() -> None:
    pose = dict(zip(BODY13.joints, joints_from_markers(markers())[0].round(4).tolist(), strict=True))
    assert pose["head"] == [0.0, 0.0, 1.665]  # 35 mm under the headband
    assert pose["left_wrist"] == [0.28, 0.3, 1.2]
    assert pose["left_shoulder"] == [0.0, 0.2, 1.4]  # 60 mm under the marker
    assert pose["left_knee"] == [0.0, 0.1, 0.5022]  # 60 mm inwards, square to the shank
    assert pose["right_ankle"] == [0.0, pytest.approx(-0.1), 0.1]  # 45 mm inwards
    # 0.26 m between the front waist markers: 0.35 of it aside, 0.20 behind them, 0.44 below
    assert pose["right_hip"] == [pytest.approx(0.1 - 0.052), pytest.approx(-0.091), pytest.approx(1.0 - 0.1144)]


def test_the_elbow_lies_inwards_of_its_marker_on_both_sides() -> None:
    """Forearms forwards: the hinge's axis runs from side to side."""
    pose = joints_from_markers(markers())[0]
    left, right = pose[BODY13.index("left_elbow")], pose[BODY13.index("right_elbow")]
    assert 0.25 < left[1] < 0.26 and right[1] == pytest.approx(-left[1])


@given(st.permutations([0, 1, 2]), st.lists(st.floats(-3, 3), min_size=3, max_size=3))
@settings(max_examples=20)
def test_the_rule_moves_with_the_body(cycle: list[int], shift: list[float]) -> None:
    if np.linalg.det(np.eye(3)[cycle]) < 0:
        cycle = [cycle[1], cycle[0], cycle[2]]  # a mirror would exchange left and right
    moved = {name: place[:, cycle] + shift for name, place in markers().items()}
    assert np.allclose(joints_from_markers(moved), joints_from_markers(markers())[..., cycle] + shift)


def test_mirroring_exchanges_left_and_right() -> None:
    mirrored = {}
    for name, place in markers().items():
        other = {"L": "R", "R": "L"}.get(name[0]) if name not in _MIDDLE else None
        mirrored[other + name[1:] if other else name] = place * [1.0, -1.0, 1.0]
    expected = joints_from_markers(markers())[:, BODY13.flip_indices] * [1.0, -1.0, 1.0]
    assert np.allclose(joints_from_markers(mirrored), expected)


def test_files_are_turned_to_camera_axes(tmp_path) -> None:
    take = parse_c3d(c3d(tmp_path), "a.c3d")
    assert len(take) == 3 and take.fps == 120.0
    expected = joints_from_markers(markers())[0]
    assert np.allclose(take.poses_3d[0], expected[:, [0, 2, 1]] * [1, -1, 1], atol=1e-5)  # (x, y, z) -> (x, -z, y)


def changed(tmp_path: Path, frames: int = 3, parameters: dict[str, list[str]] | None = None, **points: Any) -> bytes:
    """The file with text parameters of POINT in place of its own, and (axis, marker) -> what the points become."""
    ezc3d = pytest.importorskip("ezc3d")
    c3d(tmp_path, frames)
    file = ezc3d.c3d(str(tmp_path / "a.c3d"))
    for name, value in (parameters or {}).items():
        file.add_parameter("POINT", name, value)
    for marker, place in points.items():
        file["data"]["points"][:3, list(markers()).index(marker)] = place
    file.write(str(tmp_path / "b.c3d"))
    return (tmp_path / "b.c3d").read_bytes()


def test_the_file_says_which_axis_points_up(tmp_path: Path) -> None:
    """Y_SCREEN is the axis that points up on the screen; one that lays everybody down is asked about."""
    data = changed(tmp_path, parameters={"X_SCREEN": ["+X"], "Y_SCREEN": ["+Z"]})
    assert np.allclose(parse_c3d(data, "a.c3d").poses_3d, parse_c3d(c3d(tmp_path), "a.c3d").poses_3d)
    data = changed(tmp_path, parameters={"Y_SCREEN": ["+Y"]})
    with pytest.raises(BrokenTakeError, match="with y up, .*--up=z"):
        parse_c3d(data, "a.c3d")
    assert len(parse_c3d(data, "a.c3d", up="z")) == 3


@pytest.mark.parametrize("unit", ["MM", "mm ", "millimeters", ""])
def test_units_as_they_are_written(tmp_path: Path, unit: str) -> None:
    """Without one the legs tell it."""
    take = parse_c3d(changed(tmp_path, parameters={"UNITS": [unit]}), "a.c3d")
    assert np.allclose(take.poses_3d, parse_c3d(c3d(tmp_path), "a.c3d").poses_3d)


def test_a_marker_that_is_never_seen_is_named(tmp_path: Path) -> None:
    with pytest.raises(BrokenTakeError, match="none of its 3 frames shows all markers; the rarest: LKNE in 0%, "):
        parse_c3d(changed(tmp_path, LKNE=np.nan), "a.c3d")


def test_plug_in_gait_has_other_names_and_fewer_markers(tmp_path: Path) -> None:
    """Its toes point ahead, so the waist's side direction is the foot's: knees and ankles as with MT5."""
    names = {"LFWT": "LASI", "RFWT": "RASI", "LBWT": "LPSI", "RBWT": "RPSI", "LMT5": "*1", "RMT5": "*2"}
    take = parse_c3d(c3d(tmp_path, labels=names), "a.c3d")
    assert np.abs(take.poses_3d - parse_c3d(c3d(tmp_path), "a.c3d").poses_3d).max() < 1e-3


def test_floats_of_a_mips_machine(tmp_path: Path) -> None:
    data = c3d(tmp_path)
    take = parse_c3d(as_mips(data), "a.c3d")
    np.testing.assert_array_equal(take.poses_3d, parse_c3d(data, "a.c3d").poses_3d)
    assert take.fps == 120 and take.frames.tolist() == [1, 2, 3]
    with pytest.raises(BrokenTakeError, match="a.c3d"):
        parse_c3d(as_mips(data)[:1500], "a.c3d")


def as_mips(data: bytes) -> bytes:
    """An Intel machine's file with floats, every number turned round."""
    out = bytearray(data)

    def turn(at: int, size: int) -> None:
        out[at : at + size] = out[at : at + size][::-1]

    for at in (2, 4, 6, 8, 10, 16, 18):
        turn(at, 2)
    for at in (12, 20, *range((data[16] - 1) * 512, len(data), 4)):
        turn(at, 4)
    at = (data[0] - 1) * 512 + 4
    out[at - 1] = 86
    while data[at]:
        step_at = at + 2 + abs(struct.unpack_from("b", data, at)[0])  # negative: locked
        turn(step_at, 2)
        if data[at + 1] < 128:  # a parameter; groups are negative
            size, (*dimensions,) = data[step_at + 2], data[step_at + 4 : step_at + 4 + data[step_at + 3]]
            for k in range(math.prod(dimensions) if size in (2, 4) else 0):
                turn(step_at + 4 + len(dimensions) + k * size, size)
        at = step_at + struct.unpack_from("<h", data, step_at)[0]
        if at == step_at:
            break
    return bytes(out)


@pytest.mark.parametrize("prefix", ["", "Daniel:", "Daniel_", "x:Male:"])
def test_any_prefix(tmp_path, prefix: str) -> None:
    assert len(parse_c3d(c3d(tmp_path, prefix=prefix), "a.c3d")) == 3


def test_missing_labels_are_named(tmp_path) -> None:
    with pytest.raises(BrokenTakeError, match=r"a.c3d: its labels are .*missing: \['LKNE'\]"):
        parse_c3d(c3d(tmp_path, labels={"LKNE": "*1"}), "a.c3d")


def test_two_people_are_refused(tmp_path) -> None:
    with pytest.raises(BrokenTakeError, match=r"more than once: \['RKNE'\]"):
        parse_c3d(c3d(tmp_path, labels={"LKNE": "B:RKNE"}), "a.c3d")


def test_a_wrong_unit_is_no_body(tmp_path) -> None:
    with pytest.raises(BrokenTakeError, match="no frames|0 frames|no body"):
        parse_c3d(c3d(tmp_path, unit="m"), "a.c3d")
    with pytest.raises(BrokenTakeError, match="unit 'inch'"):
        parse_c3d(c3d(tmp_path, unit="inch"), "a.c3d")


@pytest.mark.parametrize("kept", [0, 1, 300, 512, 1024, 0.5, 0.9, 0.95])
def test_a_cut_file_is_refused(tmp_path, kept: float) -> None:
    whole = c3d(tmp_path, frames=50)
    with pytest.raises(BrokenTakeError, match="a.c3d"):
        parse_c3d(whole[: int(kept * len(whole)) if isinstance(kept, float) else kept], "a.c3d")


@needs_real_data
def test_markers_against_kinematics_of_the_same_take() -> None:
    """HDM_dg_06-03_03_120 as C3D and as ASF/AMC: 33 mm apart on the mean, 10 at the hips and ankles.

    The AMC's y, z, x are the C3D's z, x, y. 85 mm at the head is the skeleton's: its head bone stands on the line of
    the neck, at the back of the skull. 68 mm at the wrists: its hand starts past the wrist bar.
    """
    by_markers = read_take(real_file("c3d.zip", "HDM_dg_06-03_03_120.c3d")).poses_3d
    x, y, z = np.moveaxis(read_take(real_file("c3d.zip", "HDM_dg_06-03_03_120.amc")).poses_3d, -1, 0)
    turned = np.stack([-z, y, x], -1)  # both in camera axes: of the C3D (z up) and of the AMC (y up)
    apart = np.linalg.norm(turned - by_markers, axis=-1).mean(0)
    assert apart.mean() < 0.035
    assert apart[BODY13.indices(["left_hip", "right_hip", "left_ankle", "right_ankle"])].max() < 0.011
    assert apart[BODY13.indices(["left_knee", "right_knee", "left_elbow", "right_elbow"])].max() < 0.030


def test_integers_of_a_dec_machine_are_not_taken_for_floats() -> None:
    """The scale 0.1 is CC 3E CD CC in VAX floats, its sign in the second byte; 1 marker, 63 frames of 8 bytes."""
    header = bytearray(512)
    header[:2] = 2, 0x50
    struct.pack_into("<5H", header, 2, 1, 0, 1, 63, 10)
    header[12:16] = bytes.fromhex("CC3ECDCC")
    struct.pack_into("<H", header, 16, 3)
    parameters = bytearray(512)
    parameters[3] = 85
    whole = bytes(header + parameters) + bytes(8 * 63)
    _check_size(whole, "dec.c3d")
    with pytest.raises(BrokenTakeError, match="cut"):
        _check_size(whole[:-1], "dec.c3d")


@pytest.mark.parametrize(("reader", "message"), [(os.abort, "killed the process"), (partial(time.sleep, 60), "1 s")])
def test_a_file_that_ezc3d_crashes_or_hangs_on(tmp_path, monkeypatch, reader, message: str) -> None:
    data = c3d(tmp_path)
    monkeypatch.setattr("sources.mocap.c3d._SECONDS", 1.0)
    monkeypatch.setattr("ezc3d.c3d", lambda path: reader())
    with pytest.raises(BrokenTakeError, match=message):
        parse_c3d(data, "a.c3d")


def crash() -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def refuse() -> None:
    raise KeyError("POINT")


def test_the_content_comes_back_from_another_process() -> None:
    assert read_apart(20, divmod, 17, 5) == (3, 2)
    assert read_apart(20, sorted, [1, 3, 2], reverse=True) == [3, 2, 1]
    assert read_apart(20, os.getpid) != os.getpid()


def test_the_readers_own_error_comes_back() -> None:
    with pytest.raises(KeyError, match="POINT"):
        read_apart(20, refuse)


def test_a_crash_is_an_error() -> None:
    with pytest.raises(RuntimeError, match="killed the process"):
        read_apart(20, crash)


def test_a_reader_that_hangs_is_killed() -> None:
    with pytest.raises(RuntimeError, match="more than 1 s"):
        read_apart(1, time.sleep, 60)
    assert not multiprocessing.active_children()

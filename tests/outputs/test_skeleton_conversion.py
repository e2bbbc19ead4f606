from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lcrnet_d2.detected_people import DetectedPeople
from lcrnet_d2.outputs.skeleton_conversion import convert_people, keypoint_visibility
from lcrnet_d2.structures import BODY13, COCO17, H36M17, MPII16, SKELETONS
from people_support import standing_people

FACE = ("left_eye", "right_eye", "left_ear", "right_ear")


def joint(people: DetectedPeople, name: str) -> np.ndarray:
    return people.poses_3d[0, people.skeleton.index(name)]


def test_h36m_by_hand() -> None:
    """The standing person's hips are at (-0.1, 0.25) and (0.1, 0.25), shoulders at (-0.2, -0.25), (0.2, -0.25)."""
    people = convert_people(standing_people(), "H36M17")
    np.testing.assert_allclose(joint(people, "pelvis"), [0, 0.25, 0], atol=1e-6)
    np.testing.assert_allclose(joint(people, "neck"), [0, -0.25, 0], atol=1e-6)
    np.testing.assert_allclose(joint(people, "spine"), [0, 0, 0], atol=1e-6)
    np.testing.assert_allclose(joint(people, "head_top"), [0, -0.5, -0.02], atol=1e-6)
    assert people.interpolated == ("pelvis", "spine", "neck", "head_top")
    # 100 px per metre around (160, 120)
    np.testing.assert_allclose(people.keypoints_2d[0, H36M17.index("pelvis")], [160, 145], atol=1e-4)


def test_mpii_and_its_spreads_by_hand() -> None:
    spreads = np.zeros((1, 13), np.float32)
    spreads[0, BODY13.indices(["left_hip", "right_hip"])] = 0.02, 0.06
    people = convert_people(standing_people(spreads_3d=spreads), "MPII16")
    assert set(people.interpolated) == {"pelvis", "thorax", "neck", "head_top"}
    assert people.spreads_3d[0, MPII16.index("pelvis")] == pytest.approx(0.04)
    assert people.spreads_3d[0, MPII16.index("left_hip")] == pytest.approx(0.02)


def test_coco_has_a_nose_and_no_eyes() -> None:
    people = convert_people(standing_people(), "COCO17")
    np.testing.assert_allclose(joint(people, "nose"), [0, -0.5, -0.02], atol=1e-6)
    lost = np.isin(COCO17.joints, FACE)
    for values in (people.keypoints_2d, people.poses_3d, people.spreads_2d, people.spreads_3d):
        assert (np.isnan(values[0]).reshape(17, -1).all(1) == lost).all()
    assert (keypoint_visibility(people)[0] == np.where(lost, 0, 2)).all() and not people.in_image[0, lost].any()
    assert people.interpolated == ("nose",)


def test_a_mean_is_in_the_image_where_it_is_itself() -> None:
    """One hip on either side of the border x = 0, the right one 10 px out: the pelvis is on it, in the image."""
    people = convert_people(standing_people(x=0.0), "H36M17")
    v = dict(zip(H36M17.joints, keypoint_visibility(people)[0], strict=True))
    assert (v["right_hip"], v["left_hip"], v["pelvis"]) == (1, 2, 2)


@settings(max_examples=20)
@given(name=st.sampled_from(["COCO17", "H36M17", "MPII16", "LSP14", "MUPOTS17"]), seed=st.integers(0, 99))
def test_there_and_back_the_common_joints_are_the_same(name: str, seed: int) -> None:
    people = standing_people(noise=0.1, seed=seed)
    back = convert_people(convert_people(people, name), "BODY13")
    limbs = [i for i, j in enumerate(BODY13.joints) if j != "head"]
    np.testing.assert_array_equal(back.keypoints_2d[:, limbs], people.keypoints_2d[:, limbs])
    np.testing.assert_array_equal(back.poses_3d[:, limbs], people.poses_3d[:, limbs])
    assert set(back.interpolated) <= {"head"}


def test_the_head_comes_back_through_coco_and_what_was_interpolated_stays_so() -> None:
    people = standing_people()
    through_coco = convert_people(convert_people(people, "COCO17"), "BODY13")
    np.testing.assert_allclose(through_coco.poses_3d, people.poses_3d, atol=1e-6)
    again = convert_people(convert_people(people, "H36M17"), "MUPOTS17")
    assert "pelvis" in again.interpolated and "head_top" in again.interpolated


def test_the_same_skeleton_nobody_and_an_unknown_name() -> None:
    people = standing_people()
    assert convert_people(people, "BODY13") is people
    for name, skeleton in SKELETONS.items():
        assert convert_people(DetectedPeople.nobody(BODY13, (4, 4)), name).poses_3d.shape == (0, len(skeleton), 3)
    with pytest.raises(ValueError, match="no skeleton 'SMPL'; there are .'BODY13', 'COCO17'"):
        convert_people(people, "SMPL")

import numpy as np
import pytest
import torch

from lcrnet_d2.evaluation import predictions_from_instances, truth_from_dict
from lcrnet_d2.evaluation.report import detected_people, methods_in
from lcrnet_d2.structures import BODY13


def seen(count, rest=0):
    return [2] * count + [rest] * (13 - count)


def test_who_is_counted(drawn):
    people = [
        drawn.person(v=seen(4)),
        drawn.person(v=seen(3, rest=1)),  # annotated, but only three joints seen
        drawn.person(crowd=1),
        drawn.person(bbox=[50, 50, 50, 90]),  # no area to measure errors in
        drawn.person(centre=(100, -50)),  # only knees and ankles inside the image: four
        drawn.person(centre=(100, -85)),  # only ankles
    ]
    truth = truth_from_dict(drawn.record(people), 13)
    assert truth.is_counted.tolist() == [True, False, False, False, True, False]
    lenient = truth_from_dict(drawn.record(people), 13, min_joints_seen=2)
    assert lenient.is_counted.tolist() == [True, True, False, False, True, True]


def test_joints_outside_the_image_are_measured_in_3d_only(drawn):
    truth = truth_from_dict(drawn.record([drawn.person(centre=(100, 220), v=1)]), 13)
    outside = [BODY13.index("right_ankle"), BODY13.index("left_ankle")]  # at y = 320 of 300
    assert np.flatnonzero(~truth.annotated_2d[0]).tolist() == outside
    assert truth.measured_3d.all()


def test_people_without_3d_or_without_keypoints(drawn):
    no_3d, no_2d = drawn.person(), drawn.person()
    del no_3d["pose_3d"], no_2d["keypoints"]
    truth = truth_from_dict(drawn.record([no_3d, no_2d]), 13)
    assert truth.is_counted.tolist() == [True, False]
    assert truth.measured_3d.all(1).tolist() == [False, True]
    assert np.isnan(truth.poses_3d[0]).all()


def test_says_where_joints_are_missing(drawn):
    with pytest.raises(ValueError, match=r"1\.jpg, annotation 1: keypoints holds 6 numbers, expected 13 joints x 3"):
        truth_from_dict(drawn.record([drawn.person(), drawn.person(keypoints=[0] * 6)]), 13)


def test_the_first_row_of_a_group_is_its_nms_pose(drawn):
    first, other = drawn.pose_2d((100, 100)), drawn.pose_2d((250, 120))
    output = drawn.output(
        [first, first + 1, other],
        scores=[0.9, 0.8, 0.7],
        seed_poses_2d=[first - 3, first + 5, other - 7],
        groups=[4, 4, 1],
    )
    people = predictions_from_instances(drawn.record([]), output["instances"])
    assert (people.width, people.height, len(people.ppi), len(people.nms)) == (400, 300, 3, 2)
    np.testing.assert_allclose(people.nms.poses_2d, [first - 3, other - 7], atol=1e-3)  # in pixels again
    np.testing.assert_allclose(people.nms.boxes[1], [*other.min(0), *other.max(0)], atol=1e-3)
    np.testing.assert_allclose(people.nms.scores, [0.9, 0.7], atol=1e-6)


def test_predictions_are_copies(drawn):
    output = drawn.output([drawn.pose_2d((100, 100))])
    people = predictions_from_instances(drawn.record([]), output["instances"])
    for field in ("pred_keypoints", "pred_poses_3d", "scores", "pred_seed_keypoints", "pred_seed_scores"):
        output["instances"].get(field).sub_(0.5)  # as COCOEvaluator does
    np.testing.assert_allclose(people.ppi.poses_2d[0], drawn.pose_2d((100, 100)), atol=1e-4)
    np.testing.assert_allclose(people.ppi.poses_3d[0], drawn.standing(), atol=1e-6)
    np.testing.assert_allclose(people.nms.poses_2d[0], drawn.pose_2d((100, 100)), atol=1e-4)
    np.testing.assert_allclose([people.ppi.scores, people.nms.scores], 0.9, atol=1e-6)


def test_says_which_field_a_model_lacks(drawn):
    instances = drawn.output([drawn.pose_2d((100, 100))])["instances"]
    instances.remove("pred_seed_boxes")
    with pytest.raises(ValueError, match=r"1\.jpg lacks \['pred_seed_boxes'\]"):
        predictions_from_instances(drawn.record([]), instances)


def test_integrated_and_refined_joints_are_told_apart(drawn):
    integrated, refined = drawn.pose_2d((100, 100)), drawn.pose_2d((104, 100))
    output = drawn.output([refined])
    without = predictions_from_instances(drawn.record([]), output["instances"])
    assert without.refined is None and detected_people(without, "refined") is without.ppi
    output["instances"].pred_integrated_keypoints = torch.as_tensor(integrated[None] / [400, 300]).float()
    people = predictions_from_instances(drawn.record([]), output["instances"])
    np.testing.assert_allclose(people.ppi.poses_2d[0], integrated, atol=1e-4)
    np.testing.assert_allclose(people.refined.poses_2d[0], refined, atol=1e-4)
    assert methods_in([people]) == ("nms", "ppi", "refined") and methods_in([without]) == ("nms", "ppi")


def test_lifted_3d_is_the_refined_one_and_ppi_keeps_its_own(drawn):
    record, output = drawn.record([drawn.person((100, 130))]), drawn.output([drawn.pose_2d((100, 130))])
    own = output["instances"].pred_poses_3d
    output["instances"].pred_integrated_poses_3d = own
    output["instances"].pred_poses_3d = own + 0.5
    found = predictions_from_instances(record, output["instances"])
    np.testing.assert_allclose(found.ppi.poses_3d, own.numpy())
    assert found.refined is not None
    np.testing.assert_allclose(found.refined.poses_3d, own.numpy() + 0.5, rtol=1e-5)
    np.testing.assert_allclose(found.refined.poses_2d, found.ppi.poses_2d)

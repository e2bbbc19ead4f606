import copy
import json

import numpy as np
import pytest

from lcrnet_d2.evaluation import COCOKeypointEvaluator
from lcrnet_d2.evaluation.coco import coco_ground_truth, oks_sigmas
from lcrnet_d2.structures import BODY13

LEFT, RIGHT = (100.0, 130.0), (250.0, 130.0)


def evaluated(name, records, outputs, skeleton=BODY13):
    evaluator = COCOKeypointEvaluator(name, skeleton)
    for record, output in zip(records, outputs, strict=True):
        evaluator.process([record], [output])
    return evaluator.evaluate()


def oks(error_px, joint, area):
    return np.exp(-(error_px**2) / (2 * area * (2 * oks_sigmas(BODY13)[BODY13.index(joint)]) ** 2))


def test_perfect_people_and_their_two_methods(drawn, registered):
    records = [drawn.record([drawn.person(LEFT), drawn.person(RIGHT)])]
    poses_2d = np.stack([drawn.pose_2d(LEFT), drawn.pose_2d(RIGHT)])
    results = evaluated(registered(records), records, [drawn.output(poses_2d, seed_poses_2d=poses_2d + [40, 0])])
    assert list(results) == ["keypoints_nms", "keypoints_ppi"]
    assert results["keypoints_ppi"]["AP"] == pytest.approx(100)
    assert results["keypoints_nms"]["AP"] == 0  # 40 px off


def test_the_tolerance_is_that_of_oks(drawn, registered):
    """Every joint off by 8 px: the mean OKS, worked out here, lies between two of COCO's thresholds."""
    area = 0.52 * 60 * 150
    expected = np.mean([oks(8.0, joint, area) for joint in BODY13.joints if joint != "head"])
    assert 0.75 < expected < 0.80
    outputs = [drawn.output([drawn.pose_2d(LEFT) + [0, 8]])]
    records = [drawn.record([drawn.person(LEFT)])]
    assert evaluated(registered(records), records, outputs)["keypoints_ppi"]["AP"] == pytest.approx(60)  # 0.50 ... 0.75
    larger = [drawn.record([drawn.person(LEFT, area=100 * area)])]
    assert evaluated(registered(larger), larger, outputs)["keypoints_ppi"]["AP"] == pytest.approx(100)


def test_head_and_joints_outside_the_image_do_not_count(drawn, registered):
    low = (100.0, 220.0)  # ankles at y = 320 of 300
    records = [drawn.record([drawn.person(low)])]
    pose = drawn.pose_2d(low)
    pose[BODY13.indices(["head", "left_ankle", "right_ankle"])] += 200
    assert evaluated(registered(records), records, [drawn.output([pose])])["keypoints_ppi"]["AP"] == pytest.approx(100)
    content = coco_ground_truth(records, BODY13)
    assert content["annotations"][0]["num_keypoints"] == 10


def test_ground_truth_is_in_pixel_indices_with_ids_from_one(drawn):
    records = [drawn.record([drawn.person(LEFT)], "first"), drawn.record([drawn.person(crowd=1)], "second")]
    before = copy.deepcopy(records)
    content = coco_ground_truth(records, BODY13)
    assert str(records) == str(before)
    person, crowd = content["annotations"]
    np.testing.assert_allclose(np.reshape(person["keypoints"], (13, 3))[:12, :2], drawn.pose_2d(LEFT)[:12] - 0.5)
    np.testing.assert_allclose(person["bbox"], [70, 80, 60, 150])
    assert (person["id"], crowd["id"], crowd["iscrowd"], crowd["num_keypoints"]) == (1, 2, 1, 0)
    assert [image["id"] for image in content["images"]] == [1, 2]
    json.dumps(content)


@pytest.mark.parametrize("case", ["crowd", "no keypoints", "partly annotated"])
def test_detections_on_the_ignored_cost_nothing(case, drawn, registered):
    ghost = drawn.pose_2d((330, 150))
    outputs = [drawn.output([drawn.pose_2d(LEFT), ghost], scores=[0.5, 0.9])]
    alone = [drawn.record([drawn.person(LEFT)])]
    with_ghost = evaluated(registered(alone), alone, outputs)["keypoints_ppi"]["AP"]
    assert with_ghost == pytest.approx(50, abs=1)  # the better-scored one is wrong
    ignored = {
        "crowd": [drawn.person((330, 150), crowd=1)],
        "no keypoints": [drawn.person((330, 150), v=0)],
        "partly annotated": [],
    }[case]
    records = [drawn.record([drawn.person(LEFT), *ignored], partly_annotated=case == "partly annotated")]
    assert evaluated(registered(records), records, outputs)["keypoints_ppi"]["AP"] == pytest.approx(100)


@pytest.mark.parametrize("people, poses", [(1, 0), (0, 1), (0, 0)])
def test_nobody_annotated_or_nobody_found(people, poses, drawn, registered):
    records = [drawn.record([drawn.person(LEFT)] * people)]
    results = evaluated(registered(records), records, [drawn.output([drawn.pose_2d(LEFT)] * poses)])
    for metrics in results.values():
        assert set(metrics) == {"AP", "AP50", "AP75", "APm", "APl"} and np.isnan(list(metrics.values())).all()


def test_says_what_does_not_fit(drawn, registered):
    records = [drawn.record([drawn.person(LEFT)])]
    with pytest.raises(ValueError, match="image_id 9"):
        evaluated(registered(records), [drawn.record([], 9)], [drawn.output([])])
    with pytest.raises(ValueError, match="not registered"):
        COCOKeypointEvaluator("no_such_people", BODY13)

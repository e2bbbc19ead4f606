import contextlib
import copy
import io
import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from detectron2.data import MetadataCatalog
from detectron2.evaluation import DatasetEvaluators
from detectron2.structures import BoxMode, Instances
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from lcrnet_d2.evaluation import COCOKeypointEvaluator, PoseEvaluator
from lcrnet_d2.evaluation.coco_keypoints import coco_ground_truth, oks_sigmas
from lcrnet_d2.structures import BODY13, COCO17, H36M17

LEFT, RIGHT = (100.0, 130.0), (250.0, 130.0)


def judge(name, records, outputs, skeleton=BODY13):
    evaluator = COCOKeypointEvaluator(name, skeleton)
    for record, output in zip(records, outputs, strict=True):
        evaluator.process([record], [output])
    return evaluator.evaluate()


def oks(error_px, joint, area):
    return np.exp(-(error_px**2) / (2 * area * (2 * oks_sigmas(BODY13)[BODY13.index(joint)]) ** 2))


def test_sigmas_are_cocos_by_name():
    sigmas = dict(zip(BODY13.joints, oks_sigmas(BODY13), strict=True))
    assert [sigmas[f"left_{j}"] for j in ("hip", "wrist", "ankle")] == pytest.approx([0.107, 0.062, 0.089])
    assert oks_sigmas(COCO17)[0] == pytest.approx(0.026)
    assert len(oks_sigmas(H36M17)) == 17


def test_perfect_people_and_their_two_methods(drawn, registered):
    records = [drawn.record([drawn.person(LEFT), drawn.person(RIGHT)])]
    poses_2d = np.stack([drawn.pose_2d(LEFT), drawn.pose_2d(RIGHT)])
    results = judge(registered(records), records, [drawn.output(poses_2d, seed_poses_2d=poses_2d + [40, 0])])
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
    assert judge(registered(records), records, outputs)["keypoints_ppi"]["AP"] == pytest.approx(60)  # 0.50 ... 0.75
    larger = [drawn.record([drawn.person(LEFT, area=100 * area)])]
    assert judge(registered(larger), larger, outputs)["keypoints_ppi"]["AP"] == pytest.approx(100)


def test_head_and_joints_outside_the_image_do_not_count(drawn, registered):
    low = (100.0, 220.0)  # ankles at y = 320 of 300
    records = [drawn.record([drawn.person(low)])]
    pose = drawn.pose_2d(low)
    pose[BODY13.indices(["head", "left_ankle", "right_ankle"])] += 200
    assert judge(registered(records), records, [drawn.output([pose])])["keypoints_ppi"]["AP"] == pytest.approx(100)
    content, _ = coco_ground_truth(records, BODY13)
    assert content["annotations"][0]["num_keypoints"] == 10


def test_ground_truth_is_in_pixel_indices_with_ids_from_one(drawn):
    records = [drawn.record([drawn.person(LEFT)], "first"), drawn.record([drawn.person(crowd=1)], "second")]
    before = copy.deepcopy(records)
    content, numbers = coco_ground_truth(records, BODY13)
    assert str(records) == str(before)
    person, crowd = content["annotations"]
    np.testing.assert_allclose(np.reshape(person["keypoints"], (13, 3))[:12, :2], drawn.pose_2d(LEFT)[:12] - 0.5)
    np.testing.assert_allclose(person["bbox"], [70, 80, 60, 150])
    assert (person["id"], crowd["id"], crowd["iscrowd"], crowd["num_keypoints"]) == (1, 2, 1, 0)
    assert numbers == {"first": 1, "second": 2}
    json.dumps(content)


@pytest.mark.parametrize("case", ["crowd", "no keypoints", "partly annotated"])
def test_detections_on_the_ignored_cost_nothing(case, drawn, registered):
    ghost = drawn.pose_2d((330, 150))
    outputs = [drawn.output([drawn.pose_2d(LEFT), ghost], scores=[0.5, 0.9])]
    alone = [drawn.record([drawn.person(LEFT)])]
    with_ghost = judge(registered(alone), alone, outputs)["keypoints_ppi"]["AP"]
    assert with_ghost == pytest.approx(50, abs=1)  # the better-scored one is wrong
    ignored = {
        "crowd": [drawn.person((330, 150), crowd=1)],
        "no keypoints": [drawn.person((330, 150), v=0)],
        "partly annotated": [],
    }[case]
    records = [drawn.record([drawn.person(LEFT), *ignored], partly_annotated=case == "partly annotated")]
    assert judge(registered(records), records, outputs)["keypoints_ppi"]["AP"] == pytest.approx(100)


@pytest.mark.parametrize("people, poses", [(1, 0), (0, 1), (0, 0)])
def test_nobody_annotated_or_nobody_found(people, poses, drawn, registered):
    records = [drawn.record([drawn.person(LEFT)] * people)]
    results = judge(registered(records), records, [drawn.output([drawn.pose_2d(LEFT)] * poses)])
    for metrics in results.values():
        assert set(metrics) == {"AP", "AP50", "AP75", "APm", "APl"} and np.isnan(list(metrics.values())).all()


def test_neither_evaluator_disturbs_the_other(drawn, registered):
    rng = np.random.default_rng(0)
    records = [drawn.record([drawn.person(LEFT), drawn.person(RIGHT)], i) for i in range(5)]
    poses_2d = np.stack([drawn.pose_2d(LEFT), drawn.pose_2d(RIGHT)]) + rng.normal(0, 5, (5, 2, 13, 2))
    outputs = [drawn.output(p) for p in poses_2d]
    name = registered(records)

    def evaluators():
        return PoseEvaluator(name, BODY13), COCOKeypointEvaluator(name, BODY13)

    expected = {}
    for evaluator in evaluators():
        evaluator.process(records, outputs)
        expected.update(evaluator.evaluate())
    assert len(expected) == 5
    for order in (1, -1):
        together = DatasetEvaluators(evaluators()[::order])
        together.reset()
        together.process(records, outputs)
        for _ in range(2):  # and a second time: nothing is cached or moved
            results = together.evaluate()
            assert {task: pytest.approx(metrics, nan_ok=True) for task, metrics in results.items()} == expected
    kept = outputs[0]["instances"].pred_keypoints[..., :2].numpy()
    np.testing.assert_allclose(kept, poses_2d[0], atol=1e-3)
    assert not [n for n in MetadataCatalog.list() if "coco_keypoints" in n]


def test_says_what_does_not_fit(drawn, registered):
    records = [drawn.record([drawn.person(LEFT)])]
    with pytest.raises(ValueError, match="image_id 9"):
        judge(registered(records), [drawn.record([], 9)], [drawn.output([])])
    with pytest.raises(ValueError, match="not registered"):
        COCOKeypointEvaluator("no_such_people", BODY13)


real_data = pytest.mark.skipif("LCRNET_REAL_DATA" not in os.environ, reason="LCRNET_REAL_DATA names no folder")


@real_data
def test_equals_pycocotools_on_cocos_own_file(registered):
    """All 17 joints, COCO's own areas, crowds and people without keypoints; predictions with noise and ghosts."""
    file = Path(os.environ["LCRNET_REAL_DATA"]) / "coco" / "person_keypoints.json"
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(str(file))
    rng = np.random.default_rng(0)
    records, outputs, plain = [], [], []
    for image in coco.loadImgs(sorted(coco.getImgIds())):
        annotations = coco.loadAnns(coco.getAnnIds(imgIds=[image["id"]]))
        records.append(_to_record(image, annotations))
        poses = [np.reshape(a["keypoints"], (17, 3))[:, :2] for a in annotations if a["num_keypoints"] > 3]
        poses = np.array(poses + [p + 60 for p in poses[:1]], dtype=float).reshape(-1, 17, 2)
        poses += rng.normal(0, 5, poses.shape)
        scores = rng.random(len(poses)).astype(np.float32)
        outputs.append(_to_output(image, poses + 0.5, scores))
        plain += [
            {
                "image_id": image["id"],
                "category_id": 1,
                "score": float(score),
                "keypoints": np.column_stack([pose, np.ones(17)]).ravel().tolist(),
            }
            for pose, score in zip(poses, scores, strict=True)
        ]
    with contextlib.redirect_stdout(io.StringIO()):
        reference = COCOeval(coco, coco.loadRes(plain), "keypoints")
        reference.evaluate()
        reference.accumulate()
        reference.summarize()
    results = judge(registered(records), records, outputs, COCO17)["keypoints_ppi"]
    expected = dict(zip(("AP", "AP50", "AP75", "APm", "APl"), 100 * reference.stats[:5], strict=True))
    assert 20 < expected["AP"] < 95
    assert results == pytest.approx(expected, abs=0.5)  # float32 predictions


def _to_record(image, annotations) -> dict:
    people = []
    for a in annotations:
        keypoints = np.reshape(a["keypoints"], (17, 3)).astype(float)
        keypoints[:, :2] += 0.5
        people.append(
            {
                "bbox": a["bbox"],
                "bbox_mode": BoxMode.XYWH_ABS,
                "category_id": 0,
                "iscrowd": a["iscrowd"],
                "area": a["area"],
                "keypoints": keypoints.ravel().tolist(),
            }
        )
    return {
        "file_name": image["file_name"],
        "image_id": image["id"],
        "width": image["width"],
        "height": image["height"],
        "annotations": people,
    }


def _to_output(image, poses, scores) -> dict:
    n, j = poses.shape[:2]
    poses = torch.from_numpy(poses).float()
    size = torch.tensor([float(image["width"]), float(image["height"])])
    return {
        "instances": Instances(
            (image["height"], image["width"]),
            scores=torch.from_numpy(scores),
            pred_keypoints=torch.cat([poses, torch.ones(n, j, 1)], -1),
            pred_poses_3d=torch.zeros(n, j, 3),
            pred_anchors=torch.zeros(n).long(),
            pred_groups=torch.arange(n),
            pred_seed_scores=torch.from_numpy(scores),
            pred_seed_keypoints=poses / size,
            pred_seed_poses_3d=torch.zeros(n, j, 3),
            pred_seed_boxes=torch.zeros(n, 4),
        )
    }

"""What is done for a batch at once equals what Detectron2 does image by image."""

from __future__ import annotations

import pytest
import torch
from detectron2.modeling import GeneralizedRCNN, build_model
from detectron2.modeling.postprocessing import detector_postprocess
from detectron2.structures import Boxes, Instances

from lcrnet_d2.config import load_config
from lcrnet_d2.modeling.meta_arch import LCRNet, _changed, rescale


@pytest.fixture(scope="module")
def model() -> LCRNet:
    model = build_model(load_config("Base-LCRNet-Lite0-FPN.yaml", ["MODEL.DEVICE", "cpu"]))
    assert isinstance(model, LCRNet)
    return model


@pytest.mark.parametrize("sizes", [[(64, 96)], [(50, 70), (50, 70)], [(50, 70), (64, 40)]], ids=str)
def test_images(sizes: list[tuple[int, int]], model: LCRNet) -> None:
    batch = [{"image": torch.randint(255, (3, *size), dtype=torch.uint8)} for size in sizes]
    mine, theirs = model.preprocess_image(batch), GeneralizedRCNN.preprocess_image(model, batch)
    torch.testing.assert_close(mine.tensor, theirs.tensor)
    assert list(map(tuple, mine.image_sizes)) == list(map(tuple, theirs.image_sizes)) == sizes


def people(count: int, size: tuple[int, int]) -> Instances:
    """The third is wholly outside the image."""
    corners = torch.rand(count, 2) * 20
    boxes = torch.cat([corners, corners + 1 + torch.rand(count, 2) * 100], 1)
    boxes[2:3] += 1000
    out = Instances(size, pred_boxes=Boxes(boxes), scores=torch.rand(count))
    out.pred_keypoints = 200 * torch.rand(count, 13, 3) - 50
    return out


@pytest.mark.parametrize("counts", [[4], [0], [2, 0, 5]], ids=str)
def test_people(counts: list[int]) -> None:
    found = [people(count, (60 + 10 * count, 80)) for count in counts]
    records = [{"height": 123, "width": 45}, {}, {"height": 30, "width": 300}][: len(counts)]
    mine = [output["instances"] for output in rescale(found, records)]
    for image, same, record in zip(found, mine, records, strict=True):
        height, width = record.get("height", image.image_size[0]), record.get("width", image.image_size[1])
        expected = detector_postprocess(image, height, width)
        assert same.image_size == expected.image_size and len(same) == len(expected)
        torch.testing.assert_close(same.pred_boxes.tensor, expected.pred_boxes.tensor)
        torch.testing.assert_close(same.pred_keypoints, expected.pred_keypoints)
        assert torch.equal(same.scores, expected.scores)


def test_ground_truth() -> None:
    targets = [people(count, (60, 80)) for count in (2, 0, 3)]
    for moved, target in zip(_changed(targets, lambda t: t.clone(), [2, 0, 3]), targets, strict=True):
        assert moved.image_size == target.image_size and list(moved.get_fields()) == list(target.get_fields())
        assert torch.equal(moved.pred_boxes.tensor, target.pred_boxes.tensor)
        assert torch.equal(moved.pred_keypoints, target.pred_keypoints)

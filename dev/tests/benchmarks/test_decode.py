from __future__ import annotations

import pytest
import torch

from benchmarks.decode import GatheredWeights, decode_densely, make_layers, make_predictions
from benchmarks.timing import peak_memory
from lcrnet_d2.modeling import LCROutputLayers


@pytest.mark.parametrize("images", [[30], [20, 0, 10]], ids=str)
@pytest.mark.parametrize(("pairs", "by_class"), [(20, True), (150, False)])
def test_every_way_of_decoding_gives_the_same(images: list[int], pairs: int, by_class: bool) -> None:
    """To 1e-5 in box units and metres; boxes are 180 px, so 1.8e-3 px.

    Few pairs are regressed class by class, a quarter of what their boxes and the 20 classes allow by one product.
    """
    ours, gathered = make_layers(LCROutputLayers, 32, 20), make_layers(GatheredWeights, 32, 20)
    ours.min_proposals = gathered.min_proposals = pairs
    ours.min_score = gathered.min_score = 1.1
    torch.nn.init.normal_(ours.pose_pred.weight, std=0.1)
    gathered.load_state_dict(ours.state_dict())
    logits, features, boxes = make_predictions(32, 20, regions=30, people=3, on_people=15)
    with torch.no_grad():
        found = [
            decode((logits, features), list(boxes.split(images)))
            for decode in (ours.inference, gathered.inference, lambda p, b: decode_densely(ours, p, b))
        ]
    for proposals, *others in zip(*found, strict=True):
        for other in others:
            torch.testing.assert_close(other.poses_2d, proposals.poses_2d, atol=1.8e-3, rtol=0)
            torch.testing.assert_close(other.poses_3d, proposals.poses_3d, atol=1e-5, rtol=0)
            for name in ("scores", "classes", "boxes", "confidences"):
                assert torch.equal(getattr(other, name), getattr(proposals, name)), name
    first = found[0][0]
    assert len(first.scores) == pairs
    assert (len(first.boxes.unique()) * 20 > 4 * pairs) is by_class


def test_memory_does_not_grow_with_the_weights() -> None:
    """200 regions of 1,000 numbers, K = 50: every pair is 200 x 50 x 65 numbers (2.6 MB) and its poses again; gathered
    weights are 500 x 65 x 1,000 (130 MB)."""
    ours, gathered = make_layers(LCROutputLayers, 1000, 50), make_layers(GatheredWeights, 1000, 50)
    logits, features, boxes = make_predictions(1000, 50, regions=200, people=2)
    logits[:, -1] += 20  # so that the 500 proposals asked for at least are all
    with torch.no_grad():
        mine = peak_memory(lambda: ours.inference((logits, features), [boxes]))
        weights = peak_memory(lambda: gathered.inference((logits, features), [boxes]))
        everything = peak_memory(lambda: decode_densely(ours, (logits, features), [boxes]))
    assert mine < everything < weights and weights > 130e6

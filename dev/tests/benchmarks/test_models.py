from __future__ import annotations

import torch

from benchmarks.inference import run_inference
from benchmarks.models import FASTER, KEYPOINT, OURS, TINY, build_models, network_inputs
from benchmarks.stages import STAGES, stage_times


def test_peers_see_the_same_regions_and_find_something() -> None:
    models = build_models("Lite0-FPN", "cpu", (OURS, FASTER, KEYPOINT), *TINY)
    inputs = network_inputs(2, (96, 128), "cpu")
    regions, found = [], []
    for model in models.values():
        with torch.no_grad():
            images = model.preprocess_image(inputs)
            proposals, _ = model.proposal_generator(images, model.backbone(images.tensor), None)
        regions.append(torch.cat([p.proposal_boxes.tensor for p in proposals]))
        found.append([len(o["instances"]) for o in run_inference(model, inputs)])
    assert torch.equal(regions[0], regions[1]) and torch.equal(regions[0], regions[2])
    assert all(count > 0 for counts in found for count in counts), found


def test_stages_are_those_of_the_networks_own_forward() -> None:
    model = build_models("Lite0-FPN", "cpu", (OURS,), *TINY)[OURS]
    inputs = network_inputs(1, (96, 128), "cpu")
    assert tuple(stage_times(model, inputs, rounds=1)) == STAGES

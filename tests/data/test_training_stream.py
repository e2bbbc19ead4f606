"""Batches follow from seed and iteration alone."""

from __future__ import annotations

import random
from collections import Counter
from itertools import islice

import numpy as np
import pytest
import torch
from detectron2.structures import Boxes, Instances
from hypothesis import given
from hypothesis import strategies as st

from lcrnet_d2.data.training_stream import SampleKey, SeededDataset, TrainingOrder, seed_generators, training_loader


def batches(order: TrainingOrder, count: int) -> list[list[int]]:
    return [[key.image for key in batch] for batch in islice(iter(order), count)]


@given(st.integers(1, 12), st.integers(1, 5), st.integers(0, 20), st.integers(0, 2**31))
def test_starting_later_gives_the_later_batches(images: int, size: int, start: int, seed: int) -> None:
    whole = TrainingOrder(images, size, seed)
    later = TrainingOrder(images, size, seed)
    later.start = start
    assert list(islice(iter(whole), start, start + 3)) == list(islice(iter(later), 3))


@given(st.integers(1, 12), st.integers(1, 3), st.sampled_from([1, 2, 4]))
def test_processes_share_each_joint_batch(images: int, share: int, processes: int) -> None:
    joint = TrainingOrder(images, share * processes, 7)
    parts = [TrainingOrder(images, share * processes, 7, rank=r, world_size=processes) for r in range(processes)]
    shared = [[key for part in batch for key in part] for batch in islice(zip(*parts, strict=False), 4)]
    assert shared == list(islice(iter(joint), 4))


def test_every_image_comes_once_in_each_round() -> None:
    order = TrainingOrder(6, 3, 0)
    first, second = batches(order, 4)[:2], batches(order, 4)[2:]
    for round_ in (first, second):
        assert sorted(sum(round_, [])) == list(range(6))
    assert first != second


def test_batches_hold_images_of_one_orientation() -> None:
    is_wide = [True, False, True, False, True, True]
    for batch in batches(TrainingOrder(6, 2, 0, is_wide=is_wide), 20):
        assert len({is_wide[image] for image in batch}) == 1


def test_repeats_are_kept_on_average() -> None:
    order = TrainingOrder(3, 1, 0, repeats=torch.tensor([1.0, 2.5, 0.25]))
    counts = Counter(batch[0] for batch in batches(order, 3750))  # 1000 rounds
    assert counts[0] == pytest.approx(1000, abs=20)
    assert counts[1] == pytest.approx(2500, abs=60)
    assert counts[2] == pytest.approx(250, abs=60)


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="no training images"):
        TrainingOrder(0, 2, 0)
    with pytest.raises(ValueError, match="3, which 2 processes cannot share"):
        TrainingOrder(5, 3, 0, world_size=2)


def draws(record: dict) -> dict:
    """A mapper that draws from all three generators."""
    return record | {"drawn": (random.random(), np.random.rand(), torch.rand(1).item())}


RECORDS = [{"id": i} for i in range(5)]


def test_what_is_drawn_for_an_image_follows_from_its_place() -> None:
    dataset = SeededDataset(RECORDS, draws)
    key = SampleKey(seed=1, iteration=2, place=0, image=3)
    drawn = dataset[key]["drawn"]
    torch.manual_seed(5)
    assert dataset[key]["drawn"] == drawn
    for other in (key._replace(seed=2), key._replace(iteration=3), key._replace(place=1), key._replace(image=4)):
        assert dataset[other]["drawn"] != drawn


def test_the_processs_own_generators_are_left_alone() -> None:
    seed_generators((1, 2))
    expected = draws({})
    seed_generators((1, 2))
    SeededDataset(RECORDS, draws)[SampleKey(9, 9, 9, 1)]
    assert draws({}) == expected


def test_workers_change_nothing_and_a_loader_that_starts_draws_nothing() -> None:
    def first_batches(num_workers: int) -> list:
        return list(islice(training_loader(SeededDataset(RECORDS, draws), TrainingOrder(5, 2, 0), num_workers), 4))

    torch.manual_seed(0)
    state = torch.get_rng_state()
    alone = first_batches(0)
    assert torch.equal(torch.get_rng_state(), state)
    assert first_batches(2) == alone


def test_batches_of_another_process_are_one_piece_of_memory() -> None:
    def mapper(record: dict) -> dict:
        rows = Instances((3, 5), gt_boxes=Boxes(torch.rand(record["id"], 4)), gt_classes=torch.arange(record["id"]))
        return record | {"image": torch.randint(255, (3, 5, 7), dtype=torch.uint8), "instances": rows}

    dataset, order = SeededDataset(RECORDS, mapper), TrainingOrder(5, 5, 0)
    (expected,), (batch,) = (list(islice(training_loader(dataset, order, n), 1)) for n in (0, 1))
    assert type(batch) is list and [r["id"] for r in batch] == [r["id"] for r in expected]
    tensors = []
    for ours, theirs in zip(batch, expected, strict=True):
        found = ours["instances"]
        assert found.image_size == (3, 5) and len(found) == ours["id"]
        tensors += [ours["image"], found.gt_boxes.tensor, found.gt_classes]
        for tensor, other in zip(
            tensors[-3:], [theirs["image"], *theirs["instances"].get_fields().values()], strict=True
        ):
            torch.testing.assert_close(tensor, getattr(other, "tensor", other), rtol=0, atol=0)
        tensors[-3] += 1  # may be written to
    places = [t.data_ptr() for t in tensors if t.numel()]
    assert max(places) - min(places) < 10_000


def test_an_image_that_cannot_be_read_is_replaced_the_same_way_every_time() -> None:
    dataset = SeededDataset(RECORDS, lambda record: draws(record) if record["id"] != 2 else None)
    key = SampleKey(0, 0, 0, 2)
    assert dataset[key]["id"] != 2
    assert dataset[key] == dataset[key]
    with pytest.raises(RuntimeError, match="none of 100 images"):
        SeededDataset(RECORDS, lambda record: None)[key]

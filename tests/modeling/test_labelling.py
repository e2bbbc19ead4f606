"""Labels and draws of a whole batch, against Detectron2's of one image after the other."""

from __future__ import annotations

import pytest
import torch
from detectron2.modeling.matcher import Matcher
from detectron2.modeling.sampling import subsample_labels
from detectron2.structures import Boxes, Instances, pairwise_iou
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from lcrnet_d2.modeling import labelling
from lcrnet_d2.modeling.labelling import GroundTruth, draw, match
from lcrnet_d2.structures import CROWD, PERSON, UNANNOTATED, intersections, lies_in_ignored_region

_CORNER = st.integers(0, 8)
_BOX = st.builds(lambda x, y, w, h: [x, y, x + w + 1, y + h + 1], _CORNER, _CORNER, _CORNER, _CORNER)
_ROWS = st.lists(st.tuples(_BOX, st.sampled_from([PERSON, PERSON, CROWD, UNANNOTATED])), max_size=5)
RPN = Matcher([0.3, 0.7], [0, -1, 1], allow_low_quality_matches=True)
HEAD = Matcher([0.5], [0, 1])


def instances(rows: list[tuple[list[int], int]]) -> Instances:
    out = Instances((20, 20))
    out.gt_boxes = Boxes(torch.tensor([box for box, _ in rows], dtype=torch.float32).view(-1, 4))
    out.gt_kinds = torch.tensor([kind for _, kind in rows], dtype=torch.long)
    return out


def slow_match(boxes: Tensor, target: Instances, matcher: Matcher) -> tuple[Tensor, Tensor]:
    """Labels, and the boxes of the people matched."""
    people = target.gt_boxes[target.gt_kinds == PERSON]
    matches, labels = matcher(pairwise_iou(people, Boxes(boxes)))
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(1)
    ignored = lies_in_ignored_region(intersections(target.gt_boxes.tensor, boxes), areas, target.gt_kinds)
    labels[ignored & (labels == 0)] = -1
    return labels.long(), people.tensor[matches] if len(people) else torch.zeros(len(boxes), 4)


@pytest.mark.parametrize("matcher", [RPN, HEAD], ids=["RPN", "head"])
@given(batch=st.lists(_ROWS, min_size=1, max_size=4), boxes=st.lists(_BOX, min_size=1, max_size=6))
def test_a_batch_is_labelled_as_its_images_one_by_one(
    matcher: Matcher, batch: list[list[tuple[list[int], int]]], boxes: list[list[int]]
) -> None:
    targets = [instances(rows) for rows in batch]
    candidates = torch.tensor(boxes, dtype=torch.float32)
    truth = GroundTruth.of(targets)
    labels, matches = match(candidates[None], truth, matcher)
    for i, target in enumerate(targets):
        slow_labels, slow_boxes = slow_match(candidates, target, matcher)
        assert labels[i].tolist() == slow_labels.tolist()
        matched = labels[i] == 1
        assert torch.equal(truth.boxes[i, matches[i]][matched], slow_boxes[matched])
        rows = sum(map(len, targets[:i])) + matches[i]
        assert torch.equal(truth.rows[i, matches[i]][matched], rows[matched])


def test_few_pairs_at_a_time_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    boxes = 10 * torch.rand(5, 7, 4).cumsum(-1)
    truth = GroundTruth(10 * torch.rand(5, 3, 4).cumsum(-1), torch.randint(-1, 3, (5, 3)), torch.zeros(5, 3))
    together = match(boxes, truth, RPN)
    monkeypatch.setattr(labelling, "_BLOCK", 50)  # two images of 7 x 3 pairs
    assert all(map(torch.equal, match(boxes, truth, RPN), together))


@given(
    labels=st.lists(st.sampled_from([-1, 0, 1]), min_size=1, max_size=12),
    count=st.integers(1, 10),
    fraction=st.sampled_from([0.25, 0.5, 1.0]),
)
def test_as_many_are_drawn_as_by_detectron2_and_none_twice(labels: list[int], count: int, fraction: float) -> None:
    table = torch.tensor([labels, labels[::-1]])
    drawn, is_positive, is_there = draw(table == 1, table == 0, count, fraction)
    for row, of_row, positive, there in zip(table, drawn, is_positive, is_there, strict=True):
        theirs = subsample_labels(row, count, fraction, 0)
        assert [int((positive & there).sum()), int((~positive & there).sum())] == list(map(len, theirs))
        assert not (positive & ~there).any()
        chosen = of_row[there].tolist()
        assert len(set(chosen)) == len(chosen)
        assert row[of_row[there]].tolist() == positive[there].long().tolist()


def test_every_box_is_as_likely_as_every_other() -> None:
    """2 of 5 positives and 2 of 7 negatives, 4,000 times: each should come up 1,600 and 1,143 times, +- 5 deviations;
    and each pair of positives 400 times.
    """
    labels = torch.tensor([1, 0, 0, 1, -1, 1, 0, 0, 1, 0, 1, 0, 0]).expand(4000, -1)
    drawn, is_positive, is_there = draw(labels == 1, labels == 0, 4, 0.5)
    assert is_there.all() and is_positive.sum(1).eq(2).all()
    often = torch.zeros(13).index_add_(0, drawn.flatten(), torch.ones(drawn.numel()))
    assert often[4] == 0
    for label, share in ((1, 2 / 5), (0, 2 / 7)):
        deviation = (4000 * share * (1 - share)) ** 0.5
        assert (often[labels[0] == label] - 4000 * share).abs().max() < 5 * deviation
    pairs = drawn[:, :2].sort(1).values
    counts = torch.unique(pairs[:, 0] * 13 + pairs[:, 1], return_counts=True)[1]
    assert len(counts) == 10 and (counts - 400).abs().max() < 5 * (4000 * 0.1 * 0.9) ** 0.5

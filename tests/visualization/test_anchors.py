from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from lcrnet_d2.structures import SIDE_COLOURS, AnchorPoses
from lcrnet_d2.visualization import anchor_sheet


def test_a_cell_for_every_full_body_anchor(anchors: AnchorPoses) -> None:
    """K = 4 of 8 classes, two in a row: 2 x 2 cells, each with both sides' colours in it."""
    sheet = anchor_sheet(anchors, columns=2, cell=120)
    assert sheet.shape == (240, 300, 3)
    for row in (0, 120):
        for column in (0, 150):
            cell = sheet[row : row + 120, column : column + 150]
            near = [np.abs(cell.astype(int) - colour).max(-1) < 60 for colour in SIDE_COLOURS.values()]
            assert all(found.sum() > 20 for found in near)


def test_the_largest_cluster_comes_first(full_body_anchors: AnchorPoses) -> None:
    sizes = torch.tensor([1, 2, 9, 3])
    first = anchor_sheet(replace(full_body_anchors, cluster_sizes=sizes), columns=1)[:150]
    alone = replace(
        full_body_anchors,
        **{name: getattr(full_body_anchors, name)[2:3] for name in ("poses_2d", "mean_distances")},
        poses_3d=full_body_anchors.poses_3d[2:3],
        cluster_sizes=sizes[2:3],
        num_full_body=1,
    )
    below_title, left = slice(24, None), slice(0, 105)  # the title names the class; 2D does not depend on the others
    np.testing.assert_array_equal(first[below_title, left], anchor_sheet(alone, columns=1)[below_title, left])

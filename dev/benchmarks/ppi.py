"""Contest: pose proposals integration against a numpy loop over lists and a plain torch loop over groups."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from lcrnet_d2.modeling import integrate_pose_proposals
from lcrnet_d2.structures import BODY13

from .ppi_twins import integrate_group_by_group, integrate_over_lists
from .report import Table, compare
from .timing import Contender, Settings

__all__ = ["IMAGE_SIZE", "make_scene", "measure"]

IMAGE_SIZE = (1200, 1200)
_PEOPLE = 8


def measure(settings: Settings) -> list[Table]:
    tables = []
    for count in (60, 120) if settings.quick else (1000, 50_000):
        scene = make_scene(count, _PEOPLE, seed=0)
        arrays = [part.numpy() for part in scene]
        there = [part.to(settings.device) for part in scene]
        contenders = [
            Contender("ours", partial(integrate_pose_proposals, *there, IMAGE_SIZE)),
            Contender("plain torch", partial(integrate_group_by_group, *there, IMAGE_SIZE)),
            Contender("numpy, lists", partial(integrate_over_lists, *arrays, IMAGE_SIZE)),
        ]
        rounds = settings.rounds * (4 if count <= 1000 else 1)
        tables.append(compare(f"{count:,} proposals of {_PEOPLE} people", contenders, rounds)[0])
    return tables


def make_scene(count: int, people: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Scores, 2D poses (px) and 3D poses (m) of `count` proposals of random poses, spread over the image.

    Every person has two 3D modes 300 mm apart; noise of 5 px and 50 mm.
    """
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    joints = len(BODY13)
    columns = -(-people // 2)
    cell = torch.tensor([IMAGE_SIZE[1] / columns, IMAGE_SIZE[0] / 2])
    places = torch.tensor([[i % columns + 0.5, i // columns + 0.5] for i in range(people)]) * cell
    poses_2d = places[:, None] + 0.15 * cell * normal(people, joints, 2)
    poses_3d = 0.3 * normal(people, 1, joints, 3)
    apart = normal(people, 1, 1, 3)
    modes = torch.cat([poses_3d, poses_3d + 0.3 * apart / apart.norm(dim=-1, keepdim=True)], 1)
    who, mode = (torch.randint(n, (count,), generator=generator) for n in (people, 2))
    scores = torch.rand(count, generator=generator)
    return scores, poses_2d[who] + 5 * normal(count, joints, 2), modes[who, mode] + 0.05 * normal(count, joints, 3)

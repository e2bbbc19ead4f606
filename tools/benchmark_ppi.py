"""Times pose proposals integration on one core: people with two 3D modes each, 300 mm apart, 5 px and 50 mm of noise.

example:
  tools/benchmark_ppi.py --proposals 1000 50000
"""

from __future__ import annotations

import argparse
import statistics
import time

import torch
from torch import Tensor

from lcrnet_d2 import integrate_pose_proposals
from lcrnet_d2.structures import BODY13

IMAGE_SIZE = (1200, 1200)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--proposals", type=int, nargs="+", default=[1000, 50_000])
    parser.add_argument("--people", type=int, default=8)
    parser.add_argument("--runs", type=int, default=15)
    args = parser.parse_args(argv)
    torch.set_num_threads(1)
    for count in args.proposals:
        scene = make_scene(count, args.people, seed=0)
        seconds = []
        for _ in range(args.runs):
            start = time.perf_counter()
            people = integrate_pose_proposals(*scene, IMAGE_SIZE)
            seconds.append(time.perf_counter() - start)
        best, median = 1e3 * min(seconds), 1e3 * statistics.median(seconds)
        print(
            f"{count} proposals: {median:.1f} ms (median of {args.runs}, best {best:.1f}), {len(people.scores)} people"
        )


def make_scene(count: int, people: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Scores, 2D poses (px) and 3D poses (m) of `count` proposals of random poses, spread over the image."""
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


if __name__ == "__main__":
    main()

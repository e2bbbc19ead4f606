"""Which heads answer which question of the paper."""

from __future__ import annotations

from dataclasses import dataclass, replace

from .heads import HeadPlan

__all__ = ["Questions"]


@dataclass(frozen=True)
class Questions:
    """What is compared.

    Attributes:
        compared_k: K of Table 1; seeds: of each.
        shares: of the training images, for Sec. 4.2 on the amount of data; checked_k: K that are compared so, and
            that the outcome is explained by.
        fewer_seeds: of heads with fewer images, and of explanations.
    """

    compared_k: tuple[int, ...] = (1, 10, 20, 50, 100, 200, 500)
    seeds: int = 3
    shares: tuple[float, ...] = (0.25, 0.5, 1.0)
    checked_k: tuple[int, ...] = (1, 20, 100)
    fewer_seeds: int = 2

    def of_k(self, k: int) -> list[HeadPlan]:
        """Table 1's heads of one K."""
        return _seeds_of(HeadPlan(k), self.seeds)

    def of_data(self, k: int, share: float) -> list[HeadPlan]:
        """Heads of a share of the images; of all of them Table 1's."""
        return _seeds_of(HeadPlan(k, share=share), self.seeds if share == 1 else self.fewer_seeds)

    def first(self) -> list[HeadPlan]:
        """What can be trained before the best K is known."""
        of_data = [plan for k in self.checked_k for share in self.shares for plan in self.of_data(k, share)]
        return [plan for k in self.compared_k for plan in self.of_k(k)] + of_data

    def truncation(self, best: int) -> list[HeadPlan]:
        """Sec. 4.2, "Dealing with truncation": with upper-body anchor poses."""
        return _seeds_of(HeadPlan(best, upper=True), self.seeds)

    def explanations(self, best: int) -> dict[str, list[HeadPlan]]:
        """By what it could refute: heads that differ from Table 1's of the same K and seed in one thing."""
        most, many = self.compared_k[-1], self.checked_k[-1]
        few, some = sorted({best, many}), sorted({1, best, many})
        plans = {
            "the shared layers were shaped by the network's own K": [HeadPlan(k, shared="new") for k in some],
            "regression alone has too few numbers": [HeadPlan(1, regressors="deep")],
            "each regressor of many sees too few people": [
                HeadPlan(k, regressors="shared") for k in sorted({many, most})
            ],
            "near anchor poses are noise to the labels": [HeadPlan(k, labels="soft") for k in sorted({*few, most})],
            "K-means minimises squares, labels go by D": [HeadPlan(k, anchors="distance") for k in few],
            "classification weighs too much": [HeadPlan(k, weight_cls=0.3) for k in few],
            "classification weighs too little": [HeadPlan(k, weight_cls=3.0) for k in few],
            "3D weighs too little": [HeadPlan(k, weight_3d=4.0) for k in some],
        }
        return {why: [one for plan in of for one in _seeds_of(plan, self.fewer_seeds)] for why, of in plans.items()}


def _seeds_of(plan: HeadPlan, count: int) -> list[HeadPlan]:
    return [replace(plan, seed=seed) for seed in range(count)]

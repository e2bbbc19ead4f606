"""Training that repeats itself: every iteration draws from its own seed, so that it does not matter what ran before."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from detectron2.config import CfgNode
from detectron2.data import get_detection_dataset_dicts
from detectron2.engine import HookBase
from detectron2.utils import comm
from torch import Tensor

from ..data import build_training_mapper
from ..data.training_stream import SeededDataset, TrainingOrder, seed_generators, training_loader

__all__ = ["IterationSeeds", "build_repeatable_loader"]


class IterationSeeds(HookBase):
    """Seeds the generators before each step by (seed, iteration, process): boxes are sampled from them.

    The seed is all there is to remember: it goes into the checkpoint, as a tensor, and rules on resume, also where
    the config asks for another or for none.
    """

    def __init__(self, order: TrainingOrder) -> None:
        self._order = order

    def before_train(self) -> None:
        self._order.start = self.trainer.start_iter

    def before_step(self) -> None:
        seed_generators((self._order.seed, self.trainer.iter, comm.get_rank()))

    def state_dict(self) -> dict[str, Any]:
        return {"seed": torch.tensor(self._order.seed)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._order.seed = int(state["seed"])


def build_repeatable_loader(cfg: CfgNode) -> Any:
    """A loader of DATASETS.TRAIN, of which this process gets its share of every batch.

    Raises:
        FileNotFoundError: images that are not there; the message counts them.
        ValueError: DATALOADER.SAMPLER_TRAIN of another kind than "TrainingSampler" or "WeightedTrainingSampler".
    """
    names = list(cfg.DATASETS.TRAIN)
    filter_empty = cfg.DATALOADER.FILTER_EMPTY_ANNOTATIONS
    parts: Any = [get_detection_dataset_dicts([name], filter_empty=filter_empty) for name in names]
    records = [record for part in parts for record in part]
    missing = [record["file_name"] for record in records if not Path(record["file_name"]).is_file()]
    if missing:
        raise FileNotFoundError(
            f"{len(missing)} of {len(records)} images of DATASETS.TRAIN are not there, the first is {missing[0]}: "
            "is the folder in DATASETS.POSE_FILES the one that file names are relative to?"
        )
    is_wide = [record["width"] > record["height"] for record in records]
    repeats = _repeats(cfg, [len(part) for part in parts])
    seed: Any = cfg.SEED if cfg.SEED >= 0 else comm.shared_random_seed()
    order = TrainingOrder(
        len(records),
        cfg.SOLVER.IMS_PER_BATCH,
        seed,
        is_wide=is_wide if cfg.DATALOADER.ASPECT_RATIO_GROUPING else None,
        repeats=repeats,
        rank=comm.get_rank(),
        world_size=comm.get_world_size(),
    )
    mapper = build_training_mapper(cfg, records, [1.0] * len(records) if repeats is None else repeats.tolist())
    return training_loader(SeededDataset(records, mapper), order, cfg.DATALOADER.NUM_WORKERS)


def _repeats(cfg: CfgNode, lengths: list[int]) -> Tensor | None:
    """(images,) DATASETS.TRAIN_REPEAT_FACTOR of each image's data set; None for the plain sampler."""
    sampler = cfg.DATALOADER.SAMPLER_TRAIN
    if sampler == "TrainingSampler":
        return None
    if sampler != "WeightedTrainingSampler":
        raise ValueError(
            f"DATALOADER.SAMPLER_TRAIN is {sampler!r}, expected 'TrainingSampler' or 'WeightedTrainingSampler'"
        )
    factors = dict(cfg.DATASETS.TRAIN_REPEAT_FACTOR)
    unknown = sorted(set(factors) - set(cfg.DATASETS.TRAIN))
    if unknown:
        raise ValueError(f"DATASETS.TRAIN_REPEAT_FACTOR names {unknown}, which are not in DATASETS.TRAIN")
    per_set = torch.tensor([float(factors.get(name, 1.0)) for name in cfg.DATASETS.TRAIN])
    return per_set.repeat_interleave(torch.tensor(lengths))

"""The stream of training batches, each a function of a seed and its iteration, never of what ran before.

Detectron2's own loader starts its order anew on resume, and its augmentations draw from wherever the process's
generator stands. Here the images of an iteration, and all that is drawn for each of them, follow from
(seed, iteration, place in the batch, image): a run that was killed goes on as if it had not been, with any
number of workers, and the joint batch is the same for any number of processes.
"""

from __future__ import annotations

import io
import pickle
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from detectron2.data import DatasetFromList
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

__all__ = ["SampleKey", "SeededDataset", "TrainingOrder", "seed_generators", "training_loader"]

#: From a dataset dict to what the model takes; None for an image that cannot be read.
Mapper = Callable[[dict[str, Any]], dict[str, Any] | None]

_MOST_TRIES = 100
_ALIGNMENT = 64  # bytes


class SampleKey(NamedTuple):
    """An image in a place of an iteration's joint batch."""

    seed: int
    iteration: int
    place: int
    image: int


class TrainingOrder(Sampler[list[SampleKey]]):
    """Endless batches: all images in a random order, then all in another one, and so on.

    Attributes:
        seed: of the order, and of all that is drawn for an image.
        start: iteration that iterating begins with.
    """

    def __init__(
        self,
        num_images: int,
        batch_size: int,
        seed: int,
        *,
        is_wide: Sequence[bool] | None = None,
        repeats: Tensor | None = None,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        """
        Args:
            batch_size: of all processes together.
            is_wide: (num_images,) batches hold only wide or only other images, which saves padding; None mixes them.
            repeats: (num_images,) how often an image comes in a round, on average; None: once.
            rank, world_size: this process gets the rank-th part of every batch.

        Raises:
            ValueError: no images, or batches that cannot be shared evenly.
        """
        if num_images < 1:
            raise ValueError("no training images (DATASETS.TRAIN)")
        if batch_size < 1 or batch_size % world_size:
            raise ValueError(f"SOLVER.IMS_PER_BATCH is {batch_size}, which {world_size} processes cannot share evenly")
        self.seed = seed
        self.start = 0
        self._num_images = num_images
        self._batch_size = batch_size
        self._is_wide = [False] * num_images if is_wide is None else list(is_wide)
        self._repeats = repeats
        share = batch_size // world_size
        self._places = range(rank * share, (rank + 1) * share)

    def __iter__(self) -> Iterator[list[SampleKey]]:
        batches = islice(self._batches(), self.start, None)
        for iteration, batch in enumerate(batches, self.start):
            yield [SampleKey(self.seed, iteration, place, batch[place]) for place in self._places]

    def _batches(self) -> Iterator[list[int]]:
        """From iteration 0 on: to go on at a later one takes 3 s per 10 million images."""
        waiting: dict[bool, list[int]] = {False: [], True: []}
        for index in self._indices():
            group = waiting[self._is_wide[index]]
            group.append(index)
            if len(group) == self._batch_size:
                yield group.copy()
                group.clear()

    def _indices(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(self.seed)
        while True:
            every = torch.arange(self._num_images)
            if self._repeats is not None:
                chance = torch.rand(self._num_images, generator=generator)
                every = every.repeat_interleave((self._repeats + chance).floor().long())
            yield from every[torch.randperm(len(every), generator=generator)].tolist()


class SeededDataset(Dataset):
    """Mapped images by `SampleKey`, from which the mapper's random numbers follow.

    The process's own generators are left as they were.

    Raises:
        RuntimeError: so many images in a row could not be read that something else must be wrong.
    """

    def __init__(
        self, records: list[dict[str, Any]], mapper: Callable[[dict[str, Any]], dict[str, Any] | None]
    ) -> None:
        """
        Args:
            records: dataset dicts; kept serialised, so that processes can share them.
            mapper: where it returns None, a random other image takes the place.
        """
        self.records = DatasetFromList(records, copy=False)
        self.mapper = mapper

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, key: SampleKey) -> dict[str, Any]:
        with seeded(key):
            index = key.image
            for _ in range(_MOST_TRIES):
                mapped = self.mapper(self.records[index])
                if mapped is not None:
                    return mapped
                index = int(np.random.randint(len(self)))
        raise RuntimeError(f"none of {_MOST_TRIES} images drawn in a row could be read; the log names them")


def training_loader(dataset: SeededDataset, order: TrainingOrder, num_workers: int) -> DataLoader:
    """Batches as lists, in order, whatever the workers."""
    # A loader that starts draws a number from its generator: from the process's own, the first step after a resume
    # would sample other boxes than the same step of a run that was not interrupted.
    own = torch.Generator()
    return DataLoader(
        dataset,
        batch_sampler=order,
        num_workers=num_workers,
        collate_fn=_Batch,
        generator=own,
        worker_init_fn=_on_one_core,
    )


def _on_one_core(worker: int) -> None:
    """PyTorch sees to itself; OpenCV would start a thread per core in every worker."""
    cv2.setNumThreads(0)


class _Batch(list[dict[str, Any]]):
    """A list that goes from process to process as one piece of memory.

    As they are, its tensors would be a shared file each, nine per image, which the process that trains must open.
    """

    def __reduce__(self) -> tuple[Any, ...]:
        buffers: list[pickle.PickleBuffer] = []
        file = io.BytesIO()
        _Pickler(file, protocol=5, buffer_callback=buffers.append).dump(list(self))
        raw = [np.frombuffer(buffer.raw(), np.uint8) for buffer in buffers]
        ends = np.cumsum([-(-len(part) // _ALIGNMENT) * _ALIGNMENT for part in raw])
        memory = torch.empty(int(ends[-1]) if raw else 0, dtype=torch.uint8)
        starts = [0, *ends[:-1].tolist()]
        for start, part in zip(starts, raw, strict=False):
            memory.numpy()[start : start + len(part)] = part
        return _unpacked, (file.getvalue(), memory, [(s, s + len(p)) for s, p in zip(starts, raw, strict=False)])


class _Pickler(pickle.Pickler):
    """Tensors as arrays, whose numbers the protocol can leave out."""

    def reducer_override(self, obj: Any) -> Any:
        return (torch.from_numpy, (obj.numpy(),)) if isinstance(obj, Tensor) else NotImplemented


def _unpacked(data: bytes, memory: Tensor, parts: list[tuple[int, int]]) -> list[dict[str, Any]]:
    """The batch, its tensors views of the memory."""
    return pickle.loads(data, buffers=[memory.numpy()[start:end] for start, end in parts])


def seed_generators(key: Sequence[int]) -> None:
    """Python's, numpy's and PyTorch's generators, to a state that follows from the key: non-negative numbers."""
    torch.manual_seed(_seed_on_cpu(key))  # GPUs' too


def _seed_on_cpu(key: Sequence[int]) -> int:
    """All generators but those of GPUs, which pictures are not drawn from. Returns PyTorch's seed."""
    words = np.random.SeedSequence(list(key)).generate_state(4)
    np.random.seed(words)
    random.seed(int(words[0]) << 32 | int(words[1]))
    seed = int(words[2]) << 31 ^ int(words[3])
    torch.default_generator.manual_seed(seed)
    return seed


@contextmanager
def seeded(key: Sequence[int]) -> Iterator[None]:
    """The generators of the CPU as `seed_generators` sets them, for a while; then they stand where they stood."""
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    _seed_on_cpu(key)
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.set_rng_state(states[2])

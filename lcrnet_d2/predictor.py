"""Images in, people out: a trained model ready to use."""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from itertools import islice
from pathlib import Path
from typing import Any, Literal, TypeVar, overload

import numpy as np
import torch
from detectron2.config import CfgNode
from detectron2.data import transforms as T
from detectron2.modeling import build_model
from detectron2.structures import Instances
from PIL import Image as PillowImage
from torch import nn

from .checkpoint import LCRNetCheckpointer
from .config import CONFIGS, load_config
from .data import read_image
from .data.images import check_image_size, pixels_of
from .detected_people import DetectedPeople
from .modeling import prepared_for_inference, with_test_time_augmentation
from .pose_lifting import build_pose_lifting
from .prediction_cache import PredictionCache, image_key, inference_settings
from .prefetch import prefetched
from .structures import SKELETONS

__all__ = ["Image", "PosePredictor", "find_config"]

_T = TypeVar("_T")
#: A file, (H, W, 3) or grey (H, W) uint8 pixels, or an image of Pillow.
Image = str | Path | np.ndarray | PillowImage.Image


class PosePredictor:
    """Finds everyone's 2D and 3D pose in images.

    Images whose padded sizes agree go through the network together, others apart, so that nothing depends on
    what else was asked for in the same call. On GPUs the network runs in half precision.

    Raises:
        FileNotFoundError: no such config or weights; ValueError: weights that do not fit the config;
        RuntimeError: weights without anchor poses, i.e. not of a trained LCR-Net.
    """

    def __init__(
        self,
        config_or_name: CfgNode | str | Path,
        weights: str | Path | None = None,
        device: str | None = None,
        *,
        batch_size: int = 8,
        half_precision: bool = True,
    ) -> None:
        """
        Args:
            config_or_name: a config, a YAML file, its name below the package's configs, or a model of
                `lcrnet_d2.model_zoo`.
            weights: of the network. None: the config's MODEL.WEIGHTS, or the zoo's checkpoint.
            device: "cpu", "cuda", "cuda:1" ... None: the config's, or the CPU where it has no GPU to offer.
            batch_size: images that go through the network together, at most.
            half_precision: float16 where it is safe; concerns GPUs alone.
        """
        cfg = find_config(config_or_name)
        if weights is not None:
            cfg.MODEL.WEIGHTS = str(weights)
        cfg.MODEL.DEVICE = device or _available(cfg.MODEL.DEVICE)
        model = build_model(cfg)
        LCRNetCheckpointer(model).load(cfg.MODEL.WEIGHTS)
        model.roi_heads.box_predictor.check_anchor_poses()
        self.model = prepared_for_inference(model)
        #: What images are given to: the model, or what stands in for it (TEST.AUG).
        self.network = with_test_time_augmentation(cfg, self.model)
        self.cfg = cfg
        self._lifting = build_pose_lifting(cfg)
        self.skeleton = SKELETONS[cfg.MODEL.LCRNET.SKELETON]
        self.batch_size = batch_size
        self.half_precision = half_precision and self.model.device.type == "cuda"
        integration = cfg.MODEL.LCRNET.INTEGRATION
        #: People of a lower score S (Eq. 7) are not reported.
        self.score_threshold: float = integration["SCORE_THRESH_" + integration.METHOD.upper()]
        self._resize = T.ResizeShortestEdge(cfg.INPUT.MIN_SIZE_TEST, cfg.INPUT.MAX_SIZE_TEST)

    @overload
    def __call__(self, images: Image, image_format: Literal["BGR", "RGB"] = "BGR") -> DetectedPeople: ...
    @overload
    def __call__(
        self, images: Sequence[Image], image_format: Literal["BGR", "RGB"] = "BGR"
    ) -> list[DetectedPeople]: ...

    def __call__(
        self, images: Image | Sequence[Image], image_format: Literal["BGR", "RGB"] = "BGR"
    ) -> DetectedPeople | list[DetectedPeople]:
        """
        Args:
            images: one image or several, of any sizes: files, images of Pillow, or uint8 arrays (H, W, 3) or, grey,
                (H, W); an array of four dimensions is a batch.
            image_format: order of the arrays' channels; "BGR" as OpenCV and Detectron2 have it. All else knows its own.

        Returns:
            per image the people of at least `score_threshold`, in its own pixels; not a list for one image.

        Raises:
            FileNotFoundError, ImageFileError: a file that is not there or cannot be read.
            ValueError: an array of another shape or type.
        """
        if image_format not in ("BGR", "RGB"):
            raise ValueError(f"image_format is {image_format!r}, expected 'BGR' or 'RGB'")
        if isinstance(images, str | Path | PillowImage.Image) or (isinstance(images, np.ndarray) and images.ndim < 4):
            return self([images], image_format)[0]
        return self._find([self._network_input(image, image_format) for image in images])

    def stream(
        self,
        items: Iterable[_T],
        image_of: Callable[[_T], Image | None],
        image_format: Literal["BGR", "RGB"] = "BGR",
        batch_size: int | None = None,
    ) -> Generator[tuple[_T, DetectedPeople | None], None, None]:
        """Every item with the people of its image, in order.

        A thread reads, resizes and uploads the next batch while the network works; not with a batch_size of 1, which is
        for live frames: they are worth most when new.

        Args:
            items: whatever has images, made by that thread where they are a generator.
            image_of: an item's image as for a call; None: it has none, and no people.
            image_format: of arrays; batch_size: how many items go together, by default the predictor's.
        """
        batch_size = batch_size or self.batch_size

        def prepare() -> Iterator[tuple[list[_T], list[dict[str, Any] | None]]]:
            waiting = iter(items)
            while batch := list(islice(waiting, batch_size)):
                images = [image_of(item) for item in batch]
                yield batch, [None if image is None else self._uploaded(image, image_format) for image in images]

        with closing(prefetched(prepare(), size=int(batch_size > 1))) as batches:
            for batch, inputs in batches:
                found = iter(self._find([item for item in inputs if item is not None]))
                for item, of_item in zip(batch, inputs, strict=True):
                    yield item, None if of_item is None else next(found)

    @torch.no_grad()
    def _find(self, inputs: list[dict[str, Any]]) -> list[DetectedPeople]:
        people: list[DetectedPeople] = [DetectedPeople.nobody(self.skeleton, (0, 0))] * len(inputs)
        for batch in self._batches(inputs):
            with self._precision():
                outputs = self.network([inputs[i] for i in batch])
            for i, output in zip(batch, outputs, strict=True):
                people[i] = self._people(output["instances"])
        return people

    def asking(self, network: nn.Module) -> PosePredictor:
        """A predictor like this one that asks another network: what stands in for this one's, such as a cache of it."""
        other = copy.copy(self)
        other.network = network
        return other

    def cache(self, folder: Path) -> PredictionCache:
        """A stand-in for the network (`asking`) that predicts nothing anew which is in the folder's files.

        Whatever ends it, its predictions are in files, for the next time, unless they are removed.
        """
        return PredictionCache(self.network, folder, inference_settings(self.cfg, self.half_precision))

    def _network_input(self, image: Image, image_format: str) -> dict[str, Any]:
        expected = self.cfg.INPUT.FORMAT
        if isinstance(image, str | Path):
            pixels = read_image(image, expected)
        elif isinstance(image, PillowImage.Image):
            pixels = pixels_of(image, expected)
        else:
            if isinstance(image, np.ndarray) and (image.ndim == 2 or image.shape[2:] == (1,)):
                image = np.repeat(image.reshape(*image.shape[:2], 1), 3, 2)
            check_pixels(image)
            pixels = image if image_format == expected else image[:, :, ::-1]
        height, width = pixels.shape[:2]
        pixels = np.ascontiguousarray(pixels)
        small = self._resize.get_transform(pixels).apply_image(pixels)
        return {"image": torch.from_numpy(small.transpose(2, 0, 1).copy()), "height": height, "width": width}

    def _uploaded(self, image: Image, image_format: str) -> dict[str, Any]:
        """An input of the network on its device, with the key that a cache of predictions would make of it."""
        record = self._network_input(image, image_format)
        if isinstance(self.network, PredictionCache):
            record["key"] = image_key(record)
        if self.model.device.type == "cuda":
            record["image"] = record["image"].pin_memory().to(self.model.device, non_blocking=True)
        return record

    def _batches(self, inputs: list[dict[str, Any]]) -> list[list[int]]:
        """Indices of images that are padded to the same size, at most `batch_size` together.

        A wider batch would pad the smaller images further, and convolutions see the difference from the border on.
        """
        step = max(self.model.backbone.size_divisibility, 1)
        by_size: dict[tuple[int, ...], list[int]] = {}
        for i, item in enumerate(inputs):
            padded = tuple(-(-side // step) * step for side in item["image"].shape[1:])
            by_size.setdefault(padded, []).append(i)
        size = self.batch_size
        return [group[i : i + size] for group in by_size.values() for i in range(0, len(group), size)]

    def _precision(self) -> AbstractContextManager:
        return torch.autocast("cuda", dtype=torch.float16) if self.half_precision else nullcontext()

    def _people(self, instances: Instances) -> DetectedPeople:
        people = instances[instances.scores >= self.score_threshold]
        return DetectedPeople.from_instances(self._lifting(people) if self._lifting else people, self.skeleton)


def check_pixels(image: np.ndarray) -> None:
    """ValueError unless (H, W, 3) uint8 of a size that files may have (`data.check_image_size`)."""
    if not isinstance(image, np.ndarray) or image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        what = f"{image.dtype} {image.shape}" if isinstance(image, np.ndarray) else type(image).__name__
        raise ValueError(
            f"an image is {what}; expected a file name, an image of Pillow or a uint8 array (H, W, 3) or (H, W)"
        )
    check_image_size(*image.shape[:2])


def find_config(config_or_name: CfgNode | str | Path) -> CfgNode:
    """A config that may be changed: a copy of one, a YAML file, one of the package's, or a model of the zoo.

    Raises:
        FileNotFoundError: none of these; the message lists the zoo's models.
        ValueError: a key in the file that there is not.
    """
    if isinstance(config_or_name, CfgNode):
        return config_or_name.clone()
    if Path(config_or_name).is_file() or (CONFIGS / config_or_name).is_file():
        return load_config(config_or_name)
    from . import model_zoo  # knows addresses that nobody needs who has files

    if config_or_name not in model_zoo.names():
        raise FileNotFoundError(
            f"no config at {config_or_name}, nor among {CONFIGS}, nor a model called so; lcrnet_d2.model_zoo has "
            f"{model_zoo.names() or 'none yet'}"
        )
    return model_zoo.get_config(str(config_or_name))


def _available(device: str) -> str:
    if device.startswith("cuda") and not torch.cuda.is_available():
        logging.getLogger(__name__).warning("MODEL.DEVICE is %s, and there is no GPU here: using the CPU", device)
        return "cpu"
    return device

"""Training images in other colours, or made worse, as photos come: blurred, noisy, recompressed, grey."""

from __future__ import annotations

import cv2
import numpy as np
from detectron2.data import transforms as T

__all__ = ["ColorJitter", "Degradation"]

_LEVELS = np.arange(256)
_LUMA = 0.299, 0.587, 0.114  # of RGB


class ColorJitter(T.Augmentation):
    """Detectron2's RandomBrightness, RandomContrast and RandomSaturation of an RGB image by two tables and a matrix.

    Each strength is drawn uniformly from [low, high]; 1 changes nothing.
    """

    def __init__(self, low: float, high: float) -> None:
        super().__init__()
        self.low, self.high = low, high

    def get_transform(  # pyright: ignore[reportIncompatibleMethodOverride]  as in Detectron2's own
        self, image: np.ndarray
    ) -> T.Transform:
        brightness, contrast, saturation = np.random.uniform(self.low, self.high, 3)

        def jitter(picture: np.ndarray) -> np.ndarray:
            picture = cv2.LUT(picture, _to_uint8(brightness * _LEVELS))
            mean = np.sum(cv2.mean(picture)) / 3  # the fourth is 0
            picture = cv2.LUT(picture, _to_uint8(contrast * _LEVELS + (1 - contrast) * mean))
            return cv2.transform(picture, saturation * np.eye(3) + (1 - saturation) * np.array([_LUMA] * 3))

        return T.ColorTransform(jitter)


class Degradation(T.Augmentation):
    """Each of five defects with the same probability; positions of pixels stay.

    The strengths are what a photo of 250 px shows and a person still recognises: Gaussian blur up to
    sigma 1.5 px, noise up to 12 grey levels, JPEG quality 25 to 80, each channel scaled by 0.75 to 1.25.
    """

    def __init__(self, probability: float) -> None:
        super().__init__()
        if not 0 <= probability <= 1:
            raise ValueError(f"the probability of a degradation is {probability}, expected 0 to 1")
        self.probability = probability

    def get_transform(  # pyright: ignore[reportIncompatibleMethodOverride]  as in Detectron2's own
        self, image: np.ndarray
    ) -> T.Transform:
        chosen = [defect for defect in _DEFECTS if np.random.uniform() < self.probability]

        def degrade(picture: np.ndarray) -> np.ndarray:
            for defect in chosen:
                picture = defect(picture)
            return picture

        return T.ColorTransform(degrade)


def _cast(image: np.ndarray) -> np.ndarray:
    return cv2.LUT(image, _to_uint8(_LEVELS[:, None, None] * np.random.uniform(0.75, 1.25, 3)).reshape(256, 1, 3))


def _blur(image: np.ndarray) -> np.ndarray:
    return cv2.GaussianBlur(image, (0, 0), np.random.uniform(0.3, 1.5))


def _noise(image: np.ndarray) -> np.ndarray:
    cv2.setRNGSeed(np.random.randint(2**31))
    height, width, channels = image.shape
    # As one channel: of several, OpenCV would give the strength to the first alone.
    noise = cv2.randn(np.empty((height, width * channels), np.int16), np.zeros(1), np.random.uniform(1, 12, 1))
    return cv2.add(image, noise.reshape(image.shape), dtype=cv2.CV_8U)


def _recompress(image: np.ndarray) -> np.ndarray:
    _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, int(np.random.randint(25, 80))])
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR))


def _grey(image: np.ndarray) -> np.ndarray:
    return cv2.transform(image, np.full((3, 3), 1 / 3))


def _to_uint8(image: np.ndarray) -> np.ndarray:
    return image.clip(0, 255).astype(np.uint8)


_DEFECTS = (_cast, _blur, _noise, _recompress, _grey)

"""Training images made worse, as photos come: another light, blurred, noisy, recompressed, grey."""

from __future__ import annotations

import cv2
import numpy as np
from detectron2.data import transforms as T

__all__ = ["Degradation"]


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
    return _to_uint8(image * np.random.uniform(0.75, 1.25, 3))


def _blur(image: np.ndarray) -> np.ndarray:
    return cv2.GaussianBlur(image, (0, 0), np.random.uniform(0.3, 1.5))


def _noise(image: np.ndarray) -> np.ndarray:
    return _to_uint8(image + np.random.normal(0, np.random.uniform(1, 12), image.shape))


def _recompress(image: np.ndarray) -> np.ndarray:
    _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, int(np.random.randint(25, 80))])
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR))


def _grey(image: np.ndarray) -> np.ndarray:
    return np.repeat(_to_uint8(image.mean(-1, keepdims=True)), 3, axis=-1)


def _to_uint8(image: np.ndarray) -> np.ndarray:
    return image.clip(0, 255).astype(np.uint8)


_DEFECTS = (_cast, _blur, _noise, _recompress, _grey)

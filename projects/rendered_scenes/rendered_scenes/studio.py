"""How a process opens its studio: from paths, which travel between processes, to what is heavy and cannot."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from .backgrounds import Backgrounds
from .body_model import BodyModel
from .garments import Wardrobe
from .gl_renderer import GLRenderer
from .motions import Motions
from .people import BodyShop
from .scene import Studio

__all__ = ["StudioMaker"]


@dataclass(frozen=True)
class StudioMaker:
    """motions: file of `Motions.save`; photos, panoramas: folders (see `Backgrounds`); clothes: archive of a
    `Wardrobe`."""

    motions: Path
    photos: tuple[Path, ...] = ()
    panoramas: tuple[Path, ...] = ()
    clothes: Path | None = None

    def __call__(self) -> Studio:
        import torch

        torch.set_num_threads(1)
        backgrounds = Backgrounds(list(self.photos), list(self.panoramas))
        model = BodyModel()
        wardrobe = None if self.clothes is None else Wardrobe(self.clothes, model)
        return Studio(BodyShop(model, Motions.load(self.motions), wardrobe), backgrounds, GLRenderer())

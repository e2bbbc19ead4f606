"""Photo-like pictures of people with exact annotations, for training: projects/rendered_scenes/README.md.

Needs the requirements.txt (anny, moderngl); the modules that use it say so when it is missing.
"""

from .motions import TEST_SUBJECTS, Motions, split_of
from .scene import SPLITS, RenderedPerson, RenderedScene, Studio

__all__ = ["SPLITS", "TEST_SUBJECTS", "Motions", "RenderedPerson", "RenderedScene", "Studio", "split_of"]

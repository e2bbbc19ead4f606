"""The paper's tables and figures: `reproduce.py` on Human3.6M and MPII, `findings.py` on rendered scenes."""

from .targets import TARGETS, reproduce

__all__ = ["TARGETS", "reproduce"]

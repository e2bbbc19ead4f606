"""The paper's tables and figures as experiments; `projects/reproduction/reproduce.py` is the command."""

from .targets import TARGETS, reproduce

__all__ = ["TARGETS", "reproduce"]

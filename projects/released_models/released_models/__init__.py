"""Published LCR-Net v2 and DOPE models: importing this registers the parts of their networks."""

from . import networks
from .dope import convert_dope, read_dope
from .lcrnet_v2 import convert_lcrnet_v2, read_lcrnet_v2

__all__ = ["convert_dope", "convert_lcrnet_v2", "networks", "read_dope", "read_lcrnet_v2"]

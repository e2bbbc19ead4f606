"""python -m lcrnet_d2 photo.jpg: the demo."""

from .demo import command

command()

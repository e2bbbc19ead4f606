"""python -m lcrnet_d2 photo.jpg: the demo."""

from lcrnet_d2.demo import command

command()

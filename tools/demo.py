#!/usr/bin/env python3
"""The demo, from a checkout: see --help, or lcrnet_d2/demo.py."""

from lcrnet_d2.demo import command

if __name__ == "__main__":
    command()

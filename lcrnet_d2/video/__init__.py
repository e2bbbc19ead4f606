"""Frames in and out, and people followed from frame to frame: identities and smoothed poses."""

"""Drawings of detected people: on the image, in 3D, and of the anchor poses. outputs/html_viewer.py is interactive."""

from .anchors import anchor_sheet
from .canvas import encoded_jpeg, write_image
from .overlay import LARGE_SPREAD_M, draw_people_2d, is_inferred, person_numbers
from .people_image import draw_people, draw_scene_3d
from .scene import FROM_CAMERA, FROM_SIDE, Scene, View, common_bounds, draw_view, scene_of

__all__ = [
    "FROM_CAMERA",
    "FROM_SIDE",
    "LARGE_SPREAD_M",
    "Scene",
    "View",
    "anchor_sheet",
    "common_bounds",
    "draw_people",
    "draw_people_2d",
    "draw_scene_3d",
    "draw_view",
    "encoded_jpeg",
    "is_inferred",
    "person_numbers",
    "scene_of",
    "write_image",
]

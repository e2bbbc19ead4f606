"""Pictures of detected people: on the image, in 3D, and of the anchor poses. outputs/html_viewer.py is interactive."""

from .anchors import anchor_sheet, draw_anchor_poses
from .certainty import LARGE_SPREAD_M, is_inferred, person_numbers
from .overlay import draw_people_2d
from .picture import draw_people, draw_scene_3d
from .picture_file import encoded_jpeg, write_picture
from .scene import FROM_CAMERA, FROM_SIDE, Scene, View, common_bounds, draw_view, scene_of

__all__ = [
    "FROM_CAMERA",
    "FROM_SIDE",
    "LARGE_SPREAD_M",
    "Scene",
    "View",
    "anchor_sheet",
    "common_bounds",
    "draw_anchor_poses",
    "draw_people",
    "draw_people_2d",
    "draw_scene_3d",
    "draw_view",
    "encoded_jpeg",
    "is_inferred",
    "person_numbers",
    "scene_of",
    "write_picture",
]

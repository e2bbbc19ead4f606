"""Pictures: 2D skeletons on the image (Detectron2's Visualizer), 3D poses beside it, anchor poses.

Shapes: N people, K anchor poses, J joints.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import torch
from detectron2.data import Metadata
from detectron2.structures import Instances
from detectron2.utils.visualizer import ColorMode, Visualizer
from torch import Tensor

from .placement import PinholeCamera, place_people
from .structures import AnchorPoses, Skeleton, bone_colour, pose_metadata

if TYPE_CHECKING:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from mpl_toolkits.mplot3d import Axes3D

__all__ = ["draw_anchor_poses", "draw_people", "draw_people_2d", "draw_people_3d", "draw_scene_3d"]


def draw_people_2d(image: np.ndarray, instances: Instances, skeleton: Skeleton) -> np.ndarray:
    """(H, W, 3) RGB with everyone's 2D pose, also where it leaves the image or was never seen.

    The number by a person is the probability, in per cent, that the best region is a person: S of Eq. 7
    is a sum and may exceed 1.
    """
    metadata = Metadata(name=f"{skeleton.name} for drawing").set(**pose_metadata(skeleton))
    visualizer = Visualizer(image, metadata, scale=max(1.0, 480 / min(image.shape[:2])), instance_mode=ColorMode.IMAGE)
    labels = [f"{100 * c:.0f}%" for c in instances.pred_confidences.tolist()]
    picture = visualizer.overlay_instances(
        boxes=instances.pred_boxes if len(instances) else None,
        keypoints=instances.pred_keypoints.numpy() if len(instances) else None,
        labels=labels if len(instances) else None,
        assigned_colors=[_person_colour(i) for i in range(len(instances))] or None,
    )
    return picture.get_image()


def _person_colour(number: int) -> tuple[float, float, float]:
    import matplotlib

    return matplotlib.colormaps["tab10"](number % 10)[:3]


def draw_people_3d(poses_3d: Tensor, skeleton: Skeleton, axes: Axes3D, azimuth: float) -> None:
    """Poses (N, J, 3) m in camera space on a 3D `axes`, the camera at the front; azimuth -90 looks along it."""
    poses = poses_3d.double().numpy()
    for number, pose in enumerate(poses):
        # The plot's axes: x to the right, depth to the back, up.
        x, depth, up = pose[:, 0], pose[:, 2], -pose[:, 1]
        for (a, b), bone in zip(skeleton.bone_indices, skeleton.bones, strict=True):
            colour = np.array(bone_colour(bone)) / 255
            axes.plot(x[[a, b]], depth[[a, b]], up[[a, b]], color=colour, linewidth=2)
        axes.plot(x, depth, up, "o", color=_person_colour(number), markersize=3)
    if len(poses):
        _equal_scale(axes, poses.reshape(-1, 3))
    axes.view_init(elev=8, azim=azimuth)
    axes.set(xlabel="x (m)", ylabel="z, away (m)", zlabel="up (m)")


def _equal_scale(axes: Axes3D, points: np.ndarray) -> None:
    plotted = points[:, [0, 2, 1]] * [1, 1, -1]
    centre = (plotted.min(0) + plotted.max(0)) / 2
    half = max(0.6, (plotted.max(0) - plotted.min(0)).max() / 2)
    for set_limits, c in zip((axes.set_xlim, axes.set_ylim, axes.set_zlim), centre, strict=True):
        set_limits(c - half, c + half)
    axes.set_box_aspect((1, 1, 1))


def draw_people(
    image: np.ndarray, instances: Instances, skeleton: Skeleton, camera: PinholeCamera | None
) -> np.ndarray:
    """(H', W', 3) RGB: the 2D overlay, and everyone in one 3D scene seen from the camera and from the side.

    Args:
        image: (H, W, 3) uint8 RGB.
        instances: people in px of the image.
        camera: for placing people (Fig. 7); None assumes the default field of view.
    """
    overlay = draw_people_2d(image, instances, skeleton)
    camera = camera or PinholeCamera.from_fov(instances.image_size)
    placed = place_people(instances.pred_keypoints[..., :2], instances.pred_poses_3d, camera)
    scene = (instances.pred_poses_3d + placed[:, None])[torch.isfinite(placed).all(1)]
    return np.concatenate([overlay, draw_scene_3d(scene, skeleton, overlay.shape[0])], axis=1)


def draw_scene_3d(poses_3d: Tensor, skeleton: Skeleton, height: int) -> np.ndarray:
    """(height, W, 3) RGB: people (N, J, 3) m in camera space, seen from the camera and from the side."""
    canvas = _canvas(2 * height, height)
    for column, (title, azimuth) in enumerate((("from the camera", -90), ("from the side", -5))):
        axes: Any = canvas.figure.add_subplot(1, 2, column + 1, projection="3d")
        draw_people_3d(poses_3d, skeleton, axes, azimuth)
        axes.set_title(title)
    return _rendered(canvas, height)


def draw_anchor_poses(anchors: AnchorPoses, path: str | Path, columns: int = 10) -> None:
    """Writes a sheet of the K full-body anchor poses in their boxes, largest cluster first."""
    order = anchors.cluster_sizes.argsort(descending=True)
    rows = -(-len(order) // columns)
    figure = _canvas(130 * columns, 150 * rows).figure
    for place, k in enumerate(order.tolist()):
        axes = figure.add_subplot(rows, columns, place + 1)
        pose = anchors.poses_2d[k].numpy()
        for (a, b), bone in zip(anchors.skeleton.bone_indices, anchors.skeleton.bones, strict=True):
            axes.plot(pose[[a, b], 0], pose[[a, b], 1], color=np.array(bone_colour(bone)) / 255)
        axes.set(xlim=(0, 1), ylim=(1, 0), xticks=[], yticks=[])
        size, distance = int(anchors.cluster_sizes[k]), 1000 * float(anchors.mean_distances[k])
        axes.set_title(f"{k}: {size} poses, {distance:.0f} mm", fontsize=6)
    figure.tight_layout()
    figure.savefig(path)


def _canvas(width: int, height: int) -> FigureCanvasAgg:
    """A figure of so many pixels that needs no screen and no global state of pyplot."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    return FigureCanvasAgg(Figure(figsize=(width / 100, height / 100), dpi=100))


def _rendered(canvas: FigureCanvasAgg, height: int) -> np.ndarray:
    canvas.figure.tight_layout()
    canvas.draw()
    picture = np.asarray(canvas.buffer_rgba())[..., :3]
    return cv2.resize(picture, (round(picture.shape[1] * height / picture.shape[0]), height))

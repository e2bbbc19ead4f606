"""One synthetic picture with exact annotations: `make_scene` (shapes: H, W pixels, J joints)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...structures import BODY13
from .articulation import PosedBody
from .background import paint_background
from .camera import Camera
from .composition import compose
from .figure import JOINT_THICKNESS, dress, sample_outfit
from .lighting import cast_shadows, degrade, sample_light, shade
from .renderer import Buffers, draw

__all__ = ["SPLITS", "SyntheticPerson", "SyntheticScene", "make_scene"]

#: The position of a split in this tuple is part of the seed of its scenes.
SPLITS = ("train", "val", "test")

_TOLERANCE = 0.03  # metres between the skin and the limb radius of JOINT_THICKNESS: clothes, bulges


@dataclass(frozen=True)
class SyntheticPerson:
    """One person, all of whose numbers follow from the drawn scene.

    Attributes:
        keypoints: (J, 2) continuous px, the projection of root_position + pose_3d; may lie outside the image.
        visibility: (J,) 2 where the joint's pixel shows this person's body around the joint; 1 where it is behind
            somebody, something or another part of the same body, or outside the image.
        pose_3d: (J, 3) metres, camera axes (x right, y down, z away), relative to the body centre.
        root_position: (3,) metres, the body centre in camera axes.
        box: (4,) x1 y1 x2 y2 px around the visible silhouette.
        num_pixels: of the visible silhouette.
    """

    keypoints: np.ndarray
    visibility: np.ndarray
    pose_3d: np.ndarray
    root_position: np.ndarray
    box: np.ndarray
    num_pixels: int


@dataclass(frozen=True)
class SyntheticScene:
    """image: (H, W, 3) uint8 BGR; people: those of whom at least one pixel is seen."""

    image: np.ndarray
    camera: Camera
    people: list[SyntheticPerson]


def make_scene(split: str, seed: int, index: int, image_size: tuple[int, int] = (240, 320)) -> SyntheticScene:
    """Scene `index` of a split; it depends on nothing but the arguments.

    Args:
        split: one of SPLITS.
        image_size: (H, W).

    Raises:
        ValueError: no such split.
    """
    if split not in SPLITS:
        raise ValueError(f"no synthetic split {split!r}; there are {SPLITS}")
    rng = np.random.default_rng([seed, SPLITS.index(split), index])
    composition = compose(rng, image_size)
    camera, light = composition.camera, sample_light(rng)
    buffers = Buffers(camera)
    seen_from_camera = [body.moved(camera.rotation, np.zeros(3)) for body in composition.bodies]
    for owner, body in enumerate(seen_from_camera, start=1):
        for part in dress(body, sample_outfit(rng, body), owner):
            draw(buffers, part)
    for thing in composition.things:
        draw(buffers, thing)
    people = [annotate(body, owner, buffers) for owner, body in enumerate(seen_from_camera, start=1)]
    background = paint_background(rng, camera, cast_shadows(composition.bodies, camera, light))
    image = degrade(rng, shade(buffers, light, background))
    return SyntheticScene(image, camera, [person for person in people if person is not None])


def annotate(body: PosedBody, owner: int, buffers: Buffers) -> SyntheticPerson | None:
    """Annotation of a body (camera axes) after everything has been drawn; None if no pixel of it is seen.

    3D is rounded to a micrometre before it is projected, so that written and computed numbers agree.
    """
    rows, columns = np.nonzero(buffers.owner == owner)
    if len(rows) == 0:
        return None
    joints = body.joints()
    root = joints[BODY13.torso].mean(0).round(6)
    pose_3d = (joints - root).round(6)
    joints = root + pose_3d
    keypoints = buffers.camera.project(joints)
    return SyntheticPerson(
        keypoints=keypoints,
        visibility=joint_visibility(joints, keypoints, joint_radii(body), owner, buffers),
        pose_3d=pose_3d,
        root_position=root,
        box=np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1], float),
        num_pixels=len(rows),
    )


def joint_radii(body: PosedBody) -> np.ndarray:
    """(J,) metres from each joint of BODY13 to the skin."""
    return np.array([body.shape.thickness(JOINT_THICKNESS[name.split("_")[-1]]) for name in BODY13.joints])


def joint_visibility(
    joints: np.ndarray, keypoints: np.ndarray, radii: np.ndarray, owner: int, buffers: Buffers
) -> np.ndarray:
    """(J,) 2 or 1, see `SyntheticPerson.visibility`.

    A joint is seen if its pixel belongs to its owner and the surface there is no farther in front of the joint
    than the limb is thick: a knee behind one's own other thigh is not.
    """
    inside = buffers.camera.contains(keypoints)
    columns, rows = np.where(inside[:, None], keypoints, 0.0).astype(int).T
    in_front = joints[:, 2] - buffers.depth[rows, columns]
    seen = inside & (buffers.owner[rows, columns] == owner) & (in_front <= radii + _TOLERANCE)
    return np.where(seen, 2, 1)

"""Everything that was found in some images or a video, written in the kinds of files asked for."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from ..detected_people import DetectedPeople
from ..placement import Camera, PinholeCamera
from ..structures import Skeleton
from ..structures.pose_geometry import UP_TO_CAMERA
from .floor import Floor, find_floor
from .keypoint_files import write_coco_results, write_openpose
from .pose_csv import write_csv
from .pose_file import PosedImage, write_poses, write_poses_npz
from .skeleton_conversion import convert_people

__all__ = ["FILE_KINDS", "MOTION_KINDS", "PoseExport", "default_camera", "write_pose_files"]

#: poses.json, poses.npz, poses.csv, person_NNN.bvh for every identity, people.glb, coco_results.json, openpose/.
FILE_KINDS = ("json", "npz", "csv", "bvh", "gltf", "coco", "openpose")
#: Those of a video's people, followed from frame to frame.
MOTION_KINDS = {"bvh", "gltf"}


def default_camera(people: DetectedPeople) -> PinholeCamera:
    """The camera that nothing is known about: `DEFAULT_FOV` along the longer side."""
    return PinholeCamera.from_fov(people.image_size)


def write_pose_files(
    folder: Path,
    images: Sequence[PosedImage],
    skeleton: Skeleton,
    kinds: Collection[str],
    fps: float | None = None,
    floor: Floor | None = None,
) -> None:
    """
    Args:
        folder: for the files; each is written whole or not at all.
        images: in the joints of the model.
        skeleton: joints of json, npz and csv; the others have skeletons of their own.
        kinds: of `FILE_KINDS`.
        fps: frames per second of bvh and gltf, into whose steady rate the frames' own times are brought.
        floor: for joints in world coordinates: in the json, and of bvh and gltf.

    Raises:
        ValueError: a kind that there is not; `MOTION_KINDS` of images that are no frames, or without fps.
    """
    unknown = sorted(set(kinds) - set(FILE_KINDS))
    motion = sorted(MOTION_KINDS & set(kinds))
    if unknown or (motion and not fps):
        raise ValueError(f"cannot write {unknown or f'{motion[0]} without fps'}; kinds are {FILE_KINDS}")
    converted = [_in_joints_of(skeleton, image) for image in images]
    if "json" in kinds:
        write_poses(folder / "poses.json", converted, skeleton, floor)
    if "npz" in kinds:
        write_poses_npz(folder / "poses.npz", converted, skeleton)
    if "csv" in kinds:
        write_csv(folder / "poses.csv", converted)
    if "coco" in kinds:
        write_coco_results(folder / "coco_results.json", images)
    if "openpose" in kinds:
        write_openpose(folder / "openpose", images)
    if motion and fps:
        from .pose_bvh import motions_by_identity, write_bvh  # loads SciPy, which nothing else here needs

        motions = {i: motion for i, motion in motions_by_identity(images, fps).items() if len(motion.frames)}
        if floor is not None:  # they are turned to y up once more
            stand = {i: floor.to_world(motion.poses_3d) @ UP_TO_CAMERA["y"] for i, motion in motions.items()}
            motions = {i: motion._replace(poses_3d=stand[i]) for i, motion in motions.items()}
        for identity, motion in motions.items() if "bvh" in kinds else ():
            write_bvh(folder / f"person_{identity:03d}.bvh", motion.poses_3d, fps)
        if "gltf" in kinds and motions:
            from .pose_gltf import write_gltf

            write_gltf(folder / "people.glb", motions, fps)


@dataclass
class PoseExport:
    """Collects the people of image after image and writes their files in the end, also if something stops it.

    Of no images there are no files: an empty one would take the place of a former one.

    Attributes:
        folder, skeleton, kinds, fps: of `write_pose_files`.
        camera_of: the camera that took the image the people are in.
        with_floor: write world coordinates, above the floor that everyone's feet show.
        images: what was added, people placed before their camera, in the joints of the model.
    """

    folder: Path
    skeleton: Skeleton
    kinds: Collection[str] = ("json", "npz")
    camera_of: Callable[[DetectedPeople], Camera] = default_camera
    fps: float | None = None
    with_floor: bool = False
    images: list[PosedImage] = field(default_factory=list, init=False)

    def add(self, image: PosedImage) -> DetectedPeople | None:
        """Its people as the files will have them: placed (Fig. 7), in the joints asked for."""
        if image.people is not None:
            image = replace(image, people=image.people.placed(self.camera_of(image.people)))
        self.images.append(image)
        return _in_joints_of(self.skeleton, image).people

    def __enter__(self) -> PoseExport:
        return self

    def __exit__(self, *_: object) -> None:
        if self.images:
            write_pose_files(self.folder, self.images, self.skeleton, self.kinds, self.fps, self._floor())

    def _floor(self) -> Floor | None:
        if not self.with_floor:
            return None
        floor = find_floor([image.people for image in self.images if image.people is not None])
        if floor is None:
            logging.getLogger(__name__).warning("nobody's feet are seen: no floor, and no world coordinates")
        return floor


def _in_joints_of(skeleton: Skeleton, image: PosedImage) -> PosedImage:
    if image.people is None or image.people.skeleton == skeleton:
        return image
    return replace(image, people=convert_people(image.people, skeleton.name))

"""Human3.6M: cameras, protocols, choice of frames, and from a take to dataset dicts.

Shapes: F frames of a take, 17 joints (H36M17). The files are read in human36m_files.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from detectron2.structures import BoxMode

from lcrnet_d2.data.datasets.pose_json import PoseFileError
from lcrnet_d2.structures import BODY13, H36M17, PIXEL_CENTRE, body_centre, margin_box, pose_distance

from .records import Result

__all__ = [
    "ACTIONS",
    "CAMERAS",
    "CORRUPT_TAKES",
    "JOINTS_OF_32",
    "PROTOCOLS",
    "Camera",
    "Choice",
    "Take",
    "TakeName",
    "take_records",
]

#: Serial numbers of cameras 1 to 4.
CAMERAS = ("54138969", "55011271", "58860488", "60457274")
#: Pictures of cameras 1 and 4 are two rows higher.
IMAGE_SIZES = {serial: (1000, 1002 if serial in (CAMERAS[0], CAMERAS[3]) else 1000) for serial in CAMERAS}
ACTIONS = (
    *("Directions", "Discussion", "Eating", "Greeting", "Phoning", "Photo", "Posing", "Purchases"),
    *("Sitting", "SittingDown", "Smoking", "Waiting", "WalkDog", "WalkTogether", "Walking"),
)
_OTHER_NAMES = {"TakingPhoto": "Photo", "WalkingDog": "WalkDog"}
#: Of the 32 recorded joints, those that move by themselves, in the order of H36M17.
JOINTS_OF_32 = (0, 1, 2, 3, 6, 7, 8, 12, 13, 14, 15, 17, 18, 19, 25, 26, 27)
#: (subject, take) whose 3D is 200 mm off (S9) or whose video is partly corrupt (S11).
CORRUPT_TAKES = {("S9", "SittingDown 1"), ("S9", "Waiting 1"), ("S9", "Greeting"), ("S11", "Directions")}


@dataclass(frozen=True)
class TakeName:
    """Which recording. `take` is the file's name ("Directions 1"), `trial` 1 or 2; None where it is not known."""

    subject: str
    action: str
    camera: str
    take: str | None = None
    trial: int | None = None

    @classmethod
    def of_take(cls, subject: str, take: str, camera: str, trial: int | None = None) -> TakeName:
        """From a file's name; the two actions that some subjects' files name otherwise get their usual name."""
        action = take.rsplit(" ", 1)[0] if take[-1].isdigit() else take
        return cls(subject, _OTHER_NAMES.get(action, action), camera, take, trial)

    def __str__(self) -> str:
        return f"{self.subject} {self.take or self.action} (trial {self.trial}), camera {self.camera}"


@dataclass(frozen=True)
class Choice:
    """Which takes, and which of their frames.

    Attributes:
        subjects, cameras (serial numbers), actions: what to take of each.
        trial: 1 or 2, or None for both.
        step: frames whose number, from 0 at the 50 per second of the videos, is a multiple of this.
        min_distance: of those, only the ones whose pose is this far (D, metres) from the last one taken.
        skip_corrupt: leave `CORRUPT_TAKES` out.
    """

    subjects: tuple[str, ...]
    cameras: tuple[str, ...] = CAMERAS
    actions: tuple[str, ...] = ACTIONS
    trial: int | None = None
    step: int = 1
    min_distance: float = 0.0
    skip_corrupt: bool = False

    def wants(self, name: TakeName) -> bool:
        """Whether a take is chosen.

        Raises:
            ValueError: a trial, or a corrupt take, is to be told apart and the layout does not say which it is.
        """
        if name.subject not in self.subjects or name.camera not in self.cameras or name.action not in self.actions:
            return False
        if self.trial is not None and name.trial is None:
            raise ValueError(f"{name}: which trial it is stands in metadata.xml; give it with --metadata")
        if self.skip_corrupt and name.take is None:
            raise ValueError(f"{name}: which take it is stands in metadata.xml; give it with --metadata")
        if self.skip_corrupt and (name.subject, name.take) in CORRUPT_TAKES:
            return False
        return self.trial in (None, name.trial)

    def frames(self, numbers: np.ndarray, poses_3d: torch.Tensor) -> list[int]:
        """Positions of the chosen frames. numbers: (F,) from 0; poses_3d: (F, J, 3) m, body-centred."""
        chosen: list[int] = []
        for i in np.flatnonzero(numbers % self.step == 0).tolist():
            last = poses_3d[chosen[-1:]]
            if not chosen or float(pose_distance(poses_3d[i : i + 1], last)) >= self.min_distance:
                chosen.append(i)
        return chosen


_P2_TRAIN = ("S1", "S5", "S6", "S7", "S8")
#: Sec. 4.1: {protocol: (training, test)}. "Camera 2" and "camera 3" are counted from 1.
PROTOCOLS: dict[str, tuple[Choice, Choice]] = {
    "P1": (Choice((*_P2_TRAIN, "S9")), Choice(("S11",), cameras=CAMERAS[1:2], step=64)),
    "P2": (Choice(_P2_TRAIN), Choice(("S9", "S11"), step=5)),
    # The frames of P3 are not said in the paper; every fifth as in P2.
    "P3": (Choice(_P2_TRAIN), Choice(("S9", "S11"), cameras=CAMERAS[2:3], trial=1, step=5)),
}


@dataclass(frozen=True)
class Camera:
    """Intrinsics and, where known, its place in the studio.

    Attributes:
        focal, centre: (2,) px, pixel indices; radial: (3,), tangential: (2,) distortion, zeros where none is given.
        rotation, position: (3, 3) and (3,) m: a world point X is rotation (X - position) in the camera's axes,
            x right, y down, z away, as they are everywhere in this package.
    """

    focal: np.ndarray
    centre: np.ndarray
    radial: np.ndarray
    tangential: np.ndarray
    rotation: np.ndarray | None = None
    position: np.ndarray | None = None

    def to_camera(self, points: np.ndarray) -> np.ndarray:
        """(..., 3) m in camera space of points (..., 3) m in the studio."""
        if self.rotation is None or self.position is None:
            raise ValueError("this camera's place is not known; give metadata.xml with --metadata")
        return (points - self.position) @ self.rotation.T

    def project(self, points: np.ndarray) -> np.ndarray:
        """(..., 2) pixel indices of (..., 3) m in camera space, with the lens's distortion.

        The tangential terms have no factor 2 on the products, unlike OpenCV's: the set's own 2D positions were
        made so. At these lenses (0.001) the difference stays below 0.3 px.
        """
        plane = points[..., :2] / points[..., 2:]
        r2 = (plane**2).sum(-1, keepdims=True)
        radial = 1 + r2 * (self.radial[0] + r2 * (self.radial[1] + r2 * self.radial[2]))
        tangential = self.tangential[::-1]
        bent = plane * (radial + (plane * tangential).sum(-1, keepdims=True)) + tangential * r2
        return bent * self.focal + self.centre


@dataclass(frozen=True)
class Take:
    """One take seen by one camera.

    Attributes:
        poses_3d: (F, 17, 3) m, camera space.
        poses_2d: (F, 17, 2) pixel indices.
        frames: (F,) numbers from 0 at 50 per second; images: F file names; size: (width, height) px.
    """

    name: TakeName
    poses_3d: np.ndarray
    poses_2d: np.ndarray
    frames: np.ndarray
    images: list[str]
    camera: Camera
    size: tuple[int, int]


def take_records(take: Take, choice: Choice, head: int = 9) -> Iterator[Result]:
    """Dataset dicts of the chosen frames, one measured person each; or the error of a take without those frames.

    v is 1 for all joints: nothing says which are hidden. The box is the margin box of the 13 joints.

    Args:
        head: number of the head joint among the 17: 9, in the middle of the head, or 10, its top.
    """
    if head not in (9, 10):
        raise ValueError(f"head joint {head}, expected 9 (middle of the head) or 10 (its top)")
    held = int(np.gcd.reduce(take.frames))  # of a layout that was thinned out before: 5 in mmpose's fps10
    if choice.step > 1 and held > 1 and choice.step % held:
        reason = f"holds only every {held}th frame, few of which are an every {choice.step}th of all"
        yield PoseFileError(f"{take.name} {reason}; give a --step that {held} divides, or the file of all frames")
        return
    take = replace(take, poses_3d=_with_head(take.poses_3d, head), poses_2d=_with_head(take.poses_2d, head))
    poses_3d, _ = BODY13.convert_from(H36M17, torch.from_numpy(take.poses_3d))
    poses_2d, _ = BODY13.convert_from(H36M17, torch.from_numpy(take.poses_2d))
    roots = body_centre(poses_3d, BODY13)
    poses_3d, poses_2d = poses_3d - roots[:, None], poses_2d + PIXEL_CENTRE
    for i in choice.frames(take.frames, poses_3d):
        keypoints = torch.cat([poses_2d[i], torch.ones(len(BODY13), 1)], 1)
        person = {
            "bbox": margin_box(poses_2d[i]).tolist(),
            "bbox_mode": BoxMode.XYXY_ABS,
            "category_id": 0,
            "iscrowd": 0,
            "keypoints": keypoints.flatten().tolist(),
            "pose_3d": poses_3d[i].numpy().astype(np.float32),
            "pose_3d_source": "measured",
            "root_position": roots[i].numpy().round(5),
        }
        yield _image(take, i) | {"annotations": [person]}


def _image(take: Take, i: int) -> dict[str, Any]:
    """A dataset dict of the i-th frame, without its person."""
    (fx, fy), (cx, cy) = take.camera.focal.tolist(), (take.camera.centre + PIXEL_CENTRE).tolist()
    return {
        "file_name": take.images[i],
        "image_id": take.images[i],
        "width": take.size[0],
        "height": take.size[1],
        "camera": {"fx": fx, "fy": fy, "cx": cx, "cy": cy},
        "subject": take.name.subject,
        "action": take.name.action,
        "camera_serial": take.name.camera,
        "frame": int(take.frames[i]),
        "trial": take.name.trial,
    }


def _with_head(poses: np.ndarray, head: int) -> np.ndarray:
    """(F, 17, d) with the chosen joint where H36M17 has "head"."""
    poses = poses.astype(np.float64)
    poses[:, H36M17.index("head")] = poses[:, head]
    return poses

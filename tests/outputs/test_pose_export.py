from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lcrnet_d2.outputs.pose_bvh import motions_by_identity
from lcrnet_d2.outputs.pose_export import PoseExport, write_pose_files
from lcrnet_d2.outputs.pose_file import PosedImage, read_poses
from lcrnet_d2.structures import BODY13, COCO17
from people_support import standing_people
from sources.mocap.bvh import read_bvh


def walk(frames: list[int], identities: list[int], lift: float = 0.0) -> list[PosedImage]:
    """Standing people that shift by 10 px a frame, in the frames given."""
    images = []
    for frame in frames:
        people = standing_people(len(identities), x=100 + 10 * frame)
        images.append(PosedImage("v.mp4", replace(people, identities=np.array(identities)), "", frame, frame / 10))
    return images


def test_motions_are_cut_by_identity_and_gaps_filled_evenly() -> None:
    images = [*walk([2], [7, 3]), PosedImage("v.mp4", None, "broken", 3, 0.3), *walk([4, 6], [3, 7])]
    moved = [
        i if i.people is None else replace(i, people=replace(i.people, poses_3d=i.people.poses_3d + i.frame))
        for i in images
    ]
    motions = motions_by_identity(moved, fps=10)
    assert list(motions) == [3, 7]
    motion = motions[7]
    assert motion.frames.tolist() == [2, 3, 4, 5, 6]
    assert motion.is_filled.tolist() == [False, True, False, True, False]
    steps = np.diff(motion.poses_3d - motion.poses_3d[0], axis=0)
    np.testing.assert_allclose(steps, np.ones_like(steps), atol=1e-6)  # a metre a frame, as in the frames known


def test_motions_follow_the_frames_own_times() -> None:
    """A telephone's frames at 0, 0.1 and 0.5 s, a metre a second: at 10 a second the pause is 4 frames long."""
    images = []
    for frame, time in enumerate((0.0, 0.1, 0.5)):
        people = replace(standing_people(1), identities=np.array([0]))
        images.append(PosedImage("v.mp4", replace(people, poses_3d=people.poses_3d + time), "", frame, time))
    motion = motions_by_identity(images, fps=10)[0]
    assert motion.frames.tolist() == [0, 1, 2, 3, 4, 5]
    assert motion.is_filled.tolist() == [False, False, True, True, True, False]
    np.testing.assert_allclose(np.diff(motion.poses_3d, axis=0), 0.1, atol=1e-6)


def test_motions_need_frames_and_identities() -> None:
    for people in (standing_people(1), replace(standing_people(1), identities=np.array([0]))):
        with pytest.raises(ValueError, match="frames of a video and people with identities"):
            motions_by_identity([PosedImage("a.jpg", people)], fps=10)
    with pytest.raises(ValueError, match="frames of a video"):
        motions_by_identity([PosedImage("v.mp4", standing_people(1), "", 0, 0.0)], fps=10)


def test_everything_is_written_in_the_end_though_something_stops_it(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), PoseExport(tmp_path, COCO17, ("json", "bvh"), fps=10) as export:
        for image in walk([0, 1, 2], [0, 1]):
            people = export.add(image)
            assert people is not None and people.skeleton is COCO17 and people.translations is not None
        export.add(PosedImage("v.mp4", None, "frame 3 does not decode", 3, 0.3))
        raise KeyboardInterrupt
    read = read_poses(tmp_path / "poses.json")
    assert len(read) == 4 and read[0].people is not None and read[0].people.skeleton is COCO17
    assert sorted(p.name for p in tmp_path.iterdir()) == ["person_000.bvh", "person_001.bvh", "poses.json"]
    take = read_bvh(tmp_path / "person_001.bvh")
    assert len(take) == 3 and take.fps == pytest.approx(10)
    # The camera of 60 degrees has a focal length of 277 px: 100 px a metre are 2.8 m away.
    depth = take.poses_3d[:, BODY13.torso].mean((0, 1))[2]
    assert depth == pytest.approx(2.77, abs=0.1)


def test_kinds_that_there_are_not(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="xml"):
        write_pose_files(tmp_path, [], BODY13, ["json", "xml"])
    with pytest.raises(ValueError, match="bvh without fps"):
        write_pose_files(tmp_path, [], BODY13, ["bvh"])
    with pytest.raises(ValueError, match="there are"):
        write_pose_files(tmp_path, walk([0], [0]), replace(BODY13, name="NOBODY"), ["json"])
    assert not list(tmp_path.iterdir())

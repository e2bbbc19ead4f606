"""From what the teacher finds to the one JSON; the networks are made up, what is decided is not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from detectron2.structures import BoxMode
from PIL import Image

import label_photos
from label_photos import Person, add_people, agreed_joints, distinct, labelled
from lcrnet_d2.data.datasets.pose_json import load_pose_json
from lcrnet_d2.structures import BODY13, COCO17
from movenet import PeopleFound
from sources.records import person_from_joints, write_records

BOX = np.array([0.0, 0.0, 100.0, 100.0])  # root of the area: 100 px


def joints(x: float = 50.0, score: float = 0.9) -> np.ndarray:
    """(17, 3): one below the other."""
    return np.stack([np.full(17, x), np.arange(17) * 5.0 + 10, np.full(17, score)], 1)


def test_joints_both_agree_on_are_seen_and_the_others_not_annotated() -> None:
    found, alone = joints(), joints(x=52.0)
    alone[3, 0] += 20  # a fifth of the person: they do not agree
    alone[4, 2] = 0.2  # Thunder does not see it
    agreed = agreed_joints(found, alone, BOX)
    assert agreed is not None
    assert np.flatnonzero(agreed[:, 2] == 0).tolist() == [3, 4]
    assert (agreed[:, :2] == alone[:, :2]).all() and set(agreed[:, 2]) == {0.0, 2.0}


def test_people_on_whom_they_do_not_agree_are_in_doubt() -> None:
    assert agreed_joints(joints(), joints(x=80.0), BOX) is None
    few = joints()
    few[3:, 2] = 0.1
    assert agreed_joints(joints(), few, BOX) is None


def test_a_person_found_twice_is_one() -> None:
    boxes = np.array([BOX, BOX + [2, 0, 2, 0], BOX + [300, 0, 300, 0]])
    people = np.stack([joints(), joints(x=52), joints(x=350)])
    kept = distinct(PeopleFound(people, boxes, np.array([0.9, 0.8, 0.7])))
    assert kept.scores.tolist() == [0.9, 0.7]


class MadeUpTeacher:
    """Knows who is in which image by its colour."""

    def __init__(self, people: dict[int, list[Person]]) -> None:
        self._people = people

    def people(self, image: np.ndarray) -> list[Person]:
        return self._people[int(image[0, 0, 0])]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for name, colour in (("nobody", 0), ("somebody", 100), ("doubt", 200)):
        Image.new("RGB", (160, 120), (colour,) * 3).save(tmp_path / f"{name}.png")
    (tmp_path / "broken.jpg").write_bytes(b"no photo")
    return tmp_path


def seen(x: float, unseen: int) -> Person:
    """A person with some first joints not annotated."""
    points = joints(x)
    points[:, 2] = 2.0
    points[:unseen, 2] = 0.0
    return Person(np.array([x - 10, 5, x + 10, 110]), points)


def test_labels_go_to_the_one_json_and_back(photos: Path) -> None:
    teacher: Any = MadeUpTeacher({0: [], 100: [seen(40.0, 6)], 200: [Person(BOX, None)]})
    records = labelled(label_photos.unlabelled(photos), photos, teacher, False)
    assert write_records(photos / "out.json", records, {"source": "a test"}) == 0
    read = {Path(r["file_name"]).stem: r["annotations"] for r in load_pose_json(photos / "out.json", photos, BODY13)}
    assert set(read) == {"nobody", "somebody", "doubt"} and read["nobody"] == []
    assert read["doubt"] == [{"bbox": BOX.tolist(), "bbox_mode": BoxMode.XYXY_ABS, "category_id": 0, "iscrowd": 1}]
    (person,) = read["somebody"]
    keypoints = np.array(person["keypoints"]).reshape(-1, 3)
    left_shoulder, right_shoulder, wrist = (BODY13.index(f) for f in ("left_shoulder", "right_shoulder", "left_wrist"))
    assert keypoints[left_shoulder].tolist() == [0.5, 0.5, 0.0] and keypoints[BODY13.index("head"), 2] == 0
    for joint in (right_shoulder, wrist):
        index = COCO17.index(BODY13.joints[joint])
        assert keypoints[joint].tolist() == [40.5, index * 5 + 10.5, 2.0]
    assert person["bbox"][0] == 30 and person["bbox"][2] == 50 and "pose_3d" not in person


def test_where_there_are_people_everywhere_photos_of_nobody_are_left_out(photos: Path) -> None:
    teacher: Any = MadeUpTeacher({0: [], 100: [seen(40.0, 0)], 200: [Person(BOX, None)]})
    records = list(labelled(label_photos.unlabelled(photos), photos, teacher, True))
    assert [r["file_name"] for r in records if isinstance(r, dict)] == ["somebody.png"]
    assert sum("sure of nobody" in str(r) for r in records) == 2


def partly_annotated() -> dict[str, Any]:
    person = person_from_joints(joints(40.0)[:, :2], np.full(17, 2.0), COCO17)
    return {"image_id": 1, "partly_annotated": True, "annotations": [person]}


def test_the_annotated_person_stays_and_others_are_added() -> None:
    before = partly_annotated()
    after = add_people(before, [seen(41.0, 0), seen(120.0, 0), Person(BOX + [200, 0, 200, 0], None)])
    assert after["annotations"][0] == before["annotations"][0]
    assert [a["iscrowd"] for a in after["annotations"]] == [0, 0, 1]
    assert after["partly_annotated"] is False


def test_an_image_whose_annotated_person_the_teacher_misses_stays_partly_annotated() -> None:
    after = add_people(partly_annotated(), [seen(120.0, 0)])
    assert after["partly_annotated"] is True and len(after["annotations"]) == 2


def test_who_overlaps_an_annotated_person_in_another_pose_is_in_doubt() -> None:
    other = seen(44.0, 0)
    assert other.joints is not None
    other.joints[:, 1] = other.joints[::-1, 1]  # head down
    record = partly_annotated()
    record["annotations"][0]["bbox"] = [36.0, 0.0, 44.0, 110.0]
    after = add_people(record, [Person(np.array([36.0, 0.0, 47.0, 60.0]), other.joints)])  # IoU 0.45
    assert [a["iscrowd"] for a in after["annotations"]] == [0, 1]


def test_nothing_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(label_photos, "Teacher", lambda *arguments: MadeUpTeacher({}))
    arguments = [str(tmp_path), "--teacher", str(tmp_path), "--output", str(tmp_path / "out.json")]
    assert label_photos.main(arguments) == 1
    assert not (tmp_path / "out.json").exists()

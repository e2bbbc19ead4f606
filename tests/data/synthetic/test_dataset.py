import json

import cv2
import numpy as np
import pytest

from lcrnet_d2.data.datasets.pose_json import load_pose_json, read_pose_info
from lcrnet_d2.data.synthetic import dataset
from lcrnet_d2.data.synthetic.dataset import (
    ANNOTATIONS,
    GENERATOR_VERSION,
    make_synthetic_set,
    synthetic_dataset_dicts,
)
from lcrnet_d2.data.synthetic.scene import make_scene
from lcrnet_d2.structures import BODY13

SIZE = (96, 128)


def test_a_set_can_be_read_back_as_it_was_drawn(tmp_path):
    make_synthetic_set(tmp_path / "set", "val", 3, seed=4, image_size=SIZE)
    dicts = load_pose_json(tmp_path / "set" / ANNOTATIONS, tmp_path / "set", BODY13)
    assert [record["image_id"] for record in dicts] == [0, 1, 2]
    for index, record in enumerate(dicts):
        scene = make_scene("val", 4, index, SIZE)
        image = cv2.imread(record["file_name"])
        assert image.shape == (*SIZE, 3) and (record["height"], record["width"]) == SIZE
        assert np.abs(image.astype(float) - scene.image).mean() < 8  # JPEG
        assert len(record["annotations"]) == len(scene.people)
        for annotation, person in zip(record["annotations"], scene.people, strict=True):
            keypoints = np.array(annotation["keypoints"]).reshape(-1, 3)
            assert keypoints[:, 2].tolist() == person.visibility.tolist()
            assert annotation["bbox"] == pytest.approx(person.box.tolist())
            assert annotation["pose_3d_source"] == "synthetic"
            fx, fy, cx, cy = (record["camera"][name] for name in ("fx", "fy", "cx", "cy"))
            x, y, z = (annotation["pose_3d"] + np.array(annotation["root_position"])).T
            assert keypoints[:, 0] == pytest.approx(fx * x / z + cx, abs=1e-3)
            assert keypoints[:, 1] == pytest.approx(fy * y / z + cy, abs=1e-3)


def test_a_set_is_the_same_whatever_the_number_of_processes(tmp_path, monkeypatch):
    monkeypatch.setattr(dataset, "_IMAGES_WORTH_A_PROCESS", 2)
    threads = cv2.getNumThreads()
    for workers in (1, 2):
        make_synthetic_set(tmp_path / str(workers), "train", 4, seed=0, image_size=SIZE, num_workers=workers)
    files = [ANNOTATIONS, *(f"images/{index:06d}.jpg" for index in range(4))]
    for file in files:
        assert (tmp_path / "1" / file).read_bytes() == (tmp_path / "2" / file).read_bytes()
    assert cv2.getNumThreads() == threads


def test_a_set_is_made_once_and_again_only_if_asked_for_otherwise(tmp_path, monkeypatch, caplog):
    folder = tmp_path / "set"
    first = synthetic_dataset_dicts(folder, "test", 2, seed=0, image_size=SIZE)
    written = (folder / ANNOTATIONS).stat().st_mtime_ns
    again = synthetic_dataset_dicts(folder, "test", 2, seed=0, image_size=SIZE)
    assert (folder / ANNOTATIONS).stat().st_mtime_ns == written
    assert [r["file_name"] for r in first] == [r["file_name"] for r in again]
    with caplog.at_level("INFO"):
        synthetic_dataset_dicts(folder, "test", 2, seed=1, image_size=SIZE)
    assert "seed 0, not 1" in caplog.text
    assert read_pose_info(folder / ANNOTATIONS)["synthetic"]["seed"] == 1
    monkeypatch.setattr(dataset, "GENERATOR_VERSION", GENERATOR_VERSION + 1)
    synthetic_dataset_dicts(folder, "test", 2, seed=1, image_size=SIZE)
    assert read_pose_info(folder / ANNOTATIONS)["synthetic"]["generator_version"] == GENERATOR_VERSION + 1


def test_a_broken_annotation_file_is_made_again(tmp_path):
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / ANNOTATIONS).write_text('{"info": ')
    assert len(synthetic_dataset_dicts(tmp_path / "set", "val", 1, seed=0, image_size=SIZE)) == 1


def test_an_interrupted_set_leaves_nothing_and_keeps_the_old_one(tmp_path, monkeypatch):
    folder = tmp_path / "set"
    make_synthetic_set(folder, "val", 1, seed=0, image_size=SIZE)
    before = json.loads((folder / ANNOTATIONS).read_text())

    def fails(split, seed, index, image_size):
        raise OSError("disk full")

    monkeypatch.setattr(dataset, "make_scene", fails)
    with pytest.raises(OSError, match="disk full"):
        make_synthetic_set(folder, "val", 2, seed=9, image_size=SIZE)
    assert [path.name for path in tmp_path.iterdir()] == ["set"]
    assert json.loads((folder / ANNOTATIONS).read_text()) == before


def test_other_ranks_wait_for_rank_0_and_say_so_if_it_never_delivers(tmp_path, monkeypatch):
    monkeypatch.setattr(dataset.comm, "is_main_process", lambda: False)
    monkeypatch.setattr(dataset, "_WAIT_S", 0.0)
    with pytest.raises(TimeoutError, match="rank 0.*there is none"):
        synthetic_dataset_dicts(tmp_path / "set", "val", 1, seed=0, image_size=SIZE)
    make_synthetic_set(tmp_path / "set", "val", 1, seed=0, image_size=SIZE)
    assert len(synthetic_dataset_dicts(tmp_path / "set", "val", 1, seed=0, image_size=SIZE)) == 1


@pytest.mark.parametrize(("split", "num_images"), [("dev", 1), ("train", 0)])
def test_nonsense_is_refused(tmp_path, split, num_images):
    with pytest.raises(ValueError, match=split):
        make_synthetic_set(tmp_path / "set", split, num_images, seed=0)

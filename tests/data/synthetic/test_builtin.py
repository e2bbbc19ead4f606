from pathlib import Path

import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog

from lcrnet_d2.data.synthetic import SyntheticSet, register_synthetic_sets
from lcrnet_d2.structures import BODY13

TINY = (SyntheticSet("tiny_synthetic_for_test", "val", 2, seed=3, image_size=(96, 128)),)


@pytest.fixture
def tiny(tmp_path):
    register_synthetic_sets(tmp_path, TINY)
    yield TINY[0].name
    DatasetCatalog.remove(TINY[0].name)
    MetadataCatalog.remove(TINY[0].name)


def test_a_registered_set_is_made_when_it_is_first_used(tiny, tmp_path):
    assert list(tmp_path.iterdir()) == []
    assert len(DatasetCatalog.get(tiny)) == 2
    assert (tmp_path / "lcrnet_synthetic" / "val" / "annotations.json").is_file()


def test_metadata_is_what_detectron2_asks_for(tiny):
    metadata = MetadataCatalog.get(tiny)
    assert metadata.thing_classes == ["person"] and metadata.evaluator_type == "lcrnet_pose"
    assert metadata.keypoint_names == list(BODY13.joints)
    assert ("left_knee", "right_knee") in metadata.keypoint_flip_map
    assert len(metadata.keypoint_connection_rules) == len(BODY13.bones)


def test_registering_twice_is_fine_and_the_last_root_counts(tiny, tmp_path):
    register_synthetic_sets(tmp_path, TINY)
    register_synthetic_sets(tmp_path / "elsewhere", TINY)
    assert Path(MetadataCatalog.get(tiny).json_file).is_relative_to(tmp_path / "elsewhere")

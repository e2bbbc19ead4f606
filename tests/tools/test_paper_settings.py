"""From data as their owners publish them to the first steps of training, in the paper's two settings."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from detectron2.config import CfgNode

import add_pseudo_3d
import build_anchor_poses
import human36m_support as studio
import prepare_human36m
import prepare_mpii
from lcrnet_d2.config import load_config
from lcrnet_d2.data.datasets.builtin import register_pose_file, register_pose_files
from lcrnet_d2.data.datasets.pose_json import load_pose_json
from lcrnet_d2.engine import LCRNetTrainer
from lcrnet_d2.structures import BODY13, MPII16
from sources.mocap.take import Take
from sources.mocap.takes import pose_base_of
from tests_support import random_poses, seen_at


def human36m(folder: Path) -> Path:
    """Prepared training set of one fixture subject, with black pictures."""
    studio.write_mks(folder)
    output = folder / "human36m.json"
    arguments = ["mks0601", str(folder), "--protocol", "P1", "--subjects", "S1", "--step", "5", "--output", str(output)]
    assert prepare_human36m.main(arguments) == 0
    for record in load_pose_json(output, folder, BODY13):
        cv2.imwrite(record["file_name"], np.zeros((record["height"], record["width"], 3), np.uint8))
    return output


def mpii(folder: Path) -> Path:
    """Prepared training set of four people with pseudo 3D."""
    poses = random_poses(4, seed=1)
    joints, _ = MPII16.convert_from(BODY13, seen_at(poses, 100, 100, 80))
    entries = []
    for i, points in enumerate(joints.double().numpy().tolist()):
        cv2.imwrite(str(folder / f"{i}.jpg"), np.zeros((200, 200, 3), np.uint8))
        entries.append(
            {"image": f"{i}.jpg", "joints": points, "joints_vis": [1] * 16, "center": [100, 100], "scale": 1}
        )
    (folder / "people.json").write_text(json.dumps(entries))
    (folder / "none.txt").touch()
    arguments = [str(folder / "people.json"), "--images", str(folder), "--output", str(folder / "mpii")]
    assert prepare_mpii.main([*arguments, "--validation-images", str(folder / "none.txt")]) == 0
    takes = [Take(random_poses(30, seed=2).double().numpy(), np.arange(30), 120.0, "02_01.amc")]
    pose_base_of(takes).save(folder / "mocap.npz")
    output = folder / "mpii_3d.json"
    arguments = [str(folder / "mpii" / "train.json"), "--mocap", str(folder / "mocap.npz"), "--views", "2e3"]
    assert add_pseudo_3d.main([*arguments, "--device", "cpu", "--output", str(output)]) == 0
    return output


def tiny(name: str, folder: Path, files: list[list[object]], anchors: Path) -> CfgNode:
    """A setting's config on small pictures, untrained and narrow."""
    opts: list[object] = ["DATASETS.POSE_FILES", files, "DATASETS.TRAIN", tuple(f[0] for f in files)]
    opts += ["MODEL.LCRNET.NUM_ANCHOR_POSES", 3, "MODEL.LCRNET.ANCHOR_POSES", str(anchors), "DATASETS.TEST", ()]
    opts += ["MODEL.WEIGHTS", "", "MODEL.BACKBONE.FREEZE_AT", 0, "MODEL.RESNETS.NORM", "BN", "MODEL.DEVICE", "cpu"]
    opts += ["MODEL.ROI_BOX_HEAD.FC_DIM", 32, "MODEL.FPN.OUT_CHANNELS", 16, "INPUT.MIN_SIZE_TRAIN", (96,)]
    opts += ["SOLVER.IMS_PER_BATCH", 2, "SOLVER.MAX_ITER", 2, "SOLVER.BASE_LR", 1e-5, "DATALOADER.NUM_WORKERS", 0]
    cfg = load_config(name, [*opts, "OUTPUT_DIR", str(folder / "out")])
    register_pose_files(cfg)
    return cfg


def losses_after_training(cfg: CfgNode) -> dict[str, float]:
    trainer = LCRNetTrainer(cfg)
    trainer.resume_or_load(False)
    trainer.train()
    return {key: value[0] for key, value in trainer.storage.latest().items() if "loss" in key}


def test_training_starts_on_human36m(tmp_path: Path) -> None:
    name = "H36M/P1_VGG16.yaml"
    file = human36m(tmp_path)
    anchors = tmp_path / "anchors.npz"
    build_anchor_poses.main(["--pose-file", str(file), "--num-anchor-poses", "3", "--output", str(anchors)])
    losses = losses_after_training(tiny(name, tmp_path, [[name, str(file), str(tmp_path)]], anchors))
    assert all(np.isfinite(v) for v in losses.values()) and losses["total_loss"] > 0


def test_training_starts_on_mpii_and_a_share_of_human36m(tmp_path: Path) -> None:
    file, measured = mpii(tmp_path), human36m(tmp_path)
    anchors = tmp_path / "anchors.npz"
    arguments = ["--pose-file", str(file), "--num-anchor-poses", "3", "--upper-body", "--output", str(anchors)]
    build_anchor_poses.main(arguments)
    files = [["tiny_mpii", str(file), str(tmp_path)], ["tiny_share", str(measured), str(tmp_path), 3]]
    cfg = tiny("MPII/K100_R50-FPN.yaml", tmp_path, files, anchors)
    losses = losses_after_training(cfg)
    assert all(np.isfinite(v) for v in losses.values()) and losses["total_loss"] > 0


def test_a_share_is_drawn_once_and_for_all(tmp_path: Path) -> None:
    from detectron2.data import DatasetCatalog

    file = human36m(tmp_path)
    everything = [r["image_id"] for r in load_pose_json(file, tmp_path, BODY13)]
    register_pose_file("tiny_five", file, tmp_path, BODY13, 5)
    drawn, again = ([r["image_id"] for r in DatasetCatalog.get("tiny_five")] for _ in range(2))
    assert len(drawn) == 5 and drawn == again == [i for i in everything if i in set(drawn)] != everything[:5]
    register_pose_file("tiny_all", file, tmp_path, BODY13, 1000)
    assert len(DatasetCatalog.get("tiny_all")) == len(everything)
    with pytest.raises(ValueError, match="already registered"):
        register_pose_file("tiny_five", file, tmp_path, BODY13, 6)
    cfg = load_config("Base-LCRNet-R50-FPN.yaml", ["DATASETS.POSE_FILES", [["a", "b", "c", 4, 5]]])
    with pytest.raises(ValueError, match="how many"):
        register_pose_files(cfg)


def test_the_papers_numbers_are_in_the_configs() -> None:
    """Sec. 4.1: T_3D 200 mm; Sec. 4.2: 100 mm, IoU 0.08, upper-body classes, 17k images of Human3.6M."""
    for protocol in ("P1", "P2", "P3"):
        for network in ("VGG16", "R50-FPN"):
            cfg = load_config(f"H36M/{protocol}_{network}.yaml")
            assert cfg.MODEL.LCRNET.INTEGRATION.T_3D == 0.2 and not cfg.MODEL.LCRNET.UPPER_BODY
            assert cfg.SOLVER.MAX_ITER == 150_000 and max(cfg.SOLVER.STEPS) < 150_000
            assert {*cfg.DATASETS.TRAIN, *cfg.DATASETS.TEST} == {file[0] for file in cfg.DATASETS.POSE_FILES}
    for anchors in (100, 200):
        for network in ("VGG16", "R50-FPN"):
            plain, coco = (load_config(f"MPII/K{anchors}{more}_{network}.yaml") for more in ("", "_coco"))
            assert set(coco.DATASETS.TRAIN) - set(plain.DATASETS.TRAIN) == {"coco_train"}
            for cfg in (plain, coco):
                node = cfg.MODEL.LCRNET
                assert (node.INTEGRATION.T_3D, node.INTEGRATION.IOU_THRESH) == (0.1, 0.08)
                assert node.UPPER_BODY and anchors == node.NUM_ANCHOR_POSES
                shares = {file[0]: file[3:] for file in cfg.DATASETS.POSE_FILES}
                assert shares["human36m_share"] == [17000] and shares["mpii_train"] == []
                assert {*cfg.DATASETS.TRAIN, *cfg.DATASETS.TEST} == set(shares)

"""Trains and evaluates LCR-Net, with every flag of Detectron2's own tools/train_net.py.

examples:
  train      tools/train_net.py --config-file configs/quick_schedules/lcrnet_lite0_demo.yaml
  resume     tools/train_net.py --config-file configs/... --resume
  evaluate   tools/train_net.py --config-file configs/... --eval-only MODEL.WEIGHTS output/model_final.pth
  own data   ... DATASETS.POSE_FILES "[['mine','mine.json','images']]" DATASETS.TRAIN "('mine',)"
"""

from __future__ import annotations

import argparse
from typing import Any

from detectron2.config import CfgNode
from detectron2.engine import default_argument_parser, default_setup, launch
from detectron2.evaluation import verify_results
from detectron2.utils import comm

from lcrnet_d2.checkpoint import LCRNetCheckpointer
from lcrnet_d2.config import load_config
from lcrnet_d2.data.datasets.builtin import register_pose_files
from lcrnet_d2.engine import LCRNetTrainer, evaluate_model, score_thresholds
from lcrnet_d2.launch import launch_on_cpu


def main(args: argparse.Namespace) -> Any:
    cfg = setup(args)
    if args.eval_only:
        model = LCRNetTrainer.build_model(cfg)
        LCRNetCheckpointer(model, cfg.OUTPUT_DIR).resume_or_load(cfg.MODEL.WEIGHTS, resume=args.resume)
        results = evaluate_model(cfg, model, score_thresholds(cfg, model))
        if comm.is_main_process():
            verify_results(cfg, results)
        return results
    trainer = LCRNetTrainer(cfg)
    trainer.resume_or_load(resume=args.resume)
    return trainer.train()


def setup(args: argparse.Namespace) -> CfgNode:
    cfg = load_config(args.config_file, args.opts)
    register_pose_files(cfg)
    default_setup(cfg, args)
    return cfg


def launch_main(args: argparse.Namespace) -> None:
    """In one process or several: --num-gpus counts GPUs, or with MODEL.DEVICE cpu processes."""
    if load_config(args.config_file, args.opts).MODEL.DEVICE == "cpu":
        launch_on_cpu(main, args.num_gpus, (args,))
    else:
        launch(main, args.num_gpus, args.num_machines, args.machine_rank, args.dist_url, (args,))


if __name__ == "__main__":
    launch_main(default_argument_parser(epilog=__doc__).parse_args())

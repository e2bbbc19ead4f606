#!/usr/bin/env python3
"""Trains and evaluates LCR-Net, with every flag of Detectron2's own tools/train_net.py.

examples:
  train      tools/train_net.py --config-file configs/quick_schedules/lcrnet_lite0_demo.yaml
  resume     tools/train_net.py --config-file configs/... --resume
  evaluate   tools/train_net.py --config-file configs/... --eval-only MODEL.WEIGHTS output/model_final.pth
  cluster    tools/train_net.py ... --num-gpus 8 --num-machines 2 --machine-rank 0 --dist-url tcp://HOST:PORT
             torchrun --nproc-per-node 8 ... tools/train_net.py ...
  own data   ... DATASETS.POSE_FILES "[['mine','mine.json','images']]" DATASETS.TRAIN "('mine',)"
"""

from __future__ import annotations

import argparse
from typing import Any

from detectron2.config import CfgNode
from detectron2.engine import default_argument_parser, default_setup
from detectron2.evaluation import verify_results
from detectron2.utils import comm

from lcrnet_d2.checkpoint import LCRNetCheckpointer
from lcrnet_d2.config import load_config
from lcrnet_d2.data.datasets.builtin import register_pose_files
from lcrnet_d2.engine import LCRNetTrainer, evaluate_model
from lcrnet_d2.launch import launch_processes
from lcrnet_d2.projects import add_import_argument, import_projects


def main(args: argparse.Namespace) -> Any:
    cfg = setup(args)
    if args.eval_only:
        model = LCRNetTrainer.build_model(cfg)
        LCRNetCheckpointer(model, cfg.OUTPUT_DIR).resume_or_load(cfg.MODEL.WEIGHTS, resume=args.resume)
        results = evaluate_model(cfg, model)
        if comm.is_main_process():
            verify_results(cfg, results)
        return results
    trainer = LCRNetTrainer(cfg)
    trainer.resume_or_load(resume=args.resume)
    return trainer.train()


def setup(args: argparse.Namespace) -> CfgNode:
    import_projects(args.imports)  # in each process
    cfg = load_config(args.config_file, args.opts)
    register_pose_files(cfg)
    default_setup(cfg, args)
    return cfg


def launch_main(args: argparse.Namespace) -> None:
    """In one process or several: --num-gpus counts GPUs, or with MODEL.DEVICE cpu processes; or under torchrun."""
    import_projects(args.imports)
    device = load_config(args.config_file, args.opts).MODEL.DEVICE
    machines = (args.num_machines, args.machine_rank, args.dist_url)
    launch_processes(main, (args,), device, args.num_gpus, *machines)


if __name__ == "__main__":
    parser = default_argument_parser(epilog=__doc__)
    add_import_argument(parser)
    launch_main(parser.parse_args())

"""What tests run in several processes; each imports what it needs, as every process has to."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from detectron2.utils import comm


def joint_config(folder: Path):
    """All anchors and proposals count, so that no random choice of them depends on the process; no augmentation."""
    from training_support import tiny_config

    own = folder / f"data-of-{comm.get_rank()}"  # the same in each, written by each
    own.mkdir(exist_ok=True)
    cfg = tiny_config(own)
    cfg.SOLVER.IMS_PER_BATCH, cfg.SOLVER.MAX_ITER = 4, 3
    cfg.MODEL.RPN.BATCH_SIZE_PER_IMAGE = cfg.MODEL.ROI_HEADS.BATCH_SIZE_PER_IMAGE = 100_000
    cfg.MODEL.LCRNET.DROPOUT = 0.0
    cfg.INPUT.RANDOM_FLIP = "horizontal"
    return cfg


def losses_and_metrics(folder: str, output: str) -> None:
    """Trains without evaluation, evaluates then; the main process writes both to a JSON file."""
    import torch

    from lcrnet_d2.engine import evaluate_model
    from training_support import train

    cfg = joint_config(Path(folder))
    name = cfg.DATASETS.TEST
    cfg.DATASETS.TEST = ()
    cfg.OUTPUT_DIR = output
    torch.manual_seed(comm.get_rank())  # only the first process's initial weights count
    trainer, losses = train(cfg)
    cfg.DATASETS.TEST = name
    results = evaluate_model(cfg, trainer._trainer.model, {"nms": 0.0, "ppi": 0.0})
    if comm.is_main_process():
        Path(output, "outcome.json").write_text(json.dumps({"losses": losses, "metrics": results}))


def train_averaged(folder: str, output: str) -> None:
    """Trains with an average of the weights; notes those in training and the average of this process."""
    import torch

    from training_support import train

    cfg = joint_config(Path(folder))
    cfg.DATASETS.TEST, cfg.SOLVER.AVERAGE_DECAY, cfg.OUTPUT_DIR = (), 0.9, output
    torch.manual_seed(comm.get_rank())  # only the first process's initial weights count
    trainer, _ = train(cfg)
    totals = [
        sum(float(p.double().abs().sum()) for p in m.parameters()) for m in (trainer.model, trainer.average.model)
    ]
    Path(output, f"rank-{comm.get_rank()}").write_text(" ".join(f"{total:.9g}" for total in totals))


def show_rank(output: str) -> None:
    total = sum(comm.all_gather(comm.get_rank()))
    Path(output, f"rank-{comm.get_rank()}").write_text(f"{comm.get_world_size()} {comm.get_local_rank()} {total}")


def share_statistics(output: str) -> None:
    """Batches of 0 and of 10: means 0 and 1 after a step of momentum 0.1, which become 0.5 in both."""
    import torch

    from lcrnet_d2.training.shared_statistics import SharedStatistics

    norm = torch.nn.BatchNorm1d(1)
    norm(torch.full((4, 1), 10.0 * comm.get_rank()))
    SharedStatistics(torch.nn.Sequential(norm)).after_step()
    Path(output, f"rank-{comm.get_rank()}").write_text(f"{float(norm.running_mean):.3f} {float(norm.running_var):.3f}")


def share_after_measuring(output: str) -> None:
    """As above, but fvcore's PreciseBN has given the layer new tensors since the hook was made."""
    import torch
    from fvcore.nn.precise_bn import update_bn_stats

    from lcrnet_d2.training.shared_statistics import SharedStatistics

    norm = torch.nn.BatchNorm1d(1)
    shared = SharedStatistics(torch.nn.Sequential(norm))
    update_bn_stats(norm, [torch.full((4, 1), 10.0 * comm.get_rank())], 1)
    shared.after_step()
    Path(output, f"rank-{comm.get_rank()}").write_text(f"{float(norm.running_mean):.3f}")


def overflow_on_the_second(output: str) -> None:
    """The second process's batch overflows half precision; notes how often each computed."""
    import torch

    from lcrnet_d2.training.finite_steps import LossCheck

    class Detector(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Linear(1, 1, bias=False)
            torch.nn.init.constant_(self.layer.weight, 300.0)
            self.count = 0
            LossCheck(self)

        def forward(self, batch):
            self.count += 1
            return {"loss": self.layer(torch.full((1, 1), 300.0 * comm.get_rank())).sum()}

    model = Detector()
    with torch.autocast("cpu", torch.float16):
        loss = float(model([])["loss"])
    Path(output, f"rank-{comm.get_rank()}").write_text(f"{model.count} {loss:.0f}")


def explain_on_the_second(output: str) -> None:
    """One process looks for what spoilt its step; SyncBN in training would wait for the other."""
    import torch
    from detectron2.layers import NaiveSyncBatchNorm

    from lcrnet_d2.data.training_stream import SeededDataset
    from lcrnet_d2.training.finite_steps import diagnose_nonfinite_step

    class Detector(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm = NaiveSyncBatchNorm(1)

        def forward(self, batch):
            return {"loss": self.norm(torch.ones(1, 1, 2, 2)).sum()}

    if comm.get_rank() == 1:
        records = [{"file_name": "a.jpg"}]
        said = diagnose_nonfinite_step(Detector(), records, SeededDataset(records, lambda record: record), 3)
        Path(output, "rank-1").write_text(said)
    comm.synchronize()


def all_jobs(folder: str) -> None:
    """In one group, as a process takes seconds to start; every job writes into a folder of its name."""
    for job in (share_statistics, share_after_measuring, overflow_on_the_second, explain_on_the_second):
        job(_made(folder, job.__name__))
    for job in (train_averaged, losses_and_metrics):
        job(folder, _made(folder, job.__name__))


def _made(*parts: str) -> str:
    Path(*parts).mkdir(exist_ok=True)
    return str(Path(*parts))


def fail_on_the_second() -> None:
    if comm.get_rank() == 1:
        raise RuntimeError("the second process fails")
    comm.synchronize()


if __name__ == "__main__":
    from lcrnet_d2.launch import launch_processes

    processes, output = sys.argv[1:]
    launch_processes(show_rank, (output,), "cpu", int(processes))

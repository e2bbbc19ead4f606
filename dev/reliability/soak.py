#!/usr/bin/env python3
"""Predicts on an endless stream of random pictures of random sizes and watches memory and speed.

    python dev/reliability/soak.py --config-file output/demo/config.yaml --minutes 60 --output output/soak

Writes soak.csv (a line every ten seconds) and soak.png. The speed is the CPU time of one and the same picture, shown
every ten seconds: the stream's own sizes make it vary by more than what is looked for. Exit code 1 if the last third of
the run took over 5 % more memory or time than the middle third; the first third fills caches.
"""

from __future__ import annotations

import argparse
import csv
import gc
import resource
import sys
import time
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from lcrnet_d2 import PosePredictor
from lcrnet_d2.visualization.figures import new_figure, save_figure

_EVERY_S = 10.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config-file", required=True)
    parser.add_argument("--weights", help="instead of the config's")
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--output", type=Path, default=Path("output/soak"))
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.set_num_threads(1)
    args.output.mkdir(parents=True, exist_ok=True)
    rows = soak(PosePredictor(args.config_file, args.weights, "cpu"), args.minutes * 60, args.seed, args.output)
    plot(rows, args.output / "soak.png")
    return verdict(rows)


def soak(predictor: PosePredictor, seconds: float, seed: int, output: Path) -> np.ndarray:
    """(lines, 4): seconds since the start, images so far, memory in MB, CPU seconds of the picture that recurs."""
    rng = np.random.default_rng(seed)
    recurring = random_picture(np.random.default_rng(seed), 480, 640)
    rows: list[tuple[float, int, float, float]] = []
    start = time.monotonic()
    images, last = 0, -_EVERY_S
    with (output / "soak.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["seconds", "images", "memory_mb", "cpu_s"])
        while (now := time.monotonic() - start) < seconds or len(rows) < 3:
            predictor(random_picture(rng, *random_size(rng)))
            images += 1
            if now - last >= _EVERY_S:
                rows.append((now, images, memory_mb(), cpu_seconds(predictor, recurring)))
                writer.writerow([f"{value:.4f}" for value in rows[-1]])
                file.flush()
                last = now
    return np.array(rows)


def random_size(rng: np.random.Generator) -> tuple[int, int]:
    """Height and width, 40 to 1200 px each."""
    height, width = np.exp(rng.uniform(np.log(40), np.log(1200), 2))
    return int(height), int(width)


def random_picture(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Noise, coarse enough to look like something here and there."""
    coarse = rng.integers(0, 256, (height // 16 + 1, width // 16 + 1, 3), dtype=np.uint8)
    return np.ascontiguousarray(coarse.repeat(16, 0).repeat(16, 1)[:height, :width])


def cpu_seconds(predictor: PosePredictor, picture: np.ndarray) -> float:
    start = time.process_time()
    predictor(picture)
    return time.process_time() - start


def memory_mb() -> float:
    """Resident now."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 1e6


def plot(rows: np.ndarray, path: Path) -> None:
    figure = new_figure(8, 5)
    memory, speed = figure.subplots(2, 1, sharex=True)
    memory.plot(rows[:, 0] / 60, rows[:, 2])
    memory.set(ylabel="memory (MB)", ylim=(0, rows[:, 2].max() * 1.1))
    speed.plot(rows[:, 0] / 60, rows[:, 3])
    speed.set(ylabel="CPU s for one picture", xlabel="minutes", ylim=(0, np.quantile(rows[:, 3], 0.99) * 1.3))
    save_figure(figure, path)


def verdict(rows: np.ndarray) -> int:
    _, middle, last = np.array_split(rows, 3)
    growth = {
        "memory": float(np.median(last[:, 2]) / np.median(middle[:, 2]) - 1),
        "time": float(np.median(last[:, 3]) / np.median(middle[:, 3]) - 1),
    }
    print(f"{int(rows[-1, 1])} images in {rows[-1, 0] / 60:.0f} min, {rows[:, 2].max():.0f} MB at most, ", end="")
    print(f"{np.median(rows[:, 3]):.2f} s for a picture of 640 x 480")
    print("last third against the middle: " + ", ".join(f"{name} {value:+.1%}" for name, value in growth.items()))
    return int(any(value > 0.05 for value in growth.values()))


if __name__ == "__main__":
    sys.exit(main())

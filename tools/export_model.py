#!/usr/bin/env python
"""Writes a trained model as ONNX (images in, pose proposals and joint heat maps out) and checks it with onnxruntime.

It is compared with the model itself: the largest differences and the tolerances are printed; exit code 1 if one is
missed. Needs the extra `export`: pip install onnx onnxruntime. tools/run_onnx.py runs the file without Detectron2 and
without torch.

examples:
  tools/export_model.py --config-file configs/quick_schedules/lcrnet_lite0_demo.yaml --output model.onnx \\
      --opts MODEL.WEIGHTS output/demo/training/model_final.pth
  tools/export_model.py --config-file lcrnet_movenet_free --output model.onnx
  tools/export_model.py --config-file ... --output model.onnx --check photos/a.jpg photos/b.jpg --opts ...
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from detectron2.config import CfgNode
from detectron2.data import transforms as T
from detectron2.modeling import build_model

from lcrnet_d2.checkpoint import LCRNetCheckpointer
from lcrnet_d2.command_line import run_command
from lcrnet_d2.data import read_image
from lcrnet_d2.export import Differences, ProposalNetwork, export_onnx, largest_differences, of_image, run_onnx
from lcrnet_d2.predictor import find_config
from lcrnet_d2.projects import add_import_argument, import_projects

#: Half a thousandth of a score and of heat, 1/1000 of the image's longer side, 1 mm, 1/100 of a cell of 4 px.
TOLERANCES = Differences(5e-4, 1e-3, 1e-3, 5e-4, 1e-2)


def main(argv: list[str] | None = None) -> None:
    args = parse_arguments(argv)
    check_installed()
    try:
        import_projects(args.imports)
        cfg = find_config(args.config_file)
        cfg.merge_from_list([*args.opts, "MODEL.DEVICE", "cpu"])
        batches = [with_mirror_image(resized(read_image(file, cfg.INPUT.FORMAT), cfg)) for file in args.check]
        model = build_model(cfg)
        LCRNetCheckpointer(model).load(cfg.MODEL.WEIGHTS)
        export_onnx(model, cfg, args.output)
    except (OSError, ValueError, KeyError, AssertionError, RuntimeError) as error:  # assertion: of merge_from_list
        raise SystemExit(f"not exported: {error}") from error
    print(f"{args.output}: {args.output.stat().st_size / 1e6:.1f} MB")
    if not parity(ProposalNetwork(model), args.output, batches or made_up_images(cfg)):
        raise SystemExit(1)


def parity(network: ProposalNetwork, path: Path, batches: list[torch.Tensor]) -> bool:
    """Prints how far onnxruntime is from torch on each image of batches (N, 3, H, W); True where all are within
    TOLERANCES.
    """
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    score, in_2d, in_3d, heat, offset = TOLERANCES
    print(
        f"largest difference allowed: score {score:g}, 2D {in_2d:g} of the longer side, 3D {in_3d:g} m, "
        f"joint heat {heat:g}, joint offset {offset:g} cells"
    )
    passed = True
    for images in batches:
        with torch.no_grad():
            in_torch = {k: v.numpy() for k, v in zip(network.outputs, network(images), strict=True)}
        in_onnx = run_onnx(session, images)
        height, width = images.shape[2:]
        for index in range(len(images)):
            expected, found = of_image(in_torch, index), of_image(in_onnx, index)
            differences = largest_differences(expected, found, max(height, width))
            passed &= all(d <= t for d, t in zip(differences, TOLERANCES, strict=True))
            print(
                f"{width} x {height}, image {index + 1} of {len(images)}: {len(expected['scores'])} proposals, "
                f"onnxruntime {len(found['scores'])}; score {differences.scores:.1e}, "
                f"2D {differences.poses_2d:.1e}, 3D {differences.poses_3d:.1e} m, "
                f"heat {differences.joint_heat:.1e}, offset {differences.joint_offsets:.1e} cells"
            )
    print("parity: passed" if passed else "parity: MISSED")
    return passed


def made_up_images(cfg: CfgNode) -> list[torch.Tensor]:
    """Smooth random pictures of two sizes, neither that of the export: one, and a batch of three."""
    generator = torch.Generator().manual_seed(0)
    side = cfg.INPUT.MIN_SIZE_TEST
    sizes = (side, min(side * 5 // 4, cfg.INPUT.MAX_SIZE_TEST)), (min(side * 3 // 2, cfg.INPUT.MAX_SIZE_TEST), side)
    coarse = [torch.rand(count, 3, 12, 12, generator=generator) for count in (1, 3)]
    return [
        255 * torch.nn.functional.interpolate(images, size, mode="bilinear")
        for images, size in zip(coarse, sizes, strict=True)
    ]


def with_mirror_image(image: torch.Tensor) -> torch.Tensor:
    """(2, 3, H, W), a batch of two different images of one size."""
    return torch.stack([image, image.flip(2)])


def resized(image: np.ndarray, cfg: CfgNode) -> torch.Tensor:
    """(3, H, W) float, as detection would see the picture."""
    resize = T.ResizeShortestEdge(cfg.INPUT.MIN_SIZE_TEST, cfg.INPUT.MAX_SIZE_TEST)
    small = resize.get_transform(image).apply_image(image)
    return torch.from_numpy(np.ascontiguousarray(small.transpose(2, 0, 1))).float()


def check_installed() -> None:
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
    except ImportError as error:
        raise SystemExit(f"{error}: pip install onnx onnxruntime") from error


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config-file", required=True, help="YAML, its name below configs/, or a model of the zoo")
    parser.add_argument("--output", type=Path, required=True, help=".onnx to write")
    parser.add_argument(
        "--check",
        nargs="+",
        default=[],
        help="photos for the parity check, each with its mirror image (default: random pictures)",
    )
    add_import_argument(parser)
    parser.add_argument("--opts", nargs=argparse.REMAINDER, default=[], help="config KEY VALUE pairs")
    return parser.parse_args(argv)


if __name__ == "__main__":
    run_command(main)

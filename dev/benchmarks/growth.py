"""How time and memory grow with K, regions, people and image size; and the straight line through each."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch

from lcrnet_d2.modeling import LCROutputLayers, integrate_pose_proposals
from lcrnet_d2.structures import BODY13, centre_poses

from .decode import make_layers, make_predictions
from .inference import run_inference
from .models import OURS, build_models, network_inputs
from .report import Table
from .timing import Contender, Settings, alternate, peak_memory

__all__ = ["law", "measure"]

_WIDTH = 1024
_SIZES = ((240, 320), (360, 480), (480, 640), (600, 800), (720, 960))  # (H, W) px


class _Head(NamedTuple):
    """Sizes of a picture's decoding and integration: K anchor poses, R regions, N people."""

    classes: int = 100
    regions: int = 300
    people: int = 4


def measure(settings: Settings) -> list[Table]:
    if settings.quick:
        heads = {"K": [_Head(5, 10, 1), _Head(8, 10, 1)]}
        return [_grow_head(name, sizes, 8, settings) for name, sizes in heads.items()]
    heads = {
        "K": [_Head(classes=k) for k in (50, 100, 200, 500)],
        "regions": [_Head(regions=r) for r in (100, 300, 1000, 2000)],
        "people": [_Head(regions=1000, people=n) for n in (1, 5, 10, 20, 50)],
    }
    return [*(_grow_head(name, sizes, _WIDTH, settings) for name, sizes in heads.items()), _grow_image(settings)]


def law(sizes: list[float], seconds: list[float]) -> tuple[float, float, float]:
    """a, b and p of the least-squares line a + b x, and of the power x^p through the logarithms."""
    x, y = np.array(sizes), np.array(seconds)
    b, a = np.polyfit(x, y, 1)
    p = np.polyfit(np.log(x), np.log(y), 1)[0]
    return float(a), float(b), float(p)


def _grow_head(name: str, sizes: list[_Head], width: int, settings: Settings) -> Table:
    """Decoding and PPI, after the shared layers: what LCR-Net adds to a detector."""
    decodes, integrations, pairs = [], [], []
    for size in sizes:
        layers = make_layers(LCROutputLayers, width, size.classes).to(settings.device)
        predictions = make_predictions(width, size.classes, size.regions, size.people, max(size.regions // 10, 1))
        inputs = [t.to(settings.device) for t in predictions]
        decode = _decode(layers, inputs)
        proposals = decode()
        poses_3d = centre_poses(proposals.poses_3d, BODY13)
        arguments = (proposals.scores, proposals.poses_2d, poses_3d, (2000, 2000))
        decodes.append(Contender(str(size), decode))
        integrations.append(Contender(str(size), lambda arguments=arguments: integrate_pose_proposals(*arguments)))
        pairs.append(len(proposals.scores))
    x = {"K": [s.classes for s in sizes], "regions": [s.regions for s in sizes], "people": [s.people for s in sizes]}
    decode_s, ppi_s = (
        [t.median for t in alternate(contenders, 2 * settings.rounds)] for contenders in (decodes, integrations)
    )
    memory = [peak_memory(d.run) + peak_memory(i.run) for d, i in zip(decodes, integrations, strict=True)]
    rows = [
        (value, p, 1e3 * d, 1e3 * i, m / 1e6)
        for value, p, d, i, m in zip(x[name], pairs, decode_s, ppi_s, memory, strict=True)
    ]
    fixed = sizes[0]._asdict()
    fixed.pop({"K": "classes"}.get(name, name))
    others = ", ".join(f"{value} {what}" for what, value in fixed.items())
    whole = [d + i for d, i in zip(decode_s, ppi_s, strict=True)]
    return Table(
        f"Decoding and PPI against {name}; {others}, d = {width}",
        (name, "pairs decoded", "decode, ms", "PPI, ms", "peak MB"),
        rows,
        _in_words(name, list(map(float, x[name])), whole),
    )


def _decode(layers: LCROutputLayers, inputs: list[torch.Tensor]) -> Any:
    logits, features, boxes = inputs

    @torch.no_grad()
    def run() -> Any:
        return layers.inference((logits, features), [boxes])[0]

    return run


def _grow_image(settings: Settings) -> Table:
    model = build_models("Lite0-FPN", settings.device, (OURS,))[OURS]
    contenders = [
        Contender(f"{width} x {height}", lambda inputs=inputs: run_inference(model, inputs))
        for height, width in _SIZES
        for inputs in [network_inputs(1, (height, width), settings.device)]
    ]
    timings = alternate(contenders, settings.rounds)
    pixels = [height * width / 1e6 for height, width in _SIZES]
    rows = [
        (c.name, megapixels, 1e3 * t.median, peak_memory(c.run) / 1e6)
        for c, megapixels, t in zip(contenders, pixels, timings, strict=True)
    ]
    return Table(
        "Whole inference of Lite0-FPN against the image's size",
        ("px", "megapixels", "ms", "peak MB"),
        rows,
        _in_words("megapixels", pixels, [t.median for t in timings]),
    )


def _in_words(name: str, sizes: list[float], seconds: list[float]) -> str:
    a, b, p = law(sizes, seconds)
    return f"Law: {1e3 * a:.3g} ms + {1e3 * b:.3g} ms x {name} (as a power: {name}^{p:.2f})."

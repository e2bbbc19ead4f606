"""LCR-Net, Detectron2's Faster R-CNN and its Keypoint R-CNN on one backbone, with weights that behave as if trained.

Speed depends on weights in two places only: how many regions the RPN finds, and how many of them are people.
Untrained networks find none or everything everywhere, so random weights are scaled here.
"""

from __future__ import annotations

from typing import Any

import torch
from detectron2.config import CfgNode
from detectron2.modeling import GeneralizedRCNN, build_model
from torch import Tensor, nn

from lcrnet_d2.config import load_config

__all__ = ["BASES", "FASTER", "KEYPOINT", "OURS", "TINY", "build_models", "megabytes", "network_inputs", "peer_config"]

OURS, FASTER, KEYPOINT = "LCR-Net", "Faster R-CNN", "Keypoint R-CNN"

#: Name of a backbone: its config, and (H, W) px of a picture as the config resizes it.
BASES = {
    "Lite0-FPN": ("Base-LCRNet-Lite0-FPN.yaml", (240, 320)),
    "R50-FPN": ("Base-LCRNet-R50-FPN.yaml", (600, 800)),
    "VGG-16": ("Base-LCRNet-VGG16.yaml", (600, 800)),
}
#: KEY VALUE pairs for a network that is quick to run and of no use.
TINY = ("MODEL.FPN.OUT_CHANNELS", "8", "MODEL.ROI_BOX_HEAD.FC_DIM", "8", "MODEL.ROI_KEYPOINT_HEAD.CONV_DIMS", "(8,)")

#: Regions on people; as many as there are around 4 people.
_PEOPLE_REGIONS = 10
#: Of each network in each picture. More would speak for LCR-Net: Keypoint R-CNN pays 3.7 billion products for each.
_MAX_FOUND = 10
#: Of a joint over anchor poses, metres: D between two is then 0.45 m, as between standing people who turn.
_SPREAD = 0.2
#: Categories of the peers: COCO's.
_CATEGORIES = 80


def build_models(base: str, device: str, names: tuple[str, ...], *opts: str) -> dict[str, nn.Module]:
    """Networks in inference mode that share backbone, RPN and fully connected layers, weight by weight.

    Args:
        base: one of BASES.
        names: of OURS, FASTER, KEYPOINT.
        opts: KEY VALUE pairs for all of them.
    """
    name, size = BASES[base]
    cfg = load_config(name, ["MODEL.DEVICE", device, "TEST.DETECTIONS_PER_IMAGE", str(_MAX_FOUND), *opts])
    ours = _build(cfg)
    inputs = network_inputs(1, size, device)
    with torch.no_grad():
        _scale_features(ours, inputs)
        models = {each: ours if each == OURS else _peer(cfg, each == KEYPOINT, ours) for each in names}
        for model in {OURS: ours, **models}.values():
            _find_some_people(model, inputs)
    outputs: Any = ours.roi_heads.box_predictor
    outputs.anchor_poses_2d.copy_(torch.rand(outputs.anchor_poses_2d.shape))
    outputs.anchor_poses_3d.copy_(_SPREAD * torch.randn(outputs.anchor_poses_3d.shape))
    return models


def peer_config(cfg: CfgNode, keypoints: bool) -> CfgNode:
    """Detectron2's own Faster or Keypoint R-CNN with 80 categories, all else as in a config of LCR-Net."""
    cfg = cfg.clone()
    cfg.MODEL.META_ARCHITECTURE = "GeneralizedRCNN"
    cfg.MODEL.PROPOSAL_GENERATOR.NAME = "RPN"
    cfg.MODEL.ROI_HEADS.NAME = "StandardROIHeads"
    cfg.MODEL.ROI_HEADS.NUM_CLASSES = _CATEGORIES
    cfg.MODEL.KEYPOINT_ON = keypoints
    return cfg


def network_inputs(count: int, size: tuple[int, int], device: str) -> list[dict[str, Any]]:
    """Pictures of noise, the same every time."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(256, (count, 3, *size), generator=generator, dtype=torch.uint8)
    height, width = size
    return [{"image": image.to(device), "height": height, "width": width} for image in images]


def megabytes(module: nn.Module) -> float:
    """Of its weights and buffers."""
    tensors = [*module.parameters(), *module.buffers()]
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors) / 1e6


def _build(cfg: CfgNode) -> GeneralizedRCNN:
    torch.manual_seed(0)
    model = build_model(cfg)
    assert isinstance(model, GeneralizedRCNN)
    return model.eval()


def _peer(cfg: CfgNode, keypoints: bool, ours: GeneralizedRCNN) -> GeneralizedRCNN:
    model = _build(peer_config(cfg, keypoints))
    own = ("roi_heads.box_predictor.", "roi_heads.keypoint_head.")
    shared = {name: value for name, value in ours.state_dict().items() if not name.startswith(own)}
    missing = model.load_state_dict(shared, strict=False)
    assert not missing.unexpected_keys and all(name.startswith(own) for name in missing.missing_keys)
    return model


def _scale_features(model: GeneralizedRCNN, inputs: list[dict[str, Any]]) -> None:
    """Makes every feature map's deviation 1: layer by layer random weights may let it grow by orders of magnitude."""
    layers = dict(model.backbone.named_children())
    for name, feature in model.backbone(model.preprocess_image(inputs).tensor).items():
        layer = layers.get(name.replace("p", "fpn_output"), layers.get("conv5_3"))
        if isinstance(layer, nn.Conv2d):  # FPN's coarsest level is pooled from the next finer one
            layer.weight /= feature.std()


def _find_some_people(model: nn.Module, inputs: list[dict[str, Any]]) -> None:
    """Spreads the class scores, and shifts that of background so that some regions are rather something else."""
    heads: Any = model.roi_heads
    layer = heads.box_predictor.cls_score
    features = _region_features(model, inputs)
    layer.weight *= 5 / layer(features).sub(layer(features).mean(0)).std()
    layer.bias.copy_(-layer(features).mean(0))
    logits = layer(features)
    margins = (logits[:, :-1].logsumexp(1) - logits[:, -1]).sort(descending=True).values
    layer.bias[-1] += margins[min(_PEOPLE_REGIONS, len(margins) - 1)]


def _region_features(model: Any, inputs: list[dict[str, Any]]) -> Tensor:
    """(R, d) of the regions that the RPN finds."""
    images = model.preprocess_image(inputs)
    features = model.backbone(images.tensor)
    proposals, _ = model.proposal_generator(images, features, None)
    heads = model.roi_heads
    maps = [features[name] for name in heads.in_features]
    return heads.box_head(heads.box_pooler(maps, [p.proposal_boxes for p in proposals]))

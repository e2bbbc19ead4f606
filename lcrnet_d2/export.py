"""A trained model as ONNX: images in, pose proposals and joint heat maps out.

The integration of the proposals (Sec. 3.5) and the refinement of its joints stay outside the graph.

Shapes: N images, P pose proposals of all of them, J joints, h x w cells of 4 px. onnx and onnxruntime (extra `export`)
are imported where they are used.
"""

from __future__ import annotations

import io
import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from detectron2.config import CfgNode
from detectron2.structures import ImageList
from torch import Tensor, nn
from torch.nn import functional as F

from .modeling.batches import image_numbers, is_exported
from .modeling.lcr_outputs import PoseProposals
from .structures import SKELETONS, centre_poses
from .structures.whole_files import whole_file

__all__ = [
    "JOINT_OUTPUTS",
    "OUTPUTS",
    "Differences",
    "ProposalNetwork",
    "export_onnx",
    "largest_differences",
    "of_image",
    "run_onnx",
]

#: Outputs of the graph, in this order.
OUTPUTS = ("scores", "poses_2d", "poses_3d", "classes", "confidences", "image_index")
#: More of them where the model refines joints.
JOINT_OUTPUTS = ("joint_heat", "joint_offsets")
#: Heat below which nobody looks at a cell's offset.
_HEAT = 0.01
_OPSET = 16  # the first with aligned RoIAlign


class ProposalNetwork(nn.Module):
    """A model without its integration, of N images of one size."""

    model: Any  # an LCRNet, whose parts nn.Module's types do not know

    def __init__(self, model: nn.Module) -> None:
        """
        Args:
            model: an LCRNet with LCRNetROIHeads.

        Raises:
            RuntimeError: the model has no anchor poses.
        """
        super().__init__()
        self.model = model.eval()
        self.model.roi_heads.box_predictor.check_anchor_poses()

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of what `forward` returns."""
        return OUTPUTS if self.model.roi_heads.joint_head is None else OUTPUTS + JOINT_OUTPUTS

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """
        Args:
            images: (N, 3, H, W) float, 0 to 255, channels as INPUT.FORMAT says, already resized.

        Returns:
            scores (P,), poses_2d (P, J, 2) px of its image, poses_3d (P, J, 3) m around the body centre, classes (P,)
            int64, confidences (P,) probability that the region is a person, image_index (P,) int64, 0 to N - 1 in
            order. With joint refinement also the heat (N, J, h, w) in [0, 1] and offsets (N, J, 2, h, w), dx and dy in
            cells.
        """
        heads = self.model.roi_heads
        if is_exported():  # how many images there are is a number of the graph: they cannot be a list
            batch = self.model.preprocess_image([{"image": images}])
            (found,), (regions,), features = self.model.pose_proposals(ImageList(batch.tensor[0], batch.image_sizes))
            image_index = regions.images[found.boxes]
        else:
            batch = self.model.preprocess_image([{"image": image} for image in images])
            of_images, _, features = self.model.pose_proposals(batch)
            found = PoseProposals(*map(torch.cat, zip(*of_images, strict=True)))
            image_index = image_numbers([len(of_image.scores) for of_image in of_images], found.scores.device)
        # One pose more, left out again: onnxruntime's mean of no poses keeps the axis of joints.
        poses_3d = centre_poses(F.pad(found.poses_3d, [0, 0, 0, 0, 0, 1]), heads.skeleton)[:-1]
        proposals = (found.scores, found.poses_2d, poses_3d, found.classes, found.confidences, image_index)
        maps = heads.joint_maps(features)
        return proposals if maps is None else (*proposals, maps.heat.sigmoid(), maps.offsets)


def export_onnx(model: nn.Module, cfg: CfgNode, path: str | Path) -> None:
    """Writes the graph, for any number of images of any one size.

    What a user of it must know is its metadata "lcrnet" (JSON).

    Args:
        model: of `cfg`, with weights, on the CPU.

    Raises:
        RuntimeError: the model has no anchor poses.
    """
    import onnx

    network = ProposalNetwork(model)
    size = cfg.INPUT.MIN_SIZE_TEST
    example = 255 * torch.rand(2, 3, size, size + size // 3 + 1)  # neither side is special
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    memory = io.BytesIO()
    proposals = {0: "proposals"}
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the tracer's, of Detectron2's checks that are constant here
        torch.onnx.export(
            network,
            (example,),
            memory,  # pyright: ignore[reportArgumentType]  files are taken where dynamo is False
            opset_version=_OPSET,
            dynamo=False,
            input_names=["images"],
            output_names=list(network.outputs),
            dynamic_axes={
                "images": {0: "images", 2: "height", 3: "width"},
                "joint_heat": {0: "images", 2: "rows", 3: "columns"},
                "joint_offsets": {0: "images", 3: "rows", 4: "columns"},
                **dict.fromkeys(OUTPUTS, proposals),
            },
        )
    graph = onnx.load_model_from_string(memory.getvalue())
    graph.metadata_props.add(key="lcrnet", value=json.dumps(_metadata(cfg, network.model.roi_heads.onnx_rules)))
    onnx.checker.check_model(graph)
    with whole_file(target) as file:
        file.write(graph.SerializeToString())


def _metadata(cfg: CfgNode, onnx_rules: Mapping[str, Any]) -> dict[str, Any]:
    """What the pixels must be, what the numbers mean, and the rules of integration."""
    lcrnet = cfg.MODEL.LCRNET
    skeleton = SKELETONS[lcrnet.SKELETON]
    rules = lcrnet.INTEGRATION
    return {
        "version": 2,
        "image": {
            "channels": cfg.INPUT.FORMAT,
            "range": [0, 255],
            "shorter_side": cfg.INPUT.MIN_SIZE_TEST,
            "longer_side_at_most": cfg.INPUT.MAX_SIZE_TEST,
        },
        "joint_names": list(skeleton.joints),
        "units": {"poses_2d": "px of the given images", "poses_3d": "m"},
        "axes": "x right, y down, z away from the camera",
        "origin": "body centre",
        "num_anchor_poses": lcrnet.NUM_ANCHOR_POSES,
        "integration": {
            "iou_threshold": rules.IOU_THRESH,
            "t_3d": rules.T_3D,
            "all_modes": rules.ALL_MODES,
            "clip_boxes": rules.CLIP_BOXES,
            "min_seed_score": rules.MIN_SEED_SCORE,
            "min_mode_score": rules.MIN_MODE_SCORE,
            "lower_body_weight": rules.LOWER_BODY_WEIGHT,
            "lower_body_joints": skeleton.lower_limbs,
            "score_threshold": rules.SCORE_THRESH_PPI,
            **onnx_rules,
        },
        **_refinement(lcrnet.JOINT_REFINEMENT),
    }


def _refinement(node: CfgNode) -> dict[str, Any]:
    rules = {"min_deviation": node.MIN_DEVIATION, "min_heat": node.MIN_HEAT, "usual_heat": node.USUAL_HEAT}
    return {"joint_refinement": rules} if node.ENABLED else {}


def run_onnx(session: Any, images: Tensor) -> dict[str, np.ndarray]:
    """The outputs of a graph by name; session: an onnxruntime.InferenceSession; images: (N, 3, H, W) pixels."""
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, {"images": images.float().numpy()}), strict=True))


def of_image(outputs: Mapping[str, np.ndarray], index: int) -> dict[str, np.ndarray]:
    """What of a batch's outputs, by name, is of the image of this index; without `image_index`."""
    here = outputs["image_index"] == index
    found = {name: outputs[name][here] for name in OUTPUTS[:-1]}
    return found | {name: outputs[name][index] for name in JOINT_OUTPUTS if name in outputs}


class Differences(NamedTuple):
    """The largest distances between the outputs of two networks.

    Of proposals: score, px / image's longer side, and m; of joint heat maps: heat, and cells of offset where there is
    any heat, both 0 without.
    """

    scores: float
    poses_2d: float
    poses_3d: float
    joint_heat: float = 0.0
    joint_offsets: float = 0.0


def largest_differences(a: dict[str, np.ndarray], b: dict[str, np.ndarray], image_side: int) -> Differences:
    """Compares two sets of proposals of one image, each proposal with the nearest of its class in the other set.

    Not one by one: rounding may swap two equal scores, and which proposal is the last to be selected; those whose score
    is within 1 % of the lowest are left out.

    Args:
        a, b: of `of_image`.

    Returns:
        infinity where a proposal has none of its class in the other set, or there is nothing to compare.
    """
    there, back = _one_way(a, b, image_side), _one_way(b, a, image_side)
    worst = Differences(*map(max, there, back))
    if "joint_heat" not in a:
        return worst
    seen = (a["joint_heat"] > _HEAT)[:, None]
    offsets = np.where(seen, a["joint_offsets"] - b["joint_offsets"], 0)
    heat = np.abs(a["joint_heat"] - b["joint_heat"])
    return worst._replace(joint_heat=float(heat.max()), joint_offsets=float(np.abs(offsets).max()))


def _one_way(
    proposals: dict[str, np.ndarray], others: dict[str, np.ndarray], image_side: int
) -> tuple[float, float, float]:
    worst = [0.0, 0.0, 0.0]
    counted = (proposals["scores"] > 1.01 * proposals["scores"].min(initial=np.inf)).nonzero()[0]
    if not len(counted):
        return (np.inf, np.inf, np.inf)
    for index in counted:
        same = others["classes"] == proposals["classes"][index]
        if not same.any():
            return (np.inf, np.inf, np.inf)
        scores = np.abs(others["scores"][same] - proposals["scores"][index])
        in_2d = np.abs(others["poses_2d"][same] - proposals["poses_2d"][index]).max((1, 2)) / image_side
        in_3d = np.abs(others["poses_3d"][same] - proposals["poses_3d"][index]).max((1, 2))
        nearest = (scores + in_2d + in_3d).argmin()
        worst = [max(w, float(d[nearest])) for w, d in zip(worst, (scores, in_2d, in_3d), strict=True)]
    return (worst[0], worst[1], worst[2])

"""A network's pose proposals on a data set, saved once, integrated as often as thresholds are to be compared.

Shapes: P proposals of an image, R regions, J joints. 2D in px of the original image, 3D in m.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from detectron2.structures import Boxes, Instances
from torch import Tensor, nn

from lcrnet_d2.evaluation import ImagePredictions, predictions_from_instances
from lcrnet_d2.modeling.lcr_outputs import PoseProposals
from lcrnet_d2.modeling.ppi import Rules, integrate_pose_proposals
from lcrnet_d2.modeling.roi_heads import people_to_instances
from lcrnet_d2.structures import Skeleton, centre_poses
from lcrnet_d2.structures.whole_files import whole_file

__all__ = ["Rules", "SavedProposals", "integrate", "save_proposals"]

_FIELDS = ("scores", "poses_2d", "poses_3d", "classes", "confidences", "regions")


class SavedProposals(Sequence[dict[str, Tensor]]):
    """The file of `save_proposals`: per image scores (P,), poses_2d (P, J, 2), poses_3d (P, J, 3), classes (P,),
    confidences (P,) and regions (P, 4), the box each proposal comes from.

    Raises:
        FileNotFoundError: no such file.
    """

    def __init__(self, path: Path) -> None:
        with np.load(path) as file:
            self._arrays = {name: torch.from_numpy(file[name]) for name in _FIELDS}
            self._ends = np.cumsum(file["counts"])
            self.num_anchor_poses = int(file["num_anchor_poses"])

    def __len__(self) -> int:
        return len(self._ends)

    def __getitem__(self, index: int) -> dict[str, Tensor]:  # pyright: ignore[reportIncompatibleMethodOverride]
        rows = slice(int(self._ends[index - 1]) if index else 0, int(self._ends[index]))
        return {name: array[rows] for name, array in self._arrays.items()}


def save_proposals(model: nn.Module, inputs: Sequence[Mapping[str, Any]], skeleton: Skeleton, path: Path) -> None:
    """Runs a trained model over a data set and writes every pose proposal, in the order of the images.

    Args:
        model: an LCR-Net in evaluation mode.
        inputs: what the data set's mapper gives for each image.
        path: .npz to write, whole or not at all.
    """
    layers: Any = model.get_submodule("roi_heads.box_predictor")
    images: list[dict[str, np.ndarray]] = []
    with _recorded(layers) as record, torch.no_grad():
        for given in inputs:
            model([given])
            proposals, regions = record.pop()
            images.append(_in_original_pixels(proposals, regions, given, skeleton))
    arrays: dict[str, Any] = {name: np.concatenate([image[name] for image in images]) for name in _FIELDS}
    arrays["counts"] = np.array([len(image["scores"]) for image in images])
    arrays["num_anchor_poses"] = np.array(layers.num_anchor_poses)
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as file:  # hundreds of MB that hardly compress
        np.savez(file, **arrays)


@contextmanager
def _recorded(layers: Any) -> Iterator[list[tuple[PoseProposals, Tensor]]]:
    """Keeps what `LCROutputLayers.inference` decodes for each image, and the regions it was decoded for."""
    record: list[tuple[PoseProposals, Tensor]] = []
    decode = layers.inference

    def inference(predictions: tuple[Tensor, Tensor], boxes: list[Tensor]) -> list[PoseProposals]:
        decoded = decode(predictions, boxes)
        record.extend(zip(decoded, boxes, strict=True))
        return decoded

    layers.inference = inference
    try:
        yield record
    finally:
        del layers.inference


def _in_original_pixels(
    proposals: PoseProposals, regions: Tensor, given: Mapping[str, Any], skeleton: Skeleton
) -> dict[str, np.ndarray]:
    height, width = given["image"].shape[-2:]
    scale = regions.new_tensor([given["width"] / width, given["height"] / height])
    fields = {
        "scores": proposals.scores,
        "poses_2d": proposals.poses_2d * scale,
        "poses_3d": centre_poses(proposals.poses_3d, skeleton),
        "classes": proposals.classes,
        "confidences": proposals.confidences,
        "regions": regions[proposals.boxes] * scale.repeat(2),
    }
    return {name: values.cpu().numpy() for name, values in fields.items()}


def integrate(
    saved: SavedProposals, records: Sequence[Mapping[str, Any]], skeleton: Skeleton, rules: Rules
) -> list[ImagePredictions]:
    """The people that NMS and PPI make of saved proposals, as the network itself would with these thresholds.

    Args:
        records: dataset dicts of the images, in the order they were saved in.

    Raises:
        ValueError: proposals of another number of images.
    """
    if len(saved) != len(records):
        raise ValueError(f"saved proposals are of {len(saved)} images, the data set has {len(records)}; delete them")
    return [
        predictions_from_instances(record, _people(image, record, saved.num_anchor_poses, skeleton, rules))
        for image, record in zip(saved, records, strict=True)
    ]


def _people(
    image: dict[str, Tensor], record: Mapping[str, Any], num_anchor_poses: int, skeleton: Skeleton, rules: Rules
) -> Instances:
    size = (record["height"], record["width"])
    proposals = PoseProposals(
        *(image[name] for name in ("scores", "poses_2d", "poses_3d", "classes")),
        boxes=torch.arange(len(image["scores"])),
        confidences=image["confidences"],
    )
    people = integrate_pose_proposals(
        proposals.scores,
        proposals.poses_2d,
        proposals.poses_3d,
        size,
        proposals.classes >= num_anchor_poses,
        skeleton.lower_limbs,
        rules,
    )
    regions = Instances(size, proposal_boxes=Boxes(image["regions"]))
    return people_to_instances(people, proposals, [len(proposals.scores)], [regions])[0]

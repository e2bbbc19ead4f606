"""LCRNet: Detectron2's GeneralizedRCNN, whose images and people are moved and scaled as a batch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate
from typing import Any

import torch
from detectron2.modeling import META_ARCH_REGISTRY, GeneralizedRCNN
from detectron2.structures import Boxes, ImageList, Instances
from torch import Tensor
from torch.nn import functional as F

from .batches import image_numbers, is_exported
from .lcr_outputs import PoseProposals

__all__ = ["LCRNet", "rescale"]


@META_ARCH_REGISTRY.register()
class LCRNet(GeneralizedRCNN):
    """GeneralizedRCNN with the same inputs, outputs and weights, in fewer operations.

    For each image of a batch Detectron2 launches 5 copies of ground truth, 6 operations before the backbone and 54
    after PPI, and waits 15 times.
    """

    def forward(self, batched_inputs: list[dict[str, Any]]) -> Any:
        if self.training and "instances" in batched_inputs[0]:
            targets = [record["instances"] for record in batched_inputs]
            moved = _changed(targets, lambda field: field.to(self.device), [len(image) for image in targets])
            batched_inputs = [r | {"instances": i} for r, i in zip(batched_inputs, moved, strict=True)]
        return super().forward(batched_inputs)

    def inference(
        self,
        batched_inputs: list[dict[str, Any]],
        detected_instances: list[Instances] | None = None,
        do_postprocess: bool = True,
    ) -> list[Any]:
        """As GeneralizedRCNN's. ValueError where people's boxes are given: poses are those of the network's regions."""
        if detected_instances is not None:
            raise ValueError("LCRNet.inference takes no detected_instances: it finds its own regions; leave them out")
        images = self.preprocess_image(batched_inputs)
        people = self.roi_heads.people(images, *self.pose_proposals(images))
        return rescale(people, batched_inputs) if do_postprocess else people

    def pose_proposals(self, images: ImageList) -> tuple[list[PoseProposals], list[Instances], dict[str, Tensor]]:
        """What the network says of images before integration (Sec. 3.2-3.4).

        Args:
            images: of `preprocess_image`.

        Returns:
            per image its pose proposals, and the regions they are of; the batch's feature maps.
        """
        features = self.backbone(images.tensor)
        regions, _ = self.proposal_generator(images, features, None)
        return self.roi_heads.pose_proposals(features, regions), regions, features

    def preprocess_image(self, batched_inputs: list[dict[str, Any]]) -> ImageList:
        images = [record["image"] for record in batched_inputs]
        alike = len({(image.shape, image.dtype, image.device) for image in images}) == 1
        if is_exported() or not alike or any(self.backbone.padding_constraints.values()):
            return super().preprocess_image(batched_inputs)
        batch = (torch.stack(images).to(self.device) - self.pixel_mean) / self.pixel_std
        height, width = images[0].shape[-2:]
        stride = max(1, self.backbone.size_divisibility)
        if height % stride or width % stride:
            batch = F.pad(batch, [0, -width % stride, 0, -height % stride])
        return ImageList(batch, [(height, width)] * len(images))


def rescale(people: Sequence[Instances], records: Sequence[Mapping[str, Any]]) -> list[dict[str, Instances]]:
    """Detectron2's `detector_postprocess` of a batch: boxes and keypoints in px of images of "height" and "width".

    Who has no part in the image is left out. One wait, for whether there is anybody such.
    """
    sizes = [
        (r.get("height", p.image_size[0]), r.get("width", p.image_size[1]))
        for p, r in zip(people, records, strict=True)
    ]
    counts = [len(found) for found in people]
    boxes = torch.cat([found.pred_boxes.tensor for found in people])
    images = image_numbers(counts, boxes.device)
    old, new = (
        boxes.new_tensor([[width, height] for height, width in of])[images]
        for of in ([found.image_size for found in people], sizes)
    )
    boxes = (boxes.view(-1, 2, 2) * (new / old)[:, None]).clamp(min=0).minimum(new[:, None])
    outside = ~(boxes[:, 1] > boxes[:, 0]).all(1)
    keypoints = torch.cat([found.pred_keypoints for found in people])
    keypoints = torch.cat([keypoints[..., :2] * (new / old)[:, None], keypoints[..., 2:]], -1)
    out = []
    parts = zip(people, sizes, boxes.flatten(1).split(counts), keypoints.split(counts), strict=True)
    for found, size, of_boxes, of_keypoints in parts:
        fields = found.get_fields() | {"pred_boxes": Boxes(of_boxes), "pred_keypoints": of_keypoints}
        out.append(Instances(size, **fields))
    inside = (~outside).tolist()
    if not all(inside):
        rows = torch.tensor(
            [row for row, is_inside in enumerate(inside) if is_inside], device=boxes.device, dtype=torch.long
        )
        firsts = [0, *accumulate(counts)]
        left = [sum(inside[first : first + count]) for first, count in zip(firsts, counts, strict=False)]
        out = _changed(out, lambda field: field[rows], left)
    return [{"instances": found} for found in out]


def _changed(
    instances: Sequence[Instances], change: Callable[[Tensor], Tensor], counts: Sequence[int]
) -> list[Instances]:
    """All fields of a batch's Instances, each changed for all images at once; so many rows of each image are left."""
    fields: dict[str, Sequence[Any]] = {}
    for name, first in instances[0].get_fields().items():
        values = [image.get(name) for image in instances]
        if isinstance(first, Boxes):
            fields[name] = [Boxes(b) for b in change(torch.cat([v.tensor for v in values])).split(counts)]
        elif isinstance(first, Tensor):
            fields[name] = change(torch.cat(values)).split(counts)
        else:
            fields[name] = values
    return [
        Instances(image.image_size, **{name: values[i] for name, values in fields.items()})
        for i, image in enumerate(instances)
    ]

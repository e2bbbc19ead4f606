"""The findings on rendered scenes, stage by stage: regions, heads, what the best of them does, images.

Everything is written below one folder; what is there is not made again. Tasks run in processes of one thread each.
"""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from detectron2.config import CfgNode
from detectron2.modeling import build_model
from torch import Tensor
from tqdm import tqdm

from lcrnet_d2.checkpoint import LCRNetCheckpointer
from lcrnet_d2.data import read_image
from lcrnet_d2.data.anchor_clustering import cluster_known_poses, known_poses, with_mirrored
from lcrnet_d2.data.datasets.pose_json import load_pose_json, write_pose_json
from lcrnet_d2.evaluation import truth_from_dict
from lcrnet_d2.modeling import prepared_for_inference
from lcrnet_d2.modeling.ppi import Rules
from lcrnet_d2.predictor import find_config
from lcrnet_d2.structures import BODY13, AnchorPoses, margin_box, to_box_units
from lcrnet_d2.structures.whole_files import save_npz, whole_file, write_json
from lcrnet_d2.visualization import write_image

from .heads import HeadPlan, Schedule, build_heads, cluster_by_distance, head_config, region_errors, train_head
from .judging import KnownSet, choose_t_3d, judge, predictions_of
from .people_errors import PeopleErrors, people_to_find
from .plan import Questions
from .regions import RegionSet, choose_for_training, feature_basis, pooled_regions, region_mapper, write_regions
from .subsets import cut_off

__all__ = ["Study"]

_IMAGES = 200
_BASIS_IMAGES, _MORE_DIRECTIONS = 300, 512
_CUT = "_cut"


@dataclass(frozen=True)
class Study:
    """What the findings are made of.

    Attributes:
        folder: of all that is written.
        model: of the zoo, or a config, whose backbone, RPN and shared layers are taken; weights: others than its own.
        sets: "train", "val" and "test": folders of rendered scenes with an annotations.json each.
        most: images of each set at most.
        schedule: of the heads; questions: which heads there are.
    """

    folder: Path
    model: str
    sets: dict[str, tuple[Path, ...]]
    weights: str | None = None
    most: int | None = None
    schedule: Schedule = Schedule()
    questions: Questions = Questions()

    @property
    def own_head(self) -> HeadPlan:
        """The network's head as it is."""
        node = self.cfg.MODEL.LCRNET
        return HeadPlan(node.NUM_ANCHOR_POSES, upper=node.UPPER_BODY, shared="head")

    @property
    def cfg(self) -> CfgNode:
        cfg = find_config(self.model)
        cfg.MODEL.DEVICE, cfg.TEST.AUG.ENABLED, cfg.TEST.LCRNET.LIFTER = "cpu", False, ""
        return cfg

    def network(self) -> Any:
        """The model, frozen, on the CPU."""
        cfg = self.cfg
        network = build_model(cfg)
        LCRNetCheckpointer(network).load(self.weights or cfg.MODEL.WEIGHTS)
        return prepared_for_inference(network)

    def records(self, name: str) -> list[dict[str, Any]]:
        """Dataset dicts of a set, folders mixed; of "val_cut" and "test_cut" of images cut at people's thighs."""
        if name.endswith(_CUT):
            return load_pose_json(self._cut_file(name), self._cut_file(name).parent, BODY13)
        records = [r for root in self.sets[name] for r in load_pose_json(root / "annotations.json", root, BODY13)]
        mixed = [records[i] for i in np.random.default_rng(0).permutation(len(records))[: self.most]]
        return [record | {"image_id": number} for number, record in enumerate(mixed)]

    def _cut_file(self, name: str) -> Path:
        return self.folder / name / "annotations.json"

    def cut_images(self, name: str) -> None:
        """Writes the first half of a set with every image cut at the thighs of its largest person."""
        file = self._cut_file(name)
        if file.is_file():
            return
        records = self.records(name.removesuffix(_CUT))
        (file.parent / "images").mkdir(parents=True, exist_ok=True)
        out = []
        for record in records[: max(1, len(records) // 2)]:
            image, cut = cut_off(read_image(record["file_name"], "RGB"), record, BODY13)
            file_name = f"images/{record['image_id']:06d}.png"  # without another loss by compression
            write_image(file.parent / file_name, image)
            out.append(cut | {"file_name": file_name})
        write_pose_json(file, out, BODY13)

    # --- regions

    def basis(self) -> Tensor:
        """(D, d) of `feature_basis`."""
        return torch.from_numpy(np.load(self.folder / "basis.npz")["basis"])

    def make_basis(self) -> None:
        """Chooses it from regions of the first training images."""
        file = self.folder / "basis.npz"
        if file.is_file():
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        torch.manual_seed(0)
        network, mapper = self.network(), region_mapper(self.cfg, BODY13, True)
        records = self.records("train")[:_BASIS_IMAGES]
        pooled = [
            pooled_regions(network, mapper(record), choose_for_training)[1]
            for record in tqdm(records, desc="pooled maps for the basis")
        ]
        layer = network.roi_heads.box_head.fc1.weight.detach()
        basis, variance = feature_basis(torch.cat(pooled), layer, _MORE_DIRECTIONS)
        save_npz(file, basis=basis.numpy(), variance=np.array(variance))

    def region_tasks(self) -> list[tuple[str, int]]:
        """Set and first image of every file of regions that is missing."""
        return [
            (name, first)
            for name in ("train", "val", "test", "val_cut", "test_cut")
            for first in range(0, len(self.records(name)), _IMAGES)
            if not self._region_file(name, first).is_file()
        ]

    def _region_file(self, name: str, first: int) -> Path:
        return self.folder / "regions" / name / f"{first:06d}.npz"

    def make_regions(self, name: str, first: int) -> None:
        """Keeps the regions of some images: those to train on, or all that the RPN gives."""
        torch.manual_seed(first)
        np.random.seed(first)
        train = name == "train"
        mapper = _cached(self, "mapper", lambda: {t: region_mapper(self.cfg, BODY13, t) for t in (False, True)})[train]
        records = _cached(self, name, lambda: self.records(name))
        inputs = [mapper(record) for record in records[first : first + _IMAGES]]
        network, basis = _cached(self, "network", self.network), _cached(self, "basis", self.basis)
        write_regions(self._region_file(name, first), network, basis, inputs, choose_for_training if train else _all)

    def regions(self, name: str) -> RegionSet:
        """All kept regions of a set."""
        return RegionSet.load(sorted((self.folder / "regions" / name).glob("*.npz")))

    def known(self, name: str) -> KnownSet:
        """A set to judge heads on."""
        records = self.records(name)
        return KnownSet(records, [truth_from_dict(record, len(BODY13)) for record in records], self.regions(name))

    # --- heads

    def anchors(self, plan: HeadPlan) -> AnchorPoses:
        """The anchor poses of a plan, clustered from all training poses and their mirror images; the network's own."""
        if plan.shared == "head":
            outputs = _cached(self, "network", self.network).roi_heads.box_predictor
            unknown = torch.zeros(plan.k, dtype=torch.long), torch.full((plan.k,), torch.nan)
            return AnchorPoses(outputs.anchor_poses_2d, outputs.anchor_poses_3d, BODY13, plan.k, *unknown)
        file = self.folder / "anchors" / f"K{plan.k}{'_upper' * plan.upper}_{plan.anchors}.npz"
        if not file.is_file():
            records = _cached(self, "train", lambda: self.records("train"))
            anchors = cluster_known_poses(records, BODY13, plan.k, plan.upper)
            if plan.anchors == "distance":
                poses_2d, poses_3d = with_mirrored(*known_poses(records, BODY13), BODY13)
                anchors = cluster_by_distance(anchors, to_box_units(poses_2d, margin_box(poses_2d)), poses_3d, BODY13)
            file.parent.mkdir(parents=True, exist_ok=True)
            anchors.save(file)
        return AnchorPoses.load(file)

    def result(self, plan: HeadPlan) -> dict[str, Any]:
        """The JSON of a trained head."""
        return json.loads(self._head_file(plan, ".json").read_text())

    def errors(self, plan: HeadPlan, name: str, method: str) -> PeopleErrors:
        """Of everyone in "val", "test", "val_cut" or "test_cut", by "nms" or "ppi"."""
        arrays = np.load(self._head_file(plan, f"{_CUT * name.endswith(_CUT)}.npz"))
        return PeopleErrors(
            **{field: arrays[f"{method}/{name}/{field}"] for field in PeopleErrors.__dataclass_fields__}
        )

    def has_head(self, plan: HeadPlan) -> bool:
        return self._head_file(plan, ".json").is_file()

    def _head_file(self, plan: HeadPlan, suffix: str) -> Path:
        (self.folder / "heads").mkdir(parents=True, exist_ok=True)
        return self.folder / "heads" / f"{plan.name}{suffix}"

    def make_head(self, plan: HeadPlan) -> None:
        """Trains a head, chooses its thresholds on val and measures it on test, and on people cut off."""
        heads = self.new_heads(plan)
        if plan.shared == "head":
            return self.measure(plan, heads.eval(), {})
        train, val = _cached(self, "train regions", lambda: self.regions("train")), self._known("val").regions
        labels, of_val = (s.labelled(self.anchors(plan), heads.proposal_matcher) for s in (train, val))
        heads, log = train_head(heads, plan, train, labels, (val, of_val), self.schedule)
        with whole_file(self._head_file(plan, ".pth")) as file:
            torch.save({n: v.half() if v.is_floating_point() else v for n, v in heads.state_dict().items()}, file)
        self.measure(plan, heads, {"training": log})

    def new_heads(self, plan: HeadPlan) -> Any:
        """Heads before training."""
        network, basis = _cached(self, "network", self.network), _cached(self, "basis", self.basis)
        return build_heads(head_config(self.cfg, plan), plan, self.anchors(plan), network, basis)

    def trained_heads(self, plan: HeadPlan) -> Any:
        """Heads as `make_head` left them."""
        heads = self.new_heads(plan)
        heads.load_state_dict(torch.load(self._head_file(plan, ".pth"), weights_only=True))
        heads.box_predictor.set_anchor_poses(self.anchors(plan))  # unrounded
        return heads.eval()

    def measure(self, plan: HeadPlan, heads: Any, log: dict[str, Any], suffix: str = "") -> None:
        """Writes the JSON and the arrays of trained heads, of val and test; "_cut": of people cut off."""
        rules, most_fp = Rules.of_config(self.cfg), self.cfg.TEST.LCRNET.MAX_FALSE_POSITIVES
        names = [f"{name}{suffix}" for name in ("val", "test")]
        val, test = (self._known(name) for name in names)
        anchors, arrays = self.anchors(plan), {}
        t_3d, thresholds = choose_t_3d(heads, val, rules, BODY13, most_fp)
        for name, known in zip(names, (val, test), strict=True):
            (predictions,) = predictions_of(heads, known, [replace(rules, t_3d=t_3d)])
            for method, errors in judge(known, predictions, thresholds, BODY13, anchors).items():
                arrays |= {f"{method}/{name}/{field}": np.asarray(value) for field, value in vars(errors).items()}
        result = {"plan": asdict(plan), **log, "t_3d": t_3d, "thresholds": thresholds}
        labels = test.regions.labelled(anchors, heads.proposal_matcher)
        result["regions"] = region_errors(heads, test.regions, labels)
        save_npz(self._head_file(plan, f"{suffix}.npz"), **arrays)
        write_json(self._head_file(plan, f"{suffix}.json"), result, indent=1)

    def measure_cut(self, plan: HeadPlan) -> None:
        """Measures trained heads on people cut off, unless that is done."""
        if not self._head_file(plan, f"{_CUT}.json").is_file():
            self.measure(plan, self.trained_heads(plan), {}, _CUT)

    def _known(self, name: str) -> KnownSet:
        return _cached(self, f"{name} known", lambda: self.known(name))

    def images_of_people(self, name: str) -> np.ndarray:
        """(N,) which image each person is in."""
        truths = [truth_from_dict(record, len(BODY13)) for record in self.records(name)]
        return np.array([image for image, _ in people_to_find(truths)])

    # --- processes

    def run(self, tasks: Sequence[tuple[Callable[..., Any], tuple[Any, ...]]], processes: int, what: str) -> None:
        """Calls methods in processes; the first error ends it."""
        if processes <= 1:
            for method, arguments in tqdm(tasks, desc=what, disable=not tasks):
                method(self, *arguments)
            return
        context = multiprocessing.get_context("spawn")  # threads of torch do not survive a fork
        with ProcessPoolExecutor(min(processes, max(1, len(tasks))), context, initializer=_one_thread) as pool:
            futures = [pool.submit(method, self, *arguments) for method, arguments in tasks]
            for future in tqdm(as_completed(futures), total=len(futures), desc=what, disable=not tasks):
                future.result()


def _one_thread() -> None:
    torch.set_num_threads(1)


def _all(proposals: Tensor, rows: Any) -> Tensor:
    return proposals


_cache: dict[tuple[Path, str], Any] = {}


def _cached(study: Study, name: str, make: Callable[[], Any]) -> Any:
    """What tasks of one process share: the network, the sets."""
    key = study.folder, name
    if key not in _cache:
        _cache[key] = make()
    return _cache[key]

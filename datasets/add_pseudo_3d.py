#!/usr/bin/env python3
"""Adds pseudo ground-truth 3D poses to a JSON of 2D poses (Sec. 4.2).

    python datasets/add_pseudo_3d.py coco_train.json --mocap datasets/mocap/poses.npz --views 1000000 \\
        --output coco_train_3d.json

Each person with at least 4 annotated joints, among them a shoulder and a hip, gets the 3D pose of the nearest virtual
view, and the missing 2D joints from its projection (v = 0). Others stay without 3D and are ignored in training.
People with measured or synthetic 3D are left as they are. docs/notes/pseudo_3d.md has figures for --max-error, without
which nobody is rejected, and for --roll. Killed and started again with the same arguments, the search
goes on where it was; its progress is kept beside the output until that is written.

Several processes, on machines that share a folder, each search for their part; then one command without --shard
writes the output from what they found, and searches for what is still missing:

    python datasets/add_pseudo_3d.py ... --shard 0/4       # to 3/4; or under torchrun, by rank
    python datasets/add_pseudo_3d.py ...
"""

from __future__ import annotations

import argparse
import glob
import hashlib
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from lcrnet_d2.mocap import PoseBase, PseudoPoses, PseudoPoseSearch, ViewRanges, is_searchable, random_views
from lcrnet_d2.sharding import Shard
from lcrnet_d2.structures import BODY13
from lcrnet_d2.structures.bounded_files import read_json, read_npz
from lcrnet_d2.structures.whole_files import save_npz, write_json


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("poses", type=Path, help="JSON with the 13 joints (datasets/prepare_*.py)")
    parser.add_argument("--mocap", required=True, type=Path, help="pose base of datasets/prepare_mocap.py")
    parser.add_argument("--output", required=True, type=Path, help="the JSON to write")
    parser.add_argument("--views", type=lambda text: int(float(text)), default=1_000_000, help="virtual views (1e6)")
    parser.add_argument("--elevation", type=float, nargs=2, default=ViewRanges().elevation, help="degrees, above: > 0")
    parser.add_argument(
        "--roll", type=float, nargs=2, default=ViewRanges().roll, help="degrees (-10 10); gymnasts: -180 180"
    )
    parser.add_argument(
        "--max-error", type=float, help="reject matches with a larger error, as a fraction of the pose's size; try 0.15"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the views")
    parser.add_argument("--shard", type=Shard.parse, default=Shard.of_this_process(), help="INDEX/COUNT: search a part")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--memory", type=float, default=0.5, help="GB of working memory beside the views' 2D")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    args = parse_arguments(arguments)
    content = read_json(args.poses)
    people = people_without_3d(content, args.poses)
    keypoints = torch.tensor([p["keypoints"] for p in people], dtype=torch.float64).reshape(-1, len(BODY13), 3)
    poses_2d, annotated = keypoints[..., :2], keypoints[..., 2] > 0
    base = PoseBase.load(args.mocap)
    ranges = ViewRanges(elevation=tuple(args.elevation), roll=tuple(args.roll))
    views = random_views(base.poses_3d, args.views, torch.Generator().manual_seed(args.seed), ranges)
    search = PseudoPoseSearch(views, args.device, int(args.memory * 1e9))
    progress = Path(f"{args.output}.progress.npz")
    view_index = search_all(search, poses_2d, annotated, progress, args.shard)
    if args.shard.count > 1:
        print(f"part {args.shard.index} of {args.shard.count} is searched; once all are, run without --shard")
        return 0
    result = search.fit(poses_2d, annotated, view_index, args.max_error)
    write_into(people, result)
    searched = {"mocap": args.mocap.name, "views": args.views, "seed": args.seed, "max_error": args.max_error}
    searched |= {"elevation": list(args.elevation), "roll": list(args.roll)}
    content["info"] = content.get("info", {}) | {"pseudo_3d": searched}
    write_json(args.output, content)
    for file in _progress_files(progress):
        file.unlink()
    print(summary(result, is_searchable(annotated, BODY13)))
    return 0


def people_without_3d(content: dict[str, Any], path: Path) -> list[dict[str, Any]]:
    """Annotations to search for: with keypoints, no crowds, no 3D of a better origin.

    Raises:
        ValueError: other joints, keypoints that cannot be, or 3D that does not say where it is from.
    """
    joints = [category.get("keypoints") for category in content.get("categories", [])]
    if joints != [list(BODY13.joints)]:
        raise ValueError(f"{path}: its joints are {joints}; expected {list(BODY13.joints)} (datasets/prepare_*.py)")
    people = []
    for number, annotation in enumerate(content["annotations"]):
        where = f"{path}: annotations[{number}] (id {annotation.get('id')})"
        if annotation.get("pose_3d") is not None and "pose_3d_source" not in annotation:
            raise ValueError(f'{where}: a pose_3d without pose_3d_source; "measured" keeps it, "pseudo" replaces it')
        if not annotation.get("keypoints") or annotation.get("iscrowd"):
            continue
        if annotation.get("pose_3d_source", "pseudo") == "pseudo":
            _check_keypoints(where, annotation["keypoints"])
            people.append(annotation)
    return people


def _check_keypoints(where: str, keypoints: Any) -> None:
    whole = isinstance(keypoints, list) and len(keypoints) == 3 * len(BODY13)
    if not whole or not all(isinstance(value, (int, float)) for value in keypoints):
        raise ValueError(f"{where}: keypoints are no list of {3 * len(BODY13)} numbers")


def search_all(
    search: PseudoPoseSearch, poses_2d: torch.Tensor, annotated: torch.Tensor, progress: Path, shard: Shard
) -> torch.Tensor:
    """(N,) view of each person of this part; the state is written after each batch and read again after a kill."""
    digest = hashlib.sha256(poses_2d.numpy().tobytes() + annotated.numpy().tobytes())
    for values in (search.views.poses_3d, search.views.pose_index, search.views.angles):
        digest.update(values.numpy().tobytes())
    done = torch.zeros(len(annotated), dtype=torch.bool)
    view_index = torch.full((len(annotated),), -1, dtype=torch.long)
    for file in _progress_files(progress):
        _read_progress(file, digest.hexdigest(), done, view_index)
    batches = [rows[rows % shard.count == shard.index] for rows in search.batches(annotated)]
    with tqdm(total=sum(len(rows) for rows in batches), unit="person", desc="pseudo 3D") as bar:
        for rows in batches:
            missing = rows[~done[rows]]
            if len(missing):
                view_index[missing] = search.nearest_views(poses_2d[missing], annotated[missing])
                done[missing] = True
                own = {"done": done.numpy(), "view_index": view_index.numpy()}
                save_npz(shard.path(progress), digest=digest.hexdigest(), **own)
            bar.update(len(rows))
    return view_index


def _progress_files(progress: Path) -> list[Path]:
    """Of the whole search and of its parts."""
    return sorted(progress.parent.glob(f"{glob.escape(progress.stem)}*{progress.suffix}"))


def _read_progress(path: Path, digest: str, done: torch.Tensor, view_index: torch.Tensor) -> None:
    """Takes over what was found, if it was for the same poses and views."""
    try:
        file = read_npz(path, ("digest", "done", "view_index"), 2**30 + 16 * len(done))
    except ValueError as error:
        print(f"left out: {error}", file=sys.stderr)
        return
    if str(file["digest"]) != digest:
        print(f"{path} is of other poses or views: starting anew", file=sys.stderr)
        return
    found = torch.from_numpy(file["done"])
    done[found] = True
    view_index[found] = torch.from_numpy(file["view_index"])[found]


def write_into(people: list[dict[str, Any]], result: PseudoPoses) -> None:
    """3D and completed joints into the annotations; who finds no match loses both, if there were any."""
    for i, person in enumerate(people):
        had_3d = person.get("pose_3d") is not None
        for key in ("pose_3d", "pose_3d_source", "pose_3d_error"):
            person.pop(key, None)
        keypoints = np.array(person["keypoints"], dtype=np.float64).reshape(-1, 3)
        missing = keypoints[:, 2] == 0
        if not result.found[i]:
            if had_3d:
                keypoints[missing, :2] = 0.0
                person["keypoints"] = keypoints.ravel().tolist()
            continue
        keypoints[missing, :2] = result.poses_2d[i].numpy()[missing].round(2)
        person["keypoints"] = keypoints.ravel().tolist()
        person["pose_3d"] = result.poses_3d[i].double().numpy().round(5).tolist()
        person["pose_3d_source"] = "pseudo"
        person["pose_3d_error"] = round(float(result.error_relative[i]), 5)


def summary(result: PseudoPoses, searchable: torch.Tensor) -> str:
    """One line: people, with 3D, too few joints, rejected, errors."""
    count, found = len(searchable), int(result.found.sum())
    errors = result.error_relative[result.found]
    mean = (
        f"{errors.mean() * 100:.2f} % of the pose size, {result.error_px[result.found].mean():.2f} px" if found else "-"
    )
    return (
        f"{count} people: {found} with 3D, {int((~searchable).sum())} with too few joints, "
        f"{int((searchable & ~result.found).sum())} rejected; mean matching error {mean}"
    )


if __name__ == "__main__":
    sys.exit(main())

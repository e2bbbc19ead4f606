#!/usr/bin/env python3
"""Adds pseudo ground-truth 3D poses to a JSON of 2D poses (Sec. 4.2).

    python datasets/add_pseudo_3d.py coco_train.json --mocap datasets/mocap/poses.npz --views 1000000 \\
        --output coco_train_3d.json
    python datasets/add_pseudo_3d.py coco_train.json --lifter weights/research/lifter_cmu_hdm05.npz \\
        --output coco_train_3d.json

With --mocap, the paper's way, each person with at least 4 annotated joints, among them a shoulder and a hip, gets the
3D pose of the nearest virtual view, and the missing 2D joints from its projection (v = 0). Others stay without 3D and
are ignored in training. People with measured or synthetic 3D are left as they are. docs/notes/pseudo_3d.md has
figures for --max-error, without which nobody is rejected, and for --roll.

With --lifter a network (datasets/train_lifter.py) gives everyone with at least 4 annotated joints, two of them
shoulders or hips, 3D, its standard deviation (pose_3d_std) and the missing 2D; people of whom it knows too little, or
whose 3D does not project to their 2D, stay without (--max-std, --max-error). docs/notes/pseudo_3d.md compares the two.

The search, killed and started again with the same arguments, goes on where it was; its progress is kept beside the
output until that is written.

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
from typing import Any, NamedTuple

import numpy as np
import torch
from tqdm import tqdm

from lcrnet_d2.command_line import run_command
from lcrnet_d2.mocap import PoseBase, PseudoPoses, PseudoPoseSearch, ViewRanges, is_searchable, random_views
from lcrnet_d2.mocap.lifter import Lifter, is_liftable, joint_trust
from lcrnet_d2.mocap.pseudo_pose import matching_error
from lcrnet_d2.placement import PinholeCamera, place_people
from lcrnet_d2.sharding import Shard
from lcrnet_d2.structures import BODY13
from lcrnet_d2.structures.bounded_files import read_json, read_npz
from lcrnet_d2.structures.whole_files import save_npz, write_json

#: People whose lifted 3D is farther off their 2D: 0.3 % of LSPE.
LIFTER_MAX_ERROR = 0.15


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("poses", type=Path, help="JSON with the 13 joints (datasets/prepare_*.py)")
    way = parser.add_mutually_exclusive_group(required=True)
    way.add_argument("--mocap", type=Path, help="search in this pose base of datasets/prepare_mocap.py")
    way.add_argument("--lifter", type=Path, help="lift with this network of datasets/train_lifter.py")
    parser.add_argument("--output", required=True, type=Path, help="the JSON to write")
    parser.add_argument("--views", type=lambda text: int(float(text)), default=1_000_000, help="virtual views (1e6)")
    parser.add_argument("--elevation", type=float, nargs=2, default=ViewRanges().elevation, help="degrees, above: > 0")
    parser.add_argument(
        "--roll", type=float, nargs=2, default=ViewRanges().roll, help="degrees (-10 10); gymnasts: -180 180"
    )
    parser.add_argument(
        "--max-error",
        type=float,
        help=f"reject 3D whose projection is farther off, as a fraction of the pose's size (search: none, try 0.15; "
        f"lifter: {LIFTER_MAX_ERROR})",
    )
    parser.add_argument("--max-std", type=float, default=0.15, help="lifter: reject a mean standard deviation above, m")
    parser.add_argument(
        "--noise", type=float, default=0.03, help="lifter: of annotated joints, share of the pose's extent"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the views")
    parser.add_argument("--shard", type=Shard.parse, default=Shard.of_this_process(), help="INDEX/COUNT: search a part")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--memory", type=float, default=0.5, help="GB of working memory beside the views' 2D")
    args = parser.parse_args(arguments)
    if args.lifter and args.max_error is None:
        args.max_error = LIFTER_MAX_ERROR
    return args


def main(arguments: list[str] | None = None) -> int:
    args = parse_arguments(arguments)
    content = read_json(args.poses)
    people = people_without_3d(content, args.poses)
    keypoints = torch.tensor([p["keypoints"] for p in people], dtype=torch.float64).reshape(-1, len(BODY13), 3)
    poses_2d, annotated = keypoints[..., :2], keypoints[..., 2] > 0
    if args.lifter:
        result = lift_all(Lifter.load(args.lifter), poses_2d, annotated, cameras_of(content, people), args)
        enough = is_liftable(annotated, BODY13)
        way: dict[str, Any] = {"lifter": args.lifter.name, "noise": args.noise, "max_std": args.max_std}
    else:
        result = search(poses_2d, annotated, args)
        if result is None:
            print(f"part {args.shard.index} of {args.shard.count} is searched; once all are, run without --shard")
            return 0
        enough = is_searchable(annotated, BODY13)
        way = {"mocap": args.mocap.name, "views": args.views, "seed": args.seed}
        way |= {"elevation": list(args.elevation), "roll": list(args.roll)}
    write_into(people, result)
    content["info"] = content.get("info", {}) | {"pseudo_3d": way | {"max_error": args.max_error}}
    write_json(args.output, content)
    for file in _progress_files(_progress(args.output)):
        file.unlink()
    print(summary(result, enough))
    return 0


def search(poses_2d: torch.Tensor, annotated: torch.Tensor, args: argparse.Namespace) -> PseudoPoses | None:
    """The nearest views of everyone; None where this process is to search for a part alone."""
    base = PoseBase.load(args.mocap)
    ranges = ViewRanges(elevation=tuple(args.elevation), roll=tuple(args.roll))
    views = random_views(base.poses_3d, args.views, torch.Generator().manual_seed(args.seed), ranges)
    searched = PseudoPoseSearch(views, args.device, int(args.memory * 1e9))
    view_index = search_all(searched, poses_2d, annotated, _progress(args.output), args.shard)
    return searched.fit(poses_2d, annotated, view_index, args.max_error) if args.shard.count == 1 else None


class Lifted(NamedTuple):
    """As `PseudoPoses` of the search, with the standard deviation of each coordinate, (N, J, 3) m."""

    found: torch.Tensor
    poses_3d: torch.Tensor
    poses_2d: torch.Tensor
    error_px: torch.Tensor
    error_relative: torch.Tensor
    std: torch.Tensor


def lift_all(
    lifter: Lifter, poses_2d: torch.Tensor, annotated: torch.Tensor, cameras: torch.Tensor, args: argparse.Namespace
) -> Lifted:
    """Lifts everyone and puts them before their cameras (N, 6): fx, fy, cx, cy, height, width in px."""
    focal, centre, sizes = cameras.split(2, 1)
    lifted = lifter.lift(poses_2d, joint_trust(annotated, args.noise), sizes)
    rays = (poses_2d - centre[:, None]) / focal[:, None]
    before = lifted.poses_3d + place_people(rays, lifted.poses_3d, PinholeCamera(1, 1, 0, 0), annotated)[:, None]
    seen = before[..., :2] / before[..., 2:] * focal[:, None] + centre[:, None]
    error, relative = matching_error(seen, poses_2d, annotated)
    enough = is_liftable(annotated, BODY13) & (lifted.std.mean((1, 2)) <= args.max_std)
    fits = relative <= args.max_error  # NaN, what no place before the camera explains, does not
    return Lifted(enough & fits, lifted.poses_3d, lifted.poses_2d, error, relative, lifted.std)


def cameras_of(content: dict[str, Any], people: list[dict[str, Any]]) -> torch.Tensor:
    """(N, 6) fx, fy, cx, cy, height, width in px of each person's image; without a camera one of 60 degrees."""
    of_image = {}
    for image in content["images"]:
        size = (image["height"], image["width"])
        camera = image.get("camera") or vars(PinholeCamera.from_fov(size))
        of_image[image["id"]] = [*(camera[key] for key in ("fx", "fy", "cx", "cy")), *size]
    return torch.tensor([of_image[person["image_id"]] for person in people], dtype=torch.float64).reshape(-1, 6)


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


def _progress(output: Path) -> Path:
    return Path(f"{output}.progress.npz")


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


def write_into(people: list[dict[str, Any]], result: PseudoPoses | Lifted) -> None:
    """3D and completed joints into the annotations; who finds no match loses both, if there were any."""
    for i, person in enumerate(people):
        had_3d = person.get("pose_3d") is not None
        for key in ("pose_3d", "pose_3d_source", "pose_3d_error", "pose_3d_std"):
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
        if isinstance(result, Lifted):
            person["pose_3d_std"] = result.std[i].double().numpy().round(4).tolist()


def summary(result: PseudoPoses | Lifted, searchable: torch.Tensor) -> str:
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
    run_command(main, OSError, ValueError)

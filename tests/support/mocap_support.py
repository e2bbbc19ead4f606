"""Small motion files whose poses can be worked out by hand, and the real ones where they are at hand."""

from __future__ import annotations

import functools

import numpy as np

from lcrnet_d2.structures import BODY13
from sources.mocap.take import BrokenTakeError
from sources.mocap.takes import TakeFile, find_takes
from tests_support import REAL_DATA

# bone: (parent, direction, length in m). y is up, the person faces +z, left is +x.
BONES: dict[str, tuple[str, tuple[float, float, float], float]] = {
    "thorax": ("root", (0, 1, 0), 0.5),
    "head": ("thorax", (0, 1, 0), 0.2),
    "lclavicle": ("thorax", (1, 0, 0), 0.2),
    "lhumerus": ("lclavicle", (1, 0, 0), 0.3),
    "lradius": ("lhumerus", (1, 0, 0), 0.25),
    "lhand": ("lradius", (1, 0, 0), 0.1),
    "rclavicle": ("thorax", (-1, 0, 0), 0.2),
    "rhumerus": ("rclavicle", (-1, 0, 0), 0.3),
    "rradius": ("rhumerus", (-1, 0, 0), 0.25),
    "rhand": ("rradius", (-1, 0, 0), 0.1),
    "lhipjoint": ("root", (1, 0, 0), 0.1),
    "lfemur": ("lhipjoint", (0, -1, 0), 0.4),
    "ltibia": ("lfemur", (0, -1, 0), 0.4),
    "lfoot": ("ltibia", (0, 0, 1), 0.1),
    "rhipjoint": ("root", (-1, 0, 0), 0.1),
    "rfemur": ("rhipjoint", (0, -1, 0), 0.4),
    "rtibia": ("rfemur", (0, -1, 0), 0.4),
    "rfoot": ("rtibia", (0, 0, 1), 0.1),
}
DOF = {"thorax": "rx ry rz", "lfemur": "rx ry rz", "ltibia": "rx", "rhumerus": "rx ry rz"}


def asf(axis: dict[str, tuple[float, float, float]] | None = None, length_unit: float = 0.0254) -> bytes:
    """A skeleton; with the length unit 0.0254 its numbers are metres (inches / 0.0254 / 39.37)."""
    lines = [":version 1.10", ":units", "  mass 1.0", f"  length {length_unit}", "  angle deg", ":root"]
    lines += ["  order TX TY TZ RX RY RZ", "  axis XYZ", "  position 0 0 0", "  orientation 0 0 0", ":bonedata"]
    for number, (name, (_, direction, length)) in enumerate(BONES.items()):
        x, y, z = (axis or {}).get(name, (0.0, 0.0, 0.0))
        lines += ["  begin", f"    id {number}", f"    name {name}", "    direction {} {} {}".format(*direction)]
        lines += [f"    length {length * length_unit / 0.0254}", f"    axis {x} {y} {z} XYZ"]
        lines += [f"    dof {DOF[name]}", "    limits (-180 180)"] if name in DOF else []
        lines += ["  end"]
    children: dict[str, list[str]] = {}
    for name, (parent, _, _) in BONES.items():
        children.setdefault(parent, []).append(name)
    lines += [":hierarchy", "  begin", *(" ".join([p, *c]) for p, c in children.items()), "  end"]
    return ("\n".join(lines) + "\n").encode()


def amc(frames: list[dict[str, tuple[float, ...]]]) -> bytes:
    """A motion: bone -> values, 0 where left out; `root` has x y z and three angles."""
    lines = ["#!OML:ASF made by a test", ":FULLY-SPECIFIED", ":DEGREES"]
    for number, frame in enumerate(frames, 1):
        lines.append(str(number))
        for name, dof in {"root": "tx ty tz rx ry rz", **DOF}.items():
            values = frame.get(name, (0.0,) * len(dof.split()))
            lines.append(" ".join([name, *map(str, values)]))
    return ("\n".join(lines) + "\n").encode()


def joint(pose: np.ndarray, name: str) -> list[float]:
    """A joint of (J, 3) in metres, rounded to 0.1 mm."""
    return (pose[BODY13.index(name)].round(4) + 0.0).tolist()


@functools.lru_cache
def real_file(archive: str, ending: str) -> TakeFile:
    """The take of a real archive whose source ends so."""
    for found in find_takes(REAL_DATA / "mocap" / archive):
        if not isinstance(found, BrokenTakeError) and found.source.endswith(ending):
            return found
    raise AssertionError(f"no {ending} in {archive}")

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from lcrnet_d2.outputs.pose_bvh import Motion, write_bvh
from lcrnet_d2.outputs.pose_gltf import write_gltf
from sources.mocap.bvh import parse_bvh_nodes
from tests_support import random_poses

pygltflib = pytest.importorskip("pygltflib")


def motion(frames: int, start: int = 0, seed: int = 0) -> Motion:
    poses = random_poses(frames, seed).double().numpy() + [0.3, -0.1, 4.0]
    return Motion(poses, np.arange(start, start + frames), np.zeros(frames, dtype=bool))


def array(file: Any, accessor: int) -> np.ndarray:
    of = file.accessors[accessor]
    width = {"SCALAR": 1, "VEC3": 3, "VEC4": 4, "MAT4": 16}[of.type]
    dtype = np.float32 if of.componentType == pygltflib.FLOAT else np.uint16
    offset = file.bufferViews[of.bufferView].byteOffset
    return np.frombuffer(file.binary_blob(), dtype, of.count * width, offset).reshape(of.count, width)


def places(file: Any, root: int, frame: int) -> dict[str, np.ndarray]:
    """Name of a node -> (3,) m, by the file's animation; a slow walk down the tree."""
    animation = file.animations[0]
    values = {
        (c.target.node, c.target.path): array(file, animation.samplers[c.sampler].output) for c in animation.channels
    }
    found = {}

    def walk(number: int, place: np.ndarray, turn: np.ndarray) -> None:
        node = file.nodes[number]
        moved = values.get((number, "translation"))
        place = place + turn @ (np.array(node.translation) if moved is None else moved[frame])
        rotation = values.get((number, "rotation"))
        found[node.name] = place
        for child in node.children:
            walk(child, place, turn if rotation is None else turn @ Rotation.from_quat(rotation[frame]).as_matrix())

    walk(root, np.zeros(3), np.eye(3))
    return found


def test_the_same_body_as_in_the_bvh(tmp_path: Path) -> None:
    shown = motion(5)
    write_gltf(tmp_path / "people.glb", {3: shown}, fps=10)
    write_bvh(tmp_path / "p.bvh", shown.poses_3d, fps=10)
    bvh = parse_bvh_nodes((tmp_path / "p.bvh").read_bytes(), "p.bvh")
    file = pygltflib.GLTF2().load(str(tmp_path / "people.glb"))
    for frame in range(5):
        ours = places(file, 0, frame)
        assert set(ours) == set(bvh.tree.names)
        theirs = np.array([ours[name] for name in bvh.tree.names])
        np.testing.assert_allclose(theirs, bvh.positions[frame] / 100, atol=1e-4)


def test_people_move_at_their_own_times_and_are_drawn(tmp_path: Path) -> None:
    write_gltf(tmp_path / "people.glb", {0: motion(3), 4: motion(2, start=7, seed=1)}, fps=10)
    file = pygltflib.GLTF2().load(str(tmp_path / "people.glb"))
    inputs = {array(file, sampler.input).ravel().tobytes() for sampler in file.animations[0].samplers}
    times = sorted(np.frombuffer(data, np.float32).round(3).tolist() for data in inputs)
    assert times == [[0, pytest.approx(0.1), pytest.approx(0.2)], [pytest.approx(0.7), pytest.approx(0.8)]]
    assert [mesh.name for mesh in file.meshes] == ["person 0", "person 4"] and len(file.scenes[0].nodes) == 4
    for mesh, skin in zip(file.meshes, file.skins, strict=True):
        (primitive,) = mesh.primitives
        rest = array(file, primitive.attributes.POSITION)
        inverse = array(file, skin.inverseBindMatrices).reshape(-1, 4, 4)  # columns follow each other
        homogeneous = np.concatenate([rest, np.ones((len(rest), 1))], 1)
        at_node = np.einsum("bji,bj->bi", inverse, homogeneous)[:, :3]
        np.testing.assert_allclose(at_node, 0, atol=1e-6)
        assert array(file, primitive.indices).max() == len(rest) - 1 == len(skin.joints) - 1


def test_what_is_no_motion_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="finite"):
        write_gltf(tmp_path / "people.glb", {0: motion(2)._replace(poses_3d=np.full((2, 13, 3), np.nan))}, fps=10)
    assert not list(tmp_path.iterdir())

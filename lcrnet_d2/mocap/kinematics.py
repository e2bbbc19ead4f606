"""Forward kinematics of a tree of nodes, shared by ASF/AMC and BVH.

Shapes: F frames, B nodes. A node is where a bone starts; the end of a last bone is a node that does
not turn, named "<bone> end". Everything in the file's own axes and unit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from scipy.spatial.transform import Rotation

__all__ = ["NodeTree", "end_of", "euler_rotations"]


def end_of(bone: str) -> str:
    """Name of the node at the end of a last bone."""
    return f"{bone} end"


@dataclass(frozen=True)
class NodeTree:
    """Named nodes; every parent comes before its children.

    Attributes:
        names: B names.
        parents: B indices, -1 for the root (which comes first).
        offsets: (B, 3) place of each node seen from its parent, in the parent's axes.
    """

    names: tuple[str, ...]
    parents: tuple[int, ...]
    offsets: np.ndarray

    def positions(
        self,
        rotations: dict[str, np.ndarray],
        root_positions: np.ndarray,
        moved: Mapping[int, np.ndarray] = MappingProxyType({}),
    ) -> np.ndarray:
        """Places of all nodes: p_b = p_parent + G_parent o_b with G_b = G_parent L_b.

        Args:
            rotations: name -> (F, 3, 3) local rotation L; nodes without one do not turn.
            root_positions: (F, 3).
            moved: node -> (F, 3) offsets in place of its own.

        Returns:
            (F, B, 3).
        """
        positions = np.empty((len(root_positions), len(self.names), 3))
        turned: list[np.ndarray] = []
        for b, (name, parent) in enumerate(zip(self.names, self.parents, strict=True)):
            local = rotations.get(name)
            if parent < 0:
                positions[:, b] = root_positions
                turned.append(np.broadcast_to(np.eye(3), (len(root_positions), 3, 3)) if local is None else local)
                continue
            offset = moved[b][..., None] if b in moved else self.offsets[b][:, None]
            positions[:, b] = positions[:, parent] + (turned[parent] @ offset)[..., 0]
            turned.append(turned[parent] if local is None else turned[parent] @ local)
        return positions

    def rest_positions(self) -> np.ndarray:
        """(B, 3) with every local rotation the identity and the root at 0."""
        return self.positions({}, np.zeros((1, 3)))[0]


def euler_rotations(degrees: np.ndarray, order: str) -> np.ndarray:
    """(..., 3, 3) rotations of (..., 3) angles.

    `order` in upper case turns about the moving axes ("ZYX": Rz Ry Rx, BVH's channels as listed), in lower
    case about the fixed ones ("xyz": first x, so again Rz Ry Rx, ASF's `axis XYZ`).
    """
    flat = Rotation.from_euler(order, degrees.reshape(-1, 3), degrees=True).as_matrix()
    return flat.reshape(*degrees.shape[:-1], 3, 3)

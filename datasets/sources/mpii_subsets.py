"""Who of MPII is evaluated alone and who in a group: RELEASE.single_person, and groups_v12.mat of MPII's toolkit.

Both are cell arrays with a cell per picture of `annolist`, and number the people of a picture from 1, in the order of
its annorect: single_person{i} holds the people who stand apart from everyone else, groups{i} holds a cell per group.
A group is evaluated if none of its people is in the single-person subset (getMultiPersonGroups.m of the toolkit).
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from lcrnet_d2.data.datasets.pose_json import PoseFileError

from .matlab import read_mat
from .mpii import SubjectJoints

__all__ = ["Subsets", "read_subsets"]


@dataclass(frozen=True)
class Subsets:
    """Of one picture; people are counted from 0.

    Attributes:
        single: who is in the single-person subset; None where the file does not say.
        group_of: number, from 1, of the evaluated group of a person.
    """

    single: frozenset[int] | None = None
    group_of: dict[int, int] = field(default_factory=dict)

    def of_people(self, where: str, people: list[SubjectJoints]) -> list[SubjectJoints]:
        """The people of that picture with their subset and group.

        Raises:
            PoseFileError: a number beyond the last person.
        """
        last = max([-1, *(self.single or ()), *self.group_of])
        if last >= len(people):
            raise PoseFileError(f"{where}: its subsets name person {last + 1}, of {len(people)}")
        return [
            dataclasses.replace(
                person, group=self.group_of.get(i), single_person=None if self.single is None else i in self.single
            )
            for i, person in enumerate(people)
        ]


def read_subsets(path: Path, release: Any, count: int, groups: Path | None) -> list[Subsets]:
    """One for each of the `count` pictures of a release.

    Args:
        path: of the release, for messages.
        release: its RELEASE; `single_person` may be missing if no groups are given.
        groups: groups_v12.mat.

    Raises:
        FileNotFoundError: no groups file.
        PoseFileError: lists of another length, groups without single_person, or files of another kind.
    """
    single: list[frozenset[int] | None] = [None] * count
    if hasattr(release, "single_person"):
        single = [frozenset(_numbers(f"{path}: single_person", c)) for c in _cells(release.single_person)]
        if len(single) != count:
            raise PoseFileError(f"{path}: {count} entries in annolist, {len(single)} in single_person")
    if groups is None:
        return [Subsets(alone) for alone in single]
    if not hasattr(release, "single_person"):
        raise PoseFileError(f"{path} has no single_person, which decides the groups of {groups} that are evaluated")
    pictures = _read_groups(groups)
    if len(pictures) != count:
        raise PoseFileError(f"{groups} has {len(pictures)} pictures, {path} has {count}")
    return [
        Subsets(alone, _group_of(f"{groups}: groups{{{i + 1}}}", alone or frozenset(), picture))
        for i, (alone, picture) in enumerate(zip(single, pictures, strict=True))
    ]


def _group_of(where: str, single: frozenset[int], groups: list[list[int]]) -> dict[int, int]:
    group_of: dict[int, int] = {}
    for number, members in enumerate(groups, 1):
        if single.isdisjoint(members):
            twice = set(members) & set(group_of)
            if twice:
                raise PoseFileError(f"{where}: person {min(twice) + 1} is in two groups")
            group_of |= dict.fromkeys(members, number)
    return group_of


def _read_groups(path: Path) -> list[list[list[int]]]:
    """The members, from 0, of the groups of each picture."""
    # Not squeezed: one group of two people and two groups of one person would look alike.
    pictures = read_mat(path, squeeze=False).get("groups")
    if not isinstance(pictures, np.ndarray) or pictures.dtype != object:
        raise PoseFileError(f"{path} is not MPII's groups_v12.mat: no cell array 'groups'")
    found = []
    for i, picture in enumerate(pictures.ravel(), 1):
        if np.size(picture) and np.asarray(picture).dtype != object:
            raise PoseFileError(f"{path}: groups{{{i}}} is no cell array")
        found.append([_numbers(f"{path}: groups{{{i}}}", group) for group in np.ravel(picture)])
    return found


def _cells(value: Any) -> list[Any]:
    """A cell array, and what squeezing makes of one with a single cell."""
    return list(value) if isinstance(value, np.ndarray) and value.dtype == object else [value]


def _numbers(where: str, value: Any) -> list[int]:
    """Matlab's numbers from 1 as numbers from 0."""
    array = np.ravel(value)
    if array.size and (array.dtype.kind not in "iuf" or (array < 1).any() or (array % 1 != 0).any()):
        raise PoseFileError(f"{where}: {array.tolist()} are no numbers of people")
    return [int(number) - 1 for number in array]

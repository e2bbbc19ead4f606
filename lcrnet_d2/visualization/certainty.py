"""What is measured and what is inferred: the one rule that every picture, page and log draws joints by."""

from __future__ import annotations

import numpy as np

from ..detected_people import DetectedPeople

__all__ = ["LARGE_SPREAD_M", "is_inferred", "person_numbers"]

#: Metres of 3D spread beyond which a joint counts as a guess: half of the default T_3D, within which proposals
#: are averaged at all (Eq. 6).
LARGE_SPREAD_M = 0.15


def is_inferred(people: DetectedPeople) -> np.ndarray:
    """(N, J) bool: outside the image, or the averaged proposals disagree by more than LARGE_SPREAD_M."""
    return ~people.in_image | (people.spreads_3d > LARGE_SPREAD_M)


def person_numbers(people: DetectedPeople) -> list[int]:
    """What people are called and coloured by: their identities in a video, else 1, 2, ... by score."""
    return list(range(1, len(people) + 1)) if people.identities is None else people.identities.tolist()

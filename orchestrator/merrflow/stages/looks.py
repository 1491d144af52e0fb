"""How a person's face looks, as far as the engine measured it: good for telling persons apart within one clip only.

Between clips it is of no use: at the distance that joins a person's tracks here, 5 of 235 pairs of strangers would be
joined, and it is biometric, so it goes no further than these functions.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from merrflow.stages.sights import Sight

LEAST_WEIGHT = 0.05  # of a face in profile: few persons have no frontal face, but then a profile must do


@dataclass(frozen=True, eq=False)
class Look:
    """The weighted sum of embeddings; frontal faces count most."""

    total: NDArray[np.float64]  # (n,)
    weight: float

    def joined(self, other: Look) -> Look:
        """The look of both together."""
        return Look(self.total + other.total, self.weight + other.weight)

    def distance(self, other: Look) -> float:
        """Between the mean embeddings, Euclidean; infinite for those of different networks."""
        if self.total.shape != other.total.shape:
            return math.inf
        return float(np.linalg.norm(self.total / self.weight - other.total / other.weight))


def look_of(faces: Iterable[Sight]) -> Look | None:
    """The look of one person's faces; None if no embedding was measured."""
    seen = [(_weight(face), np.asarray(face.embedding, np.float64)) for face in faces if len(face.embedding)]
    seen = [(weight, vector) for weight, vector in seen if vector.shape == seen[0][1].shape]
    if not seen:
        return None
    return Look(np.sum([weight * vector for weight, vector in seen], axis=0), sum(weight for weight, _ in seen))


def _weight(face: Sight) -> float:
    yaw, pitch = (max(math.cos(math.radians(angle)), 0.0) for angle in (face.yaw, face.pitch))
    return max(LEAST_WEIGHT, yaw**4 * pitch**2)


@dataclass(frozen=True, eq=False)
class _Group:
    members: tuple[int, ...]  # places in the list of tracks, ascending
    frames: frozenset[int]
    look: Look


def same_person(looks: Iterable[tuple[frozenset[int], Look | None]], furthest: float) -> list[tuple[int, ...]]:
    """Groups of tracks that are one person, as places in `looks`, ascending; each track is in one group.

    looks: of each track the frames in which it is seen, and its look. The two nearest groups are joined, again and
    again, while they are at most `furthest` apart and never in view in the same frame.
    """
    tracks = list(looks)
    groups = [_Group((place,), frames, look) for place, (frames, look) in enumerate(tracks) if look is not None]
    alone = [(place,) for place, (_, look) in enumerate(tracks) if look is None]
    while True:
        near = [
            (one.look.distance(other.look), one.members, other.members, one, other)
            for one, other in combinations(groups, 2)
            if not one.frames & other.frames
        ]
        distance, _, _, one, other = min(near, key=lambda pair: pair[:3], default=(math.inf, (), (), None, None))
        if distance > furthest or one is None or other is None:
            return sorted([*alone, *(group.members for group in groups)])
        members = tuple(sorted((*one.members, *other.members)))
        groups = [group for group in groups if group is not one and group is not other]
        groups.append(_Group(members, one.frames | other.frames, one.look.joined(other.look)))
        groups.sort(key=lambda group: group.members)

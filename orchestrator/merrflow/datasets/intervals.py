"""The interval of a share, for whatever reports one."""

from __future__ import annotations

import math

Z_95 = 1.959963984540054  # of the normal distribution, for 95 % intervals


def wilson(hits: float, number: float) -> tuple[float, float]:
    """Wilson's 95 % score interval (Wilson 1927, JASA 22), which holds for few items too; 0 to 1 of nothing.

    number: may be an effective sample size, so neither need be whole.
    """
    if number <= 0:
        return 0.0, 1.0
    share, square = hits / number, Z_95 * Z_95
    centre = (share + square / (2 * number)) / (1 + square / number)
    half = Z_95 / (1 + square / number) * math.sqrt(share * (1 - share) / number + square / (4 * number * number))
    return max(0.0, centre - half), min(1.0, centre + half)

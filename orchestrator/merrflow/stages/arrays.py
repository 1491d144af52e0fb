"""The kinds of arrays that stages pass on; their shapes are in the docstrings."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Picture: TypeAlias = NDArray[np.uint8]  # (height, width, 3) RGB
Sound: TypeAlias = NDArray[np.float32]  # (samples,) at 16 kHz, in [-1, 1]
Floats: TypeAlias = NDArray[np.float64]

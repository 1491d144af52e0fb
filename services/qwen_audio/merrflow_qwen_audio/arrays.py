"""Names for the arrays of this package."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Samples = npt.NDArray[np.float32]  # (samples,) at 16 kHz, mono
Sound = npt.NDArray[np.floating[Any]]  # the same, in any precision
Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]  # (frames,)
FrameNumbers = npt.NDArray[np.integer[Any]]

"""Networks of the model bundle, computed by LiteRT: one picture at a time, on one thread."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from merrflow_serving.quiet import quiet_stderr

Floats = npt.NDArray[np.float32]


class TfliteNetwork:
    """A TFLite file in memory. It keeps nothing from one call to the next. Not thread-safe."""

    def __init__(self, content: bytes) -> None:
        """content: the file, which must be a trusted one. Raises `ImportError` if LiteRT is not installed."""
        from ai_edge_litert.interpreter import Interpreter

        with quiet_stderr():
            self._interpreter: Any = Interpreter(model_content=content, num_threads=1)
            self._interpreter.allocate_tensors()
        (self._input,) = (one["index"] for one in self._interpreter.get_input_details())
        self._outputs = tuple(one["index"] for one in self._interpreter.get_output_details())

    def run(self, values: npt.NDArray[Any], scale: float = 1.0, shift: float = 0.0) -> tuple[Floats, ...]:
        """All outputs for `values * scale + shift`, of the network's shape without its first axis."""
        taken = self._interpreter.tensor(self._input)()[0]  # the network's own memory
        np.multiply(values, np.float32(scale), out=taken, dtype=np.float32)
        if shift:
            taken += np.float32(shift)
        del taken  # LiteRT runs only if nobody holds it
        self._interpreter.invoke()
        return tuple(self._interpreter.get_tensor(output) for output in self._outputs)

"""Random weights, drawn on the device, in the engine's number format, by a seed. No files."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TypeVar

import torch

from merrflow_serving.weights.checkpoint import fill

Module = TypeVar("Module", bound=torch.nn.Module)
NumberFormat = torch.dtype | Callable[[str], torch.dtype]


class RandomTensors(Mapping[str, torch.Tensor]):
    """A checkpoint that is drawn as it is read, one tensor at a time, in the order in which it is read."""

    def __init__(self, module: torch.nn.Module, dtype: NumberFormat, device: torch.device, seed: int) -> None:
        self._shapes = {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}
        self._dtype = dtype
        self._device = device
        self._generator = torch.Generator(device).manual_seed(seed)

    def __getitem__(self, name: str) -> torch.Tensor:
        """Matrices preserve the magnitude of their input; scales of norms are about 1, biases about 0."""
        shape = self._shapes[name]
        dtype = self._dtype if isinstance(self._dtype, torch.dtype) else self._dtype(name)
        drawn = torch.randn(shape, generator=self._generator, device=self._device, dtype=dtype)
        if len(shape) > 1:
            return drawn.mul_(torch.Size(shape[1:]).numel() ** -0.5)
        return drawn.mul_(0.02).add_(1.0 if name.endswith("weight") else 0.0)

    def __iter__(self) -> Iterator[str]:
        return iter(self._shapes)

    def __len__(self) -> int:
        return len(self._shapes)


def randomised(module: Module, *, dtype: NumberFormat, device: torch.device, seed: int) -> Module:
    """`module`, built within `parameters_on_meta`, with random weights: filled as the engines fill theirs."""
    tensors = RandomTensors(module, dtype, device, seed)
    fill(module, tensors, rename=lambda name: name, dtype=dtype, device=device, origin="random weights")
    return module.eval()

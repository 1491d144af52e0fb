"""The tiny model as the `transformers` engine runs it: loading, prompts and answers."""

from __future__ import annotations

from pathlib import Path

import torch

from merrflow_llama3.engines.language_model import Ask, Drawn
from merrflow_llama3.engines.transformers.batching import BatchingModel, Sizes
from merrflow_llama3.engines.transformers.loading import load_model
from merrflow_llama3.prompt import Sampling

CPU = torch.device("cpu")
GREEDY = Sampling(temperature=0.0, top_p=1.0, top_k=0, min_p=0.0, repeat_penalty=1.0)
WARM = Sampling(temperature=0.8, top_p=0.95, top_k=0, min_p=0.0, repeat_penalty=1.0)
STOPS = frozenset({1017, 1023})
# Golden numbers: log-likelihoods that the seeded tiny model gives a fixed answer, made with plain transformers 5.23
# in float64.
GOLDEN = ((-27.944801, -8.451043), (-25.845677, -5.815501), (-24.365789, -11.278969))


def opened(folder: Path, attention: str = "sdpa"):
    return load_model(folder, device=CPU, dtype=torch.float32, attention=attention)


def prompts(count: int = 8) -> list[tuple[int, ...]]:
    generator = torch.Generator().manual_seed(11)
    shared = torch.randint(0, 1016, (70,), generator=generator).tolist()
    return [
        (1016, *shared, *torch.randint(0, 1016, (5 + 23 * place,), generator=generator).tolist())
        for place in range(count)
    ]


def answers(model: BatchingModel, asks: list[Ask]) -> list[Drawn]:
    found = {}
    model.generate(asks, lambda place, drawn: found.update({place: drawn}))
    return [found[place] for place in range(len(asks))]


def batching_model(folder: Path, sampling: Sampling = GREEDY, requests: int = 8, attention: str = "sdpa", **sizes: int):
    given = Sizes(requests, sizes.pop("context_tokens", 512), **sizes)
    return BatchingModel(opened(folder, attention), stops=STOPS, sampling=sampling, sizes=given)

"""How far 16-bit numbers move the language models' logits from float32, with the same random weights on the card.

    python -m benchmarks.gpu_numbers              # the three models at full size, float16 and bfloat16
    python -m benchmarks.gpu_numbers --small      # tiny shapes, on a CPU too

For each model and format: the root mean square of the difference relative to that of the float32 logits, and the share
of positions at which both prefer the same token. The weights are drawn in the format and widened, so what differs is
the arithmetic alone. Random weights prefer no token as clearly as trained ones do: the share is a lower bound. The last
line is one JSON object.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import torch
import transformers

from benchmarks.gpu import MODELS, model_of, parser, setup_of
from benchmarks.models.bare import engines_alone
from benchmarks.models.setup import Setup
from benchmarks.models.timing import release
from benchmarks.support.card import format_name

_ROWS, _TOKENS = 2, 64
FORMATS = (torch.float16, torch.bfloat16)


def main(arguments: Sequence[str] | None = None) -> None:
    options = parser().parse_args(arguments)
    engines_alone()
    transformers.logging.set_verbosity_error()
    setup = setup_of(options)
    rows = []
    for name in options.model or MODELS:
        for row in compared(name, setup):
            rows.append(row)
            print(" ".join(f"{key} {value}" for key, value in row.items()))
        release()
    print(json.dumps({"benchmark": "gpu_numbers", "device": setup.card.name, "size": setup.size, "rows": rows}))


def compared(name: str, setup: Setup) -> Iterator[dict[str, Any]]:
    """A row for each format. A card that cannot hold the model in float32 gives a row with a note."""
    for dtype in FORMATS:
        row: dict[str, Any] = {"model": name, "format": format_name(dtype)}
        try:
            yield row | _difference(name, replace(setup, dtype=dtype))
        except torch.OutOfMemoryError:
            yield row | {"note": "out of memory in float32"}
        release()


@torch.inference_mode()
def _difference(name: str, setup: Setup) -> dict[str, float]:
    language = _language_model(model_of(name)(setup))
    generator = torch.Generator().manual_seed(setup.seed)
    ids = torch.randint(0, language.config.vocab_size, (_ROWS, _TOKENS), generator=generator).to(setup.device)
    short = language(input_ids=ids).logits.float()
    exact = language.float()(input_ids=ids).logits
    error = (short - exact).square().mean().sqrt() / exact.square().mean().sqrt()
    same = (short.argmax(-1) == exact.argmax(-1)).float().mean()
    return {"relative_rms": round(float(error), 6), "same_token": round(float(same), 4)}


def _language_model(built: Any) -> Any:
    """Of Qwen-Audio it is a part of the listener."""
    return built.model if hasattr(built, "model") else built.listener.language


if __name__ == "__main__":
    main()

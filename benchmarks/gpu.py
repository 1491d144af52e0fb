"""The real models at full size with random weights: speed compared with one by one, and with the GPU's limits.

    python -m benchmarks.gpu                                    # all models, batches of 1, 16 and 64, on the first GPU
    python -m benchmarks.gpu --model llama3 --batch 64 --tokens 256
    python -m benchmarks.gpu --small                            # tiny shapes, on a CPU too: proves the script

No files are read: weights are drawn on the device, prompts are random tokens, and every answer has exactly the number
of tokens asked for. Each model runs through the code of its engine. docs/benchmarks.md explains the columns. The last
line is one JSON object.

Run it from the top of the repository after `make install`. On a machine that already has torch and transformers, keep
those (transformers not older than constraints.txt says) and add what the engines import:

    pip install --no-deps -c constraints.txt --target deps pydantic pydantic-core pydantic-settings python-dotenv
        annotated-types typing-inspection typing-extensions structlog rich pygments markdown-it-py mdurl pillow
        sentencepiece tiktoken grpcio grpcio-status googleapis-common-protos protobuf
    export PYTHONPATH=deps:protos/python:services/serving:services/minigpt_v2:services/qwen_audio:services/llama3
    python -m benchmarks.gpu

Servers and video decoding are not needed: if their packages are missing, they are left out.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from importlib import import_module
from typing import Any

import torch
import transformers
from rich.console import Console

from benchmarks.models.bare import engines_alone
from benchmarks.models.each import Measured, each_batch
from benchmarks.models.rows import Row, show
from benchmarks.models.setup import Setup
from benchmarks.models.timing import release
from benchmarks.support.card import measure_card

MODELS = {"minigpt-v2": "minigpt_v2:MiniGpt", "qwen-audio": "qwen_audio:Qwen", "llama3": "llama3:Llama3"}
_WIDTH = 200  # columns, if the output is not a terminal


def main(arguments: Sequence[str] | None = None) -> None:
    options = parser().parse_args(arguments)
    engines_alone()
    if options.threads:
        torch.set_num_threads(options.threads)
    transformers.logging.set_verbosity_error()
    setup = setup_of(options)
    console = Console()
    if not console.is_terminal:
        console = Console(width=_WIDTH)
    rows = []
    for name in options.model or MODELS:
        for found in each_batch(model_of(name), in_its_format(name, setup, options)):
            rows += found
            console.print(f"{name}, batch {found[0].batch}: {found[0].note or 'measured'}", highlight=False)
        release()
    show(setup.card, rows, console)
    print(json.dumps(_content(options, setup, rows)))


def model_of(name: str) -> type[Measured]:
    """Imported when it is needed: a model requires the packages of its own service only."""
    module, _, attribute = MODELS[name].partition(":")
    return getattr(import_module(f"benchmarks.models.{module}"), attribute)


def setup_of(options: argparse.Namespace) -> Setup:
    from merrflow_llama3.settings import Llama3Settings
    from merrflow_serving.torch.device import attention_of, device_of, dtype_of

    settings = Llama3Settings(device=options.device, dtype=options.dtype, attention=options.attention)
    device = device_of(settings)
    if device.type == "cpu" and not options.small:
        raise SystemExit("full-size models need a CUDA device; add --small for tiny shapes on the CPU")
    dtype = dtype_of(settings, device)
    # MiniGPT-v2 computes in float16, its tower even if the language model is told to use another 16-bit format.
    dtypes = {dtype} if dtype == torch.float32 else {dtype, torch.float16}
    return Setup(
        device=device,
        dtype=dtype,
        attention=attention_of(settings, device),
        size="small" if options.small else "full",
        batches=tuple(options.batch or (1, 16, 64)),
        tokens=options.tokens,
        alone=options.alone,
        seconds=options.seconds,
        seed=options.seed,
        card=measure_card(device, dtypes, small=device.type == "cpu"),
    )


def in_its_format(name: str, setup: Setup, options: argparse.Namespace) -> Setup:
    """The setup with the number format that the model's own service would use."""
    from merrflow_minigpt_v2.settings import MiniGptSettings
    from merrflow_serving.torch.device import dtype_of

    if name != "minigpt-v2":
        return setup
    return replace(setup, dtype=dtype_of(MiniGptSettings(device=options.device, dtype=options.dtype), setup.device))


def _content(options: argparse.Namespace, setup: Setup, rows: Sequence[Row]) -> dict[str, Any]:
    return {
        "benchmark": "gpu",
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "device": setup.card.name,
        "device_memory_bytes": setup.card.memory_bytes,
        "bandwidth_bytes_per_second": round(setup.card.bandwidth),
        "peak_flops_per_second": {name: round(peak) for name, peak in setup.card.peaks.items()},
        "dtypes": {
            name: str(in_its_format(name, setup, options).dtype).removeprefix("torch.")
            for name in options.model or MODELS
        },
        "attention": setup.attention,
        "threads": torch.get_num_threads(),
        "size": setup.size,
        "answer_tokens": setup.tokens,
        "alone": setup.alone,
        "seconds": setup.seconds,
        "seed": setup.seed,
        "rows": [row.content() for row in rows],
    }


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gpu", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", action="append", choices=MODELS, help="one of them; may be repeated; default: all")
    parser.add_argument("--batch", type=_at_least(1), action="append", help="may be repeated; default: 1, 16 and 64")
    parser.add_argument("--tokens", type=_at_least(2), default=128, help="of every answer, exactly; default: 128")
    parser.add_argument("--alone", type=_at_least(1), default=4, help="items done one by one; default: 4")
    parser.add_argument("--seconds", type=float, default=5.0, help="least time spent on a figure; default: 5")
    parser.add_argument("--small", action="store_true", help="tiny shapes, on a CPU too")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=0, help="of a CPU; 0: as torch chooses")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:1")
    parser.add_argument("--dtype", default="auto", choices=("auto", "float32", "bfloat16", "float16"))
    parser.add_argument("--attention", default="auto", choices=("auto", "sdpa", "eager", "flash_attention_2"))
    return parser


def _at_least(least: int) -> Callable[[str], int]:
    def number(text: str) -> int:
        value = int(text)
        if value < least:
            raise argparse.ArgumentTypeError(f"{value} is less than {least}")
        return value

    return number


if __name__ == "__main__":
    main()

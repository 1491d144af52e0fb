"""Many prompts at once compared with one after the other, by the llama3 service's `transformers` engine.

    python -m benchmarks.continuous_batching                                  # the packaged SmolLM2, on this machine
    python -m benchmarks.continuous_batching --weights /models/Meta-Llama-3-8B-Instruct --prompts 64

Both read the same prompts (the service's own, over made-up clues of different lengths) with the same loaded weights
and pick the likeliest token each time: transformers' plain `generate` prompt by prompt, and the engine. The last line
is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from pathlib import Path
from typing import Any

import torch

from benchmarks.support.answers import answer_alone, answer_together, same
from benchmarks.support.card import device_name
from merrflow_llama3 import gguf_files
from merrflow_llama3.engines.chat_tokenizer import ChatTokenizer, open_chat_tokenizer
from merrflow_llama3.engines.language_model import Tokens
from merrflow_llama3.engines.transformers.batching import BatchingModel, Sizes
from merrflow_llama3.engines.transformers.loading import load_model
from merrflow_llama3.prompt import load_prompt
from merrflow_llama3.settings import Llama3Settings
from merrflow_llama3.types import Clues
from merrflow_serving.torch.device import attention_of, device_of, dtype_of

SCENES = (
    "One person is shown in a close-up, head lowered, eyes down.",
    "Two people are visible; the nearest is shown in a medium shot, facing the camera. The scene is brightly lit.",
    "a young woman sitting on a bench in a park, with trees and a bicycle behind her",
    "",
)
FACES = (("raised inner brows", "lip corners pulled down"), ("lowered brows", "pressed lips"), ("a toothy smile",), ())
TONES = (
    "The voice is low-pitched and quiet, with a narrow pitch range, a slow pace and long pauses.",
    "speaks in a cheerful voice.",
    "The voice is high-pitched and loud, with a wide pitch range and a fast pace; it sounds agitated.",
)
WORDS = (
    "I should have called her.",
    "Who told you to touch my desk?",
    "We are going home, all of us, and nobody will stop us this time, I promise you that.",
    "",
)
LABELS = ("sad", "angry", "happy", "surprise", "neutral", "")


def main() -> None:
    options = _options()
    if options.threads:
        torch.set_num_threads(options.threads)
    path = Path(options.weights) if options.weights else gguf_files.locate(None)
    settings = Llama3Settings(device=options.device, dtype=options.dtype, attention=options.attention)
    device = device_of(settings)
    tokenizer = open_chat_tokenizer(path, gguf_files.header(path) if path.suffix == ".gguf" else None)
    attention = attention_of(settings, device)
    model = load_model(path, device=device, dtype=dtype_of(settings, device), attention=attention)
    prompts = _prompts(tokenizer, options.prompts)
    print(f"{path.name} on {device_name(device)}, {model.dtype}, {attention}, {torch.get_num_threads()} threads")
    print(f"{len(prompts)} prompts of {min(map(len, prompts))} to {max(map(len, prompts))} tokens")

    one_by_one, alone = _one_by_one(model, tokenizer, prompts[: options.alone or None], options.answer_tokens)
    together, batched = _together(model, tokenizer, prompts, options)
    identical = same(alone, batched)
    rate_alone = sum(map(len, alone)) / one_by_one
    rate_batched = sum(map(len, batched)) / together
    ratio = rate_batched / rate_alone
    print(f"one by one: {one_by_one:7.2f} s, {rate_alone:8.1f} tokens/s")
    print(f"batched:    {together:7.2f} s, {rate_batched:8.1f} tokens/s, {ratio:.2f} times as many")
    print(f"the same tokens: {identical} of {len(alone)}")
    print(
        json.dumps(
            {
                "benchmark": "continuous_batching",
                "model": path.name,
                "device": device_name(device),
                "dtype": str(model.dtype).removeprefix("torch."),
                "attention": attention,
                "threads": torch.get_num_threads(),
                "prompts": len(prompts),
                "answer_tokens": options.answer_tokens,
                "requests_at_once": min(options.requests, len(prompts)),
                "one_by_one_tokens_per_second": round(rate_alone, 2),
                "batched_tokens_per_second": round(rate_batched, 2),
                "ratio": round(ratio, 3),
                "identical": identical,
                "compared": len(alone),
            }
        )
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weights", default="", help="a folder or GGUF file; default: the packaged SmolLM2")
    parser.add_argument("--prompts", type=int, default=32, help="how many; default: 32")
    parser.add_argument("--alone", type=int, default=0, help="how many of them one by one; 0: all")
    parser.add_argument("--requests", type=int, default=64, help="answers at once")
    parser.add_argument("--answer-tokens", type=int, default=48, help="at most, of an answer; default: 48")
    parser.add_argument("--context-tokens", type=int, default=1024, help="prompt and answer together")
    parser.add_argument("--threads", type=int, default=0, help="0: as torch chooses")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:1")
    parser.add_argument("--dtype", default="auto", help="auto, float32, bfloat16 or float16")
    parser.add_argument("--attention", default="auto", help="auto, sdpa, eager or flash_attention_2")
    return parser.parse_args()


def _prompts(tokenizer: ChatTokenizer, count: int) -> list[Tokens]:
    prompt = load_prompt("grounded")
    drawn = random.Random(20260101)
    prompts = []
    while len(prompts) < count:
        clues = Clues(*(drawn.choice(kind) for kind in (SCENES, FACES, TONES, WORDS, LABELS)))
        question = prompt.fill(prompt.prepare(clues, tokenizer.control_tokens), tokenizer.control_tokens)
        prompts.append(tokenizer.prompt(prompt.conversation(question)))
    return prompts


def _one_by_one(model: Any, tokenizer: ChatTokenizer, prompts: list[Tokens], most: int) -> tuple[float, list[Tokens]]:
    answer_alone(
        model, tokenizer.stops, prompts[0], most
    )  # the first call is slower: it sets up what later calls reuse
    started = time.perf_counter()
    answers = [answer_alone(model, tokenizer.stops, tokens, most) for tokens in prompts]
    return time.perf_counter() - started, answers


def _together(
    model: Any, tokenizer: ChatTokenizer, prompts: list[Tokens], options: argparse.Namespace
) -> tuple[float, list[Tokens]]:
    greedy = load_prompt("grounded").sampling.model_copy(update={"temperature": 0.0})
    sizes = Sizes(min(options.requests, len(prompts)), options.context_tokens)
    batching = BatchingModel(model, stops=tokenizer.stops, sampling=greedy, sizes=sizes)
    try:
        answer_together(batching, prompts[:1], options.answer_tokens)
        started = time.perf_counter()
        answers = answer_together(batching, prompts, options.answer_tokens)
        return time.perf_counter() - started, answers
    finally:
        batching.close()


if __name__ == "__main__":
    main()

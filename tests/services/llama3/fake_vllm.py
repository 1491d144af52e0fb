"""vLLM's `LLM` and `SamplingParams` as documented (docs.vllm.ai, vllm/entrypoints/llm.py), over plain transformers.

Nothing but the boundary is faked: names and defaults of parameters, what is refused, and the form of what comes back.
Each prompt is computed alone, without a cache, so that results stand for themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from transformers import AutoModelForCausalLM

ENGINE_ARGUMENTS = {"max_model_len", "max_num_seqs", "enable_prefix_caching", "disable_log_stats", "max_logprobs"}


@dataclass
class SamplingParams:
    n: int = 1
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    repetition_penalty: float = 1.0
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    seed: int | None = None
    stop: str | list[str] | None = None
    stop_token_ids: list[int] | None = None
    ignore_eos: bool = False
    max_tokens: int | None = 16
    min_tokens: int = 0
    logprobs: int | None = None
    prompt_logprobs: int | None = None
    detokenize: bool = True
    skip_special_tokens: bool = True

    def __post_init__(self) -> None:
        if self.temperature < 0 or not 0 < self.top_p <= 1 or not 0 <= self.min_p <= 1 or self.top_k < -1:
            raise ValueError(f"parameters out of range: {self}")
        if self.max_tokens is not None and self.max_tokens < 1:
            raise ValueError(f"max_tokens must be at least 1, got {self.max_tokens}.")


@dataclass
class Logprob:
    logprob: float
    rank: int | None = None
    decoded_token: str | None = None


@dataclass
class CompletionOutput:
    index: int
    text: str
    token_ids: Sequence[int]
    cumulative_logprob: float | None = None
    logprobs: Any = None
    finish_reason: str | None = None
    stop_reason: int | str | None = None


@dataclass
class RequestOutput:
    request_id: str
    prompt: str | None
    prompt_token_ids: list[int]
    prompt_logprobs: list[dict[int, Logprob] | None] | None
    outputs: list[CompletionOutput] = field(default_factory=list)
    finished: bool = True


class LLM:
    def __init__(
        self, model: str, *, tokenizer: str | None = None, trust_remote_code: bool = False, dtype: str = "auto",
        seed: int = 0, gpu_memory_utilization: float = 0.9, enforce_eager: bool = False, **kwargs: Any,
    ) -> None:  # fmt: skip
        unknown = set(kwargs) - ENGINE_ARGUMENTS
        if unknown:
            raise TypeError(f"EngineArgs.__init__() got an unexpected keyword argument {unknown.pop()!r}")
        assert not trust_remote_code
        self.arguments = {"dtype": dtype, "gpu_memory_utilization": gpu_memory_utilization, **kwargs}
        self._most = kwargs.get("max_model_len", 8192)
        self._model = AutoModelForCausalLM.from_pretrained(model, local_files_only=True, dtype=torch.float32).eval()
        ends = self._model.generation_config.eos_token_id
        self._ends = {ends} if isinstance(ends, int) else set(ends)
        self.batches: list[int] = []

    def generate(
        self, prompts: Sequence[dict[str, list[int]]], sampling_params: Any = None, *, use_tqdm: bool = True
    ) -> list[RequestOutput]:
        each = sampling_params if isinstance(sampling_params, Sequence) else [sampling_params] * len(prompts)
        if len(each) != len(prompts):
            raise ValueError("The lengths of prompts and sampling_params must be the same.")
        for prompt in prompts:
            if len(prompt["prompt_token_ids"]) >= self._most:
                raise ValueError(
                    f"The decoder prompt (length {len(prompt['prompt_token_ids'])}) is longer than the maximum model "
                    f"length of {self._most}."
                )
        self.batches.append(len(prompts))
        return [
            self._one(str(number), prompt["prompt_token_ids"], parameters)
            for number, (prompt, parameters) in enumerate(zip(prompts, each, strict=True))
        ]

    @torch.inference_mode()
    def _one(self, name: str, prompt: list[int], parameters: SamplingParams) -> RequestOutput:
        told: list[dict[int, Logprob] | None] | None = None
        if parameters.prompt_logprobs is not None:
            logprobs = self._model(torch.tensor([prompt])).logits[0].float().log_softmax(-1)
            told = [None, *({token: Logprob(logprobs[i, token].item())} for i, token in enumerate(prompt[1:]))]
        generator = torch.Generator().manual_seed(parameters.seed or 0)
        tokens: list[int] = []
        reason = "length"
        stops = self._ends | set(parameters.stop_token_ids or ())
        past = None
        given = torch.tensor([prompt])
        for _ in range(min(parameters.max_tokens or self._most, self._most - len(prompt))):
            output = self._model(given, past_key_values=past, use_cache=True)
            past = output.past_key_values
            tokens.append(_draw(output.logits[0, -1].float(), parameters, generator))
            given = torch.tensor([[tokens[-1]]])
            if tokens[-1] in stops:
                reason = "stop"
                break
        completion = CompletionOutput(0, "", tuple(tokens), finish_reason=reason)
        return RequestOutput(name, None, prompt, told, [completion])


def _draw(logits: torch.Tensor, parameters: SamplingParams, generator: torch.Generator) -> int:
    if parameters.temperature == 0:
        return int(logits.argmax())
    shares = (logits / parameters.temperature).softmax(-1)
    order = shares.argsort(descending=True)
    before = shares[order].cumsum(-1) - shares[order]
    shares[order[before >= parameters.top_p]] = 0
    return int(torch.multinomial(shares, 1, generator=generator))

"""The `vllm` engine: a Llama-family model behind vLLM's `LLM` (docs.vllm.ai), which batches continuously by itself.

vLLM brings its own torch and transformers, so this engine lives in an image of its own (Dockerfile.vllm).
Determinism: each answer has a seed of its own; as with any half-precision batch, two almost equally likely tokens may
come out otherwise beside other neighbours (vLLM's VLLM_BATCH_INVARIANT=1 rules that out on newer cards).
"""

from __future__ import annotations

import gc
import math
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import structlog

from merrflow_llama3.engines.batched import MAX_REQUESTS, BatchedReasoner
from merrflow_llama3.engines.language_model import Ask, Drawn, Finished, LanguageModel, Question
from merrflow_llama3.engines.turns import Turns, open_turns
from merrflow_llama3.engines.weights_folder import WeightsFolder
from merrflow_llama3.prompt import Prompt, Sampling
from merrflow_llama3.settings import Llama3Settings
from merrflow_serving.engine import EngineInfo, Limits
from merrflow_serving.errors import MerrflowError, NotReady
from merrflow_serving.torch.lost import DeviceLost, is_lost
from merrflow_serving.torch.need import Need

log = structlog.get_logger()


class Vllm(BatchedReasoner):
    """See the module's text."""

    def __init__(self, settings: Llama3Settings) -> None:
        super().__init__(settings)
        self._weights = WeightsFolder(settings)

    def info(self) -> EngineInfo:
        """Model and prompt; cheap and without loading."""
        stamps: dict[str, str] = {}
        with suppress(NotReady):  # `load` says why
            stamps = self._stamps()
        return EngineInfo(
            engine="vllm",
            model=self._weights.name,
            revision=self._weights.revision(),
            device=self._settings.device,
            dtype=self._dtype,
            **stamps,
            licence=self._weights.licence,
            note="a Llama-family model behind vLLM",
            limits=Limits(max_batch_size=MAX_REQUESTS, max_tokens=self._settings.context_tokens),
        )

    def need(self) -> Need:
        """vLLM takes its share of the card, whatever the model needs of it. Raises `NotReady` without weights."""
        import torch

        from merrflow_llama3.engines.transformers.need import need, read_config

        settings = self._settings
        least = need(
            read_config(self._weights.folder()),
            getattr(torch, self._dtype),
            requests=1,
            context_tokens=settings.context_tokens,
            step_tokens=settings.context_tokens,
        ).least
        return Need(least, least, settings.gpu_share)

    @property
    def _dtype(self) -> str:
        """vLLM's own `auto` is known only once it has loaded; a clue's provenance must not change by that."""
        return "bfloat16" if self._settings.dtype == "auto" else self._settings.dtype

    def _open(self, prompt: Prompt) -> tuple[LanguageModel, Turns]:
        settings = self._settings
        path = self._weights.locate()
        if path.suffix == ".gguf":
            raise NotReady(
                f"{path} is a GGUF file: this engine takes a folder in Hugging Face's format; set "
                "MERRFLOW_LLAMA3_ENGINE to `llamacpp` or `transformers` for it"
            )
        try:
            import vllm
        except ImportError as error:
            raise NotReady(
                f"vLLM is not installed ({error}): it needs an environment of its own, such as the image of "
                "services/llama3/Dockerfile.vllm; MERRFLOW_LLAMA3_ENGINE=transformers runs without it"
            ) from error
        turns = open_turns(path)
        try:
            llm = vllm.LLM(
                model=str(path),
                tokenizer=str(path),
                trust_remote_code=False,
                dtype=self._dtype,
                seed=0,  # of the model; each request has its own
                gpu_memory_utilization=settings.gpu_share,
                max_model_len=settings.context_tokens,
                max_num_seqs=settings.max_batch_size or MAX_REQUESTS,
                enable_prefix_caching=True,
                disable_log_stats=True,
            )
        except Exception as error:
            if is_lost(error):
                raise
            raise NotReady(f"vLLM cannot load {path}: {error}") from error
        return VllmModel(vllm, llm, turns, prompt.sampling), turns


class VllmModel:
    """A `LanguageModel` over vLLM's `LLM`. A retry waits for the round before it: `LLM.generate` gives all at once."""

    def __init__(self, vllm: Any, llm: Any, turns: Turns, sampling: Sampling) -> None:
        self._vllm = vllm
        self._llm = llm
        self._stops = turns.stops
        self._sampling = sampling

    def generate(self, asks: Sequence[Ask], finished: Finished) -> None:
        """Answers all, in rounds; see `LanguageModel`. Raises `DeviceLost` where vLLM's worker has died."""
        waiting = dict(enumerate(asks))
        while waiting:
            outputs = self._run([ask.tokens for ask in waiting.values()], [self._drawing(a) for a in waiting.values()])
            following = {}
            for place, output in zip(waiting, outputs, strict=True):
                completion = output.outputs[0]
                tokens = tuple(completion.token_ids)
                if tokens and tokens[-1] in self._stops:
                    tokens = tokens[:-1]
                ask = finished(place, Drawn(tokens, cut=completion.finish_reason == "length"))
                if ask is not None:
                    following[place] = ask
            waiting = following

    def likelihoods(self, questions: Sequence[Question]) -> list[tuple[float, ...] | MerrflowError]:
        """Each answer as part of a prompt whose tokens' likelihoods vLLM tells; see `LanguageModel`."""
        prompts = [question.tokens + answer for question in questions for answer in question.answers]
        told = self._vllm.SamplingParams(max_tokens=1, temperature=0.0, prompt_logprobs=0, detokenize=False)
        outputs = iter(self._run(prompts, [told] * len(prompts)))
        return [
            tuple(_sum(next(outputs).prompt_logprobs, question, answer) for answer in question.answers)
            for question in questions
        ]

    def close(self) -> None:
        """Ends vLLM's worker process and frees the card."""
        with suppress(AttributeError):  # where vLLM runs within this process there is none
            self._llm.llm_engine.engine_core.shutdown()
        self._llm = None
        gc.collect()

    def _drawing(self, ask: Ask) -> Any:
        sampling = self._sampling
        return self._vllm.SamplingParams(
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            top_k=sampling.top_k,  # 0: all
            min_p=sampling.min_p,
            repetition_penalty=sampling.repeat_penalty,
            seed=ask.seed,
            max_tokens=ask.answer_tokens,
            stop_token_ids=sorted(self._stops),
            detokenize=False,  # the engine's own tokenizer does
        )

    def _run(self, prompts: Sequence[tuple[int, ...]], parameters: list[Any]) -> list[Any]:
        given = [{"prompt_token_ids": list(tokens)} for tokens in prompts]
        try:
            return self._llm.generate(given, parameters, use_tqdm=False)
        except Exception as error:
            if type(error).__name__ == "EngineDeadError" or is_lost(error):
                raise DeviceLost(f"vLLM's worker has died ({error}); the service must restart") from error
            raise


def _sum(told: Sequence[Any], question: Question, answer: tuple[int, ...]) -> float:
    behind = range(len(question.tokens), len(question.tokens) + len(answer))
    return math.fsum(told[place][token].logprob for place, token in zip(behind, answer, strict=True))

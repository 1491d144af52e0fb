"""The `vllm` engine: a Llama-family model behind vLLM's `LLM` (docs.vllm.ai), which batches continuously by itself.

vLLM brings its own torch and transformers, so this engine has an image of its own (services/Dockerfile).
Determinism: each answer has a seed of its own. As with any half-precision batch, two almost equally likely tokens may
be swapped in another batch (vLLM's VLLM_BATCH_INVARIANT=1 rules that out on newer GPUs).
"""

from __future__ import annotations

import gc
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from merrflow_llama3.engines.batched import MAX_REQUESTS, BatchedReasoner
from merrflow_llama3.engines.chat_tokenizer import ChatTokenizer, open_chat_tokenizer
from merrflow_llama3.engines.language_model import Ask, Drawn, Finished, LanguageModel, Question, Tokens
from merrflow_llama3.prompt import Prompt, Sampling
from merrflow_serving.engine import Wanted, always
from merrflow_serving.errors import Abandoned, MerrflowError, NotReady
from merrflow_serving.machine import Memory
from merrflow_serving.torch.card import FOLDER, CardShare
from merrflow_serving.torch.drivers import unfit_build
from merrflow_serving.torch.lost import DeviceLost, is_lost
from merrflow_serving.torch.need import Need
from merrflow_serving.torch.outside import Seen, look

MOST = 0.9  # of the card, if nothing else is on it


class Vllm(BatchedReasoner):
    """See the module's docstring."""

    engine = "vllm"
    note = "a Llama-family model behind vLLM"
    _share: CardShare | None = None

    def need(self) -> Need:
        """vLLM takes its share of the GPU, whatever the model needs. Raises `NotReady` without weights."""
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
        return Need(least, least, settings.gpu_share or MOST)

    def _arithmetic(self) -> tuple[str, str]:
        return self._settings.device, self._dtype

    @property
    def _dtype(self) -> str:
        # vLLM resolves `auto` only when it loads; a clue's provenance must not change by that.
        return "bfloat16" if self._settings.dtype == "auto" else self._settings.dtype

    def _open(self, prompt: Prompt) -> tuple[LanguageModel, ChatTokenizer]:
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
                "`EXTRAS=vllm deploy/build-images.sh llama3`; MERRFLOW_LLAMA3_ENGINE=transformers runs without it"
            ) from error
        tokenizer = open_chat_tokenizer(path)
        with self._turn() as share:
            try:
                llm = vllm.LLM(
                    model=str(path),
                    tokenizer=str(path),
                    trust_remote_code=False,
                    dtype=self._dtype,
                    seed=0,  # of the model; each request has its own
                    gpu_memory_utilization=share,
                    max_model_len=settings.context_tokens,
                    max_num_seqs=settings.max_batch_size or MAX_REQUESTS,
                    enable_prefix_caching=True,
                    disable_log_stats=True,
                )
            except Exception as error:
                if is_lost(error):
                    raise
                # Only now: vLLM forks, and CUDA must not have been touched in this process before.
                raise NotReady(f"vLLM cannot load {path}: {_unfit_build() or error}") from error
        return VllmModel(vllm, llm, tokenizer.stops, prompt.sampling), tokenizer

    def close(self) -> None:
        super().close()
        if self._share is not None:
            self._share.close()
            self._share = None

    @contextmanager
    def _turn(self) -> Iterator[float]:
        """The share of the card that vLLM is to take, while no other service loads there. Raises `NotReady`."""
        import torch

        settings = self._settings
        seen = look(settings.device) if torch.cuda.device_count() else None
        if seen is None:  # vLLM says what is wrong with the card
            yield settings.gpu_share or MOST
            return
        need = self.need().on(seen.total)
        if settings.gpu_share:
            need = Need(need.full, need.full)
        if self._share is None:
            folder = settings.models_dir / FOLDER / seen.card
            self._share = CardShare(folder, settings.service, lambda: self._seen(seen))
        self._share.claim(need)
        with self._share.turn() as part:
            yield settings.gpu_share or math.floor(min(part.bytes() / seen.total, MOST) * 100) / 100

    def _seen(self, before: Seen) -> Memory:
        now = look(self._settings.device) or before
        return now.memory(before.free)


def _unfit_build() -> str:
    """Why the driver or the card is none for this build of torch, and the ways out; "" if it is not known to be."""
    try:
        import torch

        return unfit_build(torch.device("cuda"))
    except Exception:  # what vLLM says is of more use than why nothing better was found
        return ""


class VllmModel:
    """A `LanguageModel` over vLLM's `LLM`. A retry waits for its round to end: `LLM.generate` returns all at once, and
    until then it works on answers that nobody waits for any more."""

    def __init__(self, vllm: Any, llm: Any, stops: frozenset[int], sampling: Sampling) -> None:
        """vllm: the module. llm: its `LLM`, loaded. stops: tokens that end an answer."""
        self._vllm = vllm
        self._llm = llm
        self._stops = stops
        self._sampling = sampling

    def generate(self, asks: Sequence[Ask], finished: Finished, wanted: Wanted = always) -> None:
        """Answers all, in rounds; see `LanguageModel`. Raises `DeviceLost` if vLLM's worker has died."""
        waiting = dict(enumerate(asks))
        while waiting:
            for place in [place for place in waiting if not wanted(place)]:
                del waiting[place]
                finished(place, Abandoned())
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

    def likelihoods(
        self, questions: Sequence[Question], wanted: Wanted = always
    ) -> list[tuple[float, ...] | MerrflowError]:
        """Each answer as part of a prompt whose tokens' likelihoods vLLM returns; see `LanguageModel`."""
        kept = {place: question for place, question in enumerate(questions) if wanted(place)}
        prompts = [question.tokens + answer for question in kept.values() for answer in question.answers]
        parameters = self._vllm.SamplingParams(max_tokens=1, temperature=0.0, prompt_logprobs=0, detokenize=False)
        outputs = iter(self._run(prompts, [parameters] * len(prompts)))
        found = {
            place: tuple(_sum(next(outputs).prompt_logprobs, question, answer) for answer in question.answers)
            for place, question in kept.items()
        }
        return [found.get(place, Abandoned()) for place in range(len(questions))]

    def close(self) -> None:
        """Ends vLLM's worker process and frees the GPU."""
        with suppress(AttributeError):  # there is none if vLLM runs within this process
            self._llm.llm_engine.engine_core.shutdown()
        self._llm = None
        gc.collect()

    def _drawing(self, ask: Ask) -> Any:
        sampling = self._sampling
        return self._vllm.SamplingParams(
            temperature=sampling.temperature if ask.seed is not None else 0.0,
            top_p=sampling.top_p,
            top_k=sampling.top_k,  # 0: all
            min_p=sampling.min_p,
            repetition_penalty=sampling.repeat_penalty,
            seed=ask.seed,
            max_tokens=ask.answer_tokens,
            stop_token_ids=sorted(self._stops),
            detokenize=False,  # the engine's own tokenizer does
        )

    def _run(self, prompts: Sequence[Tokens], parameters: list[Any]) -> list[Any]:
        if not prompts:
            return []
        given = [{"prompt_token_ids": list(tokens)} for tokens in prompts]
        try:
            outputs: list[Any] = self._llm.generate(given, parameters, use_tqdm=False)
            return outputs
        except Exception as error:
            if type(error).__name__ == "EngineDeadError" or is_lost(error):
                raise DeviceLost(f"vLLM's worker has died ({error}); the service must restart") from error
            raise


def _sum(logprobs: Sequence[Any], question: Question, answer: Tokens) -> float:
    places = range(len(question.tokens), len(question.tokens) + len(answer))
    return math.fsum(logprobs[place][token].logprob for place, token in zip(places, answer, strict=True))

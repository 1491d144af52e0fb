"""Many answers at once through transformers' continuous batching, and their likelihoods."""

from __future__ import annotations

import gc
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import structlog
import torch
from transformers import GenerationConfig
from transformers.generation.configuration_utils import ContinuousBatchingConfig

from merrflow_llama3.engines.language_model import Ask, Drawn, Finished, Question
from merrflow_llama3.engines.transformers import attention
from merrflow_llama3.engines.transformers.draw import SeededDraw, SeededDraws
from merrflow_llama3.engines.transformers.likelihood import likelihoods
from merrflow_llama3.engines.transformers.memory import FLASH_PAGE, PAGE, CachePlan, plan
from merrflow_llama3.prompt import Sampling
from merrflow_serving.engine import Wanted, always
from merrflow_serving.errors import Abandoned, EngineFault, MerrflowError, NotReady, TooLarge
from merrflow_serving.torch.device import BatchLimit, memory, run_split
from merrflow_serving.torch.lost import device_errors, is_lost, is_out_of_memory

log = structlog.get_logger()
STEP_TOKENS = {"flash_attention_2": 8192, "sdpa": 1024}  # of prompts and answers in one step
_ROWS = 16  # questions scored in one pass
_POLL_SECONDS = 1.0  # how often a wait checks that the generating thread is still alive


@dataclass(frozen=True)
class Sizes:
    """How much a model is to handle."""

    requests: int  # answers at once
    context_tokens: int  # prompt and answer together
    memory_bytes: int = 0  # for the cache and what a step needs; 0: what is free


class BatchingModel:
    """A `LanguageModel` over a causal language model of transformers."""

    def __init__(self, model: Any, *, stops: frozenset[int], sampling: Sampling, sizes: Sizes) -> None:
        """stops: tokens that end an answer. Raises `NotReady` if not one answer fits into the memory."""
        # What it would log is raised here; without this each fault is written out twice, with its traceback.
        logging.getLogger("ContinuousBatchingLogger").setLevel(logging.CRITICAL)
        self._model = model.eval()
        self._stops = stops
        self._sampling = sampling
        self._draw = SeededDraw(sampling, min(stops))
        self._sizes = sizes
        self._free = sizes.memory_bytes or memory(model.device).free_bytes
        self._flash = model.config._attn_implementation.startswith("flash")
        self._scored_with = "sdpa" if self._flash else model.config._attn_implementation
        self._rows = BatchLimit(_ROWS)
        self._limit = BatchLimit(sizes.requests)
        self._manager: Any = None
        self._start()

    @property
    def plan(self) -> CachePlan:
        """The size of the cache; running out of memory makes it smaller."""
        return self._plan

    # -- the interface of merrflow_llama3.engines.language_model.LanguageModel

    def generate(self, asks: Sequence[Ask], finished: Finished, wanted: Wanted = always) -> None:
        """Answers all; see `LanguageModel`. Raises `DeviceLost` if the device is gone."""
        open_asks = dict(enumerate(asks))
        while open_asks:
            error = self._generate(open_asks, finished, wanted)
            self._draw.forget(map(str, range(len(asks))))
            if error is None:
                continue
            if not is_out_of_memory(error):
                with device_errors():
                    if not is_lost(error):
                        self._restart()
                    raise error
            if self._limit.size == 1:
                self._give_up(open_asks, finished)
            else:
                tried = self._limit.size
                self._limit.lower(tried)
                log.warning("out of memory: fewer answers at once from now on", tried=tried, limit=self._limit.size)
            del error  # its traceback holds the tensors that filled the memory
            self._restart()

    def likelihoods(
        self, questions: Sequence[Question], wanted: Wanted = always
    ) -> list[tuple[float, ...] | MerrflowError]:
        """All questions in passes of up to 16; see `LanguageModel`."""
        order = sorted(range(len(questions)), key=lambda place: -questions[place].longest)  # similar lengths together
        found: dict[int, tuple[float, ...] | MerrflowError] = {}

        def score(places: list[int]) -> list[tuple[float, ...] | MerrflowError]:
            kept = [place for place in places if wanted(place)]
            scores = dict(zip(kept, self._score([questions[place] for place in kept]), strict=True)) if kept else {}
            return [scores.get(place, Abandoned()) for place in places]

        with self._scoring_attention():
            try:
                found = dict(zip(order, run_split(score, order, self._rows), strict=True))
            except TooLarge:  # one does not fit: the others still get their scores
                for place in order:
                    try:
                        found[place] = run_split(score, [place], self._rows)[0]
                    except TooLarge as error:
                        found[place] = error
        return [found[place] for place in range(len(questions))]

    def close(self) -> None:
        """Ends the generating thread and frees the cache and the weights."""
        self._stop()
        self._model = None

    # -- generation

    def _generate(self, open_asks: dict[int, Ask], finished: Finished, wanted: Wanted) -> BaseException | None:
        """Works on `open_asks` until none is left, or returns the error that ended the generating thread."""
        for place in [place for place in open_asks if not wanted(place)]:
            del open_asks[place]
            finished(place, Abandoned())
        for place, ask in open_asks.items():
            self._submit(place, ask, wanted)
        running = set(open_asks)
        failed: BaseException | None = None
        while running:
            output = self._manager.get_result(timeout=_POLL_SECONDS)
            if output is None:
                if self._manager.is_running() and self._fatal() is None:
                    continue
                return self._fatal() or EngineFault("the generating thread ended without an error")
            place = int(output.request_id)
            if output.error is not None:
                running.discard(place)
                failed = EngineFault(f"the model failed on a request: {output.error}")
                continue
            following = finished(place, self._drawn(output.generated_tokens) if wanted(place) else Abandoned())
            open_asks.pop(place)
            running.discard(place)
            if following is not None:
                open_asks[place] = following
                running.add(place)
                self._submit(place, following, wanted)
        if failed is not None:
            return self._ended() or failed
        return None

    def _give_up(self, open_asks: dict[int, Ask], finished: Finished) -> None:
        """Ends the first of those left: it had the device to itself, and did not fit."""
        place = next(iter(open_asks))
        del open_asks[place]
        following = finished(place, TooLarge("this request alone needs more memory than the device has"))
        if following is not None:
            open_asks[place] = following

    def _submit(self, place: int, ask: Ask, wanted: Wanted) -> None:
        self._draw.expect(str(place), lambda: wanted(place))
        seed = {"seed": ask.seed} if self._sampling.temperature > 0 and ask.seed is not None else {}
        self._manager.add_request(
            list(ask.tokens), request_id=str(place), max_new_tokens=ask.answer_tokens,
            eos_token_id=sorted(self._stops), **seed,
        )  # fmt: skip

    def _drawn(self, tokens: Sequence[int]) -> Drawn:
        ended = bool(tokens) and tokens[-1] in self._stops
        return Drawn(tuple(tokens[:-1] if ended else tokens), cut=not ended)

    def _fatal(self) -> BaseException | None:
        error: BaseException | None = self._manager.background_thread_status.fatal_error
        return error

    def _ended(self) -> BaseException | None:
        """The error that ended the generating thread, once it has ended; None if it is still running."""
        self._manager.join(0.0, timeout=_POLL_SECONDS)
        return self._fatal()

    def _start(self) -> None:
        page = FLASH_PAGE if self._flash else PAGE
        step = STEP_TOKENS["flash_attention_2" if self._flash else "sdpa"]
        found = plan(
            self._model.config, self._model.dtype, free_bytes=self._free, requests=self._limit.size,
            context_tokens=self._sizes.context_tokens, step_tokens=step, page=page,
        )  # fmt: skip
        if found is None:
            raise NotReady(
                f"{self._free / 1e9:.1f} GB are free on {self._model.device}, too little for one answer of "
                f"{self._sizes.context_tokens} tokens: lower MERRFLOW_LLAMA3_CONTEXT_TOKENS, or take a larger device"
            )
        self._plan = found
        stops = sorted(self._stops)
        self._manager = self._model.init_continuous_batching(
            # transformers does not annotate it.
            generation_config=GenerationConfig(do_sample=False, eos_token_id=stops, pad_token_id=stops[0]),  # type: ignore[no-untyped-call]
            continuous_batching_config=ContinuousBatchingConfig(
                page_size=page,
                num_blocks=found.tokens // page,
                max_batch_tokens=step,
                max_requests_per_batch=found.requests,
                max_memory_percent=1.0,  # the plan above leaves room
                allow_block_sharing=True,
                auto_switch_to_flash=False,  # the setting `attention` decides
                max_blocks_per_request=None if self._flash else 0,
            ),
        )
        # The manager builds its list from the generation config, and has no parameter for another.
        self._manager.logit_processor = SeededDraws(self._draw)
        if self._model.config._attn_implementation == "sdpa":
            attention.register()
            self._model.set_attn_implementation(attention.NAME)
        self._manager.warmup()  # CUDA graphs of the largest shapes, if they are used
        self._manager.start()

    def _stop(self) -> None:
        if self._manager is not None:
            self._manager.stop(block=True, hard_stop=True)
            self._manager.destroy()
            self._manager = None
        if self._model is not None and self._model.config._attn_implementation == attention.NAME:
            self._model.set_attn_implementation("sdpa")
        # The error that ended the thread and its frames refer to each other, and to the tensors of that step.
        gc.collect()
        if torch.cuda.is_available():
            with suppress(RuntimeError):  # the next call reports a lost device
                torch.cuda.empty_cache()

    def _restart(self) -> None:
        self._stop()
        self._start()

    # -- scoring

    def _score(self, questions: list[Question]) -> list[tuple[float, ...]]:
        return likelihoods(self._model, questions)

    @contextmanager
    def _scoring_attention(self) -> Iterator[None]:
        """Another attention meanwhile: flash attention takes no 4-D mask, and paged attention no plain pass."""
        before = self._model.config._attn_implementation
        if before in (self._scored_with, attention.NAME):
            yield
            return
        self._model.set_attn_implementation(self._scored_with)
        try:
            yield
        finally:
            self._model.set_attn_implementation(before)

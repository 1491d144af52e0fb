"""The `llamacpp` engine: a GGUF model in this process, through xllamacpp's binding of llama.cpp's server.

Determinism: the text depends on the clues, the seed, the prompt and the model alone. One sequence is worked on at
a time, and before each clip the key-value cache is taken back to the part of the prompt that all clips share, so
that neither neighbours in a batch nor earlier clips change how the numbers are added up. Little is lost by that: on
a CPU this model takes 12 ms for a token of a long prompt and 16 ms for one of an answer, so several answers at once
would hardly be faster than one after the other.
"""

from __future__ import annotations

import gc
import hashlib
import importlib
import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog

from merrflow_llama3 import checks, guide, weights
from merrflow_llama3.chat import ChatTemplate
from merrflow_llama3.cores import default_threads
from merrflow_llama3.gguf import GGUFHeader
from merrflow_llama3.prompt import Prompt, load_prompt
from merrflow_llama3.settings import Llama3Settings
from merrflow_llama3.types import Clues, Outcome, Reasoned, ReasonItem
from merrflow_serving.engine import EngineInfo, Limits
from merrflow_serving.errors import EngineFault, InvalidInput, MerrflowError, NotReady, TooLarge
from merrflow_serving.packaged import file_sha256

log = structlog.get_logger()
_SILENT = -1  # llama.cpp's verbosity: nothing on standard error
_MARK = "MERRFLOW-QUESTION"  # where the fixed part of a conversation ends


@dataclass(frozen=True)
class _Draft:
    """One generated answer."""

    text: str
    failures: tuple[str, ...]
    cut: bool
    refused: bool
    prompt_tokens: int
    answer_tokens: int


class LlamaCpp:
    """Answers one clip at a time; see the module's text."""

    def __init__(self, settings: Llama3Settings) -> None:
        self._settings = settings
        self._packaged = settings.model_path is None
        self._prompt_name = settings.prompt or ("small" if self._packaged else "merr")
        self._server: Any = None
        self._folder: Path | None = None
        self._prompt: Prompt
        self._header: GGUFHeader
        self._template: ChatTemplate
        self._fixed = ""

    # -- the contract of merrflow_serving.engine.Engine

    def info(self) -> EngineInfo:
        """Model and prompt, from the file's header and hash; what is missing stays empty until `load` says why."""
        limits = Limits(max_batch_size=1, max_tokens=self._settings.context_tokens)
        note = "any GGUF through its own chat template"
        if self._packaged:
            note = (
                "a small model (135 million parameters) under a grammar: it chooses among the clues and the words "
                "of a lexicon; it does not weigh whether the clues support the label"
            )
        stamp = ""
        try:
            stamp = self._stamp(load_prompt(self._prompt_name))
            path = weights.locate(self._settings.model_path)
            header = weights.header(path)
            revision = f"sha256:{file_sha256(path)}"
        except NotReady:
            model = weights.PACKAGED_NAME if self._packaged else str(self._settings.model_path)
            return EngineInfo("llamacpp", model, "", prompt_version=stamp, note=note, limits=limits)
        return EngineInfo(
            engine="llamacpp",
            model=weights.PACKAGED_NAME if self._packaged else header.name,
            revision=revision,
            device="cpu",
            dtype=header.quantisation,
            prompt_version=stamp,
            licence=header.licence,
            note=note,
            limits=limits,
        )

    def load(self) -> None:
        """Loads model and prompt, and computes the part of the prompt that all clips share. Raises `NotReady`."""
        self._prompt = load_prompt(self._prompt_name)
        path = weights.locate(self._settings.model_path)
        self._header = weights.header(path)
        if self._packaged:
            weights.PACKAGED.check(path)
        try:
            self._template = ChatTemplate(self._header)
            self._fixed = self._template.render(self._prompt.conversation(_MARK)).split(_MARK)[0]
        except ValueError as error:
            raise NotReady(f"{path} cannot be used for a conversation: {error}") from error
        self._start(path)
        # Twice: the first computes the shared part at once, the second its last token alone, as before each clip.
        for _ in range(2):
            self._complete(self._fixed, answer_tokens=0)

    def run(self, batch: Sequence[ReasonItem]) -> list[Reasoned | MerrflowError]:
        """One result for each item; `InvalidInput` without a clue, `TooLarge` beyond the context."""
        results: list[Reasoned | MerrflowError] = []
        for item in batch:
            try:
                results.append(self._reason(item))
            except MerrflowError as error:
                results.append(error)
        return results

    def close(self) -> None:
        """Ends llama.cpp's threads and removes its socket."""
        self._server = None
        gc.collect()  # the binding ends its threads when it is collected
        if self._folder:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    # -- one clip

    def _reason(self, item: ReasonItem) -> Reasoned:
        clues, question, prompt = self.compose(item.clues)
        grammar = guide.grammar(clues) if self._prompt.guide == "clues" else ""
        self._complete(self._fixed, answer_tokens=0)  # back to the shared part
        drafts: list[_Draft] = []
        for attempt in range(self._settings.attempts):
            drafts.append(self._draft(clues, question, prompt, grammar, derived_seed(item.seed, attempt)))
            if not drafts[-1].failures:
                break
        best = min(drafts, key=lambda draft: len(draft.failures))
        reason = "; ".join(best.failures)
        if reason:
            log.warning("no usable answer", attempts=len(drafts), reason=reason)
        outcome = Outcome.DONE
        if best.failures:
            outcome = Outcome.TRUNCATED if best.cut and not best.refused else Outcome.REFUSED
        return Reasoned(best.text, outcome, reason, best.prompt_tokens, best.answer_tokens, len(drafts))

    def compose(self, given: Clues) -> tuple[Clues, str, str]:
        """The prepared clues, the question over them, and the whole prompt as the model reads it.

        Raises `InvalidInput` where there is nothing to reason over.
        """
        clues = self._prompt.prepare(given, self._header.control_tokens)
        if clues.empty:
            missing = "no clue at all" if given.empty else "no clue that this prompt can use (English text only)"
            raise InvalidInput(f"there is {missing}: give a scene, expressions, a tone or a subtitle", reason="NO_CLUE")
        question = self._prompt.fill(clues, self._header.control_tokens)
        prompt = self._template.render(self._prompt.conversation(question)) + self._prompt.answer_starts
        return clues, question, prompt

    def _draft(self, clues: Clues, question: str, prompt: str, grammar: str, seed: int) -> _Draft:
        sampling = self._prompt.sampling.model_dump()
        reply = self._complete(
            prompt, answer_tokens=self._answer_tokens(self._prompt), seed=seed, grammar=grammar, **sampling
        )
        choice = reply["choices"][0]
        text = f"{self._prompt.answer_starts}{choice['text']}".strip()
        answer = checks.Answer(text, clues, question, cut=choice["finish_reason"] == "length")
        return _Draft(
            text=text,
            failures=checks.failures(answer),
            cut=checks.cut_off(answer) is not None,
            refused=checks.refusal(answer) is not None,
            prompt_tokens=reply["usage"]["prompt_tokens"],
            answer_tokens=reply["usage"]["completion_tokens"],
        )

    def _complete(self, prompt: str, *, answer_tokens: int, **parameters: Any) -> dict[str, Any]:
        if self._server is None:
            raise NotReady("the model is not loaded")
        request = {"prompt": prompt, "n_predict": answer_tokens, "cache_prompt": True, **parameters}
        reply = self._server.handle_completions({name: value for name, value in request.items() if value != ""})
        error = reply.get("error")
        if error is None:
            return reply
        if error.get("type") == "exceed_context_size_error":
            raise TooLarge(
                f"the prompt has {error['n_prompt_tokens']} tokens and the context holds {error['n_ctx']}; shorten the "
                "clues or raise MERRFLOW_LLAMA3_CONTEXT_TOKENS"
            )
        raise EngineFault(f"llama.cpp: {error.get('message', error)}")

    # -- start

    def _start(self, path: Path) -> None:
        xllamacpp = _import_binding()
        parameters = xllamacpp.CommonParams()
        parameters.model.path = str(path)
        parameters.verbosity = _SILENT
        parameters.n_ctx = self._settings.context_tokens
        parameters.n_parallel = 1
        parameters.n_gpu_layers = 0
        parameters.warmup = False
        # Beyond 512 tokens flash attention adds up by thread, so that the text would depend on their number. Without
        # it, it does not; reading a prompt is 15 % slower.
        parameters.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
        parameters.cache_ram_mib = 0  # no second cache whose hits would depend on earlier clips
        threads = self._settings.threads or default_threads()
        parameters.cpuparams.n_threads = threads
        parameters.cpuparams_batch.n_threads = threads
        # The binding opens an HTTP server of its own that cannot be switched off; on a socket in a folder of
        # mode 0700 nobody else reaches it.
        self._folder = Path(tempfile.mkdtemp(prefix="merrflow-llama3-"))
        parameters.hostnames = [str(self._folder / "http.sock")]
        try:
            self._server = xllamacpp.Server(parameters)
        except RuntimeError as error:
            self.close()
            raise NotReady(
                f"llama.cpp cannot load {path}: the file is damaged, or of a kind it does not know"
            ) from error

    def _answer_tokens(self, prompt: Prompt) -> int:
        return self._settings.answer_tokens or prompt.answer_tokens

    def _stamp(self, prompt: Prompt) -> str:
        return prompt.stamp(answer_tokens=self._answer_tokens(prompt), attempts=self._settings.attempts)


def _import_binding() -> Any:
    # llama.cpp's threads wait for each other hundreds of times a token, by default in a busy loop. Where other
    # processes want the cores too, two such threads were 8 times slower than one; asleep they only wait.
    # OpenMP reads its variables when it is loaded, so they are put back at once.
    given = {name: os.environ.get(name) for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")}
    if not any(given.values()):
        os.environ.update(OMP_WAIT_POLICY="passive", GOMP_SPINCOUNT="0")
    try:
        return importlib.import_module("xllamacpp")
    except ModuleNotFoundError as error:
        raise NotReady("xllamacpp, which runs the model, is not installed; run: pip install xllamacpp") from error
    except ImportError as error:
        raise NotReady(
            f"xllamacpp cannot be loaded ({error}); where libgomp.so.1 is missing: apt-get install libgomp1"
        ) from error
    finally:
        for name, value in given.items():
            if value is None:
                os.environ.pop(name, None)


def derived_seed(seed: int, attempt: int) -> int:
    """A 32-bit seed for one attempt, never llama.cpp's value for "random" (2**32 - 1)."""
    digest = hashlib.sha256(f"{seed}/{attempt}".encode()).digest()
    return int.from_bytes(digest[:4], "big") % 0xFFFFFFFF

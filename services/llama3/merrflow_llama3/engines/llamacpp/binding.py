"""llama.cpp's server in this process, through xllamacpp: prompts in, tokens and their likelihoods out.

Two or more sequences ("slots") keep their key-value caches side by side, so that reasoning, scoring and translating,
whose prompts begin differently, do not discard each other's beginning.
"""

from __future__ import annotations

import gc
import http.client
import importlib
import json
import os
import socket
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from merrflow_serving.errors import Abandoned, EngineFault, NotReady, TooLarge
from merrflow_serving.private_folder import PrivateFolder

_SILENT = -1  # llama.cpp's verbosity: nothing on standard error
_PROMPT_STEP = 512  # tokens of a prompt that llama.cpp reads at once; between two steps it can be stopped


class LoadedModel:
    """A GGUF model, loaded. One call at a time."""

    def __init__(self, path: Path, *, context_tokens: int, threads: int, slots: int = 2) -> None:
        """context_tokens: of each slot. Raises `NotReady` that says what to do if the file cannot be loaded."""
        xllamacpp = _import_binding()
        parameters = xllamacpp.CommonParams()
        parameters.model.path = str(path)
        parameters.verbosity = _SILENT
        parameters.n_ctx = context_tokens * slots
        parameters.n_parallel = slots
        parameters.kv_unified = False  # each slot has a part of its own, whatever the other contains
        parameters.n_batch = _PROMPT_STEP
        parameters.n_gpu_layers = 0
        parameters.warmup = False
        # Beyond 512 tokens flash attention adds up by thread, so the text would depend on the number of threads.
        # Without it the text does not, and reading a prompt is 15 % slower.
        parameters.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
        parameters.cache_ram_mib = 0  # no second cache whose hits would depend on earlier clips
        parameters.cpuparams.n_threads = threads
        parameters.cpuparams_batch.n_threads = threads
        # The binding opens an HTTP server of its own that cannot be switched off. On a socket in a folder of mode
        # 0700 nobody else can reach it.
        try:
            self._folder = PrivateFolder("llama3")
        except OSError as error:
            raise NotReady(
                f"no temporary folder can be made: {error}; free some space, or set TMPDIR to a folder that can be "
                "written to",
                reason="STORAGE",
            ) from error
        self._socket = self._folder.path / "http.sock"
        parameters.hostnames = [str(self._socket)]
        self._server: Any = None
        try:
            self._server = xllamacpp.Server(parameters)
        except RuntimeError as error:
            self.close()
            raise NotReady(
                f"llama.cpp cannot load {path}: the file is damaged, or of a kind it does not know"
            ) from error

    def close(self) -> None:
        """Ends llama.cpp's threads and removes its socket."""
        self._server = None
        gc.collect()  # the binding ends its threads when it is collected
        self._folder.close()

    def complete(
        self,
        prompt: str | Sequence[str | int],
        *,
        slot: int,
        answer_tokens: int,
        is_wanted: Callable[[], bool] = lambda: True,
        **parameters: Any,
    ) -> dict[str, Any]:
        """llama.cpp's reply to a prompt: text, or text followed by token ids.

        is_wanted: asked after each token, and every 512 tokens of the prompt. Raises `Abandoned` once that is False,
        `TooLarge`, `EngineFault`.
        """
        request = {
            "prompt": prompt,
            "id_slot": slot,
            "n_predict": answer_tokens,
            "cache_prompt": True,
            **{name: value for name, value in parameters.items() if value != ""},
        }
        if "n_probs" in parameters:  # a stream has likelihoods of another form
            if not is_wanted():
                raise Abandoned
            reply: dict[str, Any] = self._server.handle_completions(request)
        else:
            reply = self._streamed(request, is_wanted)
        error = reply.get("error")
        if error is None:
            return reply
        if error.get("type") == "exceed_context_size_error":
            raise TooLarge(
                f"the prompt has {error['n_prompt_tokens']} tokens and the context holds {error['n_ctx']}; shorten the "
                "clues or raise MERRFLOW_LLAMA3_CONTEXT_TOKENS"
            )
        raise EngineFault(f"llama.cpp: {error.get('message', error)}")

    def _streamed(self, request: dict[str, Any], is_wanted: Callable[[], bool]) -> dict[str, Any]:
        """The reply, put together from its parts: between two of them it can be stopped."""
        parts: list[dict[str, Any]] = []

        def _stop(part: dict[str, Any]) -> bool:
            parts.append(part)
            return not is_wanted()

        self._server.handle_completions({**request, "stream": True, "return_progress": True}, _stop)
        if not is_wanted():
            raise Abandoned
        if not parts or "error" in parts[-1]:
            return parts[-1] if parts else {"error": {"message": "no reply"}}
        choice = parts[-1]["choices"][0]
        text = "".join(part["choices"][0]["text"] for part in parts)
        return {**parts[-1], "choices": [{**choice, "text": text}]}

    def next_tokens(
        self,
        prompt: str | Sequence[str | int],
        *,
        slot: int,
        count: int,
        force: int | None = None,
        is_wanted: Callable[[], bool] = lambda: True,
    ) -> tuple[dict[int, float], int]:
        """Natural log-likelihoods of the next token: of the `count` likeliest, or of the token `force` alone.

        They are over the model's whole vocabulary, before any sampling. Second: the prompt's length in tokens.
        """
        # A bias decides which token is drawn; llama.cpp reports the unbiased likelihood of that token.
        bias = {"logit_bias": [[force, 1e4]]} if force is not None else {}
        reply = self.complete(
            prompt, slot=slot, answer_tokens=1, is_wanted=is_wanted, n_probs=count, temperature=0, **bias
        )
        drawn = reply["choices"][0]["logprobs"]["content"][0]
        entries = [drawn] if force is not None else drawn["top_logprobs"]
        found = {entry["id"]: float(entry["logprob"]) for entry in entries}
        if force is not None and force not in found:
            raise EngineFault(f"llama.cpp drew token {drawn['id']} although token {force} was asked for")
        return found, reply["usage"]["prompt_tokens"]

    def tokens(self, text: str) -> tuple[int, ...]:
        """The text's tokens, without a token that opens a prompt; control tokens by their spelling."""
        # The binding has no call for this, so it goes through the server's own socket.
        body = json.dumps({"content": text, "add_special": False, "parse_special": True})
        connection = _SocketConnection(self._socket)
        try:
            connection.request("POST", "/tokenize", body, {"Content-Type": "application/json"})
            reply = connection.getresponse()
            content = reply.read()
        except (OSError, http.client.HTTPException) as error:
            raise EngineFault(f"llama.cpp's tokenizer does not answer: {error}") from error
        finally:
            connection.close()
        if reply.status != http.HTTPStatus.OK:
            raise EngineFault(f"llama.cpp's tokenizer: {content[:200]!r}")
        return tuple(json.loads(content)["tokens"])


class Slot:
    """One sequence of the model. Its prompts begin alike, and that beginning stays cached."""

    def __init__(self, model: LoadedModel, number: int, beginning: str) -> None:
        self._model = model
        self._number = number
        self._beginning = beginning
        # Twice: the first computes the beginning at once, the second its last token alone, as before each clip.
        for _ in range(2):
            self.rewind()

    def rewind(self) -> None:
        """Cuts the cache back to the beginning."""
        self.complete(self._beginning, answer_tokens=0)

    def complete(self, prompt: str, *, answer_tokens: int, **parameters: Any) -> dict[str, Any]:
        """As `LoadedModel.complete`."""
        return self._model.complete(prompt, slot=self._number, answer_tokens=answer_tokens, **parameters)

    def next_tokens(
        self, prompt: Sequence[str | int], *, count: int, force: int | None, is_wanted: Callable[[], bool]
    ) -> tuple[dict[int, float], int]:
        """As `LoadedModel.next_tokens`."""
        return self._model.next_tokens(prompt, slot=self._number, count=count, force=force, is_wanted=is_wanted)


class _SocketConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=60)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


def _import_binding() -> Any:
    # llama.cpp's threads wait for each other hundreds of times a token, by default in a busy loop. When other
    # processes need the cores too, two such threads were 8 times slower than one; passive ones only wait.
    # OpenMP reads its variables when it is loaded, so they are restored at once.
    given = {name: os.environ.get(name) for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")}
    if not any(given.values()):
        os.environ.update(OMP_WAIT_POLICY="passive", GOMP_SPINCOUNT="0")
    try:
        return importlib.import_module("xllamacpp")
    except ModuleNotFoundError as error:
        raise NotReady("xllamacpp, which runs the model, is not installed; run: pip install xllamacpp") from error
    except ImportError as error:
        raise NotReady(
            f"xllamacpp cannot be loaded ({error}); if libgomp.so.1 is missing: apt-get install libgomp1"
        ) from error
    finally:
        for name, value in given.items():
            if value is None:
                os.environ.pop(name, None)

"""The `transformers` engine: a Llama-family model in this process, with continuous batching.

Determinism: an answer depends on the clues, the seed, the prompt and the model, and on the rest of its batch only
through rounding. In float32 that is one part in a million and was never seen to change a text; in bfloat16 a kernel
chosen for another batch size can swap two almost equally likely tokens, so a text may differ between batches.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from merrflow_llama3 import gguf_files
from merrflow_llama3.engines.batched import MAX_REQUESTS, BatchedReasoner
from merrflow_llama3.engines.chat_tokenizer import ChatTokenizer, open_chat_tokenizer
from merrflow_llama3.engines.language_model import LanguageModel
from merrflow_llama3.prompt import Prompt
from merrflow_llama3.settings import Llama3Settings
from merrflow_serving import commands
from merrflow_serving.errors import NotReady
from merrflow_serving.torch.device import arithmetic_of
from merrflow_serving.torch.engine import OnTorch

if TYPE_CHECKING:
    import torch

    from merrflow_serving.torch.need import Need


class Transformers(OnTorch[Llama3Settings], BatchedReasoner):
    """See the module's docstring."""

    engine = "transformers"
    note = "a Llama-family model with continuous batching and shared prompt beginnings"

    def _need(self, device: torch.device, dtype: torch.dtype) -> Need:
        from merrflow_llama3.engines.transformers.batching import STEP_TOKENS
        from merrflow_llama3.engines.transformers.memory import FLASH_PAGE, PAGE
        from merrflow_llama3.engines.transformers.need import need, read_config
        from merrflow_serving.torch.device import attention_of

        settings = self._settings
        attention = attention_of(settings, device)
        return need(
            read_config(self._weights.folder()),
            dtype,
            requests=settings.max_batch_size or MAX_REQUESTS,
            context_tokens=settings.context_tokens,
            step_tokens=STEP_TOKENS.get(attention, STEP_TOKENS["sdpa"]),
            page=FLASH_PAGE if attention.startswith("flash") else PAGE,
        )

    def _arithmetic(self) -> tuple[str, str]:
        return arithmetic_of(self._settings)

    def _open(self, prompt: Prompt) -> tuple[LanguageModel, ChatTokenizer]:
        if prompt.sampling.repeat_penalty != 1.0:
            raise NotReady(
                f"the prompt {prompt.name!r} sets repeat_penalty, which continuous batching does not have: set it to "
                "1.0, or MERRFLOW_LLAMA3_ENGINE to `vllm` or `llamacpp`"
            )
        self._announce(self._weights.name)
        path = self._weights.locate()
        try:
            import torch
            import transformers  # noqa: F401
        except ImportError as error:
            raise NotReady(
                f"torch and transformers, which run the model, are not installed ({error}); "
                f"run: {commands.install('llama3')}"
            ) from error
        from merrflow_llama3.engines.transformers.batching import BatchingModel, Sizes
        from merrflow_llama3.engines.transformers.loading import load_model
        from merrflow_serving.torch.device import attention_of, device_of, dtype_of

        settings = self._settings
        tokenizer = open_chat_tokenizer(path, gguf_files.header(path) if path.suffix == ".gguf" else None)
        device = device_of(settings)
        dtype = dtype_of(settings, device)
        if device.type == "cpu" and settings.threads:
            torch.set_num_threads(settings.threads)
        self._announce()
        with self._turn() as part:
            model = load_model(path, device=device, dtype=dtype, attention=attention_of(settings, device))
            self._check_positions(path, model.config)
            sizes = Sizes(settings.max_batch_size or MAX_REQUESTS, settings.context_tokens, max(1, part.left()))
            stops = tokenizer.stops | _ends(model.generation_config)
            batching = BatchingModel(model, stops=stops, sampling=prompt.sampling, sizes=sizes)
        self._requests = batching.plan.requests
        return batching, tokenizer

    def close(self) -> None:
        super().close()
        self._leave()

    def _check_positions(self, path: Path, config: object) -> None:
        most = getattr(config, "max_position_embeddings", 0)
        if most and self._settings.context_tokens > most:
            raise NotReady(
                f"the model in {path} was made for {most} tokens: set MERRFLOW_LLAMA3_CONTEXT_TOKENS to {most} or less"
            )


def _ends(generation_config: object) -> frozenset[int]:
    """Tokens at which the model's own settings stop; for Llama 3 <|end_of_text|> and <|eot_id|>."""
    ends = getattr(generation_config, "eos_token_id", None)
    return frozenset([ends] if isinstance(ends, int) else ends or ())

"""The engine `minigpt_v2`: weights, batches and limits around the vision encoder and the answer generator."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import structlog

from merrflow_minigpt_v2.engines.minigpt_v2 import preprocessing
from merrflow_minigpt_v2.engines.minigpt_v2.architecture import Architecture, published
from merrflow_minigpt_v2.engines.minigpt_v2.files import ENTRIES, LANGUAGE, VISION
from merrflow_minigpt_v2.engines.minigpt_v2.prompts import PromptConfig, load_prompt_config
from merrflow_minigpt_v2.frames import check_frame
from merrflow_minigpt_v2.types import Scene, SceneItem
from merrflow_serving import commands
from merrflow_serving.answers import Outcome
from merrflow_serving.engine import EngineInfo, Limits, Wanted, always
from merrflow_serving.errors import Abandoned, MerrflowError, NotReady, TooLarge
from merrflow_serving.torch.device import arithmetic_of
from merrflow_serving.torch.engine import OnTorch
from merrflow_serving.weights import Place, entry, folder_of, locate_all, revision

if TYPE_CHECKING:
    import torch

    from merrflow_minigpt_v2.engines.minigpt_v2.generation import Reply
    from merrflow_minigpt_v2.engines.minigpt_v2.loading import LoadedModel
    from merrflow_minigpt_v2.engines.minigpt_v2.tokenizer import PromptIds
    from merrflow_minigpt_v2.settings import MiniGptSettings
    from merrflow_serving.torch.need import Need

log = structlog.get_logger()

MODEL = "MiniGPT-v2 (EVA-CLIP ViT-g/14, Llama-2-7b-chat)"
NOTE = (
    "a vision-language model: it may name what is not there; weights under the Llama 2 Community License, whose terms "
    "pass on to whoever uses them or what they write"
)
# Rows decoded at once, unless MAX_BATCH_SIZE is set. On a GPU the key-value cache (512 KiB a token) is the limit: 8
# rows of the longest question and answer fit a 24 GB card, 64 an 80 GB card that MiniGPT-v2 has to itself.
GPU_ROWS, CPU_ROWS = 8, 4


@dataclass(frozen=True, eq=False)
class _Ready:
    """A preprocessed item."""

    index: int  # in the batch
    picture: npt.NDArray[np.float32]  # (3, size, size)
    ids: PromptIds
    seed: int


class MiniGptV2(OnTorch["MiniGptSettings"]):
    """Engine "minigpt_v2" (see `merrflow_serving.engine.Engine`)."""

    stops_early = True

    def __init__(self, settings: MiniGptSettings, architecture: Architecture | None = None) -> None:
        """architecture: another one than the published, such as a small one of the same kind."""
        self._settings = settings
        self._shape = architecture or published()
        self._prompt_config: PromptConfig | None = None
        try:
            self._prompt_config = load_prompt_config(
                settings.prompt,
                settings.decoding,
                answer_tokens=settings.answer_tokens,
                seed=settings.seed,
                template=self._shape.template,
            )
        except NotReady as error:  # raised by `load`, so that the service can say what to do
            self._problem = error
        self._loaded: LoadedModel | None = None
        self._pool: ThreadPoolExecutor | None = None

    def _prompt(self) -> PromptConfig:
        if self._prompt_config is None:
            raise self._problem
        return self._prompt_config

    def place(self, name: str) -> Place:
        """Where the weights of one of `ENTRIES` are looked for."""
        settings = self._settings
        own = {VISION: settings.vision_weights, LANGUAGE: settings.language_weights}.get(name, "")
        return Place(own or settings.weights, settings.hub, settings.models_dir, settings.offline)

    def load(self) -> None:
        """Reads the three sets of weights and runs the largest shapes once.

        Raises `NotReady` with how to get the weights, the keys that do not fit, or that there is too little memory.
        """
        from merrflow_serving.torch.device import attention_of, device_errors, device_of, dtype_of
        from merrflow_serving.torch.lost import is_out_of_memory

        prompt_config = self._prompt()
        try:
            from merrflow_minigpt_v2.engines.minigpt_v2.loading import load
        except ImportError as error:
            needed = commands.install("minigpt-v2")
            raise NotReady(f"the engine minigpt_v2 needs {error.name or error}: {needed}") from error
        device = device_of(self._settings)
        dtype, attention = dtype_of(self._settings, device), attention_of(self._settings, device)
        self._announce(*ENTRIES)
        folders = self._locate()
        self._announce()
        try:
            with self._turn() as part, device_errors():
                self._loaded = load(
                    folders,
                    self._shape,
                    prompt_config,
                    instruction_tokens=self._settings.max_instruction_tokens,
                    pictures=self._settings.encoder_batch,
                    rows=self._batch(),
                    device=device,
                    dtype=dtype,
                    attention=attention,
                )
                self._cap(part)
                self._loaded.warm_up()
        except Exception as error:
            self.close()
            if isinstance(error, TooLarge) or is_out_of_memory(error):
                raise NotReady(
                    f"{device} has too little memory for MiniGPT-v2 in {str(dtype).removeprefix('torch.')} "
                    "(about 15 GiB of weights in 16 bits); free the device, or set "
                    f"{self._settings.model_config['env_prefix']}DTYPE=float16, ENGINE=measured or DEVICE=cpu",
                    reason="MEMORY_MISSING",
                ) from error
            raise
        self._pool = ThreadPoolExecutor(4, thread_name_prefix="pixels")
        log.info(
            "minigpt_v2 loaded",
            device=str(device),
            dtype=str(dtype),
            attention=attention,
            pictures_at_once=self._loaded.encoding.size,
            rows_at_once=self._loaded.decoding.size,
        )

    def _locate(self) -> dict[str, Path]:
        """The folders of all weights; the error names all that are missing, before any is pulled."""
        return locate_all({name: self.place(name) for name in ENTRIES})

    def close(self) -> None:
        if self._pool is not None:
            self._pool.shutdown()
        self._leave()
        loaded, self._loaded, self._pool = self._loaded is not None, None, None
        if loaded:
            import gc

            import torch

            gc.collect()
            if torch.cuda.is_available():
                with suppress(RuntimeError):  # the device is lost, and the error that lost it is the one to report
                    torch.cuda.empty_cache()

    def info(self) -> EngineInfo:
        """Model, revisions, dtype and prompt; cheap and without loading."""
        device, dtype = arithmetic_of(self._settings)
        parts = {name: revision(name, self.place(name)) or "missing" for name in ENTRIES}
        return EngineInfo(
            engine="minigpt_v2",
            model=MODEL,
            revision=", ".join(f"{name} {value}" for name, value in parts.items()),
            device=device,
            dtype=dtype,
            prompt_version=self._prompt_config.stamp if self._prompt_config else "",
            licence=", ".join(dict.fromkeys(entry(name).licence for name in ENTRIES)),
            note=NOTE,
            limits=Limits(
                max_batch_size=self._batch(),
                max_pixels=self._settings.max_pixels,
                max_tokens=self._settings.max_instruction_tokens,
            ),
        )

    def _need(self, device: torch.device, dtype: torch.dtype) -> Need:
        prompt_config = self._prompt()
        from merrflow_minigpt_v2.engines.minigpt_v2.language import read_config
        from merrflow_minigpt_v2.engines.minigpt_v2.need import need

        return need(
            self._shape,
            read_config(folder_of(LANGUAGE, self.place(LANGUAGE))),
            dtype,
            pictures=self._settings.encoder_batch,
            rows=self._batch(),
            instruction_tokens=self._settings.max_instruction_tokens,
            answer_tokens=prompt_config.answer_tokens,
        )

    def _batch(self) -> int:
        """Rows at once: as set, or by device."""
        from merrflow_serving.torch.device import device_of

        if self._settings.max_batch_size:
            return self._settings.max_batch_size
        try:
            return GPU_ROWS if device_of(self._settings).type == "cuda" else CPU_ROWS
        except (ImportError, NotReady):
            return CPU_ROWS

    def run(self, batch: Sequence[SceneItem], wanted: Wanted = always) -> list[Scene | MerrflowError]:
        """Describes each item; see `Engine.run`. Context frames are not used."""
        from merrflow_minigpt_v2.engines.minigpt_v2.generation import Question
        from merrflow_serving.torch.device import run_split

        loaded, pool = self._loaded, self._pool
        if loaded is None or pool is None:
            raise NotReady("the engine is not loaded")
        prepared = list(pool.map(partial(self._prepare_or_error, loaded), range(len(batch)), batch))
        results: dict[int, Scene | MerrflowError] = {
            index: one if isinstance(one, MerrflowError) else Abandoned() for index, one in enumerate(prepared)
        }
        ready = [one for one in prepared if isinstance(one, _Ready) and wanted(one.index)]
        encoded = run_split(loaded.encoder.encode, [one.picture for one in ready], loaded.encoding)
        asked = [
            (Question(tokens, one.ids, one.seed, partial(wanted, one.index)), one)
            for tokens, one in zip(encoded, ready, strict=True)
        ]
        asked.sort(key=lambda pair: len(pair[0]), reverse=True)  # longest first: what does not fit shows early
        replies = run_split(loaded.generator.answer, [question for question, _ in asked], loaded.decoding)
        for (_, one), reply in zip(asked, replies, strict=True):
            results[one.index] = _scene(loaded.tokens.text(reply.ids), reply)
        return [results[index] for index in range(len(batch))]

    def _prepare_or_error(self, loaded: LoadedModel, index: int, item: SceneItem) -> _Ready | MerrflowError:
        try:
            return self._prepare(loaded, index, item)
        except MerrflowError as error:
            return error

    def _prepare(self, loaded: LoadedModel, index: int, item: SceneItem) -> _Ready:
        check_frame(item.image, self._settings.max_pixels)
        ids = loaded.ids(item.instruction if item.instruction.strip() else self._prompt().prompt.text)
        small = preprocessing.resize_image(item.image, self._shape.image.size)
        digest = hashlib.blake2b(small.tobytes(), digest_size=8, key=str(self._settings.seed).encode())
        digest.update(repr(ids).encode())
        seed = int.from_bytes(digest.digest(), "big")
        return _Ready(index, preprocessing.normalise(small, self._shape.image), ids, seed)


def _scene(text: str, reply: Reply) -> Scene:
    if not text:
        return Scene("", outcome=Outcome.REFUSED)
    return Scene(text, outcome=Outcome.DONE if reply.whole else Outcome.TRUNCATED)

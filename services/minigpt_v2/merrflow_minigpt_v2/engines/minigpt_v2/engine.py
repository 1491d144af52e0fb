"""The engine `minigpt_v2`: files, batches and limits around eyes and speech."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import structlog

from merrflow_minigpt_v2.engines.minigpt_v2 import pixels
from merrflow_minigpt_v2.engines.minigpt_v2.architecture import Architecture, published
from merrflow_minigpt_v2.engines.minigpt_v2.files import ENTRIES, LANGUAGE, VISION
from merrflow_minigpt_v2.engines.minigpt_v2.prompts import Asking, load_asking
from merrflow_minigpt_v2.types import Scene, SceneItem
from merrflow_serving.answers import Outcome
from merrflow_serving.engine import EngineInfo, Limits
from merrflow_serving.errors import MerrflowError, NotReady, TooLarge
from merrflow_serving.weights import Place, entry, folder_of, locate, revision

if TYPE_CHECKING:
    from merrflow_minigpt_v2.engines.minigpt_v2.loading import Loaded
    from merrflow_minigpt_v2.engines.minigpt_v2.speech import Reply
    from merrflow_minigpt_v2.engines.minigpt_v2.tokens import PromptIds
    from merrflow_minigpt_v2.settings import MiniGptSettings
    from merrflow_serving.torch.device import Memory
    from merrflow_serving.torch.need import Need

log = structlog.get_logger()

MODEL = "MiniGPT-v2 (EVA-CLIP ViT-g/14, Llama-2-7b-chat)"
NOTE = (
    "a vision-language model: it may name what is not there; weights under the Llama 2 Community License, whose terms "
    "pass on to whoever uses them or what they write"
)
# Rows decoded at once, unless MAX_BATCH_SIZE is set. On a GPU the key-value cache decides (512 KiB a token): a 24 GB
# card holds 8 rows of the longest question and answer, an 80 GB card that is all MiniGPT-v2's, 64.
GPU_ROWS, CPU_ROWS = 8, 4


@dataclass(frozen=True, eq=False)
class _Ready:
    """An item that is fit to be asked."""

    place: int  # in the batch
    picture: np.ndarray  # (3, size, size) float32
    ids: PromptIds
    seed: int


class MiniGptV2:
    """Engine "minigpt_v2" (see `merrflow_serving.engine.Engine`)."""

    def __init__(self, settings: MiniGptSettings, architecture: Architecture | None = None) -> None:
        """architecture: another than the published one, such as a small one of the same build."""
        self._settings = settings
        self._shape = architecture or published()
        self._asking: Asking | None = None
        try:
            self._asking = load_asking(
                settings.prompt,
                settings.decoding,
                answer_tokens=settings.answer_tokens,
                seed=settings.seed,
                template=self._shape.template,
            )
        except NotReady as error:  # told by `load`, so that the service can say what to do
            self._problem = error
        self._loaded: Loaded | None = None
        self._pool: ThreadPoolExecutor | None = None

    def place(self, name: str) -> Place:
        """Where one of `ENTRIES` is looked for."""
        settings = self._settings
        own = {VISION: settings.vision_weights, LANGUAGE: settings.language_weights}.get(name, "")
        return Place(own or settings.weights, settings.hub, settings.models_dir, settings.offline)

    def load(self) -> None:
        """Reads the three sets of weights and runs the largest shapes once.

        Raises `NotReady` with the steps to get weights, the keys that do not fit, or the memory that is missing.
        """
        from merrflow_serving.torch.device import attention_of, device_errors, device_of, dtype_of
        from merrflow_serving.torch.lost import is_out_of_memory

        if self._asking is None:
            raise self._problem
        try:
            from merrflow_minigpt_v2.engines.minigpt_v2.loading import load
        except ImportError as error:
            needed = "pip install 'merrflow-minigpt-v2[torch]'"
            raise NotReady(f"the engine minigpt_v2 needs {error.name or error}: {needed}") from error
        device = device_of(self._settings)
        dtype, attention = dtype_of(self._settings, device), attention_of(self._settings, device)
        folders = self._locate()
        try:
            with device_errors():
                self._loaded = load(
                    folders,
                    self._shape,
                    self._asking,
                    instruction_tokens=self._settings.max_instruction_tokens,
                    pictures=self._settings.encoder_batch,
                    rows=self._batch(),
                    device=device,
                    dtype=dtype,
                    attention=attention,
                )
                self._loaded.warm_up()
        except Exception as error:
            self.close()
            if isinstance(error, TooLarge) or is_out_of_memory(error):
                raise NotReady(
                    f"{device} has too little memory for MiniGPT-v2 in {str(dtype).removeprefix('torch.')} "
                    "(about 15 GiB of weights in 16 bits); free the device, or set "
                    f"{self._settings.model_config['env_prefix']}DTYPE=bfloat16, ENGINE=measured or DEVICE=cpu",
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
        """The folders of all weights; what lacks is told at once, not one after the other."""
        folders, problems = {}, []
        for name in ENTRIES:
            try:
                folders[name] = locate(name, self.place(name))
            except NotReady as error:
                problems.append(error)
        if problems:
            raise NotReady("\n".join(map(str, problems)), reason=problems[0].reason) from problems[0]
        return folders

    def close(self) -> None:
        """Frees the models and their memory."""
        if self._pool is not None:
            self._pool.shutdown()
        loaded, self._loaded, self._pool = self._loaded is not None, None, None
        if loaded:
            import gc

            import torch

            gc.collect()
            if torch.cuda.is_available():
                with suppress(RuntimeError):  # a lost device: what lost it is the error to tell
                    torch.cuda.empty_cache()

    def info(self) -> EngineInfo:
        """Model, revisions, number format and prompt; cheap and without loading."""
        device, dtype = self._settings.device, self._settings.dtype
        try:
            from merrflow_serving.torch.device import device_of, dtype_of

            found = device_of(self._settings)
            device, dtype = str(found), str(dtype_of(self._settings, found)).removeprefix("torch.")
        except (ImportError, NotReady):  # said again, with what to do, by `load`
            pass
        parts = {name: revision(name, self.place(name)) or "missing" for name in ENTRIES}
        return EngineInfo(
            engine="minigpt_v2",
            model=MODEL,
            revision=", ".join(f"{name} {value}" for name, value in parts.items()),
            device=device,
            dtype=dtype,
            prompt_version=self._asking.stamp if self._asking else "",
            licence=", ".join(dict.fromkeys(entry(name).licence for name in ENTRIES)),
            note=NOTE,
            limits=Limits(
                max_batch_size=self._batch(),
                max_pixels=self._settings.max_pixels,
                max_tokens=self._settings.max_instruction_tokens,
            ),
        )

    def memory(self) -> Memory:
        """What it holds of its device."""
        from merrflow_serving.torch.device import held

        return held(self._settings)

    def need(self) -> Need | None:
        """GPU memory, from shapes; None on a CPU. Raises `NotReady` where device, prompt or config are missing."""
        from merrflow_serving.torch.device import device_of, dtype_of

        device = device_of(self._settings)
        if device.type != "cuda":
            return None
        if self._asking is None:
            raise self._problem
        from merrflow_minigpt_v2.engines.minigpt_v2.language import read_config
        from merrflow_minigpt_v2.engines.minigpt_v2.need import need

        return need(
            self._shape,
            read_config(folder_of(LANGUAGE, self.place(LANGUAGE))),
            dtype_of(self._settings, device),
            pictures=self._settings.encoder_batch,
            rows=self._batch(),
            instruction_tokens=self._settings.max_instruction_tokens,
            answer_tokens=self._asking.answer_tokens,
        )

    def _batch(self) -> int:
        """Rows at once, as set or by device."""
        from merrflow_serving.torch.device import device_of

        if self._settings.max_batch_size:
            return self._settings.max_batch_size
        try:
            return GPU_ROWS if device_of(self._settings).type == "cuda" else CPU_ROWS
        except (ImportError, NotReady):
            return CPU_ROWS

    def run(self, batch: Sequence[SceneItem]) -> list[Scene | MerrflowError]:
        """Describes each item; see `Engine.run`. Frames of context are not looked at."""
        from merrflow_minigpt_v2.engines.minigpt_v2.speech import Question
        from merrflow_serving.torch.device import run_split

        loaded, pool = self._loaded, self._pool
        if loaded is None or pool is None:
            raise NotReady("the engine is not loaded")
        results: list[Scene | MerrflowError] = list(pool.map(self._guarded, range(len(batch)), batch))
        ready = [one for one in results if isinstance(one, _Ready)]
        seen = run_split(loaded.eyes.see, [one.picture for one in ready], loaded.encoding)
        asked = [(Question(tokens, one.ids, one.seed), one) for tokens, one in zip(seen, ready, strict=True)]
        asked.sort(key=lambda pair: len(pair[0]), reverse=True)  # the longest first: what does not fit shows early
        replies = run_split(loaded.speech.answer, [question for question, _ in asked], loaded.decoding)
        for (_, one), reply in zip(asked, replies, strict=True):
            results[one.place] = self._scene(reply)
        return results

    def _guarded(self, place: int, item: SceneItem) -> _Ready | MerrflowError:
        try:
            return self._prepare(place, item)
        except MerrflowError as error:
            return error

    def _prepare(self, place: int, item: SceneItem) -> _Ready:
        pixels.check(item.image, self._settings.max_pixels)
        ids = self._loaded.ids(item.instruction if item.instruction.strip() else self._asking.prompt.text)
        small = pixels.squash(item.image, self._shape.image.size)
        digest = hashlib.blake2b(small.tobytes(), digest_size=8, key=str(self._settings.seed).encode())
        digest.update(repr(ids).encode())
        seed = int.from_bytes(digest.digest(), "big")
        return _Ready(place, pixels.normalised(small, self._shape.image), ids, seed)

    def _scene(self, reply: Reply) -> Scene:
        text = self._loaded.tokens.text(reply.ids)
        if not text:
            return Scene("", outcome=Outcome.REFUSED)
        return Scene(text, outcome=Outcome.DONE if reply.whole else Outcome.TRUNCATED)

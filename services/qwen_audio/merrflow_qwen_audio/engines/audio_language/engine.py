"""How an engine for an audio-language model runs a batch, the same for every checkpoint of the family.

A recording is measured first (`Meter`), so that the text can be checked against the measurements. If nobody speaks, the
model is not asked, because it would describe a tone all the same. Speech is split into windows (`windows`), and all
windows of the batch go through encoder and decoder together, the longest prompts first, in batches as large as fit.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from merrflow_qwen_audio.arrays import Samples
from merrflow_qwen_audio.engines.acoustics.meter import Acoustics, Meter
from merrflow_qwen_audio.engines.audio_language.heard import SAMPLE_RATE, check_instruction, heard_parts, tone_of
from merrflow_qwen_audio.engines.audio_language.prompt_file import Prompt, load_prompt
from merrflow_qwen_audio.engines.audio_language.windows import WINDOW_SECONDS
from merrflow_qwen_audio.engines.audio_language.words import Words, words_of
from merrflow_qwen_audio.settings import QwenAudioSettings
from merrflow_qwen_audio.tone_sentence import rules_version
from merrflow_qwen_audio.types import Tone, ToneItem
from merrflow_serving import commands, weights
from merrflow_serving.engine import EngineInfo, Limits, Wanted, always
from merrflow_serving.errors import Abandoned, EngineFault, MerrflowError, NotReady, TooLarge
from merrflow_serving.torch.device import arithmetic_of
from merrflow_serving.torch.engine import OnTorch
from merrflow_serving.torch.lost import is_out_of_memory

if TYPE_CHECKING:
    import torch
    from torch import nn
    from transformers import PretrainedConfig

    from merrflow_qwen_audio.engines.audio_language.model import AudioLanguageModel, Question
    from merrflow_qwen_audio.engines.audio_language.prompting import AudioPrompt
    from merrflow_serving.torch.device import BatchLimit
    from merrflow_serving.torch.need import Need

    Shape = tuple[nn.Module, PretrainedConfig, PretrainedConfig]  # all modules; configs of language model and tower

log = structlog.get_logger()
MOST_AT_ONCE = {"cuda": 32, "cpu": 4}  # windows; fewer if they do not fit the memory
MEASURING_THREADS = 4


@dataclass(frozen=True)
class _Loaded:
    """What `load` makes."""

    model: AudioLanguageModel
    prompt: Prompt
    words: Words
    limit: BatchLimit
    planned: int  # tokens of the prompts that the limit was computed for
    measuring: ThreadPoolExecutor


class AudioLanguageEngine(OnTorch[QwenAudioSettings]):
    """Item: `ToneItem`. Result: `Tone`. The same recording gives the same text, whatever else is in the batch."""

    name: str  # as in the settings
    stops_early = True

    def __init__(self, settings: QwenAudioSettings) -> None:
        self._settings = settings
        self._meter = Meter(settings.max_seconds)
        self._loaded: _Loaded | None = None

    @property
    @abstractmethod
    def entry(self) -> str:
        """The name of the weights in `weights.yaml`."""

    @property
    @abstractmethod
    def model_name(self) -> str:
        """As the model's authors call it."""

    @property
    def default_prompt(self) -> str:
        """The prompt if the settings name none."""
        return "tone_list"

    @abstractmethod
    def open(self, folder: Path, *, device: torch.device, dtype: torch.dtype, attention: str) -> AudioLanguageModel:
        """Loads the model from a folder. Raises `NotReady`."""

    @abstractmethod
    def shape(self, folder: Path) -> Shape:
        """The modules, without weights, of the model in a folder. Raises `NotReady`."""

    def load(self) -> None:
        """Loads everything and sends the largest batch through it. Raises `NotReady` with what to do."""
        prompt = self._prompt()
        self._meter.load()
        self._announce(self.entry)
        folder = weights.locate(self.entry, self._settings)
        words = self._words(prompt)
        try:
            model, limit = self._load_model(folder, prompt, words.answer_tokens)
        except ImportError as error:
            needed = commands.install("qwen-audio")
            raise NotReady(f"the engine {self.name} needs {error.name or error}: {needed}") from error
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            prefix = self._settings.model_config["env_prefix"]
            raise NotReady(
                f"{arithmetic_of(self._settings)[0]} has too little memory for {self.model_name} (about 16 GiB of "
                "weights in 16 bits, twice that in float32); free the device, or set "
                f"{prefix}DTYPE=bfloat16, ENGINE=prosody or DEVICE=cpu",
                reason="MEMORY_MISSING",
            ) from error
        pool = ThreadPoolExecutor(MEASURING_THREADS, thread_name_prefix="measure")
        planned = len(model.question(prompt, "")) + model.span(round(WINDOW_SECONDS * SAMPLE_RATE))
        self._loaded = _Loaded(model, prompt, words, limit, planned, pool)
        log.info("model loaded", engine=self.name, windows_at_once=limit.size)

    def _load_model(self, folder: Path, prompt: Prompt, answer_tokens: int) -> tuple[AudioLanguageModel, BatchLimit]:
        """The model, warmed up, and how many windows it takes at once."""
        from merrflow_qwen_audio.engines.audio_language import capacity
        from merrflow_serving.torch.device import BatchLimit, attention_of, device_of, dtype_of

        device = device_of(self._settings)
        attention = attention_of(self._settings, device)
        self._announce()
        with self._turn() as part:
            model = self.open(folder, device=device, dtype=dtype_of(self._settings, device), attention=attention)
            question = model.question(prompt, "")
            longest = model.span(round(WINDOW_SECONDS * SAMPLE_RATE)) + len(question) + answer_tokens
            if longest > model.context:
                raise NotReady(
                    f"prompt, 30 s of sound and answer are {longest} tokens; the model takes {model.context}"
                )
            limit = BatchLimit(capacity.rows(model, longest, part.left(), MOST_AT_ONCE[device.type]))
            capacity.warm_up(model, question, limit, answer_tokens=answer_tokens, whole=device.type == "cuda")
        return model, limit

    def run(self, batch: Sequence[ToneItem], wanted: Wanted = always) -> list[Tone | MerrflowError]:
        """One tone or one error for each recording, in order."""
        if self._loaded is None:
            return [EngineFault("the engine is used before it is loaded") for _ in batch]
        measured = list(self._loaded.measuring.map(self._measure, batch))
        prompts = [
            self._prompts(item, found, self._loaded) if wanted(place) else Abandoned()
            for place, (item, found) in enumerate(zip(batch, measured, strict=True))
        ]
        asked = [
            replace(prompt, is_wanted=partial(wanted, place))
            for place, several in enumerate(prompts)
            if isinstance(several, list)
            for prompt in several
        ]
        from merrflow_qwen_audio.engines.audio_language.prompting import ask

        loaded = self._loaded
        replies = iter(
            ask(
                loaded.model,
                asked,
                loaded.limit,
                answer_tokens=loaded.words.answer_tokens,
                planned=loaded.planned,
                decoding=loaded.words.decoding,
            )
        )
        results: list[Tone | MerrflowError] = []
        for item, found, several in zip(batch, measured, prompts, strict=True):
            if isinstance(several, MerrflowError):
                results.append(several)
            elif isinstance(found, Acoustics):
                answers = [next(replies) for _ in several]
                results.append(tone_of(found, answers, loaded.prompt, item.instruction))
        return results

    def close(self) -> None:
        self._meter.close()
        if self._loaded:
            self._loaded.measuring.shutdown()
        self._loaded = None
        self._leave()

    def info(self) -> EngineInfo:
        """Engine, model, revision, prompt and limits, without loading."""
        entry = weights.entry(self.entry)
        device, dtype = arithmetic_of(self._settings)
        return EngineInfo(
            engine=self.name,
            model=self.model_name,
            revision=weights.revision(self.entry, self._settings),
            device=device,
            dtype=dtype,
            prompt_version=self._prompt_version(),
            licence=entry.licence,
            note=f"Words of {self.model_name}, {self._chosen()}. Its licence on what it writes: {entry.outputs}.",
            limits=Limits(
                max_batch_size=MOST_AT_ONCE.get(device.split(":")[0], 1), max_seconds=self._settings.max_seconds
            ),
        )

    def _prompt(self) -> Prompt:
        return load_prompt(self._settings.prompt or self.default_prompt)

    def _words(self, prompt: Prompt) -> Words:
        return words_of(self._settings, prompt, weights.folder_of(self.entry, self._settings))

    def _chosen(self) -> str:
        """How words are chosen, for people."""
        try:
            return self._words(self._prompt()).about
        except NotReady:  # `load` reports it
            return f"by the setting {self._settings.decoding!r}"

    def _need(self, device: torch.device, dtype: torch.dtype) -> Need:
        from merrflow_qwen_audio.engines.audio_language.need import need

        parts, language, tower = self.shape(weights.folder_of(self.entry, self._settings))
        return need(
            parts,
            language,
            tower,
            dtype,
            windows=MOST_AT_ONCE[device.type],
            answer_tokens=self._words(self._prompt()).answer_tokens,
        )

    def _prompt_version(self) -> str:
        """The prompt, how words are drawn, and the rules for recordings that the model is not asked about."""
        try:
            prompt = self._prompt()
            words = self._words(prompt)
        except NotReady:  # `load` reports it
            return ""
        return f"{words.stamp(prompt, ask_about=self._settings.ask_about)}, {rules_version()}"

    def _measure(self, item: ToneItem) -> Acoustics | MerrflowError:
        try:
            return self._meter.measure(item.samples)
        except MerrflowError as error:
            return error
        except Exception as error:  # an error in one item must not reach its neighbours
            return EngineFault(f"this recording cannot be measured: {type(error).__name__}: {error}")

    def _prompts(
        self, item: ToneItem, found: Acoustics | MerrflowError, loaded: _Loaded
    ) -> list[AudioPrompt] | MerrflowError:
        """What the model is asked about a recording: nothing if there is nothing to hear."""
        if isinstance(found, MerrflowError):
            return found
        try:
            check_instruction(item.instruction)
            question = loaded.model.question(loaded.prompt, item.instruction if item.instruction.strip() else "")
            return self._windows(item.samples, found, question, loaded)
        except MerrflowError as error:
            return error

    def _windows(self, samples: Samples, found: Acoustics, question: Question, loaded: _Loaded) -> list[AudioPrompt]:
        from merrflow_qwen_audio.engines.audio_language.encoder import LEAST_SAMPLES
        from merrflow_qwen_audio.engines.audio_language.prompting import AudioPrompt

        prompts = []
        for start, part in heard_parts(samples, found, self._settings.ask_about, LEAST_SAMPLES):
            tokens, longest = loaded.model.span(part.size) + len(question), loaded.words.answer_tokens
            if tokens + longest > loaded.model.context:
                raise TooLarge(
                    f"the instruction makes a prompt of {tokens} tokens; with {longest} for the answer "
                    f"the model takes {loaded.model.context}"
                )
            prompts.append(AudioPrompt(part, question, tokens, loaded.words.seed_of(part, question), start))
        return prompts

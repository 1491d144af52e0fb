"""Asks an endpoint how a voice sounds.

As with every audio-language model here, the recording is measured first, the model is not asked if nobody speaks, and a
long recording is asked about window by window.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np

from merrflow_qwen_audio.arrays import Samples
from merrflow_qwen_audio.engines.acoustics.meter import Meter
from merrflow_qwen_audio.engines.audio_language.heard import SAMPLE_RATE, check_instruction, heard_parts, tone_of
from merrflow_qwen_audio.engines.audio_language.prompt_file import CHAT_PROMPTS, Prompt, load_prompt
from merrflow_qwen_audio.engines.audio_language.replies import Reply
from merrflow_qwen_audio.settings import QwenAudioSettings
from merrflow_qwen_audio.tone_sentence import rules_version
from merrflow_qwen_audio.types import Tone, ToneItem
from merrflow_serving.answers import Outcome
from merrflow_serving.engine import EngineInfo, Limits
from merrflow_serving.errors import NotReady
from merrflow_serving.media.audio import encode_wav
from merrflow_serving.openai.engine import Calls, OpenAIEngine
from merrflow_serving.openai.reading import check_reads

NOTE = "an audio-language model behind an endpoint: it may hear what is not there"
LEAST_SAMPLES = SAMPLE_RATE // 10  # of a window
DEFAULT = "tone_list"


class OpenAITones(OpenAIEngine[QwenAudioSettings, ToneItem, Tone]):
    """Item: `ToneItem`. Result: `Tone`."""

    def __init__(self, settings: QwenAudioSettings) -> None:
        super().__init__(settings, "merrflow-qwen-audio")
        self._meter = Meter(settings.max_seconds)
        self._prompt: Prompt | None = None

    def prepare(self) -> None:
        self._prompt = self._read_prompt()
        self._meter.load()

    def check(self, calls: Callable[[], Calls]) -> None:
        """Raises `NotReady` for a model that hears nothing."""
        time = np.arange(SAMPLE_RATE) / SAMPLE_RATE
        check_reads(calls, _part((0.1 * np.sin(2 * np.pi * 220 * time)).astype(np.float32)), "sound")

    def info(self) -> EngineInfo:
        """Model and prompt, without any call."""
        stamp = ""
        with suppress(NotReady):  # `load` reports it
            stamp = self._stamp(self._prompt or self._read_prompt())
        return self.identity(Limits(max_seconds=self.settings.max_seconds), prompt_version=stamp, note=NOTE)

    def answer(self, item: ToneItem, calls: Callable[[str], Calls]) -> Tone:
        """Raises `InvalidInput` for a recording or instruction that cannot be sent, and what `Calls.chat` raises."""
        check_instruction(item.instruction)
        prompt = self._prompt
        assert prompt is not None, "load() comes first"
        found = self._meter.measure(item.samples)
        asked = calls(self._stamp(prompt))
        own = item.instruction.strip()
        replies: list[Reply] = []
        for _, part in heard_parts(item.samples, found, self.settings.ask_about, LEAST_SAMPLES):
            reply = asked.chat(
                [
                    *([{"role": "system", "content": prompt.system}] if prompt.system else []),
                    {"role": "user", "content": [_part(part), {"type": "text", "text": own or prompt.question}]},
                ],
                temperature=0.0,
                seed=0,
                max_tokens=self._answer_tokens(prompt),
            )
            if reply.outcome is Outcome.REFUSED:  # of one part, so the rest is no answer about the recording
                return replace(found.tone("", Outcome.REFUSED), usage=asked.usage)
            replies.append(Reply(reply.text, truncated=reply.outcome is Outcome.TRUNCATED))
        return replace(tone_of(found, replies, prompt, item.instruction), usage=asked.usage)

    def _read_prompt(self) -> Prompt:
        prompt = load_prompt(self.settings.prompt or DEFAULT)
        if prompt.format != "chat":
            raise NotReady(f"the prompt {prompt.name!r} is for a model of task tags; use {CHAT_PROMPTS}")
        return prompt

    def _answer_tokens(self, prompt: Prompt) -> int:
        return self.settings.answer_tokens or prompt.answer_tokens

    def _stamp(self, prompt: Prompt) -> str:
        stamp = prompt.stamp(
            answer_tokens=self._answer_tokens(prompt), ask_about=self.settings.ask_about, extra=self.extra()
        )
        return f"{stamp}, {rules_version()}"


def _part(samples: Samples) -> Mapping[str, Any]:
    """(samples,) at 16 kHz as a part of a message."""
    data = b64encode(encode_wav(samples)).decode("ascii")
    return {"type": "input_audio", "input_audio": {"data": data, "format": "wav"}}

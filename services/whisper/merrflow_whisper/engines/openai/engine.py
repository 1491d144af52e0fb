"""Asks an endpoint what is said (`/audio/transcriptions`).

The speech in a recording is found here, as for every engine: nothing is sent if nobody speaks. Servers differ in what
they return; the richest form that this one knows is found when the engine loads.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from hashlib import sha256

import numpy as np

from merrflow_serving import commands
from merrflow_serving.engine import EngineInfo, Limits
from merrflow_serving.errors import InvalidInput, NotReady
from merrflow_serving.media.audio import encode_wav
from merrflow_serving.openai.engine import Calls, OpenAIEngine
from merrflow_serving.openai.errors import Passing
from merrflow_serving.openai.replies import Transcription
from merrflow_whisper.engines.openai.names import code_of
from merrflow_whisper.engines.speech import Speech, find_speech
from merrflow_whisper.rules import load_rules
from merrflow_whisper.settings import WhisperSettings
from merrflow_whisper.types import SAMPLE_RATE, Segment, SpeechItem, Transcript

NOTE = (
    "speech recognition behind an endpoint; a confidence is 1 where the endpoint gives none, and segments of low "
    "confidence are left out"
)
FORMATS = ("verbose_json", "json", "text")  # the richest first


class OpenAITranscripts(OpenAIEngine[WhisperSettings, SpeechItem, Transcript]):
    """Item: `SpeechItem`. Result: `Transcript`."""

    def __init__(self, settings: WhisperSettings) -> None:
        super().__init__(settings, "merrflow-whisper")
        self._rules = load_rules(settings.rules)
        self._format = FORMATS[0]

    def prepare(self) -> None:
        """Raises `NotReady` if the package that finds speech is missing."""
        try:
            import faster_whisper  # noqa: F401 - carries the voice activity detection
        except ImportError as error:
            raise NotReady(
                f"the engine openai needs a package ({error}); run: {commands.install('whisper', 'openai')}",
                reason="ENGINE_MISSING",
            ) from error

    def check(self, calls: Callable[[], Calls]) -> None:
        """Finds the form of answers. Raises `NotReady` if the endpoint transcribes nothing."""
        wav = encode_wav(np.random.default_rng(0).normal(0.0, 0.01, SAMPLE_RATE).astype(np.float32))
        for form in FORMATS:
            self._format = form
            try:
                calls().transcribe(wav, 1.0, response_format=form, language="en")
                return
            except InvalidInput as error:
                refusal: Exception = error
            except Passing as error:
                if not error.tries:  # it gave no answer; otherwise one of another form
                    raise
                refusal = error
        raise NotReady(f"the endpoint transcribes nothing: {refusal}", reason="MODEL_UNSUITED") from refusal

    def info(self) -> EngineInfo:
        """Model and rules, without any call."""
        return self.identity(Limits(max_seconds=self.settings.max_seconds), prompt_version=self._stamp(), note=NOTE)

    def answer(self, item: SpeechItem, calls: Callable[[str], Calls]) -> Transcript:
        """Raises what `Calls.transcribe` raises."""
        speech = find_speech(item.samples)
        if not speech.samples.size:
            return self._rules.transcript((), item.language, 0.0, given=bool(item.language))
        asked = calls(self._stamp())
        seconds = speech.samples.size / SAMPLE_RATE
        found = asked.transcribe(
            encode_wav(speech.samples),
            seconds,
            response_format=self._format,
            language=item.language or None,
            prompt=self._rules.language(item.language).prompt or None,
            temperature=0.0,
        )
        language = item.language or code_of(found.language or "")
        segments = self._segments(found, language, speech, seconds)
        # A language without a probability is not one that is uncertain.
        return replace(self._rules.transcript(segments, language, 1.0, given=True), usage=asked.usage)

    def _segments(self, found: Transcription, language: str, speech: Speech, seconds: float) -> Sequence[Segment]:
        convert = self._rules.language(language).convert
        if not found.segments:  # of the whole
            whole = speech.segment(0.0, seconds, found.text, convert, None, None)
            return (whole,) if whole.text else ()
        segments = []
        for one in sorted(found.segments, key=lambda one: one.start):
            start, end = min(one.start, seconds), min(max(one.start, one.end), seconds)
            segments.append(speech.segment(start, end, one.text, convert, one.avg_logprob, one.no_speech_prob))
        return segments

    def _stamp(self) -> str:
        rules = self._rules.stamp
        return f"{rules}+{sha256(self.extra().encode()).hexdigest()[:8]}" if self.settings.openai_extra_body else rules

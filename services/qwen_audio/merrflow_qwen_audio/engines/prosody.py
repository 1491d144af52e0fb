"""The rule-based engine `prosody`: measures how a voice sounds and puts the measurements in words.

It is signal processing and one small network for voice activity; no language model. It says how a voice sounds,
never which emotion is felt.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from merrflow_qwen_audio.engines.acoustics import vad
from merrflow_qwen_audio.engines.acoustics.meter import Meter
from merrflow_qwen_audio.settings import QwenAudioSettings
from merrflow_qwen_audio.tone_sentence import rules, rules_version, sentence
from merrflow_qwen_audio.types import Tone, ToneItem
from merrflow_serving.engine import EngineInfo, Limits, Wanted, always
from merrflow_serving.errors import Abandoned, MerrflowError
from merrflow_serving.one_by_one import one_by_one

NOTE = "Words from measured prosody (pitch, loudness, pace, voice quality), not Qwen-Audio; emotion is not recognised."


class ProsodyEngine:
    """Item: `ToneItem`, whose instruction is not used. Result: `Tone`.

    The same samples give the same answer, whatever else is in the batch.
    """

    stops_early = True

    def __init__(self, settings: QwenAudioSettings) -> None:
        self._max_seconds = settings.max_seconds
        self._meter = Meter(settings.max_seconds)

    def load(self) -> None:
        """Loads the voice activity model and the rules. Raises `NotReady` if the model's file is missing."""
        self._meter.load()
        rules()

    def run(self, batch: Sequence[ToneItem], wanted: Wanted = always) -> list[Tone | MerrflowError]:
        """One tone or one error for each recording, in order."""
        return one_by_one(batch, self._describe, wanted, problem="prosody cannot measure this recording")

    def close(self) -> None:
        self._meter.close()

    def info(self) -> EngineInfo:
        """Engine, models and rule version, without loading."""
        return EngineInfo(
            engine="prosody",
            model=vad.MODEL,
            revision=vad.MODEL_FILE.revision,
            prompt_version=rules_version(),
            licence="MIT",
            note=NOTE,
            limits=Limits(max_batch_size=8, max_seconds=self._max_seconds),
        )

    def _describe(self, item: ToneItem, is_wanted: Callable[[], bool]) -> Tone:
        if not is_wanted():
            raise Abandoned
        measured = self._meter.measure(item.samples)
        return measured.tone(sentence(measured.content, measured.values))

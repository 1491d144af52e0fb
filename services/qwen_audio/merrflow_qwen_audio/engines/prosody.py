"""The embedded engine: it measures how a voice sounds and puts the measurements in words.

It is signal processing and one small network for voice activity; no language model. It says how a voice sounds,
never which emotion is felt.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from merrflow_qwen_audio.engines.acoustics import vad
from merrflow_qwen_audio.engines.acoustics.analysis import analyse, measurements
from merrflow_qwen_audio.engines.acoustics.frames import SAMPLE_RATE
from merrflow_qwen_audio.settings import QwenAudioSettings
from merrflow_qwen_audio.types import Tone
from merrflow_qwen_audio.words import rules, sentence
from merrflow_serving.engine import EngineInfo, Limits
from merrflow_serving.errors import EngineFault, InvalidInput, MerrflowError, TooLarge

NOTE = "Words from measured prosody (pitch, loudness, pace, voice quality), not Qwen-Audio; emotion is not recognised."


class ProsodyEngine:
    """Item: (samples,) float32 at 16 kHz, mono, at its original level. Result: `Tone`.

    The same samples give the same answer, whatever else is in the batch.
    """

    def __init__(self, settings: QwenAudioSettings) -> None:
        self._max_seconds = settings.max_seconds
        self._vad: vad.SileroVad | None = None

    def load(self) -> None:
        """Loads the voice activity model and the rules. Raises `NotReady` where the model's file is not there."""
        self._vad = vad.SileroVad()
        rules()

    def run(self, batch: Sequence[np.ndarray]) -> list[Tone | MerrflowError]:
        """One tone or one error for each recording, in order."""
        results: list[Tone | MerrflowError] = []
        for samples in batch:
            try:
                results.append(self._describe(samples))
            except MerrflowError as error:
                results.append(error)
            except Exception as error:  # an item's bug must not take its neighbours with it
                results.append(EngineFault(f"prosody cannot measure this recording: {type(error).__name__}: {error}"))
        return results

    def close(self) -> None:
        """Frees the model."""
        self._vad = None

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

    def _describe(self, samples: np.ndarray) -> Tone:
        if self._vad is None:
            raise EngineFault("the prosody engine is used before it is loaded")
        if samples.ndim != 1:
            raise InvalidInput(f"sound must be mono, one row of samples; this has the shape {samples.shape}")
        if samples.size > self._max_seconds * SAMPLE_RATE:
            raise TooLarge(f"the sound is longer than {self._max_seconds:g} seconds")
        samples = np.nan_to_num(samples.astype(np.float32), nan=0.0, posinf=1.0, neginf=-1.0)
        centred = samples - samples.mean(dtype=np.float64).astype(np.float32) if samples.size else samples
        spans = vad.speech_spans(self._vad.probabilities(centred), samples.size / SAMPLE_RATE)
        analysis = analyse(samples, spans)
        measured = measurements(analysis)
        text = sentence(analysis.content, {taken.name: taken.value for taken in measured})
        return Tone(text=text, content=analysis.content, measurements=measured, speech=analysis.spans)


def rules_version() -> str:
    """The rule file's version and its hash, so that a changed word is a changed version even if forgotten."""
    from importlib.resources import files

    from merrflow_qwen_audio import words

    data = files("merrflow_qwen_audio").joinpath(words.WORDS_FILE).read_bytes()
    return f"tone_words {rules().version} sha256:{hashlib.sha256(data).hexdigest()[:12]}"

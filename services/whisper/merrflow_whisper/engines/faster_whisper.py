"""The engine `faster_whisper`: OpenAI's Whisper (Radford et al. 2022) on CTranslate2, on a CPU or a CUDA card."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from merrflow_serving import commands
from merrflow_serving.engine import EngineInfo, Limits, Wanted, always
from merrflow_serving.errors import Abandoned, InvalidInput, MerrflowError, NotReady
from merrflow_serving.one_by_one import one_by_one
from merrflow_serving.weights.locate import locate, revision
from merrflow_whisper.engines.speech import find_speech
from merrflow_whisper.rules import load_rules
from merrflow_whisper.settings import WhisperSettings
from merrflow_whisper.types import SpeechItem, Transcript

if TYPE_CHECKING:
    from faster_whisper import WhisperModel

DEFAULT = "faster-whisper-base"


class FasterWhisperEngine:
    """Item: `SpeechItem`. Result: `Transcript`."""

    stops_early = True

    def __init__(self, settings: WhisperSettings) -> None:
        # As the default engine it is not named in the settings, by which its packages are looked for.
        self._settings = settings.model_copy(update={"engine": "faster_whisper"})
        self._name = settings.model or DEFAULT
        self._rules = load_rules(settings.rules)
        self._model: WhisperModel | None = None
        self.lanes = settings.lanes

    def load(self) -> None:
        """Loads the model. Raises `NotReady` if the library or the weights are missing."""
        folder = locate(self._name, self._settings)
        device, index = _device(self._settings.device)
        try:
            from faster_whisper import WhisperModel
        except ImportError as error:
            raise NotReady(
                f"the engine faster_whisper needs a package ({error}); run: {commands.install('whisper', 'embedded')}",
                reason="ENGINE_MISSING",
            ) from error
        try:
            self._model = WhisperModel(
                str(folder),
                device=device,
                device_index=index,
                compute_type=self._compute_type(device),
                cpu_threads=self._settings.threads,
                num_workers=self.lanes,
                local_files_only=True,
            )
        except (RuntimeError, ValueError) as error:  # CTranslate2's own: not a model, no such card
            raise NotReady(f"{folder} cannot be loaded by CTranslate2: {error}", reason="MODEL_UNREADABLE") from error
        self._settings.check_language(self._model.supported_languages)

    def run(self, batch: Sequence[SpeechItem], wanted: Wanted = always) -> list[Transcript | MerrflowError]:
        """One transcript or one error for each recording, in order."""
        return one_by_one(batch, self._transcribe, wanted, problem="this recording cannot be transcribed")

    def close(self) -> None:
        """Frees the model."""
        self._model = None

    def info(self) -> EngineInfo:
        """Engine, model and rules, without loading."""
        device, _ = _device(self._settings.device)
        return EngineInfo(
            engine="faster_whisper",
            model=self._name,
            revision=revision(self._name, self._settings),
            device=device,
            dtype=self._compute_type(device),
            prompt_version=self._rules.stamp,
            licence="MIT",
            note="Automatic speech recognition; segments of low confidence are left out.",
            limits=Limits(max_batch_size=1, max_seconds=self._settings.max_seconds),
        )

    def _compute_type(self, device: str) -> str:
        chosen = self._settings.compute_type
        return chosen if chosen != "auto" else ("int8" if device == "cpu" else "float16")

    def _transcribe(self, item: SpeechItem, is_wanted: Callable[[], bool]) -> Transcript:
        assert self._model is not None, "load() comes first"
        if item.language and item.language not in self._model.supported_languages:
            raise InvalidInput(f"the model knows no language {item.language!r}")
        speech = find_speech(item.samples)
        if not speech.samples.size:
            return self._rules.transcript((), item.language, 0.0, given=bool(item.language))
        language, probability = item.language, 1.0
        if not language:
            language, probability, _ = self._model.detect_language(speech.samples)
        decode, own = self._rules.decode, self._rules.language(language)
        _seed()
        found, _ = self._model.transcribe(
            speech.samples,
            language=language,
            initial_prompt=own.prompt or None,
            beam_size=decode.beam_size,
            temperature=decode.temperatures,
            compression_ratio_threshold=decode.compression_ratio,
            log_prob_threshold=decode.log_probability,
            max_new_tokens=decode.most_tokens(item.seconds),
            condition_on_previous_text=False,
        )
        segments = []
        for one in found:  # a generator: each segment is decoded when it is asked for
            start, no_speech = max(0.0, one.start), round(one.no_speech_prob, 4)
            segments.append(speech.segment(start, one.end, one.text, own.convert, one.avg_logprob, no_speech))
            if not is_wanted():
                raise Abandoned
        return self._rules.transcript(segments, language, probability, given=bool(item.language))


def _device(name: str) -> tuple[str, int]:
    """CTranslate2's names for the setting `device`: "cpu" or "cuda", and the number of the card."""
    if name == "auto":
        try:
            import ctranslate2

            return ("cuda" if ctranslate2.get_cuda_device_count() else "cpu"), 0
        except ImportError:
            return "cpu", 0
    kind, _, number = name.partition(":")
    return kind, int(number or 0)


def _seed() -> None:
    """The same recording gives the same text at temperatures above 0, too."""
    import ctranslate2

    ctranslate2.set_random_seed(0)

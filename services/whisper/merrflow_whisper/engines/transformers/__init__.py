"""The engine `transformers`: speech recognition on transformers' own classes, chosen by the checkpoint's config.

Whisper, models of connectionist temporal classification (CTC), and other models from sequence to sequence. No code that
comes with weights is run.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from merrflow_serving import commands, weights
from merrflow_serving.engine import EngineInfo, Limits, Wanted, always
from merrflow_serving.errors import Abandoned, EngineFault, InvalidInput, MerrflowError, NotReady
from merrflow_serving.torch.device import arithmetic_of
from merrflow_serving.torch.engine import OnTorch
from merrflow_serving.torch.lost import DeviceLost, is_lost
from merrflow_whisper.engines.speech import find_speech
from merrflow_whisper.rules import load_rules
from merrflow_whisper.settings import WhisperSettings
from merrflow_whisper.types import SpeechItem, Transcript

if TYPE_CHECKING:
    import torch

    from merrflow_serving.torch.need import Need
    from merrflow_whisper.engines.transformers.recogniser import Recogniser, Recording, Said

DEFAULT = "whisper-base"
MOST_AT_ONCE = {"cuda": 16, "cpu": 4}  # windows of 30 s; fewer if they do not fit the memory


class TransformersEngine(OnTorch[WhisperSettings]):
    """Item: `SpeechItem`. Result: `Transcript`. The same recording gives the same text, whatever else is in the batch;
    in 16 bits up to rounding."""

    stops_early = True

    def __init__(self, settings: WhisperSettings) -> None:
        self._settings = settings
        self._name = settings.model or DEFAULT
        self._rules = load_rules(settings.rules)
        self._recogniser: Recogniser | None = None

    def load(self) -> None:
        """Loads the model. Raises `NotReady` if packages, weights or tensors are missing or do not fit."""
        self._announce(self._name)
        folder = weights.locate(self._name, self._settings)
        try:
            import faster_whisper  # noqa: F401 - carries the voice activity detection

            from merrflow_whisper.engines.transformers.loading import open_recogniser
        except ImportError as error:
            raise NotReady(
                f"the engine transformers needs a package ({error}); run: {commands.install('whisper')}",
                reason="ENGINE_MISSING",
            ) from error
        self._announce()
        with self._turn() as part:
            self._recogniser = open_recogniser(folder, self._settings, self._rules, MOST_AT_ONCE)
            self._cap(part)  # windows that do not fit into it make batches smaller
        if self._recogniser.languages is not None:
            self._settings.check_language(self._recogniser.languages)

    def run(self, batch: Sequence[SpeechItem], wanted: Wanted = always) -> list[Transcript | MerrflowError]:
        """One transcript or one error for each recording, in order."""
        if self._recogniser is None:
            return [EngineFault("the engine is used before it is loaded") for _ in batch]
        try:
            return self._run(batch, wanted, self._recogniser)
        except DeviceLost:
            raise
        except Exception as error:
            if is_lost(error):
                raise
            if len(batch) > 1:  # an error in one item must not reach its neighbours
                return [self.run([item], partial(_moved, wanted, place))[0] for place, item in enumerate(batch)]
            if isinstance(error, MerrflowError):
                return [error]
            return [EngineFault(f"this recording cannot be transcribed: {type(error).__name__}: {error}")]

    def close(self) -> None:
        """Frees the model, and its share of a card."""
        self._recogniser = None
        self._leave()

    def info(self) -> EngineInfo:
        """Engine, model and rules, without loading."""
        device, dtype = arithmetic_of(self._settings)
        try:
            licence = weights.entry(self._name).licence
        except MerrflowError:  # `load` reports it
            licence = ""
        return EngineInfo(
            engine="transformers",
            model=self._name,
            revision=weights.revision(self._name, self._settings),
            device=device,
            dtype=dtype,
            prompt_version=self._rules.stamp,
            licence=licence,
            note="Automatic speech recognition; segments of low confidence are left out.",
            limits=Limits(
                max_batch_size=MOST_AT_ONCE[device.partition(":")[0].replace("auto", "cpu")],
                max_seconds=self._settings.max_seconds,
            ),
        )

    def _need(self, device: torch.device, dtype: torch.dtype) -> Need:
        from merrflow_whisper.engines.transformers.need import need

        folder: Path = weights.folder_of(self._name, self._settings)
        windows, beams = MOST_AT_ONCE[device.type], self._rules.decode.beam_size
        return need(folder, dtype, windows=windows, beams=beams)

    def _run(
        self, batch: Sequence[SpeechItem], wanted: Wanted, recognise: Recogniser
    ) -> list[Transcript | MerrflowError]:
        from merrflow_whisper.engines.transformers.recogniser import Recording

        results: list[Transcript | MerrflowError] = [Abandoned() for _ in batch]
        asked: dict[int, Recording] = {}
        for place, item in enumerate(batch):
            if item.language and recognise.languages is not None and item.language not in recognise.languages:
                results[place] = InvalidInput(f"the model knows no language {item.language!r}")
            elif wanted(place):
                asked[place] = Recording(find_speech(item.samples), item.language, partial(wanted, place))
        for (place, recording), said in zip(asked.items(), recognise(list(asked.values())), strict=True):
            results[place] = self._transcript(recording, said)
        return results

    def _transcript(self, recording: Recording, said: Said) -> Transcript:
        convert = self._rules.language(said.language).convert
        segments = [
            recording.speech.segment(
                *(piece.start, piece.end, piece.text, convert, piece.log_probability),
                None if piece.no_speech is None else round(piece.no_speech, 4),
            )
            for piece in said.pieces
        ]
        return self._rules.transcript(segments, said.language, said.probability, given=said.is_known)


def _moved(wanted: Wanted, place: int, _: int) -> bool:
    return wanted(place)

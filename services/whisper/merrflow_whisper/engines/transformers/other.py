"""Other models of speech recognition on transformers' own classes: CTC (such as Wav2Vec2), and sequence to sequence.

Each stretch of speech is one call: what such a model hears depends on the padding, so batches would change texts.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import AutoFeatureExtractor, AutoTokenizer

from merrflow_serving.errors import NotReady
from merrflow_serving.torch.device import BatchLimit, run_split
from merrflow_whisper.engines.speech import windows
from merrflow_whisper.engines.transformers.recogniser import Piece, Recording, Said, StopRows, open_part, part, seconds
from merrflow_whisper.rules import Rules
from merrflow_whisper.types import SAMPLE_RATE, Samples

LONGEST, SHORTEST = 30 * SAMPLE_RATE, SAMPLE_RATE // 10  # samples of one call
ROOM = 8  # of a decoder's positions, for what comes before the text


class _OneByOne:
    """A `Recogniser` of stretches. A subclass writes one down."""

    languages = None

    def __init__(self, model: Any, folder: Path, rules: Rules) -> None:
        """Raises `NotReady` if tokenizer or feature extractor are missing, or for another sampling rate."""
        self._model, self._rules = model, rules
        self._features = open_part(AutoFeatureExtractor, folder, "preprocessor_config.json")
        self._tokenizer = open_part(AutoTokenizer, folder, "tokenizer")
        rate = getattr(self._features, "sampling_rate", SAMPLE_RATE)
        if rate != SAMPLE_RATE:
            raise NotReady(f"the model in {folder} is for sound of {rate} Hz, not {SAMPLE_RATE}")

    @torch.inference_mode()
    def __call__(self, recordings: Sequence[Recording]) -> list[Said]:
        return [Said(tuple(self._pieces(one)), one.language) for one in recordings]

    def _pieces(self, recording: Recording) -> list[Piece]:
        found = []
        for stretch in recording.speech.stretches():
            for span in windows([stretch], LONGEST):
                if span[1] - span[0] < SHORTEST or not recording.is_wanted():
                    continue
                ((text, log_probability),) = run_split(
                    lambda one: [self._write(sound, recording) for sound in one],
                    [part(recording.speech.samples, span)],
                    BatchLimit(1),
                )
                if text.strip():
                    found.append(Piece(seconds(span[0]), seconds(span[1]), text, log_probability))
        return found

    def _inputs(self, samples: Samples) -> dict[str, torch.Tensor]:
        given = self._features(samples, sampling_rate=SAMPLE_RATE, return_tensors="pt")
        return {
            name: value.to(self._model.device, self._model.dtype if value.is_floating_point() else value.dtype)
            for name, value in given.items()
        }

    def _write(self, samples: Samples, recording: Recording) -> tuple[str, float]:
        """The text, and the average log probability of its tokens."""
        raise NotImplementedError


class Ctc(_OneByOne):
    """Connectionist temporal classification (Graves et al. 2006), the likeliest token of each frame."""

    def _write(self, samples: Samples, recording: Recording) -> tuple[str, float]:
        frames = self._model(**self._inputs(samples)).logits[0].float().log_softmax(dim=-1)
        best = frames.max(dim=-1)
        heard = best.indices != self._model.config.pad_token_id  # CTC's blank
        confidence = float(best.values[heard].mean()) if heard.any() else 0.0
        return str(self._tokenizer.decode(best.indices, skip_special_tokens=True)), confidence


class SequenceToSequence(_OneByOne):
    """An encoder and a decoder that writes text, searched by beams."""

    def _write(self, samples: Samples, recording: Recording) -> tuple[str, float]:
        decode = self._rules.decode
        most = decode.most_tokens(seconds(samples.size))
        config = self._model.config
        context = getattr(config, "max_target_positions", None) or getattr(config, "max_position_embeddings", None)
        given: Any = self._model.generate(
            **self._inputs(samples),
            max_new_tokens=min(most, context - ROOM) if context else most,
            num_beams=max(2, decode.beam_size),  # a score is given to beams only
            do_sample=False,
            length_penalty=1.0,
            return_dict_in_generate=True,
            output_scores=True,
            stopping_criteria=[StopRows(0, [sys.maxsize], [recording.is_wanted])],
        )
        text = self._tokenizer.decode(given.sequences[0], skip_special_tokens=True)
        return str(text), float(given.sequences_scores[0])

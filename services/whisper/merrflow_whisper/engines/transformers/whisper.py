"""Whisper (Radford et al. 2022) on `WhisperForConditionalGeneration`: windows of 30 s, all of a batch at once.

As in the authors' code: the language and the probability that nobody speaks come from the first step; the text is
searched with beams, under the rules for timestamps; if it repeats itself or is improbable, it is drawn again at the
next temperature. Unlike there, no window is told what was said before, so windows do not depend on each other.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoFeatureExtractor, GenerationConfig, WhisperForConditionalGeneration
from transformers.generation.logits_process import (
    LogitsProcessorList,
    SuppressTokensAtBeginLogitsProcessor,
    SuppressTokensLogitsProcessor,
    WhisperTimeStampLogitsProcessor,
)
from transformers.generation.stopping_criteria import StoppingCriteriaList
from transformers.generation.utils import GenerationMixin
from transformers.modeling_outputs import BaseModelOutput

from merrflow_serving.torch.device import BatchLimit, run_split
from merrflow_whisper.engines.speech import Span, windows
from merrflow_whisper.engines.transformers.recogniser import Piece, Recording, Said, StopRows, open_part, part, seconds
from merrflow_whisper.engines.transformers.whisper_tokens import Tokens
from merrflow_whisper.rules import Rules
from merrflow_whisper.types import SAMPLE_RATE, Samples

WINDOW = 30 * SAMPLE_RATE  # samples
FIRST_TIMESTAMP = 50  # at most 1 s: later than that, the first words would be lost


@dataclass(frozen=True, eq=False)
class _Row:
    """One window."""

    recording: int  # place in the batch
    span: Span  # of the joined samples
    samples: Samples
    is_wanted: Callable[[], bool]


@dataclass(frozen=True)
class _Draft:
    """A text that was found for a window, as token ids."""

    ids: tuple[int, ...]
    log_probability: float
    repetition: float  # compression ratio of the text
    ended: bool  # by the model, not by the limit

    def is_calm(self, rules: Rules) -> bool:
        return self.ended and self.repetition <= rules.decode.compression_ratio

    def passes(self, rules: Rules) -> bool:
        return self.is_calm(rules) and self.log_probability >= rules.decode.log_probability


class Whisper:
    """A `Recogniser`."""

    def __init__(self, model: WhisperForConditionalGeneration, folder: Path, rules: Rules, limit: BatchLimit) -> None:
        """Raises `NotReady` if tokenizer or feature extractor are missing or another model's."""
        self._model: Any = model
        self._features = open_part(AutoFeatureExtractor, folder, "preprocessor_config.json")
        self._tokens = Tokens(folder)
        self._rules, self._limit = rules, limit

    @property
    def languages(self) -> frozenset[str]:
        return self._tokens.languages

    @torch.inference_mode()
    def __call__(self, recordings: Sequence[Recording]) -> list[Said]:
        rows = [
            _Row(number, span, part(one.speech.samples, span), one.is_wanted)
            for number, one in enumerate(recordings)
            for span in windows(one.speech.stretches(), WINDOW)
        ]
        unknown = {row.recording: row for row in reversed(rows) if not recordings[row.recording].language}
        guesses = run_split(self._guess, list(unknown.values()), self._limit)
        languages = {number: (one.language, 1.0) for number, one in enumerate(recordings)}
        languages |= dict(zip(unknown, guesses, strict=True))
        pieces: dict[int, list[Piece]] = {number: [] for number in range(len(recordings))}
        for language in sorted({languages[row.recording][0] for row in rows}):
            same = [row for row in rows if languages[row.recording][0] == language]

            def write(chunk: list[_Row], language: str = language) -> list[list[Piece]]:
                return self._write(chunk, language)

            for row, found in zip(same, run_split(write, same, self._limit), strict=True):
                pieces[row.recording] += found
        return [
            Said(tuple(pieces[number]), *languages[number], is_known=bool(one.language))
            for number, one in enumerate(recordings)
        ]

    def _encode(self, rows: Sequence[_Row]) -> torch.Tensor:
        """(rows, 1500, width) of the encoder; silence fills windows shorter than 30 s."""
        sounds = [row.samples for row in rows]
        features = self._features(sounds, sampling_rate=SAMPLE_RATE, return_tensors="pt").input_features
        hidden: torch.Tensor = self._model.model.encoder(
            features.to(self._model.device, self._model.dtype)
        ).last_hidden_state
        return hidden

    def _first(self, encoded: torch.Tensor) -> torch.Tensor:
        """(rows, vocabulary) logits of the step after <|startoftranscript|>."""
        start = torch.full((len(encoded), 1), self._tokens.start, device=encoded.device)
        logits: torch.Tensor = self._model(
            encoder_outputs=BaseModelOutput(last_hidden_state=encoded), decoder_input_ids=start, use_cache=False
        ).logits
        return logits[:, 0].float()

    def _guess(self, rows: list[_Row]) -> list[tuple[str, float]]:
        """The language of each window, and its probability among all languages."""
        if not self._tokens.language_ids:  # a checkpoint for one language
            return [("en", 1.0) for _ in rows]
        codes, ids = zip(*sorted(self._tokens.language_ids.items()), strict=True)
        best = self._first(self._encode(rows))[:, list(ids)].softmax(dim=-1).max(dim=-1)
        return [
            (codes[at], round(float(p), 4)) for at, p in zip(best.indices.tolist(), best.values.tolist(), strict=True)
        ]

    def _write(self, rows: list[_Row], language: str) -> list[list[Piece]]:
        own = self._rules.language(language)
        encoded = self._encode(rows)
        silent = self._first(encoded).softmax(dim=-1)[:, self._tokens.nobody].tolist() if self._tokens.nobody else None
        prompt = self._tokens.prompt(language, own.prompt)
        drafts = self._search(rows, encoded, prompt, 0.0) if 0.0 in self._rules.decode.temperatures else []
        found = []
        for number, row in enumerate(rows):
            draft = self._better([drafts[number]] if drafts else [], row, encoded[number : number + 1], prompt)
            offset, length = seconds(row.span[0]), seconds(row.span[1] - row.span[0])
            found.append(
                [
                    Piece(offset + start, offset + end, text, draft.log_probability, silent[number] if silent else None)
                    for start, end, text in self._tokens.segments(draft.ids, length)
                ]
            )
        return found

    def _better(self, drafts: list[_Draft], row: _Row, encoded: torch.Tensor, prompt: list[int]) -> _Draft:
        """The draft if it passes, or else one of the next temperatures, each with the same random numbers; if none
        passes, the likeliest that does not repeat itself."""
        for temperature in self._rules.decode.temperatures:
            if drafts and (drafts[-1].passes(self._rules) or not row.is_wanted()):
                return drafts[-1]
            if temperature > 0:
                drafts += self._search([row], encoded, prompt, temperature)
        if drafts[-1].passes(self._rules):
            return drafts[-1]
        calm = [one for one in drafts if one.is_calm(self._rules)]
        return max(calm or drafts, key=lambda one: one.log_probability)

    def _search(self, rows: list[_Row], encoded: torch.Tensor, prompt: list[int], temperature: float) -> list[_Draft]:
        """One draft for each row: by beams at temperature 0, else the likeliest of as many that are drawn."""
        many = self._rules.decode.beam_size
        most = [self._rules.decode.most_tokens(seconds(row.samples.size)) for row in rows]
        draws: dict[str, Any] = {"num_beams": many, "early_stopping": many > 1, "do_sample": False}
        if temperature > 0:
            draws = {"do_sample": True, "temperature": temperature, "top_k": 0, "num_return_sequences": many}
        timestamps = self._timestamps(len(prompt))
        with torch.random.fork_rng([encoded.device] if encoded.is_cuda else []):
            torch.manual_seed(0)
            # Not the class's own `generate`, which draws all rows of a batch with the same random numbers.
            written: Any = GenerationMixin.generate(
                self._model,
                encoder_outputs=BaseModelOutput(last_hidden_state=encoded),
                attention_mask=torch.ones(encoded.shape[:2], dtype=torch.long, device=encoded.device),
                decoder_input_ids=torch.tensor([prompt] * len(rows), device=encoded.device),
                generation_config=GenerationConfig(  # type: ignore[no-untyped-call]  # transformers' own gap
                    max_new_tokens=max(most), eos_token_id=self._tokens.end, pad_token_id=self._tokens.end,
                    decoder_start_token_id=self._tokens.start, use_cache=True, suppress_tokens=self._never, **draws,
                ),
                logits_processor=LogitsProcessorList([timestamps]),
                stopping_criteria=StoppingCriteriaList([StopRows(len(prompt), most, [row.is_wanted for row in rows])]),
            )  # fmt: skip
        each = written.shape[0] // len(rows)
        drafts = [
            self._draft(ids, prompt, encoded[number // each], most[number // each])
            for number, ids in enumerate(written)
        ]
        return [max(drafts[at : at + each], key=lambda one: one.log_probability) for at in range(0, len(drafts), each)]

    def _draft(self, ids: torch.Tensor, prompt: list[int], encoded: torch.Tensor, most: int) -> _Draft:
        """The text after the prompt, with the average log probability of its tokens and of the end, under the rules by
        which they were chosen."""
        text = ids[len(prompt) :].tolist()[:most]  # what follows fills the row up to the longest of its batch
        ended = self._tokens.end in text
        text = text[: text.index(self._tokens.end)] if ended else text
        whole = torch.tensor([[*prompt, *text, self._tokens.end]], device=encoded.device)
        logits = self._model(
            encoder_outputs=BaseModelOutput(last_hidden_state=encoded[None]),
            decoder_input_ids=whole[:, :-1],
            use_cache=False,
        ).logits.float()
        rules: Any = self._rules_of_tokens(len(prompt))
        total = 0.0
        for at in range(len(prompt), whole.shape[1] - (not ended)):
            allowed = rules(whole[:, :at], logits[:, at - 1])
            total += float(allowed.log_softmax(dim=-1)[0, whole[0, at]])
        written = self._tokens.decode(text).encode()
        repetition = len(written) / len(zlib.compress(written)) if written else 0.0
        return _Draft(tuple(text), total / (len(text) + 1), repetition, ended)

    @property
    def _never(self) -> list[int]:
        """Tokens that the checkpoint's own settings forbid, and special ones."""
        return sorted({*(self._model.generation_config.suppress_tokens or ()), *self._tokens.never})

    def _timestamps(self, begin: int) -> WhisperTimeStampLogitsProcessor:
        """The rules for timestamps. begin: tokens of the prompt."""
        config = GenerationConfig(  # type: ignore[no-untyped-call]  # transformers' own gap
            eos_token_id=self._tokens.end,
            no_timestamps_token_id=self._tokens.no_timestamps,
            max_initial_timestamp_index=FIRST_TIMESTAMP,
        )
        return WhisperTimeStampLogitsProcessor(config, begin_index=begin)

    def _rules_of_tokens(self, begin: int) -> LogitsProcessorList:
        """All rules by which `generate` chooses tokens."""
        device = self._model.device
        found = LogitsProcessorList([SuppressTokensLogitsProcessor(self._never, device=device)])
        first = self._model.generation_config.begin_suppress_tokens
        if first:
            found.append(SuppressTokensAtBeginLogitsProcessor(first, begin, device=device))
        found.append(self._timestamps(begin))
        return found

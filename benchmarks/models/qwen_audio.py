"""Qwen-Audio: the audio tower alone, and whole answers on clips of one window."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch

from benchmarks.how import How, no_stop
from benchmarks.llama import generated
from benchmarks.models.answering import Answering, Ids, Told
from benchmarks.models.each import each_batch
from benchmarks.random_weights import randomised
from benchmarks.rows import Row
from benchmarks.shapes import shape
from benchmarks.work import Decoder, sound_encoder
from merrflow_qwen_audio.engines.audio_language.encoder import Canvas, Encoder
from merrflow_qwen_audio.engines.audio_language.mel import SAMPLE_RATE
from merrflow_qwen_audio.engines.audio_language.model import Question
from merrflow_qwen_audio.engines.audio_language.prompting import AudioPrompt, ask
from merrflow_qwen_audio.engines.qwen_audio.config import Shape
from merrflow_qwen_audio.engines.qwen_audio.model import QwenAudioModel
from merrflow_qwen_audio.engines.qwen_audio.modules import without_data
from merrflow_serving.torch.device import BatchLimit

NAME = "qwen-audio"
PARTS = (("tower", "clips"), ("answers", "clips"), ("answers", "tokens"))


class Unread(QwenAudioModel):
    """The engine's model over random weights: the files, and with them the tokenizer, are left out."""

    def __init__(self, sizes: Shape, how: How) -> None:
        self.parts = without_data(sizes, how.attention)
        randomised(self.parts, dtype=how.dtype, device=how.device, seed=how.seed)
        self.encoder = Encoder(self.parts.tower, Canvas(sizes.mel_bins, round_up=False, blank=True), how.device)
        self.language = self.parts.language
        self.context = sizes.context
        self.stop = (no_stop(sizes.vocab_size),)

    def text(self, ids: Sequence[int]) -> str:
        """The ids, without a tokenizer."""
        return " ".join(map(str, ids))


class Qwen(Answering):
    """The model, and clips for it."""

    name, unit = NAME, "clips"

    def __init__(self, how: How) -> None:
        super().__init__()
        self.how = how
        about = shape(NAME, how.size)
        sizes = Shape(**about["model"])
        self.listener = Unread(sizes, how)
        self.samples = round(about["clip_seconds"] * SAMPLE_RATE)
        drawn = np.random.default_rng(how.seed).integers(0, sizes.vocab_size, about["before"] + about["after"]).tolist()
        self.question = Question(tuple(drawn[: about["before"]]), tuple(drawn[about["before"] :]))
        self.prompt = len(self.question) + self.listener.span(self.samples)
        parts = self.listener.parts
        self.encoder = sound_encoder(parts.tower, parts.proj, tokens=self.listener.encoder.tokens(self.samples))
        self.decoder = Decoder.of(parts.language)

    def items(self, count: int) -> list[np.ndarray]:
        """(samples,) float32 each: noise of different loudness."""
        drawn = np.random.default_rng(self.how.seed)
        return [drawn.normal(0.0, 0.02 * (1 + place % 7), self.samples).astype(np.float32) for place in range(count)]

    def prepared(self, items: Sequence[np.ndarray]) -> list[np.ndarray]:
        return list(items)

    def encode(self, prepared: Sequence[np.ndarray]) -> list[torch.Tensor]:
        return self.listener.embed_sounds(prepared)

    def answer_alone(self, item: np.ndarray) -> Ids:
        row = self.listener.splice(self.question, self.listener.embed_sounds([item])[0])
        return generated(self.listener.language, self.listener.stop, self.how.tokens, inputs_embeds=row[None])

    def answer(self, items: Sequence[np.ndarray]) -> Told:
        prompts = [AudioPrompt(clip, self.question, self.prompt) for clip in items]
        limit = BatchLimit(len(prompts))
        replies = ask(self.listener, prompts, limit, answer_tokens=self.how.tokens)
        answers = [tuple(map(int, reply.text.split())) for reply in replies]
        return Told(answers, limit.size, limit.size)


def measure(how: How) -> Iterator[list[Row]]:
    """Rows of each batch size; see `each_batch`."""
    return each_batch(NAME, PARTS, lambda: Qwen(how), how.batches)

"""Qwen-Audio: the audio tower alone, and whole answers about clips of one window."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from benchmarks.models.answering import Answered, Answering, Ids, answering_parts
from benchmarks.models.random_weights import randomised
from benchmarks.models.setup import Setup, no_stop
from benchmarks.models.shapes import shape
from benchmarks.models.work import Decoder, sound_encoder
from benchmarks.support.answers import generated
from merrflow_qwen_audio.engines.audio_language.encoder import Canvas, Encoder
from merrflow_qwen_audio.engines.audio_language.mel import SAMPLE_RATE
from merrflow_qwen_audio.engines.audio_language.model import Question
from merrflow_qwen_audio.engines.audio_language.prompting import AudioPrompt, ask
from merrflow_qwen_audio.engines.qwen_audio.config import Shape
from merrflow_qwen_audio.engines.qwen_audio.model import QwenAudioModel
from merrflow_qwen_audio.engines.qwen_audio.modules import without_data
from merrflow_serving.torch.device import BatchLimit


class Unread(QwenAudioModel):
    """The engine's model with random weights, without files and tokenizer."""

    def __init__(self, sizes: Shape, setup: Setup) -> None:
        self.parts = without_data(sizes, setup.attention)
        randomised(self.parts, dtype=setup.dtype, device=setup.device, seed=setup.seed)
        self.encoder = Encoder(self.parts.tower, Canvas(sizes.mel_bins, round_up=False, blank=True), setup.device)
        self.language = self.parts.language
        self.context = sizes.context
        self.stop = (no_stop(sizes.vocab_size),)

    def text(self, ids: Sequence[int]) -> str:
        """The ids, because there is no tokenizer."""
        return " ".join(map(str, ids))


class Qwen(Answering):
    """The model, and clips for it."""

    name, unit = "qwen-audio", "clips"
    parts = answering_parts(unit)

    def __init__(self, setup: Setup) -> None:
        super().__init__()
        self.setup = setup
        about = shape(self.name, setup.size)
        sizes = Shape(**about["model"])
        self.listener = Unread(sizes, setup)
        self.samples = round(about["clip_seconds"] * SAMPLE_RATE)
        drawn = (
            np.random.default_rng(setup.seed).integers(0, sizes.vocab_size, about["before"] + about["after"]).tolist()
        )
        self.question = Question(tuple(drawn[: about["before"]]), tuple(drawn[about["before"] :]))
        self.prompt = len(self.question) + self.listener.span(self.samples)
        parts = self.listener.parts
        self.encoder = sound_encoder(parts.tower, parts.proj, tokens=self.listener.encoder.tokens(self.samples))
        self.decoder = Decoder.of(parts.language)

    def items(self, count: int) -> list[np.ndarray]:
        """(samples,) float32 each: noise of different loudness."""
        drawn = np.random.default_rng(self.setup.seed)
        return [drawn.normal(0.0, 0.02 * (1 + place % 7), self.samples).astype(np.float32) for place in range(count)]

    def prepared(self, items: Sequence[np.ndarray]) -> list[np.ndarray]:
        return list(items)

    def encode(self, prepared: Sequence[np.ndarray]) -> list[torch.Tensor]:
        return self.listener.embed_sounds(prepared)

    def answer_alone(self, item: np.ndarray) -> Ids:
        row = self.listener.splice(self.question, self.listener.embed_sounds([item])[0])
        return generated(self.listener.language, self.listener.stop, self.setup.tokens, inputs_embeds=row[None])

    def answer(self, items: Sequence[np.ndarray]) -> Answered:
        prompts = [AudioPrompt(clip, self.question, self.prompt) for clip in items]
        limit = BatchLimit(len(prompts))
        replies = ask(self.listener, prompts, limit, answer_tokens=self.setup.tokens)
        answers = [tuple(map(int, reply.text.split())) for reply in replies]
        return Answered(answers, limit.size, limit.size)

"""How the words of an answer are chosen: by the setting `decoding`, always the likeliest, or drawn as published."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from merrflow_qwen_audio.arrays import Samples
from merrflow_qwen_audio.engines.audio_language.generation_file import read_generation_file
from merrflow_qwen_audio.engines.audio_language.prompt_file import Prompt
from merrflow_qwen_audio.settings import QwenAudioSettings
from merrflow_serving.torch.decoding import GREEDY, Decoding


@dataclass(frozen=True)
class Words:
    """How they are chosen, and how many there may be."""

    decoding: Decoding
    answer_tokens: int
    seed: int | None = None  # None: nothing is drawn

    @property
    def about(self) -> str:
        """For people."""
        how = self.decoding
        if self.seed is None:
            return "decoded greedily"
        return (
            f"drawn as published (temperature {how.temperature:g}, top_p {how.top_p:g}, top_k {how.top_k}, repetition "
            f"penalty {how.repetition_penalty:g}, seed {self.seed})"
        )

    def stamp(self, prompt: Prompt, **parameters: object) -> str:
        """That of the prompt, with all by which words are chosen in its hash."""
        if self.seed is None:
            return prompt.stamp(answer_tokens=self.answer_tokens, **parameters)
        drawn = {**self.decoding.model_dump(), "seed": self.seed}
        return f"{prompt.stamp(answer_tokens=self.answer_tokens, drawn=drawn, **parameters)}, published"

    def seed_of(self, samples: Samples, question: object) -> int:
        """Of a window: the same sound and question get the same words, in any batch and at any time."""
        if self.seed is None:
            return 0
        digest = hashlib.blake2b(samples.tobytes(), digest_size=8, key=str(self.seed).encode())
        digest.update(repr(question).encode())
        return int.from_bytes(digest.digest(), "big")


def words_of(settings: QwenAudioSettings, prompt: Prompt, folder: Path) -> Words:
    """folder: of the weights. Raises `NotReady` if they do not say how words are drawn, and are asked to."""
    if settings.decoding == "greedy":
        return Words(GREEDY, settings.answer_tokens or prompt.answer_tokens)
    file = read_generation_file(folder)
    return Words(file.decoding, settings.answer_tokens or file.max_new_tokens or prompt.answer_tokens, settings.seed)

"""What a model is asked about a recording, and the tone that its answers give: here as behind an endpoint."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np

from merrflow_qwen_audio.arrays import Samples
from merrflow_qwen_audio.engines.acoustics.meter import Acoustics
from merrflow_qwen_audio.engines.audio_language.prompt_file import Prompt
from merrflow_qwen_audio.engines.audio_language.replies import Reply, merge_replies
from merrflow_qwen_audio.engines.audio_language.windows import WINDOW_SECONDS, windows
from merrflow_qwen_audio.tone_sentence import sentence
from merrflow_qwen_audio.types import Content, Span, Tone
from merrflow_serving.errors import TooLarge

SAMPLE_RATE = 16_000  # Hz
LONGEST_INSTRUCTION = 2_000  # characters


def check_instruction(text: str) -> None:
    """Raises `TooLarge`."""
    if len(text) > LONGEST_INSTRUCTION:
        raise TooLarge(f"the instruction has more than {LONGEST_INSTRUCTION} characters")


def heard_parts(
    samples: Samples, found: Acoustics, ask_about: Literal["speech", "sound"], least: int
) -> list[tuple[float, Samples]]:
    """What the model hears, each part with its start in seconds: nothing if there is nothing to ask about.

    least: samples of a part; a shorter one is left out.
    """
    if found.content is not Content.SPEECH and (ask_about == "speech" or found.content is Content.SILENCE):
        return []
    samples = np.nan_to_num(samples.astype(np.float32), nan=0.0, posinf=1.0, neginf=-1.0)
    seconds = samples.size / SAMPLE_RATE
    parts = []
    for span in windows(seconds, found.speech or (Span(0.0, seconds),)):
        part = samples[round(span.start * SAMPLE_RATE) : round(span.end * SAMPLE_RATE)]
        part = part[: round(WINDOW_SECONDS * SAMPLE_RATE)]  # rounding may add a sample
        if part.size >= least:
            parts.append((span.start, part))
    return parts


def tone_of(found: Acoustics, replies: Sequence[Reply], prompt: Prompt, instruction: str) -> Tone:
    """From the answers about the parts; without any, a sentence by rules. instruction: the caller's own question."""
    if not replies:
        return found.tone(sentence(found.content, found.values))
    merged = merge_replies(replies, prompt, own_question=bool(instruction.strip()))
    tone = found.tone(merged.text, merged.outcome)
    return replace(tone, measurements=(*tone.measurements, *merged.measurements))

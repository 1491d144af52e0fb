"""Runs many prompts with sound through a model, in batches that fit its memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from merrflow_qwen_audio.engines.audio_language.decoding import Draw, decode
from merrflow_qwen_audio.engines.audio_language.replies import Reply
from merrflow_qwen_audio.engines.audio_language.timestamps import shifted
from merrflow_serving.torch.decoding import GREEDY, Decoding
from merrflow_serving.torch.device import BatchLimit, run_split

if TYPE_CHECKING:
    from merrflow_qwen_audio.arrays import Samples
    from merrflow_qwen_audio.engines.audio_language.model import AudioLanguageModel, Question


@dataclass(frozen=True, eq=False)
class AudioPrompt:
    """A question about one window of sound, at most 30 s."""

    samples: Samples
    question: Question
    tokens: int  # of the prompt, including the sound
    seed: int = 0  # for drawing words
    start: float = 0.0  # of the window, in seconds from the start of the recording
    is_wanted: Callable[[], bool] = lambda: True  # asked after each token; once False, the answer ends


def ask(
    model: AudioLanguageModel,
    prompts: Sequence[AudioPrompt],
    limit: BatchLimit,
    *,
    answer_tokens: int,
    least_tokens: int = 0,
    planned: int = 0,
    decoding: Decoding = GREEDY,
) -> list[Reply]:
    """A reply to each prompt, in order.

    Prompts of similar length share a batch, so that little of it is padding; the longest go first, so that a batch that
    does not fit is found before time is spent on the others. Raises `TooLarge` if a prompt does not fit alone.
    planned: tokens of the prompts that `limit` was computed for. Prompts with a caller's own question may be longer;
    fewer of them go into a batch, so that they do not run out of memory and lower the limit for everybody.
    """
    order = sorted(range(len(prompts)), key=lambda index: -prompts[index].tokens)

    def _answer(group: list[AudioPrompt]) -> list[Reply]:
        sounds = model.embed_sounds([one.samples for one in group])
        rows = [model.splice(one.question, sound) for one, sound in zip(group, sounds, strict=True)]
        del sounds  # the language model needs the memory
        answers = decode(
            model.language,
            rows,
            stop=model.stop,
            answer_tokens=answer_tokens,
            least_tokens=least_tokens,
            wanted=[one.is_wanted for one in group],
            decoding=decoding,
            draws=[Draw(one.seed, (*one.question.before, *one.question.after)) for one in group],
        )
        return [
            Reply(shifted(model.text(answer.ids), one.start), answer.truncated)
            for one, answer in zip(group, answers, strict=True)
        ]

    def _split(group: list[AudioPrompt]) -> list[Reply]:
        most = max(1, limit.size * planned // group[0].tokens) if planned else len(group)
        return [reply for start in range(0, len(group), most) for reply in _answer(group[start : start + most])]

    sorted_replies = run_split(_split, [prompts[index] for index in order], limit)
    replies = dict(zip(order, sorted_replies, strict=True))
    return [replies[index] for index in range(len(prompts))]

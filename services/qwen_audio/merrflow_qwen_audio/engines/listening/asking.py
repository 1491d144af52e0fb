"""Many prompts with sound through a model, in groups that fit its memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from merrflow_qwen_audio.engines.listening.decoding import decode
from merrflow_qwen_audio.replies import Reply
from merrflow_serving.torch.device import BatchLimit, run_split

if TYPE_CHECKING:
    import numpy as np

    from merrflow_qwen_audio.engines.listening.model import Listener, Question


@dataclass(frozen=True, eq=False)
class Prompted:
    """A question about one stretch of sound of at most 30 s."""

    samples: np.ndarray  # (samples,) float32 at 16 kHz
    question: Question
    tokens: int  # of the prompt, with the sound


def ask(
    listener: Listener,
    prompts: Sequence[Prompted],
    limit: BatchLimit,
    *,
    answer_tokens: int,
    least_tokens: int = 0,
    planned: int = 0,
) -> list[Reply]:
    """A reply to each prompt, in order.

    Neighbours in a group are of like length, so that little of it is padding; the longest go first, so that a group
    that does not fit is found before time was spent on the others. Raises `TooLarge` where one does not fit alone.
    planned: tokens of the prompts that `limit` was made for; of longer ones, which a caller's own question makes, fewer
    go at once, so that they do not run out of memory and lower the limit for everybody.
    """
    order = sorted(range(len(prompts)), key=lambda place: -prompts[place].tokens)

    def _answer(group: list[Prompted]) -> list[Reply]:
        heard = listener.hear([one.samples for one in group])
        rows = [listener.splice(one.question, sound) for one, sound in zip(group, heard, strict=True)]
        del heard  # the language model needs the room
        answers = decode(
            listener.language, rows, stop=listener.stop, answer_tokens=answer_tokens, least_tokens=least_tokens
        )
        return [Reply(listener.text(answer.ids), answer.truncated) for answer in answers]

    def _split(group: list[Prompted]) -> list[Reply]:
        most = max(1, limit.size * planned // group[0].tokens) if planned else len(group)
        return [reply for start in range(0, len(group), most) for reply in _answer(group[start : start + most])]

    sorted_replies = run_split(_split, [prompts[place] for place in order], limit)
    replies = dict(zip(order, sorted_replies, strict=True))
    return [replies[place] for place in range(len(prompts))]

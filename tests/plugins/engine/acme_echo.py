"""An engine that another distribution adds to the llama3 service: MERRFLOW_LLAMA3_ENGINE=echo."""

from __future__ import annotations

from collections.abc import Sequence
from math import log

from merrflow_llama3 import Clues, LabelScore, Llama3Settings, Reasoned, ReasonItem, Scored, ScoreItem
from merrflow_serving import EngineInfo, InvalidInput, Limits, MerrflowError, Outcome


class Model:
    """Takes the place of a model that a Python library runs."""

    def answer(self, prompt: str, most_words: int) -> str:
        return " ".join(prompt.split()[:most_words])


class EchoReasoner:
    """Repeats the clues; finds all labels equally likely."""

    def __init__(self, settings: Llama3Settings) -> None:
        self._most_words = settings.answer_tokens or 100
        self._model: Model | None = None

    def load(self) -> None:
        self._model = Model()

    def run(self, batch: Sequence[ReasonItem | ScoreItem]) -> list[Reasoned | Scored | MerrflowError]:
        return [self._answer(item) for item in batch]

    def _answer(self, item: ReasonItem | ScoreItem) -> Reasoned | Scored | MerrflowError:
        prompt = _prompt(item.clues)
        if not prompt or self._model is None:
            return InvalidInput("there is no clue to repeat", reason="NO_CLUE")
        words = len(prompt.split())
        if isinstance(item, ScoreItem):
            share = 1 / len(item.labels)
            return Scored(tuple(LabelScore(label, share, log(share)) for label in item.labels), words)
        text = self._model.answer(prompt, self._most_words)
        return Reasoned(text, Outcome.DONE, "", prompt_tokens=words, answer_tokens=len(text.split()), attempts=1)

    def close(self) -> None:
        self._model = None

    def info(self) -> EngineInfo:
        return EngineInfo("echo", "acme-echo", "0.1.0", limits=Limits(max_batch_size=8), note="repeats the clues")


def _prompt(clues: Clues) -> str:
    return " ".join(filter(None, (clues.scene, *clues.expressions, clues.tone, clues.subtitle)))

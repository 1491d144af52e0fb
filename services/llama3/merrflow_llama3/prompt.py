"""Prompts: versioned YAML files in `prompts/`, and how the clues of a clip become a conversation."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from importlib.resources import files
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from merrflow_llama3 import text
from merrflow_llama3.bearing import bearing_clues
from merrflow_llama3.chat import Message
from merrflow_llama3.datafiles import read_text
from merrflow_llama3.scenes import people_in
from merrflow_llama3.types import Clues
from merrflow_serving.prompt_files import PromptFile, Strict, read_prompt

PROMPTS = files("merrflow_llama3") / "prompts"


class Piece(Strict):
    """Part of the question; left out if the clue it `needs` is missing or the one it `lacks` is present."""

    text: str
    needs: Literal["scene", "expressions", "other_expressions", "tone", "subtitle", "label", ""] = ""
    lacks: Literal["scene", "expressions", "other_expressions", "tone", "subtitle", "label", ""] = ""


class ExampleClues(Strict):
    """`types.Clues` as a prompt file writes them."""

    scene: str = ""
    expressions: tuple[str, ...] = ()
    tone: str = ""
    subtitle: str = ""
    label: str = ""


class Example(Strict):
    """One question and answer, shown to the model as an earlier turn."""

    clues: ExampleClues
    answer: str


class Sampling(Strict):
    """How the next token is drawn, in llama.cpp's terms. `top_k` 0 and `min_p` 0 switch those off."""

    temperature: float
    top_p: float
    top_k: int
    min_p: float
    repeat_penalty: float


class CluePrompt(PromptFile):
    """What prompts for reasoning and for scoring have in common: how clues become a question."""

    data: ClassVar[tuple[str, ...]] = ("lexicon", "phrases")  # files that shape the answer too

    system: str
    question: tuple[Piece, ...]
    expressions: Literal["as_given", "noun_phrases"]
    subtitle: Literal["any_language", "quotable_only"]
    # How a translated subtitle is written where pieces say {subtitle}, which they put between quotation marks.
    translated: str = '{subtitle}", in English: "{translation}'
    answer_starts: str  # the answer's first words, which the model continues

    @model_validator(mode="after")
    def _fill_once(self) -> Self:
        try:
            self.fill(Clues("s", ("e",), "t", "w", "l", other_expressions=("o",)))
            self.translated.format(subtitle="s", translation="t")
        except (KeyError, IndexError, ValueError) as error:
            raise ValueError(f"a piece of the question names something that is no clue: {error}") from error
        return self

    def prepare(self, clues: Clues, control_tokens: Iterable[str] = ()) -> Clues:
        """The clues as this prompt uses them: clean single lines, phrases and languages as the file says.

        Control tokens are broken, so that a clue is plain text wherever it is used.
        """
        tokens = tuple(control_tokens)

        def _clean(value: str) -> str:
            return text.neutralise(text.one_line(text.straight_quotes(value)), tokens)

        def _phrases(given: Iterable[str]) -> dict[str, None]:
            phrases = [_clean(phrase).strip(" .,;") for phrase in given]
            if self.expressions == "noun_phrases":
                phrases = [text.plain_expression(phrase) for phrase in phrases]
            return dict.fromkeys(phrase for phrase in phrases if phrase)

        expressions = _phrases(clues.expressions)
        subtitle, translation = (_clean(said).replace('"', "'") for said in (clues.subtitle, clues.translation))
        if subtitle and translation and self.subtitle == "quotable_only":
            subtitle, translation = translation, ""
        if self.subtitle == "quotable_only" and text.latin_share(subtitle) < 1.0:
            subtitle = " ".join(quote for quote in text.quotable(subtitle) if text.latin_share(quote) == 1.0)
        elif self.subtitle == "quotable_only" and not text.words(subtitle):
            subtitle = ""
        return Clues(
            scene=text.sentence(_clean(clues.scene)),
            expressions=tuple(expressions),
            other_expressions=tuple(one for one in _phrases(clues.other_expressions) if one not in expressions),
            tone=text.tone_phrase(_clean(clues.tone)),
            subtitle=subtitle,
            label=_clean(clues.label).strip(" .,;").lower(),
            translation=translation if subtitle else "",
        )

    def fill(self, clues: Clues, control_tokens: Iterable[str] = ()) -> str:
        """The question over prepared clues. Control tokens in it are broken, so it stays plain text within one turn."""
        values: Mapping[str, Any] = {
            "scene": clues.scene,
            "expressions": ", ".join(clues.expressions),
            "other_expressions": ", ".join(clues.other_expressions),
            "tone": clues.tone,
            "subtitle": self.translated.format(subtitle=clues.subtitle, translation=clues.translation)
            if clues.translation
            else clues.subtitle,
            "label": clues.label,
        }
        pieces = [
            piece.text.format(
                **values, tone_sentence=text.tone_sentence(clues.tone), tone_joined=text.tone_joined(clues.tone)
            )
            for piece in self.question
            if (not piece.needs or values[piece.needs]) and (not piece.lacks or not values[piece.lacks])
        ]
        return text.neutralise("".join(pieces).strip(), control_tokens)

    def conversation(self, question: str) -> list[Message]:
        """The system prompt and the question, as turns."""
        return [*([Message("system", self.system)] if self.system else []), Message("user", question)]

    def also_hashed(self) -> Iterator[str]:
        return (read_text("data", f"{name}.yaml") for name in self.data)


class Prompt(CluePrompt):
    """A prompt for reasoning."""

    data: ClassVar[tuple[str, ...]] = (*CluePrompt.data, "checks", "bearing", "content", "scenes")

    examples: tuple[Example, ...]
    # "clues": answers follow a grammar built for each clip (grammar.py). Prompt files call it `guide`.
    grammar: Literal["none", "clues"] = Field(alias="guide")
    answer_tokens: int
    sampling: Sampling
    # "people": without the sentences about camera and light, which are no ground for a feeling, and cut to some words.
    scene: Literal["whole", "people"] = "whole"
    # Whether it asks to take up every clue; without that, an answer may pass some over.
    every_clue: bool = True

    def also_hashed(self) -> Iterator[str]:
        yield from super().also_hashed()
        yield read_text("data", "things.txt")

    def has_clue(self, clues: Clues, control_tokens: Iterable[str] = ()) -> bool:
        """Whether there is anything to reason over, even if none of it bears on the label."""
        return not super().prepare(clues, control_tokens).empty

    def prepare(self, clues: Clues, control_tokens: Iterable[str] = ()) -> Clues:
        """As `CluePrompt.prepare`, with the scene as the file says; under the grammar only the clues that bear on the
        label."""
        prepared = super().prepare(clues, control_tokens)
        if self.scene == "people":
            prepared = replace(prepared, scene=people_in(prepared.scene))
        return bearing_clues(prepared) if self.grammar == "clues" else prepared

    def conversation(self, question: str) -> list[Message]:
        """The system prompt, the examples and the question, as turns."""
        *turns, asked = super().conversation(question)
        for example in self.examples:
            clues = self.prepare(Clues(**example.clues.model_dump()))
            turns += [Message("user", self.fill(clues)), Message("assistant", example.answer)]
        return [*turns, asked]


def load_prompt(name: str) -> Prompt:
    """A packaged prompt for reasoning by name ("grounded", "merr", "small"), or one by the path of its YAML file.

    Raises `NotReady` that says what is wrong if it cannot be used.
    """
    return read_prompt(name, Prompt, PROMPTS, "`grounded`, `merr`, `small`")

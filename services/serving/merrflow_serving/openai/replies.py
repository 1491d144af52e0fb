"""What endpoints answer, as far as it is used: checked, because nothing from outside is trusted."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from pydantic import BaseModel, Field, ValidationError

from merrflow_serving.answers import Outcome, Usage
from merrflow_serving.errors import first_fault
from merrflow_serving.openai.errors import Called, wrong_answer

T = TypeVar("T", bound=BaseModel)
_THOUGHT = re.compile(r"\s*<think>.*?</think>\s*", re.DOTALL)  # of models whose server does not take it out
_THINKING = re.compile(r"\s*<think>")


class _Counts(BaseModel):
    prompt_tokens: int = Field(default=0, ge=0)
    completion_tokens: int = Field(default=0, ge=0)
    input_tokens: int = Field(default=0, ge=0)  # names of the transcription endpoint
    output_tokens: int = Field(default=0, ge=0)


class _Likely(BaseModel):
    token: str
    logprob: float = Field(le=1e-3, allow_inf_nan=False)


class _Place(_Likely):
    top_logprobs: tuple[_Likely, ...] = ()


class _Logprobs(BaseModel):
    content: tuple[_Place, ...] | None = None


class _Message(BaseModel):
    content: str | None = None
    refusal: str | None = None


class _Choice(BaseModel):
    finish_reason: str
    message: _Message
    logprobs: _Logprobs | None = None


class _Chat(BaseModel):
    model: str = ""
    system_fingerprint: str | None = None
    usage: _Counts | None = None
    choices: tuple[_Choice, ...] = Field(min_length=1)


class SaidSegment(BaseModel):
    """A segment of a transcription (`verbose_json`)."""

    start: float = Field(ge=0, allow_inf_nan=False)  # seconds
    end: float = Field(ge=0, allow_inf_nan=False)
    text: str
    avg_logprob: float | None = Field(default=None, allow_inf_nan=False)
    no_speech_prob: float | None = Field(default=None, ge=0, le=1)


class Transcription(BaseModel):
    """What is said, by an endpoint."""

    text: str
    language: str | None = None  # a name or a code
    segments: tuple[SaidSegment, ...] | None = None
    model: str = ""
    usage: _Counts | None = None


@dataclass(frozen=True)
class Reply:
    """A model's answer."""

    text: str
    outcome: Outcome  # done, truncated or refused
    usage: Usage
    why: str = ""  # it was refused, if the provider says
    likely: tuple[tuple[str, float], ...] = ()  # tokens that may be the first, with natural log probabilities


def chat_reply(content: bytes, called: Called) -> Reply:
    """A chat completion. Raises `Passing` for another form: an HTML page, no choice, an answer without an end."""
    found = _read(_Chat, content, called)
    choice, counts = found.choices[0], found.usage or _Counts()
    usage = Usage(
        endpoint=called.host,
        model=reported(found.model, called),
        fingerprint=called.says(found.system_fingerprint or ""),
        input_tokens=counts.prompt_tokens,
        output_tokens=counts.completion_tokens,
    )
    text = _THOUGHT.sub("", choice.message.content or "", count=1).strip()
    likely: Sequence[_Likely] = ()
    if choice.logprobs and choice.logprobs.content:
        likely = choice.logprobs.content[0].top_logprobs or choice.logprobs.content[:1]
    return Reply(
        text,
        _outcome(choice, text),
        usage,
        why=called.says(choice.message.refusal or ""),
        likely=tuple((one.token, one.logprob) for one in likely),
    )


def reported(model: str, called: Called) -> str:
    """The model's name as an endpoint reports it, or as it is set; of a path, as llama.cpp's server has it, the last
    part alone."""
    name = called.says(model) or called.model
    return re.split(r"[/\\]", name.rstrip("/\\"))[-1] if re.match(r"/|[A-Za-z]:\\", name) else name


def refused(why: str, called: Called) -> Reply:
    """In the place of an answer, if the provider's filter refused the request."""
    return Reply("", Outcome.REFUSED, Usage(called.host, called.model, calls=1), why=why)


def transcription(content: bytes, called: Called, *, plain: bool) -> Transcription:
    """A transcription. plain: the endpoint answers with the text alone. Raises `Passing` for another form."""
    if not plain:
        return _read(Transcription, content, called)
    text = content.decode("utf-8", errors="replace").strip()
    if text.startswith(("{", "<")):
        raise wrong_answer(called, f"not a text, but {text[:40]}")
    return Transcription(text=text)


def _outcome(choice: _Choice, text: str) -> Outcome:
    if choice.finish_reason == "content_filter" or choice.message.refusal:
        return Outcome.REFUSED
    if choice.finish_reason == "length" or _THINKING.match(text):
        return Outcome.TRUNCATED
    return Outcome.DONE if text else Outcome.REFUSED


def _read(kind: type[T], content: bytes, called: Called) -> T:
    try:
        return kind.model_validate_json(content)
    except ValidationError as error:
        page = ", an HTML page" if content.lstrip()[:1] == b"<" else ""
        raise wrong_answer(called, first_fault(error, "its body") + page) from None

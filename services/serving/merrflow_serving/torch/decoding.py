"""How the next token is chosen. Imports no torch."""

from __future__ import annotations

from pydantic import Field

from merrflow_serving.prompt_files import Strict


class Decoding(Strict):
    """`temperature` 0: always the likeliest."""

    temperature: float = Field(ge=0)
    top_p: float = Field(gt=0, le=1)  # share of the probability that is drawn from
    top_k: int = Field(0, ge=0)  # so many of the likeliest tokens at most; 0: all
    repetition_penalty: float = Field(gt=0)  # on tokens that are there already; 1: none


GREEDY = Decoding(temperature=0.0, top_p=1.0, top_k=0, repetition_penalty=1.0)

"""What answers took at endpoints, summed by endpoint and model, and what that costs by a file of the user's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path

from pydantic import Field, TypeAdapter, ValidationError

from merrflow.clients.rpc import rpcs
from merrflow.core.datafile import DataFileError, Strict, read
from merrflow.core.errors import InputError
from merrflow.core.usage import Usage
from merrflow.stages.graph import graph_for
from merrflow.store import Ledger


class Price(Strict):
    """Of one model, in the file's currency."""

    input: float = Field(0.0, ge=0)  # for a million tokens that it reads
    output: float = Field(0.0, ge=0)  # for a million tokens that it writes
    audio_minute: float = Field(0.0, ge=0)  # for a minute of sound that it transcribes
    call: float = Field(0.0, ge=0)

    def of(self, took: Spent) -> float:
        """What that many tokens, minutes and calls cost."""
        return (
            self.input * took.input_tokens / 1e6
            + self.output * took.output_tokens / 1e6
            + self.audio_minute * took.audio_seconds / 60
            + self.call * took.calls
        )


class Prices(Strict):
    """A file of prices."""

    currency: str = ""
    models: Mapping[
        str, Price
    ] = {}  # by model or endpoint/model, with * for any characters; the first that fits counts

    def of(self, took: Spent) -> float | None:
        """The cost; None if the file has no price for the model."""
        names = (took.model, f"{took.endpoint}/{took.model}")
        fitting = (price for word, price in self.models.items() if any(fnmatchcase(name, word) for name in names))
        return next((price.of(took) for price in fitting), None)


@dataclass(frozen=True)
class Spent:
    """What all answers of one model at one endpoint took."""

    endpoint: str
    model: str  # as the endpoint reported it
    answers: int = 0
    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    seconds: float = 0.0  # of calls, those at the same time added up
    audio_seconds: float = 0.0
    cost: float | None = None  # None: no price is known
    currency: str = ""

    @property
    def tokens_per_second(self) -> float:
        """Tokens written in a second of a call."""
        return self.output_tokens / self.seconds if self.seconds else 0.0


def read_prices(path: Path | None) -> Prices:
    """A file of prices; without one, none is known. Raises `InputError` naming the place at fault."""
    try:
        return read(path, Prices) if path else Prices()
    except DataFileError as error:
        raise InputError(str(error)) from error


def spent(ledger: Ledger, prices: Prices | None = None) -> tuple[Spent, ...]:
    """Of all answers that the ledger keeps, those of clips without a record and of earlier prompts included, the most
    output first. Calls that came to no answer are not in it. Blocking."""
    prices = prices or Prices()
    sums: dict[tuple[str, str], Spent] = {}
    for usage in _usages(ledger):
        key = usage.endpoint, usage.model
        before = sums.get(key, Spent(*key))
        sums[key] = replace(
            before,
            answers=before.answers + 1,
            calls=before.calls + usage.calls,
            input_tokens=before.input_tokens + usage.input_tokens,
            output_tokens=before.output_tokens + usage.output_tokens,
            seconds=round(before.seconds + usage.seconds, 4),
            audio_seconds=round(before.audio_seconds + usage.audio_seconds, 3),
        )
    priced = (replace(one, cost=prices.of(one), currency=prices.currency) for one in sums.values())
    return tuple(sorted(priced, key=lambda one: (-one.output_tokens, one.endpoint, one.model)))


@dataclass(frozen=True)
class _Origin:
    usage: Usage | None = None


@dataclass(frozen=True)
class _Kept:
    """Of a stage's payload, what is of interest here."""

    origin: _Origin | None = None


_KEPT = TypeAdapter(_Kept)


def _usages(ledger: Ledger) -> Iterator[Usage]:
    for payload in ledger.payloads(_stages()):
        try:
            kept = _KEPT.validate_json(payload)
        except ValidationError:  # which the next run finds, and does again
            continue
        if kept.origin and kept.origin.usage:
            yield kept.origin.usage


def _stages() -> list[str]:
    """The stages whose services may ask an endpoint."""
    return [stage.name for stage in graph_for(speech=True, translate=True) if stage.service and _says(stage.service)]


def _says(service: str) -> bool:
    """Whether the service's answers can say what they took."""
    return any("usage" in rpc.reply.DESCRIPTOR.fields_by_name for rpc in rpcs(service).values())

"""The service llama3 with engines whose taste is known."""

from __future__ import annotations

import math
from contextlib import asynccontextmanager
from dataclasses import replace

import merrflow_llama3
from merrflow_llama3.types import LabelScore, Scored
from merrflow_serving.errors import InvalidInput, NotReady
from merrflow_serving.server import Server
from tests.orchestrator.fakes import FakeReasoner, calls


class _Taste(FakeReasoner):
    """Prefers the description with this word."""

    word = "B"

    def answer(self, item):
        if '"' not in item.clues.scene:  # to warm up
            return super().answer(item)
        return self.prefer(item)

    def prefer(self, item) -> Scored:
        scene = item.clues.scene
        first, second = scene.split('"')[1], scene.split('"')[3]
        return self.shares(item, self.word in first, self.word in second)

    def shares(self, item, first: bool, second: bool) -> Scored:
        high = {(True, False): (0.8, 0.2), (False, True): (0.2, 0.8)}.get((first, second), (0.5, 0.5))
        return Scored(tuple(LabelScore(one, share, -1.0) for one, share in zip(item.labels, high, strict=True)), 10)


class LikesB(_Taste):
    pass


class LikesTheFirst(_Taste):
    def prefer(self, item) -> Scored:
        return self.shares(item, True, False)


class Undecided(_Taste):
    def prefer(self, item) -> Scored:
        return self.shares(item, True, True)


class Nonsense(_Taste):
    """A server that is broken: no shares."""

    def prefer(self, item) -> Scored:
        return Scored(tuple(LabelScore(one, math.nan, 0.0) for one in item.labels), 10)


class Declines(_Taste):
    def prefer(self, item) -> Scored:
        raise InvalidInput("the model named none of the labels", reason="NO_LABEL")


class DeclinesOne(_Taste):
    def prefer(self, item) -> Scored:
        if "B wrote 3" in item.clues.scene:
            raise InvalidInput("the clues have more than 10 characters", reason="TOO_LARGE")
        return super().prefer(item)


class GoesAway(_Taste):
    """After five answers."""

    def prefer(self, item) -> Scored:
        if calls["scores"] > 5:
            raise NotReady("draining")
        return super().prefer(item)


class Newer(LikesB):
    """The same by another model."""

    revision = "2"


@asynccontextmanager
async def serving(engine: type[FakeReasoner]):
    """The service llama3 with this engine; gives its address."""
    spec = replace(merrflow_llama3.SPEC, engines={"fake": f"{__name__}:{engine.__name__}"})
    server = Server(spec, spec.settings(port=0, drain_seconds=1, engine="fake"))
    await server.start()
    await server.wait_ready()
    calls.clear()  # of the warm-up
    try:
        yield server.address
    finally:
        await server.stop()

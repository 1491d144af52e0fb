"""One loaded engine for all tests of the service: the real model, one thread."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from merrflow_llama3.engines import llamacpp
from merrflow_llama3.engines.llamacpp import LlamaCpp
from merrflow_llama3.settings import Llama3Settings


@pytest.fixture(scope="session")
def packaged() -> Iterator[LlamaCpp]:
    made = LlamaCpp(Llama3Settings(threads=1))
    made.load()
    yield made
    made.close()


@pytest.fixture(scope="session")
def engine(packaged: LlamaCpp) -> LlamaCpp:
    return packaged


@pytest.fixture
def loaded_already(packaged: LlamaCpp, monkeypatch: pytest.MonkeyPatch) -> None:
    """A service with default settings has this engine: to load another costs 3 s of a core."""
    monkeypatch.setattr(llamacpp, "LlamaCpp", lambda settings: packaged)
    monkeypatch.setattr(packaged, "load", lambda: None)
    monkeypatch.setattr(packaged, "close", lambda: None)

"""An endpoint of the tests, and clients of it (`test_openai_*.py`)."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from benchmarks.support.endpoint import FakeEndpoint
from merrflow_serving.openai.client import Client
from merrflow_serving.openai.settings import OpenAISettings
from tests.services.serving.openai_clients import KEY, well


@pytest.fixture
def server() -> Iterator[FakeEndpoint]:
    with FakeEndpoint(well) as found:
        yield found


@pytest.fixture
def opened(server: FakeEndpoint) -> Iterator[Callable[..., Client]]:
    clients: list[Client] = []

    def make(**settings: object) -> Client:
        given = {"openai_base_url": server.url, "openai_model": "tiny", "openai_api_key": KEY} | settings
        clients.append(Client(OpenAISettings(**given)))
        return clients[-1]

    yield make
    for one in clients:
        one.close()

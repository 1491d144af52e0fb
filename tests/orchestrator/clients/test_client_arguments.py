"""`merrflow.Client` with arguments that are of no use: one line for each. And that both clients take the same."""

from __future__ import annotations

import asyncio
import inspect

import pytest

import merrflow
from tests.orchestrator.fakes import fake_services


@pytest.mark.parametrize(
    ("arguments", "settings", "why"),
    [
        (("llama3",), {"config": 5}, "config: the path of a file is wanted, not 5"),
        (("llama3",), {"config": "a\0b"}, "config: the path of a file is wanted, not 'a"),
        (("llama3", 5), {}, "address: a text such as host:port is wanted, not int"),
        ((["llama3"],), {}, "there is no service .'llama3'.; the services are: openface-au"),
        (("llama3",), {"retry_seconds": "soon"}, "retry_seconds: Input should be a valid number"),
    ],
)
@pytest.mark.parametrize("kind", [merrflow.Client, merrflow.AsyncClient])
def test_arguments_of_another_type(kind, arguments, settings, why):
    with pytest.raises(merrflow.InputError, match=why) as refused:
        kind(*arguments, **settings)
    assert "\n" not in str(refused.value)


def test_media_of_another_type():
    async def ask() -> None:
        async with fake_services() as addresses:
            async with merrflow.AsyncClient("qwen-audio", addresses["qwen_audio_address"]) as client:
                await client.tone(5)

    with pytest.raises(merrflow.InputError, match="media: the path of a file is wanted, not 5"):
        asyncio.run(ask())


def test_both_clients_take_the_same():
    for name in ("action_units", "describe", "tone", "reason", "score", "translate"):
        blocking, other = getattr(merrflow.Client, name), getattr(merrflow.AsyncClient, name)
        assert inspect.signature(blocking) == inspect.signature(other) and blocking.__doc__ == other.__doc__

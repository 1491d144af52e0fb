"""`merrflow.Client` with arguments that are of no use: one line for each. And that both clients take the same."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import numpy as np
import pytest

import merrflow
from merrflow_serving.media.images import encode_jpeg
from tests.orchestrator.fakes import fake_services


@pytest.mark.parametrize(
    ("arguments", "settings", "why"),
    [
        (("llama3",), {"config": 5}, "config: a path is wanted, not 5"),
        (("llama3",), {"config": "a\0b"}, "config: a path is wanted, not 'a"),
        (("llama3",), {"config": ""}, "config: a path is wanted, not ''"),
        (("llama3",), {"say": 5}, "say: a function of a text is wanted, not 5"),
        (("llama3", 5), {}, "address: a text such as host:port is wanted, not 5"),
        ((["llama3"],), {}, "there is no service .'llama3'.; the services are: openface-au"),
        (("llama3",), {"retry_seconds": "soon"}, "retry_seconds: Input should be a valid number"),
    ],
)
@pytest.mark.parametrize("kind", [merrflow.Client, merrflow.AsyncClient])
def test_arguments_of_another_type(kind, arguments, settings, why):
    with pytest.raises(merrflow.InputError, match=why) as refused:
        kind(*arguments, **settings)
    assert "\n" not in str(refused.value)


@pytest.fixture
async def clients() -> AsyncIterator[dict[str, merrflow.AsyncClient]]:
    """A client of each service, by its name."""
    async with fake_services() as addresses, AsyncExitStack() as stack:
        yield {
            name: await stack.enter_async_context(
                merrflow.AsyncClient(name, addresses[f"{name.replace('-', '_')}_address"])
            )
            for name in ("openface-au", "minigpt-v2", "qwen-audio", "llama3")
        }


@pytest.mark.parametrize(
    ("service", "method", "arguments", "why"),
    [
        ("openface-au", "action_units", {"video": 5}, "video: a path is wanted, not 5"),
        ("qwen-audio", "tone", {"sound": 5}, "sound: a path is wanted, not 5"),
        ("qwen-audio", "tone", {"sound": b"x", "clip": 5}, "clip: a text is wanted, not 5"),
        ("minigpt-v2", "describe", {"context": [(0,)]}, "context: a pair of seconds and a picture is wanted, not (0,)"),
        ("minigpt-v2", "describe", {"context": 5}, "context: a pair of seconds and a picture is wanted, not 5"),
        ("minigpt-v2", "describe", {"context": [("soon", b"x")]}, "context: a pair of seconds and a picture is wanted"),
        ("minigpt-v2", "describe", {"context": [(0.5, 5)]}, "context: a path is wanted, not 5"),
        ("llama3", "reason", {"expressions": "happy"}, "expressions: a list of texts is wanted, not 'happy'"),
        ("llama3", "reason", {"expressions": None}, "expressions: a list of texts is wanted, not None"),
        ("llama3", "reason", {"scene": 5}, "scene: a text is wanted, not 5"),
        ("llama3", "reason", {"scene": "\ud800"}, r"scene: a text is wanted, not '\ud800'"),
        ("llama3", "reason", {"tone": "loud", "label": 5}, "label: a text is wanted, not 5"),
        ("llama3", "reason", {"tone": "loud", "clip": 5}, "clip: a text is wanted, not 5"),
        (
            "llama3",
            "reason",
            {"tone": "loud", "seed": -1},
            "seed: a whole number from 0 to 2**64 - 1 is wanted",
        ),
        ("llama3", "score", {"labels": "happy"}, "labels: a list of texts is wanted, not 'happy'"),
        ("llama3", "score", {"labels": None}, "labels: a list of texts is wanted, not None"),
        ("llama3", "score", {"labels": []}, "labels: a list of two or more different labels is wanted, not ()"),
        ("llama3", "score", {"labels": ["a", "a"]}, "labels: a list of two or more different labels is wanted"),
        ("llama3", "score", {"labels": ["a", ""]}, "labels: a list of two or more different labels is wanted"),
        ("llama3", "translate", {"text": 5}, "text: a text is wanted, not 5"),
        ("llama3", "translate", {"text": "你好", "language": 5}, "language: a text is wanted, not 5"),
    ],
)
async def test_arguments_of_a_call(clients, service, method, arguments, why):
    given = {"image": b"x"} | arguments if method == "describe" else arguments
    with pytest.raises(merrflow.InputError) as refused:
        await getattr(clients[service], method)(**given)
    assert str(refused.value).startswith(why) and str(refused.value).isprintable()


async def test_numbers_of_numpy_are_numbers(clients):
    told = await clients["llama3"].reason(tone="loud", seed=np.int64(3))
    assert told.value.seed == 3
    picture = encode_jpeg(np.zeros((48, 64, 3), np.uint8))
    assert (await clients["minigpt-v2"].describe(picture, context=[(np.float32(0.5), picture)])).value.text


def test_both_clients_take_the_same():
    for name in ("action_units", "describe", "tone", "reason", "score", "translate"):
        blocking, other = getattr(merrflow.Client, name), getattr(merrflow.AsyncClient, name)
        assert inspect.signature(blocking) == inspect.signature(other) and blocking.__doc__ == other.__doc__

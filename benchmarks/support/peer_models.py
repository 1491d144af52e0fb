"""The models of both peers in `benchmarks.peer`: one endpoint of OpenAI's protocol, whose answers take a fixed time.

    python -m benchmarks.support.peer_models SECONDS      prints its URL; ends with its standard input

It works on all requests at once. What it says passes merrflow's checks, so that each question is asked once.
"""

from __future__ import annotations

import asyncio
import math
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from aiohttp import web

from benchmarks.support.endpoint import Answer, Asked, Body, FakeEndpoint, completion, endpoint_process

SCENE = "One person sits in a room and faces the camera."
TONE = "calm"
LIKELY = ("angry", "doubt", "happy", "neutral", "sad", "surprise", "worried")
_CLUE = re.compile(r"^- (Face|Voice|Words|Established emotion): (.*?)\.?$", re.MULTILINE)
_READ = 64  # tokens of a picture or a sound, so that a service sees that they are read


def reply(asked: Asked) -> Body:
    """What the model says to this request."""
    usage = {
        "prompt_tokens": len(asked.text.split()) + _READ * len(set(asked.parts) - {"text"}),
        "completion_tokens": 9,
    }
    if asked.body.get("logprobs"):
        return completion(LIKELY[0], logprobs={"content": [_likelihoods()]}, usage=usage)
    if "input_audio" in asked.parts:
        return completion(TONE, usage=usage)
    if "image_url" in asked.parts:
        return completion(SCENE, usage=usage)
    return completion(explanation(asked.text), usage=usage)


def explanation(question: str) -> str:
    """Two sentences over the clues of merrflow's question, in their own words; something plain for other questions."""
    clues = dict(_CLUE.findall(question))
    if "Established emotion" not in clues:
        return "Yes."
    seen = f"In the video, one person shows {clues['Face']}" if "Face" in clues else "In the video, one person sits"
    heard = ", and the tone of the voice is calm" if "Voice" in clues else ""
    said = f", with the words {clues['Words']}" if "Words" in clues else ""
    return f"{seen}{heard}{said}. Together these clues show that the person feels {clues['Established emotion']}."


def _likelihoods() -> Body:
    top = [{"token": label, "logprob": math.log(1 / (2 + rank))} for rank, label in enumerate(LIKELY)]
    return {**top[0], "top_logprobs": top}


def after(seconds: float) -> Answer:
    """Answers every chat after that time, any number at once."""

    async def answer(asked: Asked) -> web.StreamResponse:
        await asyncio.sleep(seconds)
        return web.json_response(reply(asked))

    return answer


@contextmanager
def endpoint(latency: float) -> Iterator[tuple[str, Callable[[], int]]]:
    """It in a process of its own; yields its URL and what ends it and returns how many requests it had."""
    with endpoint_process(__spec__.name, latency) as (url, end):
        yield url, lambda: int(end())


def main() -> None:
    """Serves until standard input ends; then prints how many requests there were."""
    with FakeEndpoint(after(float(sys.argv[1])), keep=False) as endpoint:
        print(endpoint.url, flush=True)
        sys.stdin.read()
        print(endpoint.count, flush=True)


if __name__ == "__main__":
    main()

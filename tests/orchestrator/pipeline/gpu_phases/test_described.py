"""What a container says of itself, and the options of the command line."""

from __future__ import annotations

import json

import pytest

from merrflow.cli.gpu_plan import gpu_options
from merrflow.core.errors import InputError
from merrflow.pipeline.gpu_phases.described import Described

TOLD = {
    "service": "llama3",
    "version": "1",
    "engine": {"engine": "transformers", "model": "llama-3", "revision": "abc", "dtype": "bfloat16"},
    "limits": {"max_batch_size": 64, "max_tokens": 2048},
    "need": {"least_bytes": 16, "full_bytes": 34},
    "gpu": {"name": "a card", "uuid": "1", "total_bytes": 80},
    "problem": "",
}


def test_the_last_line_counts_and_replicas_need_their_own():
    found = Described.parse("llama3", "a library says hello\n" + json.dumps(TOLD) + "\n")
    assert (found.least, found.full, found.card) == (16, 34, 80)
    assert found.identity["revision"] == "abc" and found.limits["max_tokens"] == "2048"
    assert (found.model(2).least, found.model(2).full) == (32, 68)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "build it again"),
        ("usage: merrflow-serve", "build it again"),
        (json.dumps({"service": "llama3"}), "build it again"),
        (json.dumps(TOLD | {"service": "qwen-audio"}), "runs the service 'qwen-audio'"),
        (json.dumps(TOLD | {"problem": "no weights"}), "no weights.*docker-compose up -d llama3"),
    ],
)
def test_what_cannot_be_planned_for_says_what_to_do(text, says):
    with pytest.raises(InputError, match=says):
        Described.parse("llama3", text)


def test_options_become_the_request():
    found = gpu_options("sequential", "24GiB", plan_only=False, server=False)
    assert found == {"gpu_sharing": "sequential", "gpu_memory": 24 << 30}
    assert gpu_options(None, None, plan_only=False, server=True) == {"gpu_sharing": "", "gpu_memory": 0}


@pytest.mark.parametrize(
    ("sharing", "memory", "plan_only", "server", "says"),
    [
        ("parallel", None, False, False, "the only value is sequential"),
        (None, "24GiB", False, False, "--gpu-memory needs --gpu-sharing"),
        (None, None, True, False, "--plan-only needs --gpu-sharing"),
        ("sequential", "lots", False, False, "give it as 24GiB"),
        ("sequential", None, False, True, "leave one of them out"),
    ],
)
def test_options_that_do_not_go_together_are_refused(sharing, memory, plan_only, server, says):
    with pytest.raises(InputError, match=says):
        gpu_options(sharing, memory, plan_only=plan_only, server=server)

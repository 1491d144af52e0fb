"""Which engine each service has, and what it needs."""

from __future__ import annotations

import asyncio

import pytest

from merrflow.cli.doctor.engines import Chosen, choose, weights_of
from merrflow.core.errors import InputError
from merrflow.core.settings import RunSettings


@pytest.fixture(autouse=True)
def _own_settings(monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("MERRFLOW_MODELS_DIR", str(tmp_path))


def chosen(**given: str) -> dict[str, Chosen]:
    engines = {name.replace("_", "-"): engine for name, engine in given.items()}
    return {one.service: one for one in asyncio.run(choose(engines, RunSettings()))}


@pytest.mark.parametrize(
    ("service", "engine", "model", "weights"),
    [
        ("qwen-audio", "qwen_audio", "Qwen-Audio-Chat", ("qwen-audio-chat",)),
        ("llama3", "vllm", "organisation/name@main", ("organisation/name@main",)),
        ("minigpt-v2", "minigpt_v2", "MiniGPT-v2 (EVA)", ("llama-2-7b-chat", "eva-vit-g", "minigpt-v2")),
        ("llama3", "llamacpp", "SmolLM2", ()),
    ],
)
def test_the_weights_that_an_engine_loads(service, engine, model, weights) -> None:
    assert weights_of(service, engine, model, real=engine != "llamacpp") == weights


def test_embedded_engines_need_no_card() -> None:
    found = chosen()
    assert found["llama3"].engine == "llamacpp"
    assert {one.card for one in found.values()} == {None}
    assert found["whisper"].off


def test_an_engine_that_wants_a_card_and_one_that_may_do_without(monkeypatch) -> None:
    found = chosen(llama3="transformers")["llama3"]
    assert (found.card, found.weights, found.bytes > 15e9) == (0, ("llama-3-8b-instruct",), True)
    monkeypatch.setenv("MERRFLOW_LLAMA3_DEVICE", "cuda:1")
    assert chosen(llama3="transformers")["llama3"].card == 1
    monkeypatch.setenv("MERRFLOW_LLAMA3_DEVICE", "cpu")
    assert chosen(llama3="transformers")["llama3"].card is None


def test_what_does_not_exist() -> None:
    assert "no engine 'gpt'" in chosen(llama3="gpt")["llama3"].problem
    with pytest.raises(InputError, match="no service 'llama4'"):
        chosen(llama4="gpt")


def test_a_service_that_does_not_answer(monkeypatch) -> None:
    settings = RunSettings(llama3_address="127.0.0.1:1")
    found = {one.service: one for one in asyncio.run(choose({}, settings))}["llama3"]
    assert "does not answer" in found.problem
    assert not found.is_here
